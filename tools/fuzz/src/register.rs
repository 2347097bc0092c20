//! What a register, and the file of a node's life, may hold: it is refused with a reason, or it is something that a cluster can have come to.
use gds_core::replication::{Life, Member, NODES_MAX, RegisterValue};
use gds_node::life;
use gds_register::{lock_file, value};

/// A text as the value in etcd, as the register's file, and as a node's life.
pub fn register(data: &[u8]) {
    match value::read(data) {
        Ok(held) => {
            check(&held);
            assert_eq!(value::read(value::write(&held).as_bytes()), Ok(held));
        }
        Err(why) => assert!(!why.is_empty()),
    }
    match lock_file::read(data) {
        Ok(state) => {
            assert!(state.revision > 0 && state.revision.checked_add(1).is_some());
            check(&state.value.expect("a file has a value"));
        }
        Err(why) => assert!(!why.is_empty()),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match life::parse(text) {
        Ok(lived) => {
            assert!(lived.is_possible());
            let next = [true, false].map(|kept_everything| Life::next(Some(lived), kept_everything));
            assert!(next.iter().all(|next| next.incarnation > lived.incarnation));
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// All that the engine does with a value, it can do with this one.
fn check(held: &RegisterValue) {
    assert_eq!(held.flaw(), None);
    assert!(held.set.count() <= NODES_MAX);
    if let Some(epoch) = RegisterValue::next_epoch(held.epoch) {
        assert!(epoch > held.epoch);
    }
    for member in held.set.members() {
        assert!(member.node.0 > 0 && held.set.has(*member));
        let next = Member { incarnation: member.incarnation + 1, ..*member };
        assert_eq!(held.set.with(next).count(), held.set.count());
        assert_eq!(held.set.without(member.node).count() + 1, held.set.count());
    }
}
