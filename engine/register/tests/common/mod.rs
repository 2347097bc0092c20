//! Values for registers.
use gds_core::label::SessionNames;
use gds_core::replication::{Member, NodeId, RegisterValue, Set};
use gds_wire::session::Session;

/// A value with one member, node `node` in life `incarnation`, which leads.
pub fn value(epoch: u32, node: u8, incarnation: u64) -> RegisterValue {
    RegisterValue {
        sessions: SessionNames::default(),
        stream: Session::padded("ORDERS").expect("a name"),
        epoch,
        leader: NodeId(node),
        set: Set::of(Member { node: NodeId(node), incarnation }),
    }
}
