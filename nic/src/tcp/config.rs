//! What a TCP port is opened with.

/// Bounds of a TCP port. Everything is allocated at the start: about `connections_max * send_buffer_bytes`, of which only
/// what is ever filled takes up memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// Connections at a time; further ones are accepted and closed at once, and counted. At most 65,536.
    pub connections_max: usize,
    /// Bytes kept per connection for a peer that reads slower than we write, beyond the kernel's own buffer.
    pub send_buffer_bytes: usize,
    /// Most bytes one [`TcpEvent::Received`](super::TcpEvent::Received) carries.
    pub receive_bytes_max: usize,
    /// The kernel's send buffer per connection, in bytes; 0 leaves it to the kernel.
    pub kernel_send_buffer_bytes: usize,
    /// How long a closed connection may take to send what was written and hear that the peer has it, in nanoseconds; then it
    /// is cut.
    pub close_ns_max: u64,
}

impl Default for TcpConfig {
    /// 256 connections of 256 KiB, 64 KiB per event, 256 KiB in the kernel, 5 s to close.
    fn default() -> Self {
        Self {
            connections_max: 256,
            send_buffer_bytes: 256 << 10,
            receive_bytes_max: 64 << 10,
            kernel_send_buffer_bytes: 256 << 10,
            close_ns_max: 5_000_000_000,
        }
    }
}
