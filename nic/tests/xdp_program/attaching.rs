//! The program on a real interface, between two hosts.
//!
//! Each test has a process of its own there: another test's child, between its fork and its exec, would hold what is being let go of.
use crate::{open_flow, pinned_flow, unless_forbidden};
use gds_hosts::{ADDRESS, Hosts, INTERFACE, rerun_on};
use gds_nic::xdp::{
    AttachMode, AttachedProgram, Attachment, FilterConfig, LoadedProgram, Program, SocketCounters, SocketMap,
    XdpError, attached,
};
use gds_nic::{Interface, NicError};
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set to what this executable is to do, when a test started it.
const ROLE: &str = "GDS_XDP_TEST_ROLE";
/// Where we attach.
const NEAR: Ipv4Addr = ADDRESS[1];
/// The other host.
const FAR: Ipv4Addr = ADDRESS[0];

fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// What runs this executable for one of its tests alone.
fn for_this_test(mut command: Command, test: &str, role: &str) -> Command {
    command.args(["--exact", test, "--nocapture"]).env(ROLE, role);
    command
}

/// This executable.
fn executable() -> String {
    env::current_exe().unwrap().to_str().unwrap().to_owned()
}

/// Runs `work`, the body of the test of this name, between two hosts, or tells why there are none.
fn between_hosts(test: &str, work: impl FnOnce(&Hosts)) {
    if let Some(hosts) = Hosts::around() {
        work(&hosts);
    } else if let Err(why) = rerun_on(test, &[]) {
        println!("skipped: no network namespaces: {why}");
    }
}

fn near() -> Interface {
    Interface::Name(INTERFACE.into())
}

/// Sends a datagram from the other host.
fn send(hosts: &Hosts, to: SocketAddrV4, text: &str) {
    hosts.on(0, || UdpSocket::bind((FAR, 0)).unwrap().send_to(text.as_bytes(), to).unwrap());
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
    between_hosts("attaching::the_program_is_attached_until_its_attachment_is_dropped", |_| {
        let Some(program) = some_program() else { return };
        for mode in MODES {
            assert_eq!(attached(&near()).unwrap(), []);
            let attachment = program.attach(&near(), mode).unwrap();
            assert_eq!((attachment.mode(), attachment.interface().name.as_str()), (mode, INTERFACE));
            expect_attached(mode);
            drop(attachment);
        }
        assert_eq!(attached(&near()).unwrap(), []);
    });
}

#[test]
fn the_program_goes_when_its_process_is_killed() {
    const TEST: &str = "attaching::the_program_goes_when_its_process_is_killed";
    if let Some(mode) = role().and_then(|role| role.strip_prefix("hold ").map(str::to_owned)) {
        return hold(&mode);
    }
    between_hosts(TEST, |_| {
        if some_program().is_none() {
            return;
        }
        for mode in MODES {
            let command = Command::new(executable());
            let mut holder = for_this_test(command, TEST, &format!("hold {mode}"))
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
    });
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
    between_hosts("attaching::a_second_program_is_refused_and_the_first_one_named", |_| {
        let Some(program) = some_program() else { return };
        for first in MODES {
            let _attachment = program.attach(&near(), first).unwrap();
            let holder = expect_attached(first);
            for second in MODES {
                let error = program.attach(&near(), second).unwrap_err();
                let NicError::Xdp(XdpError::Occupied { interface, programs }) = &error else {
                    panic!("{error}")
                };
                assert_eq!(
                    (interface.as_str(), programs.as_slice()),
                    (INTERFACE, [holder.clone()].as_slice())
                );
                assert!(
                    error.to_string().contains(&format!("program {} \"gds_redirect\", {first}", holder.id)),
                    "{error}"
                );
            }
        }
    });
}

#[test]
fn another_program_takes_the_place_of_the_first() {
    between_hosts("attaching::another_program_takes_the_place_of_the_first", |_| {
        let (Some(first), Some(second)) = (some_program(), some_program()) else { return };
        let attachment: Attachment = first.attach(&near(), AttachMode::Native).unwrap();
        let before = expect_attached(AttachMode::Native);
        drop(first);
        attachment.replace(&second).unwrap();
        assert_ne!(expect_attached(AttachMode::Native).id, before.id);
        drop(second); // The link holds it.
        expect_attached(AttachMode::Native);
    });
}

#[test]
fn interfaces_that_cannot_are_told() {
    between_hosts("attaching::interfaces_that_cannot_are_told", |hosts| {
        let Some(program) = some_program() else { return };
        let absent = Interface::Name("absent0".into());
        let error = program.attach(&absent, AttachMode::Native).unwrap_err().to_string();
        assert!(error.starts_with("no interface \"absent0\" on this host"), "{error}");
        let loopback = Interface::default();
        let error = program.attach(&loopback, AttachMode::Native).unwrap_err();
        assert!(matches!(error, NicError::Xdp(XdpError::NoNativeMode { .. })), "{error}");
        program.attach(&loopback, AttachMode::Generic).unwrap();
        hosts.run(0, &format!("ip link set {INTERFACE} mtu 9000")).unwrap();
        let error = program.attach(&near(), AttachMode::Native).unwrap_err();
        assert!(matches!(error, NicError::Xdp(XdpError::FramesTooLong { .. })), "{error}");
        program.attach(&near(), AttachMode::Generic).unwrap();
    });
}

#[test]
fn packets_of_others_still_reach_the_kernel_and_strangers_do_not() {
    between_hosts("attaching::packets_of_others_still_reach_the_kernel_and_strangers_do_not", |hosts| {
        let ours = |socket, port, senders: &[Ipv4Addr]| {
            let mut flow = pinned_flow(socket, 0);
            flow.to = SocketAddrV4::new(NEAR, port);
            flow.senders = senders.to_vec();
            flow
        };
        let flows = vec![ours(0, 7000, &[FAR]), ours(1, 7001, &[Ipv4Addr::new(10, 77, 0, 3)])];
        let Some((map, program)) = program(&FilterConfig { flows, queue: 0 }) else { return };
        let sockets = [7000, 7001, 7002].map(|port| UdpSocket::bind((NEAR, port)).unwrap());
        for (round, mode) in (1..).zip(MODES) {
            let attachment = program.attach(&near(), mode).unwrap();
            // Our flow from its sender, no socket in the slot; and a port that is not ours: to the kernel.
            for (socket, port) in [(&sockets[0], 7000), (&sockets[2], 7002)] {
                send(hosts, SocketAddrV4::new(NEAR, port), "hello");
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 5, "{mode}, port {port}");
            }
            // From a stranger: nowhere.
            send(hosts, SocketAddrV4::new(NEAR, 7001), "hello");
            let deadline = Instant::now() + Duration::from_secs(10);
            while map.read(1).strangers < round && Instant::now() < deadline {
                std::thread::yield_now();
            }
            assert_eq!(map.read(1), SocketCounters { redirected: 0, strangers: round });
            sockets[1].set_nonblocking(true).unwrap();
            assert!(sockets[1].recv(&mut [0; 16]).is_err(), "{mode}");
            drop(attachment);
        }
        assert_eq!(map.read(0), SocketCounters::default());
    });
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
        let mut setpriv = Command::new("setpriv");
        setpriv.args([format!("--bounding-set={bounds}"), executable()]);
        let output = for_this_test(setpriv, TEST, "test").output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else {
            println!("skipped: needs `setpriv`, and root");
            return;
        };
        let lines = BufReader::new(output.stdout.as_slice()).lines().map(Result::unwrap);
        let answer = lines.filter(|line| line.starts_with("answer: ")).last().unwrap();
        assert!(answer.contains(expected), "{bounds}: {answer}");
    }
}
