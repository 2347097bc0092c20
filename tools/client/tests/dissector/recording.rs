//! What crosses loopback, recorded by dumpcap and read by tshark.
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// dumpcap takes packets from the kernel this often at least.
const LAST_PACKETS: Duration = Duration::from_millis(1_000);

/// A recording in the making.
pub struct Recording {
    dumpcap: Child,
    says: BufReader<ChildStderr>,
    file: PathBuf,
}

impl Recording {
    /// Begins to record these ports on loopback; what keeps it from that is the error.
    pub fn begin(folder: &Path, udp_ports: (u16, u16), tcp_port: u16) -> Result<Self, String> {
        let tshark =
            Command::new("tshark").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !tshark.is_ok_and(|status| status.success()) {
            return Err("tshark is not installed (apt-get install tshark)".into());
        }
        let file = folder.join("loopback.pcapng");
        File::create(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let filter = format!("udp portrange {}-{} or tcp port {tcp_port}", udp_ports.0, udp_ports.1);
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-i", "lo", "-B", "64", "-f", &filter, "-w"]).arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut dumpcap = command.spawn().map_err(|error| format!("dumpcap cannot be started: {error}"))?;
        let mut says = BufReader::new(dumpcap.stderr.take().expect("it was asked for"));
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if says.read_line(&mut line).unwrap_or(0) == 0 {
                let _ = dumpcap.wait();
                return Err(format!(
                    "dumpcap may not record loopback (root, or setcap cap_net_raw): {}",
                    said.trim()
                ));
            }
            // Said once the kernel collects packets.
            if line.starts_with("File:") {
                return Ok(Self { dumpcap, says, file });
            }
            said += &line;
        }
    }

    /// Ends the recording, which must have lost nothing, and dissects it.
    pub fn end(mut self, settings: &[String], fields: &[&'static str]) -> Vec<Frame> {
        sleep(LAST_PACKETS);
        let number = self.dumpcap.id().to_string();
        let interrupted = Command::new("kill").args(["-INT", &number]).status();
        assert!(interrupted.is_ok_and(|status| status.success()), "dumpcap is gone");
        let mut said = String::new();
        self.says.read_to_string(&mut said).expect("dumpcap says how it went");
        assert!(self.dumpcap.wait().expect("it ends").success(), "dumpcap failed: {said}");
        assert!(said.contains("/0 ("), "packets are missing: {said}"); // received/dropped
        dissect(&self.file, settings, fields)
    }
}

impl Drop for Recording {
    /// A test that fails leaves no dumpcap behind.
    fn drop(&mut self) {
        let _ = self.dumpcap.kill();
        let _ = self.dumpcap.wait();
    }
}

/// One packet as the dissector saw it.
#[derive(Debug)]
pub struct Frame(Vec<(&'static str, String)>);

impl Frame {
    /// All values of a field, in their order.
    pub fn all(&self, field: &str) -> impl Iterator<Item = &str> {
        let (_, values) = self.0.iter().find(|(name, _)| *name == field).expect("a field that was asked for");
        values.split(',').filter(|value| !value.is_empty())
    }

    /// The numbers in a field.
    pub fn numbers(&self, field: &str) -> impl Iterator<Item = u64> {
        self.all(field).map(move |value| number(value).unwrap_or_else(|| panic!("{field} is {value}")))
    }

    /// The first number in a field.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.numbers(field).next()
    }

    /// Whether it has the field.
    pub fn has(&self, field: &str) -> bool {
        self.all(field).next().is_some()
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn dissect(file: &Path, settings: &[String], fields: &[&'static str]) -> Vec<Frame> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file).args(settings);
    command.args(["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=,"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark was there before");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark failed: {said}");
    let text = String::from_utf8(output.stdout).expect("tshark prints text");
    let frame = |line: &str| {
        let values = line.split('\t').map(str::to_owned);
        Frame(fields.iter().copied().zip(values).collect())
    };
    text.lines().map(frame).collect()
}
