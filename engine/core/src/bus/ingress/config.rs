//! The bounds, times and counters of ingress.
use crate::bus::admission::AdmissionRule;
use crate::time::{MICROSECOND_NS, MILLISECOND_NS, SECOND_NS};

crate::counter_set! {
    /// What came in by ingress.
    pub struct IngressCounters {
        /// Datagrams received.
        packets,
        /// Blocks that the sequencer took.
        taken,
        /// Packets that brought nothing new (resends, the slower line).
        duplicates,
        /// Packets whose numbers had been skipped before they came, dropped.
        late,
        /// Packets held because they were ahead or the sequencer had no room.
        held,
        /// Packets held now.
        held_now,
        /// Packets dropped because the pool of held packets, or the session's part of it, was full.
        pool_full,
        /// Packets with numbers beyond the window, dropped.
        beyond_window,
        /// Times that a session came to have a gap, or to wait for the sequencer.
        gaps,
        /// Times that numbers were given up.
        skips,
        /// Request packets sent.
        requests,
        /// Refusals sent.
        refusals,
        /// Refusals not sent because the session got one just before.
        refusals_suppressed,
        /// Packets that no admission rule allows, dropped.
        not_admitted,
        /// Packets in the node's own name or in none, dropped.
        reserved,
        /// Datagrams that are no MoldUDP64 packet, dropped.
        malformed,
        /// Packets with bytes after their last message, which were ignored.
        trailing,
        /// Packets of sessions that have ended, dropped.
        after_end,
        /// Packets dropped because too many sessions had a gap at once.
        receptions_full,
        /// Sessions whose held packets were dropped because they had gone silent.
        abandoned,
    }
}

/// The bounds and times of ingress.
#[derive(Clone, Debug)]
pub struct IngressConfig {
    /// Who may submit. The first rule that matches counts; none: the packet is dropped.
    pub rules: Vec<AdmissionRule>,
    /// How far ahead of the wanted number a packet may be.
    pub window_messages: u64,
    /// How many packets are held, over all sessions.
    pub packets_max: usize,
    /// How many of them for one session.
    pub packets_per_session_max: usize,
    /// The longest datagram that can be held.
    pub packet_bytes_max: usize,
    /// How many sessions may have a gap at once.
    pub receptions_max: usize,
    /// A gap is first asked for after a random time up to this: the other line may still bring it.
    pub first_request_ns_max: u64,
    /// A request is repeated after this time, which doubles.
    pub retry_ns: u64,
    /// ... up to this.
    pub retry_ns_max: u64,
    /// At most one refusal per session in this time.
    pub refusal_ns: u64,
    /// A session with a gap that is silent for this long loses what is held for it.
    pub idle_ns: u64,
    /// Seed of the random times.
    pub seed: u64,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self {
            rules: vec![AdmissionRule::anyone()],
            window_messages: 65_536,
            packets_max: 8192,
            packets_per_session_max: 2048,
            packet_bytes_max: 1472,
            receptions_max: 1024,
            first_request_ns_max: 100 * MICROSECOND_NS,
            retry_ns: MILLISECOND_NS,
            retry_ns_max: 100 * MILLISECOND_NS,
            refusal_ns: 10 * MILLISECOND_NS,
            idle_ns: 10 * SECOND_NS,
            seed: 0,
        }
    }
}
