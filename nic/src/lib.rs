//! Packets and pages: everything of the machine that GDS needs, and no protocol.
//!
//! | module | holds |
//! | --- | --- |
//! | [`udp`] | [`UdpPort`]: datagrams and multicast groups, over AF_XDP, io_uring or plain sockets |
//! | [`xdp`] | AF_XDP: packets past the kernel, by a program that it runs for every one |
//! | [`tcp`] | [`TcpPort`]: connections with bounded send buffers, over epoll |
//! | [`pages`] | [`Pages`]: shared or private memory on hugepages, as atomic words; [`boot_id`] |
//! | [`folder`] | [`Folder`]: a folder of the process's user alone, and files in it |
//! | [`file`](mod@file) | [`Directory`]: numbered files with asynchronous, durable writes |
//! | [`cores`] | pinning to a core, verified |
//! | [`idle`] | [`Idle`]: what a thread does when there was nothing to do |
//! | [`clock`] | the two clocks |
//! | [`loss`] | [`LossConfig`]: packets dropped on purpose, from a seed |
//! | [`interface`] | [`Interface`]: a network interface by name or address |
//!
//! Nothing here starts a thread, logs, or blocks, except where a function says that it waits for the disk; nothing installs a signal
//! handler but [`pages::tell_bus_errors`]; and opening a port over AF_XDP waits for up to three seconds for a queue that is being let go of. After opening,
//! receive and send allocate nothing.
//!
//! **Unsafe code** is confined to `sys` (calls into libc behind safe functions), `udp::batch`, `udp::uring`, `xdp::bpf`, `xdp::ring`,
//! `xdp::umem`, `file::uring` and `pages`; everything else is safe.
pub mod clock;
pub mod cores;
pub mod error;
pub mod file;
pub mod folder;
pub mod idle;
pub mod interface;
pub mod loss;
pub mod pages;
mod sys;
pub mod tcp;
pub mod udp;
pub mod xdp;

pub use error::NicError;
pub use file::{Backend, Directory, DirectoryConfig, FileError, Fill};
pub use folder::{Folder, FolderError};
pub use idle::{Idle, IdleStrategy};
pub use interface::Interface;
pub use loss::LossConfig;
pub use pages::{HugePages, PagePolicy, Pages, PagesError, boot_id, draw_id};
pub use tcp::{ConnectionId, TcpConfig, TcpEvent, TcpPort};
pub use udp::{Transport, UdpConfig, UdpPort};
pub use xdp::Doorbell;
