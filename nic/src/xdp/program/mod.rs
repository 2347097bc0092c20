//! The program that the kernel runs for every packet of an interface, before its own network stack: it hands the datagrams of our
//! flows to AF_XDP sockets, drops those of strangers, and lets everything else pass untouched.
//!
//! # What is ours
//! An IPv4 datagram whose destination address and port are those of a [`Flow`], on the configured receive queue, in an untagged
//! Ethernet frame, unfragmented, without IP options, with lengths that fit the frame. The destination MAC address is not looked at.
//! A flow that names senders takes from these alone: what another sends to it reaches neither us nor the kernel, and is counted.
//!
//! Everything else, and the datagrams of a flow in whose slot there is no socket, goes on to the kernel: other groups and ports,
//! TCP, ICMP, IGMP, ARP, IPv6, fragments, tagged frames, frames too short for what they claim to be.
//!
//! A card that takes VLAN tags off (`ethtool -K eth0 rxvlan on`) shows tagged frames as untagged ones; where tagged networks use our
//! groups too, turn that off.
//!
//! # How it is made
//! [`Program::assemble`] writes it for the flows there are, addresses and ports as immediate values; its [`Display`](fmt::Display)
//! is the listing. [`Program::load`] gives it to the kernel, whose verifier proves that it ends and reads nothing outside the
//! packet. [`LoadedProgram::test_run`] lets the kernel run it on a packet from memory.
mod assembler;
mod instruction;

use crate::error::NicError;
use crate::xdp::bpf;
use crate::xdp::error::{Capability, XdpError};
use crate::xdp::maps::{COUNTER_BYTES, REDIRECTED, STRANGERS, SocketMap};
use assembler::{Assembler, Code, Label};
use instruction::{
    Function, Instruction, Map, MapDescriptors, Operand, R0, R1, R2, R3, R6, R7, R8, R9, Register, When,
    Width,
};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Most flows of one program.
pub const FLOWS_MAX: usize = 64;
/// Most senders that one flow can be pinned to.
pub const SENDERS_MAX: usize = 64;
/// The name the kernel knows the program by.
pub const PROGRAM_NAME: &str = "gds_redirect";

/// Capabilities that loading takes.
const LOADING: &[Capability] = &[Capability::Bpf, Capability::NetAdmin];

/// Datagrams to one address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// A group, or an address of our own, and the port.
    pub to: SocketAddrV4,
    /// Who may send; empty: anyone.
    pub senders: Vec<Ipv4Addr>,
    /// Index of the receiving socket in the [`SocketMap`]. Several flows may have the same.
    pub socket: u32,
}

/// What the program lets through to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterConfig {
    /// At most [`FLOWS_MAX`], no two with the same address and port.
    pub flows: Vec<Flow>,
    /// The receive queue our sockets are bound to; packets of other queues go to the kernel.
    pub queue: u32,
}

/// What the program decides about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Dropped: from a stranger.
    Drop,
    /// On to the kernel.
    Pass,
    /// To an AF_XDP socket.
    Redirect,
    /// Something this program never says.
    Other(u32),
}

/// What a run of the program on a packet from memory showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// The decision.
    pub verdict: Verdict,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// What a run took, on the average.
    pub mean_ns: u32,
}

/// An assembled program.
#[derive(Debug)]
pub struct Program {
    config: FilterConfig,
    code: Code,
}

/// A program in the kernel. It goes when this and everything it is attached to are gone.
#[derive(Debug)]
pub struct LoadedProgram {
    fd: OwnedFd,
}

impl Program {
    /// Writes the program for these flows.
    ///
    /// # Errors
    /// [`XdpError::TooManyFlows`], [`XdpError::TooManySenders`], [`XdpError::FlowTwice`].
    pub fn assemble(config: &FilterConfig) -> Result<Self, NicError> {
        check(config)?;
        Ok(Self { config: config.clone(), code: write(config) })
    }

    /// Gives the program to the kernel, to redirect to the sockets of this map.
    ///
    /// # Errors
    /// [`XdpError::NoSuchSlot`] where a flow's socket has no place in the map; [`XdpError::Capability`]; [`XdpError::Verifier`] with
    /// the verifier's words: a mistake of ours.
    pub fn load(&self, sockets: &SocketMap) -> Result<LoadedProgram, NicError> {
        for flow in &self.config.flows {
            if flow.socket >= sockets.entries() {
                let (to, socket, entries) = (flow.to, flow.socket, sockets.entries());
                return Err(XdpError::NoSuchSlot { to, socket, entries }.into());
            }
        }
        let slots = self.code.encode(MapDescriptors {
            sockets: sockets.sockets().as_raw_fd(),
            counters: sockets.counters().as_raw_fd(),
        });
        let fd = bpf::load_program(PROGRAM_NAME, &slots).map_err(|refusal| {
            if refusal.log.is_empty() {
                XdpError::call("load the program", LOADING)(refusal.cause)
            } else {
                XdpError::Verifier { cause: refusal.cause, log: refusal.log }
            }
        })?;
        Ok(LoadedProgram { fd })
    }

    /// Instructions of eight bytes.
    pub fn instructions(&self) -> usize {
        self.code.slots()
    }
}

impl LoadedProgram {
    /// Lets the kernel run the program `times` times on a packet that seems to come on queue 0 of the loopback interface.
    ///
    /// # Errors
    /// The kernel takes packets of 14 bytes to about 3,500.
    pub fn test_run(&self, packet: &[u8], times: u32) -> Result<TestRun, NicError> {
        let ran = bpf::test_run(self.fd.as_fd(), packet, times)
            .map_err(XdpError::call("run the program on a packet from memory", LOADING))?;
        let verdict = match ran.verdict {
            XDP_DROP => Verdict::Drop,
            XDP_PASS => Verdict::Pass,
            XDP_REDIRECT => Verdict::Redirect,
            other => Verdict::Other(other),
        };
        Ok(TestRun { verdict, packet: ran.packet, mean_ns: ran.mean_ns })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Display for Program {
    /// The listing, with what each part is for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)
    }
}

fn check(config: &FilterConfig) -> Result<(), XdpError> {
    if config.flows.len() > FLOWS_MAX {
        return Err(XdpError::TooManyFlows { flows: config.flows.len() });
    }
    for (index, flow) in config.flows.iter().enumerate() {
        if flow.senders.len() > SENDERS_MAX {
            return Err(XdpError::TooManySenders { to: flow.to, senders: flow.senders.len() });
        }
        if config.flows[..index].iter().any(|earlier| earlier.to == flow.to) {
            return Err(XdpError::FlowTwice { to: flow.to });
        }
    }
    Ok(())
}

// linux/bpf.h: verdicts.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;

// linux/bpf.h: struct xdp_md, the context.
const CONTEXT_DATA: i16 = 0;
const CONTEXT_DATA_END: i16 = 4;
const CONTEXT_RX_QUEUE_INDEX: i16 = 16;

// Where things are in a frame: Ethernet, IPv4 without options, UDP.
const ETHERNET_BYTES: i32 = 14;
const IP_BYTES: i32 = 20;
const UDP_BYTES: i32 = 8;
const HEADER_BYTES: i32 = ETHERNET_BYTES + IP_BYTES + UDP_BYTES;
const ETHER_TYPE: i16 = 12;
const IP_VERSION_AND_LENGTH: i16 = 14;
const IP_TOTAL_LENGTH: i16 = 16;
const IP_FRAGMENT: i16 = 20;
const IP_PROTOCOL: i16 = 23;
const IP_SOURCE: i16 = 26;
const IP_DESTINATION: i16 = 30;
const UDP_DESTINATION: i16 = 36;
const UDP_LENGTH: i16 = 38;

const IPV4: u16 = 0x0800;
const VERSION_4_WITHOUT_OPTIONS: i32 = 0x45;
const UDP: i32 = 17;
/// More fragments follow, or this is not the first.
const FRAGMENT_BITS: u16 = 0x3fff;

// What the registers hold.
const CONTEXT: Register = R6;
const PACKET: Register = R7;
const SOURCE: Register = R1;
const DESTINATION: Register = R2;
const PORT: Register = R3;
const COUNTERS: Register = R8;
const SOCKET: Register = R9;

/// An IPv4 address as a load of four bytes from a packet gives it.
fn address(address: Ipv4Addr) -> i32 {
    i32::from_ne_bytes(address.octets())
}

/// A number of the wire as a load of two bytes from a packet gives it.
fn wire16(number: u16) -> i32 {
    i32::from(u16::from_ne_bytes(number.to_be_bytes()))
}

/// The ends that flows jump to.
struct Ends {
    take: Label,
    stranger: Label,
}

fn write(config: &FilterConfig) -> Code {
    let mut code = Assembler::default();
    let pass = code.label("pass");
    write_headers(&mut code, config.queue, pass);
    write_lengths(&mut code, pass);
    code.emit(load(SOURCE, Width::Word, PACKET, IP_SOURCE), "who sent it");
    code.emit(load(DESTINATION, Width::Word, PACKET, IP_DESTINATION), "and to what");
    code.emit(load(PORT, Width::Half, PACKET, UDP_DESTINATION), "and port");
    let ends = Ends { take: code.label("take"), stranger: code.label("stranger") };
    let mut here = code.label("flow_0");
    for (index, flow) in config.flows.iter().enumerate() {
        let next = code.label(format!("flow_{}", index + 1));
        write_flow(&mut code, flow, here, next, &ends);
        here = next;
    }
    code.place(here);
    code.emit(Instruction::Jump { to: pass }, "there is no such flow");
    // The verifier refuses what nothing leads to.
    if !config.flows.is_empty() {
        write_take(&mut code, ends.take);
    }
    if config.flows.iter().any(|flow| !flow.senders.is_empty()) {
        write_stranger(&mut code, ends.stranger);
    }
    write_pass(&mut code, pass);
    code.finish()
}

fn load(to: Register, width: Width, base: Register, offset: i16) -> Instruction<Label> {
    Instruction::Load { to, width, base, offset }
}

/// A jump by the lower 32 bits.
fn jump_if(left: Register, when: When, value: i32, to: Label) -> Instruction<Label> {
    Instruction::JumpIf { left, when, right: Operand::Value(value), wide: false, to }
}

/// Passes what is no whole UDP datagram of the queue, so far as the fixed fields tell.
fn write_headers(code: &mut Assembler, queue: u32, pass: Label) {
    code.emit(Instruction::Copy { to: CONTEXT, from: R1 }, "the context");
    code.emit(load(R1, Width::Word, CONTEXT, CONTEXT_RX_QUEUE_INDEX), "receive queue");
    code.emit(jump_if(R1, When::Differs, queue.cast_signed(), pass), "another one");
    code.emit(load(PACKET, Width::Word, CONTEXT, CONTEXT_DATA), "the packet's start");
    code.emit(load(R1, Width::Word, CONTEXT, CONTEXT_DATA_END), "and its end");
    code.emit(Instruction::Copy { to: R2, from: PACKET }, "the end of the headers");
    code.emit(Instruction::Add { to: R2, value: HEADER_BYTES }, "");
    let short = Instruction::JumpIf {
        left: R2,
        when: When::Above,
        right: Operand::Register(R1),
        wide: true,
        to: pass,
    };
    code.emit(short, "shorter than Ethernet, IPv4 and UDP headers");
    code.emit(load(R1, Width::Half, PACKET, ETHER_TYPE), "Ethernet type");
    code.emit(jump_if(R1, When::Differs, wire16(IPV4), pass), "not IPv4, or tagged");
    code.emit(load(R1, Width::Byte, PACKET, IP_VERSION_AND_LENGTH), "IP version and header length");
    code.emit(jump_if(R1, When::Differs, VERSION_4_WITHOUT_OPTIONS, pass), "IP options, or no IPv4");
    code.emit(load(R1, Width::Byte, PACKET, IP_PROTOCOL), "protocol");
    code.emit(jump_if(R1, When::Differs, UDP, pass), "not UDP");
    code.emit(load(R1, Width::Half, PACKET, IP_FRAGMENT), "fragment bits and offset");
    code.emit(Instruction::And { to: R1, mask: wire16(FRAGMENT_BITS) }, "");
    code.emit(jump_if(R1, When::Differs, 0, pass), "a fragment");
}

/// Passes what claims to be longer than what it is in, or shorter than its headers.
fn write_lengths(code: &mut Assembler, pass: Label) {
    let above = |left, right| Instruction::JumpIf {
        left,
        when: When::Above,
        right: Operand::Register(right),
        wide: false,
        to: pass,
    };
    code.emit(Instruction::Copy { to: R1, from: CONTEXT }, "");
    // Reckoning with the packet's address and a length from it instead would take CAP_PERFMON too.
    code.emit(Instruction::Call { function: Function::FrameBytes }, "bytes of the frame");
    code.emit(Instruction::Add { to: R0, value: -ETHERNET_BYTES }, "without the Ethernet header");
    code.emit(load(R1, Width::Half, PACKET, IP_TOTAL_LENGTH), "");
    code.emit(Instruction::FromWire16 { register: R1 }, "bytes of the IP packet");
    code.emit(above(R1, R0), "more than there are");
    code.emit(load(R2, Width::Half, PACKET, UDP_LENGTH), "");
    code.emit(Instruction::FromWire16 { register: R2 }, "bytes of the UDP datagram");
    code.emit(jump_if(R2, When::Below, UDP_BYTES, pass), "shorter than its header");
    code.emit(Instruction::Add { to: R2, value: IP_BYTES }, "with the IP header");
    code.emit(above(R2, R1), "longer than the IP packet");
}

fn write_flow(code: &mut Assembler, flow: &Flow, here: Label, next: Label, ends: &Ends) {
    code.place(here);
    let port = flow.to.port();
    code.emit(jump_if(DESTINATION, When::Differs, address(*flow.to.ip()), next), format!("{}", flow.to.ip()));
    code.emit(jump_if(PORT, When::Differs, wire16(port), next), format!("port {port}"));
    let offset = flow.socket * COUNTER_BYTES;
    code.emit(
        Instruction::LoadMapValue { to: COUNTERS, map: Map::Counters, offset: offset.cast_signed() },
        "the socket's counters",
    );
    code.emit(
        Instruction::Set { to: SOCKET, value: flow.socket.cast_signed() },
        format!("socket {}", flow.socket),
    );
    for sender in &flow.senders {
        code.emit(jump_if(SOURCE, When::Equal, address(*sender), ends.take), format!("from {sender}"));
    }
    let (to, remark) = match flow.senders.as_slice() {
        [] => (ends.take, "from anyone"),
        _ => (ends.stranger, "from nobody else"),
    };
    code.emit(Instruction::Jump { to }, remark);
}

/// `value` into the lower half of a register.
fn set(to: Register, value: u32) -> Instruction<Label> {
    Instruction::Set { to, value: value.cast_signed() }
}

/// Adds one to a counter of the flow's socket.
fn write_count(code: &mut Assembler, offset: i16, remark: &str) {
    code.emit(set(R1, 1), "");
    code.emit(Instruction::AtomicAdd { base: COUNTERS, offset, from: R1 }, remark);
}

fn write_take(code: &mut Assembler, take: Label) {
    let done = code.label("done");
    code.place(take);
    code.emit(Instruction::LoadMap { to: R1, map: Map::Sockets }, "");
    code.emit(Instruction::Copy { to: R2, from: SOCKET }, "");
    code.emit(set(R3, XDP_PASS), "the verdict where there is no socket");
    code.emit(Instruction::Call { function: Function::RedirectMap }, "");
    code.emit(jump_if(R0, When::Differs, XDP_REDIRECT.cast_signed(), done), "there is none");
    write_count(code, REDIRECTED, "count it as redirected");
    code.place(done);
    code.emit(Instruction::Exit, "");
}

fn write_stranger(code: &mut Assembler, stranger: Label) {
    code.place(stranger);
    write_count(code, STRANGERS, "count it as a stranger's");
    code.emit(set(R0, XDP_DROP), "drop");
    code.emit(Instruction::Exit, "");
}

fn write_pass(code: &mut Assembler, pass: Label) {
    code.place(pass);
    code.emit(set(R0, XDP_PASS), "on to the kernel");
    code.emit(Instruction::Exit, "");
}

#[cfg(test)]
mod tests;
