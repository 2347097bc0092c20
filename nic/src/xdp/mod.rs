//! AF_XDP: packets past the kernel's stack on an ordinary card.
//!
//! | module | holds |
//! | --- | --- |
//! | [`program`] | [`Program`]: what the kernel runs for every packet, written for our flows |
//! | [`maps`] | [`SocketMap`]: the sockets it redirects to, and what it counted |
//! | [`attachment`] | [`Attachment`]: the program in its place on an interface |
//! | [`attached`](mod@attached) | what programs an interface has now |
//! | `queue` | one receive queue of one interface: the program, the frames, and what the ports of this process share |
//! | `port` | one port: what [`UdpPort`](crate::UdpPort) receives from and sends by |
//! | `doorbell` | [`Doorbell`]: a send ring, of a port or of several, and when the kernel hears of it |
//! | `umem`, `ring` | the frames, who has which, and the rings by which they change hands |
//! | `packet` | Ethernet, IPv4 and UDP headers |
//! | `neighbours`, `routing` | the way to a single address, as the kernel knows it |
//! | `questions` | how it is asked, and how its answers are laid out |
//! | `readers` | the readers of packets and answers by themselves, for fuzzers |
//! | [`error`] | [`XdpError`] |
//!
//! Ports are opened by [`UdpPort::open`](crate::UdpPort::open) with [`Transport::AfXdp`](crate::Transport::AfXdp); [`XdpConfig`] says
//! on which queue and with how many frames.
//!
//! **Unsafe code** is in `bpf` (the bpf(2) system call), `ring` (memory shared with the kernel) and `umem` (who may touch which
//! frame).
pub mod attached;
pub mod attachment;
mod bpf;
mod config;
mod doorbell;
pub mod error;
pub mod maps;
mod neighbours;
mod packet;
pub(crate) mod port;
pub mod program;
mod questions;
mod queue;
#[doc(hidden)]
pub mod readers;
mod ring;
mod routing;
mod umem;

pub use attached::{AttachedProgram, attached};
pub use attachment::{AttachMode, Attachment};
pub use config::{XdpConfig, XdpMode};
pub use doorbell::Doorbell;
pub use error::{Capability, XdpError};
pub use maps::{SocketCounters, SocketMap};
pub use port::RingDrops;
pub use program::{FLOWS_MAX, FilterConfig, Flow, LoadedProgram, Program, SENDERS_MAX, TestRun, Verdict};
