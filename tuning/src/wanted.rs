//! What the node will do on the host: taken from its configuration by whoever asks.
use crate::cores::Cores;
use std::net::Ipv4Addr;

/// What the node will do on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Processors that threads of the node are pinned to.
    pub cores: Cores,
    /// The interface by name; `None` when it could not be found.
    pub interface: Option<String>,
    /// Groups and ports that the node receives on it.
    pub flows: Vec<(Ipv4Addr, u16)>,
    /// Memory that the node takes at its start, in bytes.
    pub memory_bytes: u64,
    /// Will the node keep the processors awake itself, by holding `/dev/cpu_dma_latency`?
    pub holds_cpu_dma_latency: bool,
    /// Socket receive buffer asked for, in bytes.
    pub receive_buffer_bytes: u64,
    /// Socket send buffer asked for, in bytes.
    pub send_buffer_bytes: u64,
}
