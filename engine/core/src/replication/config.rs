//! What a member needs to know of its cluster, and what it counts.
use super::member::{NODES_MAX, NodeId};
use crate::label::SessionNames;
use crate::time::MILLISECOND_NS;
use arrayvec::ArrayVec;
use gds_wire::declaration::Declaration;
use gds_wire::mold;
use gds_wire::replication::Abilities;
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Another node of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub node: NodeId,
    /// Where its watermarks and heartbeats come from, and where those for it go.
    pub replication: SocketAddrV4,
    /// Where it is asked for older entries.
    pub history: SocketAddrV4,
}

/// A member's view of its cluster.
#[derive(Clone, Debug)]
pub struct ReplicationConfig {
    /// This node's number.
    pub node: NodeId,
    /// The stream.
    pub stream: Session,
    /// The names under which this node shows it.
    pub sessions: SessionNames,
    /// Where the leader's packets go.
    pub group: SocketAddrV4,
    /// All other nodes.
    pub peers: ArrayVec<Peer, NODES_MAX>,
    /// The largest downstream packet; what nodes send each other is longer by [`gds_wire::replication::PREFIX_BYTES`].
    pub payload_bytes_max: usize,
    /// The leader is heard at least so often.
    pub heartbeat_ns: u64,
    /// After so much silence of the leader a standby takes over.
    pub silence_ns: u64,
    /// A replica that is silent, or behind, for so long is taken out of the set.
    pub replica_silence_ns: u64,
    /// The register is asked again so long after it did not answer.
    pub register_retry_ns: u64,
    /// With fewer members in the set nothing new is taken.
    pub min_in_sync: usize,
    /// What the node declares when it first leads, if there is anything new to declare.
    pub declaration: Option<Declaration>,
    /// What it can hold and read.
    pub abilities: Abilities,
}

impl ReplicationConfig {
    /// With the usual times, for a node that has no peers yet.
    pub fn new(node: NodeId, stream: Session) -> Self {
        Self {
            node,
            stream,
            sessions: SessionNames::default(),
            group: SocketAddrV4::new(Ipv4Addr::new(239, 192, 26, 4), 26404),
            peers: ArrayVec::new(),
            payload_bytes_max: mold::MAX_PAYLOAD_BYTES,
            heartbeat_ns: 5 * MILLISECOND_NS,
            silence_ns: 20 * MILLISECOND_NS,
            replica_silence_ns: 20 * MILLISECOND_NS,
            register_retry_ns: 20 * MILLISECOND_NS,
            min_in_sync: 1,
            declaration: None,
            abilities: Abilities::UNLIMITED,
        }
    }

    pub(super) fn check(&self) {
        assert!(
            self.node.0 > 0 && self.peers.len() < NODES_MAX,
            "nodes are numbered from 1, and at most {NODES_MAX}"
        );
        assert!(self.peers.iter().all(|peer| peer.node != self.node), "a node is no peer of itself");
        assert!(self.heartbeat_ns > 0 && self.silence_ns > self.heartbeat_ns && self.replica_silence_ns > 0);
        assert!(self.min_in_sync > 0);
    }

    pub(super) fn peer(&self, node: u8) -> Option<usize> {
        self.peers.iter().position(|peer| peer.node.0 == node)
    }
}

crate::counter_set! {
    /// What a member's role machine counts and shows.
    pub struct ReplicationCounters {
        /// 1 while the node leads.
        leads,
        /// The newest epoch it knows.
        epoch,
        /// The node that leads in it, as far as is known; 0: nobody.
        leader,
        /// The revision at which it knows the register.
        revision,
        /// Members of the in-sync set.
        in_sync,
        /// 1 while this life of the node is in the set.
        is_in_sync,
        /// The node's incarnation.
        incarnation,
        /// The first incarnation since which it has lost nothing.
        whole_since,
        /// Entries of the leader's log that the node has not matched; of a leader: entries not committed.
        behind,
        /// Times that the node took over.
        takeovers,
        /// Times that it learned of a newer epoch while it led.
        stepped_down,
        /// The last takeover: silence of the old leader until this node asked, ns.
        takeover_silence_ns,
        /// ... until the register had answered, ns.
        takeover_register_ns,
        /// ... until the first message was committed, ns.
        takeover_commit_ns,
        /// Leader's packets sent.
        packets_sent,
        /// Entries in them.
        entries_sent,
        /// Heartbeats sent.
        heartbeats_sent,
        /// Leader's packets received.
        packets_received,
        /// Entries appended.
        entries_appended,
        /// Packets that begin behind a gap.
        gaps,
        /// Requests for older entries.
        requests,
        /// Of these, those since an entry came last, while one is missing: the leader does not answer.
        unanswered,
        /// Watermarks sent.
        watermarks_sent,
        /// Watermarks received.
        watermarks_received,
        /// Packets of older epochs, refused.
        older_epoch,
        /// Packets of another stream.
        foreign,
        /// Packets of nodes that are no peers, or not from their address.
        strangers,
        /// Packets that are damaged or nothing of ours.
        malformed,
        /// Packets of a peer with an epoch or a life that no node comes to.
        unfit,
        /// Answers of the register that no cluster comes to, or of another stream: as good as none.
        register_unfit,
        /// Times that this node would have taken over and there is no epoch any more.
        epochs_used_up,
        /// Swaps asked for.
        swaps,
        /// Members taken out of the set.
        removed,
        /// Members taken into the set.
        added,
        /// Entries that the leader sent and for which there was no room yet.
        no_room,
        /// Digests of the leader's store that this node's came to as well.
        digests_agreed,
        /// Digests of the leader's store that could not be compared: this node was too far behind, or ahead.
        digests_missed,
        /// Nodes found that have shown what cannot both be; of a replica: 1 once it has found that it cannot go on beside the leader.
        contradictions,
        /// The member of the set for whom the leader waits with what it has to declare, since it cannot apply it; 0: nobody.
        declaration_waits_for,
        /// Datagrams that the port did not take.
        unsent,
    }
}

crate::counter_set! {
    /// What a leader shows of one replica. While the node follows it is what it was.
    pub struct PeerCounters {
        /// The replica's incarnation; 0: not heard in this epoch.
        incarnation,
        /// 1 while this life of it is in the in-sync set.
        is_in_sync,
        /// Entries of the leader's log that it has not matched.
        behind,
        /// How long ago the first of these was sequenced, at least, in nanoseconds; 0 when it is not behind.
        behind_ns,
        /// Messages that are committed and that it has not applied.
        unapplied,
        /// How long ago it was heard, in nanoseconds.
        silent_ns,
        /// It contradicts the leader: at this message or before it the two differ; 0: they do not.
        differs_at,
        /// How they differ: the code of the wire's `ContradictionKind`; 0: they do not.
        differs_how,
    }
}
