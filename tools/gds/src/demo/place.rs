//! Where the demo happens: a folder that goes away, ports nobody uses, and a configuration.
use crate::arguments::{Demo, DurabilityChoice, TransportChoice};
use gds_node::config::Config;
use gds_node::rings;
use std::fmt::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// The table of the native records.
pub const RECORDS: u16 = 1;
/// The table of the orders.
pub const ORDERS: u16 = 100;

/// Folder, ring file and configuration of one demo; all files go when it does.
pub struct Place {
    folder: PathBuf,
    config: Config,
}

impl Place {
    /// Makes the folder and finds free ports.
    pub fn make(arguments: &Demo) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("gds-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let text = configuration(arguments, &folder)?;
        let config = Config::parse(&text, "the demo's configuration").map_err(|error| error.to_string())?;
        Ok(Self { folder, config })
    }

    /// The node's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The bus journal.
    pub fn bus_folder(&self) -> PathBuf {
        self.config.stream.directory.join("bus")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for file in rings::files(&self.config) {
            let _ = std::fs::remove_file(file);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn configuration(arguments: &Demo, folder: &Path) -> Result<String, String> {
    let [ingress, downstream, acknowledgement, rewinder, query] = ports(arguments.port)?;
    // Groups of its own, so that two demos on one machine do not hear each other.
    let net = 64 + std::process::id() % 128;
    let per_mille = |percent: f64| (percent * 10.0).round() as u32;
    let (ingress_loss, downstream_loss) =
        (per_mille(arguments.ingress_loss), per_mille(arguments.downstream_loss));
    let ring_folder = if Path::new("/dev/shm").is_dir() { Path::new("/dev/shm") } else { folder };
    let durability = match arguments.durability {
        DurabilityChoice::Memory => "memory",
        DurabilityChoice::Fsync => "fsync",
    };
    let transport = match arguments.transport {
        TransportChoice::Auto => "auto",
        TransportChoice::IoUring => "io_uring",
        TransportChoice::Socket => "socket",
    };
    let mut text = String::new();
    write!(
        text,
        "[stream]\ndurability = \"{durability}\"\ndirectory = '{}'\nring_directory = '{}'\n\
         [network]\ntransport = \"{transport}\"\ningress_groups = [\"239.192.{net}.1\", \"239.192.{net}.2\"]\ningress_port = {ingress}\n\
         downstream_group = \"239.192.{net}.3\"\ndownstream_port = {downstream}\n\
         acknowledgement_group = \"239.192.{net}.4\"\nacknowledgement_port = {acknowledgement}\n\
         rewinder_port = {rewinder}\nquery_port = {query}\n\
         [limits]\nrecords_max = 500000\nbytes_max = 33554432\nhorizon_messages = 5000\n\
         [loss]\nseed = {}\ningress_per_mille = {ingress_loss}\ndownstream_per_mille = {downstream_loss}\n\
         acknowledgement_per_mille = {downstream_loss}\n",
        folder.join("journal").display(),
        ring_folder.display(),
        arguments.seed,
    )
    .expect("writing to a string succeeds");
    Ok(text)
}

/// Five ports: from the one given on, or such as are free now.
fn ports(first: Option<u16>) -> Result<[u16; 5], String> {
    if let Some(first) = first {
        let last = first.checked_add(4).filter(|_| first > 0);
        let last = last.ok_or_else(|| format!("--port {first}: five ports from it on must exist"))?;
        return Ok([first, first + 1, first + 2, first + 3, last]);
    }
    let failed = |error: std::io::Error| format!("no free port on loopback: {error}");
    let udp: Vec<UdpSocket> =
        (0..4).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>().map_err(failed)?;
    let tcp = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let mut ports = [tcp.local_addr().map_err(failed)?.port(); 5];
    for (port, socket) in ports.iter_mut().zip(&udp) {
        *port = socket.local_addr().map_err(failed)?.port();
    }
    Ok(ports)
}
