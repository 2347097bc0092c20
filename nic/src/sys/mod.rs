//! Calls into libc behind safe functions. Every function here is safe to call with any arguments.
pub(crate) mod bus_error;
pub(crate) mod epoll;
pub(crate) mod interfaces;
pub(crate) mod netlink;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod storage;
pub(crate) mod xdp;
