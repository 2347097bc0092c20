//! The program on a real interface: a veth pair in a network namespace of its own, which goes with the test's process.
//!
//! Each test runs twice: the first time it starts this executable again in a new namespace with the same test alone, the second
//! time it does its work there.
use crate::{open_flow, pinned_flow, unless_forbidden};
use gds_nic::xdp::{
    AttachMode, AttachedProgram, Attachment, FilterConfig, LoadedProgram, Program, SocketCounters, SocketMap,
    XdpError, attached,
};
use gds_nic::{Interface, NicError};
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Set to what this executable is to do, when a test started it.
const ROLE: &str = "GDS_XDP_TEST_ROLE";
/// The address of the end we attach to, `near`.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The address of the other end, `far`, in a namespace of its own.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// This executable, for one of its tests alone.
fn this_test(test: &str, role: &str) -> Vec<String> {
    let executable = env::current_exe().unwrap().to_str().unwrap().to_owned();
    let arguments = ["--exact", test, "--nocapture", "--include-ignored"].map(str::to_owned);
    [vec!["env".into(), format!("{ROLE}={role}"), executable], arguments.to_vec()].concat()
}

/// Runs the test in a network namespace of its own; true in the process that is there.
fn in_own_namespace(test: &str) -> bool {
    if role().is_some() {
        return true;
    }
    let tool = Command::new("unshare").args(["--net", "ip", "link"]).stdout(Stdio::null()).status();
    if !tool.is_ok_and(|status| status.success()) {
        println!("skipped: needs `unshare` and `ip`, and root");
        return false;
    }
    let output = Command::new("unshare").arg("--net").args(this_test(test, "test")).output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

#[track_caller]
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn near() -> Interface {
    Interface::Name("near".into())
}

/// A veth pair: `near` here, `far` in the namespace of a process that ends with this.
struct Pair {
    far: Child,
}

impl Pair {
    fn new() -> Self {
        // Reads until our end of the pipe is closed, also by our death.
        let mut far = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo there; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(line_of(&mut far), "there");
        ip(&format!("link add near type veth peer name far netns {}", far.id()));
        let pair = Self { far };
        ip(&format!("address add {NEAR}/24 dev near"));
        ip("link set near up");
        for arguments in [format!("address add {FAR}/24 dev far"), "link set far up".into()] {
            let status = pair.there("ip").args(arguments.split_whitespace()).status().unwrap();
            assert!(status.success(), "{arguments}");
        }
        pair
    }

    /// A command in the namespace of `far`.
    fn there(&self, command: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net=/proc/{}/ns/net", self.far.id())).arg(command);
        nsenter
    }

    /// Sends a datagram from `far`.
    fn send(&self, to: SocketAddrV4, text: &str) {
        let mut arguments = this_test("attaching::far_end_sends", &format!("{to} {text}"));
        let status = self.there(&arguments.remove(0)).args(arguments).stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.far.stdin.take());
        self.far.wait().expect("it ends with its input");
    }
}

/// What [`Pair::send`] runs.
#[test]
#[ignore = "a part of other tests"]
fn far_end_sends() {
    let Some(role) = role() else { return };
    let (to, text) = role.split_once(' ').unwrap();
    let to: SocketAddrV4 = to.parse().unwrap();
    let socket = UdpSocket::bind((FAR, 0)).unwrap();
    socket.send_to(text.as_bytes(), to).unwrap();
}

fn program(config: &FilterConfig) -> Option<(SocketMap, LoadedProgram)> {
    let map = unless_forbidden(SocketMap::new(8))?;
    let program = unless_forbidden(Program::assemble(config).unwrap().load(&map))?;
    Some((map, program))
}

fn some_program() -> Option<LoadedProgram> {
    program(&FilterConfig { flows: vec![open_flow(0)], queue: 0 }).map(|(_, program)| program)
}

#[track_caller]
fn expect_attached(mode: AttachMode) -> AttachedProgram {
    let found = attached(&near()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].mode, Some(mode));
    assert_eq!(found[0].name.as_deref(), Some("gds_redirect"));
    found[0].clone()
}

const MODES: [AttachMode; 2] = [AttachMode::Native, AttachMode::Generic];

#[test]
fn the_program_is_attached_until_its_attachment_is_dropped() {
    if !in_own_namespace("attaching::the_program_is_attached_until_its_attachment_is_dropped") {
        return;
    }
    let Some(program) = some_program() else { return };
    let _pair = Pair::new();
    for mode in MODES {
        assert_eq!(attached(&near()).unwrap(), []);
        let attachment = program.attach(&near(), mode).unwrap();
        assert_eq!((attachment.mode(), attachment.interface().name.as_str()), (mode, "near"));
        expect_attached(mode);
        drop(attachment);
    }
    assert_eq!(attached(&near()).unwrap(), []);
}

#[test]
fn the_program_goes_when_its_process_is_killed() {
    const TEST: &str = "attaching::the_program_goes_when_its_process_is_killed";
    if let Some(mode) = role().and_then(|role| role.strip_prefix("hold ").map(str::to_owned)) {
        return hold(&mode);
    }
    if !in_own_namespace(TEST) || some_program().is_none() {
        return;
    }
    let _pair = Pair::new();
    for mode in MODES {
        let mut arguments = this_test(TEST, &format!("hold {mode}"));
        let mut holder = Command::new(arguments.remove(0))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        while line_of(&mut holder) != "attached" {}
        expect_attached(mode);
        holder.kill().unwrap(); // SIGKILL.
        holder.wait().unwrap();
        assert_eq!(attached(&near()).unwrap(), [], "{mode}");
    }
}

/// Attaches, and stays until killed.
fn hold(mode: &str) {
    let mode = MODES.into_iter().find(|known| known.to_string() == mode).unwrap();
    let _attachment = some_program().unwrap().attach(&near(), mode).unwrap();
    println!("\nattached");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// The next line of a child, which ends the test where there is none.
fn line_of(child: &mut Child) -> String {
    let mut line = Vec::new();
    let output = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    loop {
        output.read_exact(&mut byte).expect("a line");
        match byte {
            [b'\n'] => return String::from_utf8(line).unwrap(),
            [other] => line.push(other),
        }
    }
}

#[test]
fn a_second_program_is_refused_and_the_first_one_named() {
    if !in_own_namespace("attaching::a_second_program_is_refused_and_the_first_one_named") {
        return;
    }
    let Some(program) = some_program() else { return };
    let _pair = Pair::new();
    for first in MODES {
        let _attachment = program.attach(&near(), first).unwrap();
        let holder = expect_attached(first);
        for second in MODES {
            let error = program.attach(&near(), second).unwrap_err();
            let NicError::Xdp(XdpError::Occupied { interface, programs }) = &error else { panic!("{error}") };
            assert_eq!((interface.as_str(), programs.as_slice()), ("near", [holder.clone()].as_slice()));
            assert!(
                error.to_string().contains(&format!("program {} \"gds_redirect\", {first}", holder.id)),
                "{error}"
            );
        }
    }
}

#[test]
fn another_program_takes_the_place_of_the_first() {
    if !in_own_namespace("attaching::another_program_takes_the_place_of_the_first") {
        return;
    }
    let (Some(first), Some(second)) = (some_program(), some_program()) else { return };
    let _pair = Pair::new();
    let attachment: Attachment = first.attach(&near(), AttachMode::Native).unwrap();
    let before = expect_attached(AttachMode::Native);
    drop(first);
    attachment.replace(&second).unwrap();
    assert_ne!(expect_attached(AttachMode::Native).id, before.id);
    drop(second); // The link holds it.
    expect_attached(AttachMode::Native);
}

#[test]
fn interfaces_that_cannot_are_told() {
    if !in_own_namespace("attaching::interfaces_that_cannot_are_told") {
        return;
    }
    let Some(program) = some_program() else { return };
    let error = program.attach(&near(), AttachMode::Native).unwrap_err().to_string();
    assert!(error.starts_with("no interface \"near\" on this host"), "{error}");
    let loopback = Interface::default();
    let error = program.attach(&loopback, AttachMode::Native).unwrap_err();
    assert!(matches!(error, NicError::Xdp(XdpError::NoNativeMode { .. })), "{error}");
    program.attach(&loopback, AttachMode::Generic).unwrap();
    let pair = Pair::new();
    let mut longer = pair.there("ip");
    assert!(longer.args("link set far mtu 9000".split_whitespace()).status().unwrap().success());
    let error = program.attach(&near(), AttachMode::Native).unwrap_err();
    assert!(matches!(error, NicError::Xdp(XdpError::FramesTooLong { .. })), "{error}");
    program.attach(&near(), AttachMode::Generic).unwrap();
}

#[test]
fn packets_of_others_still_reach_the_kernel_and_strangers_do_not() {
    if !in_own_namespace("attaching::packets_of_others_still_reach_the_kernel_and_strangers_do_not") {
        return;
    }
    let ours = |socket, port, senders: &[Ipv4Addr]| {
        let mut flow = pinned_flow(socket, 0);
        flow.to = SocketAddrV4::new(NEAR, port);
        flow.senders = senders.to_vec();
        flow
    };
    let flows = vec![ours(0, 7000, &[FAR]), ours(1, 7001, &[Ipv4Addr::new(10, 77, 0, 3)])];
    let Some((map, program)) = program(&FilterConfig { flows, queue: 0 }) else { return };
    let pair = Pair::new();
    let sockets = [7000, 7001, 7002].map(|port| UdpSocket::bind((NEAR, port)).unwrap());
    for (round, mode) in (1..).zip(MODES) {
        let attachment = program.attach(&near(), mode).unwrap();
        for (socket, port) in sockets.iter().zip(7000..) {
            pair.send(SocketAddrV4::new(NEAR, port), "hello");
            // A datagram to an open port after it: whatever it led to has happened when that is here.
            pair.send(SocketAddrV4::new(NEAR, 7002), "mark");
            sockets[2].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut buffer = [0; 16];
            socket.set_nonblocking(true).unwrap();
            sockets[2].set_nonblocking(false).unwrap();
            let marks: &[&[u8]] = if port == 7002 { &[b"hello", b"mark"] } else { &[b"mark"] };
            for mark in marks {
                let length = sockets[2].recv(&mut buffer).unwrap();
                assert_eq!(&&buffer[..length], mark, "{mode}");
            }
            match port {
                // Our flow from its sender, no socket in the slot: to the kernel. From a stranger: nowhere.
                7000 => assert_eq!(socket.recv(&mut buffer).unwrap(), 5, "{mode}"),
                7001 => assert!(socket.recv(&mut buffer).is_err(), "{mode}"),
                _ => {}
            }
        }
        assert_eq!(map.read(1), SocketCounters { redirected: 0, strangers: round });
        drop(attachment);
    }
    assert_eq!(map.read(0), SocketCounters::default());
}

#[test]
fn a_missing_capability_is_named() {
    const TEST: &str = "attaching::a_missing_capability_is_named";
    if role().is_some() {
        let config = FilterConfig { flows: vec![open_flow(0), pinned_flow(1, 1)], queue: 0 };
        let loaded = SocketMap::new(2).and_then(|map| Program::assemble(&config)?.load(&map));
        return println!("\nanswer: {}", loaded.map_or_else(|error| error.to_string(), |_| "loaded".into()));
    }
    let cases = [
        ("-bpf,-sys_admin", "without CAP_BPF:"),
        ("-net_admin,-sys_admin", "without CAP_NET_ADMIN:"),
        ("-all", "without CAP_BPF and CAP_NET_ADMIN:"),
        // The verifier is stricter with those who have these two alone.
        ("-all,+bpf,+net_admin", "loaded"),
    ];
    for (bounds, expected) in cases {
        let arguments = this_test(TEST, "test");
        let output = Command::new("setpriv").arg(format!("--bounding-set={bounds}")).args(arguments).output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else {
            println!("skipped: needs `setpriv`, and root");
            return;
        };
        let lines = BufReader::new(output.stdout.as_slice()).lines().map(Result::unwrap);
        let answer = lines.filter(|line| line.starts_with("answer: ")).last().unwrap();
        assert!(answer.contains(expected), "{bounds}: {answer}");
    }
}
