//! How often the agent looks at its port.
use super::*;
use crate::agent::{Agent, QueryAgent};
use crate::cursor::Progress;
use crate::port::{StreamEvent, StreamPort};
use crate::time::{MICROSECOND_NS, MILLISECOND_NS};
use std::cell::Cell;
use std::rc::Rc;

/// Counts how often it is looked at.
struct Counted(ServerPort, Rc<Cell<u32>>);

impl StreamPort for Counted {
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize {
        self.1.set(self.1.get() + 1);
        self.0.poll(limit, deliver)
    }

    fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize {
        self.0.write(connection, bytes)
    }

    fn close(&mut self, connection: ConnectionId) {
        self.0.close(connection);
    }
}

#[test]
fn should_look_seldom_while_nobody_is_connected_and_often_while_somebody_is() {
    let Bench { server, port, network, mut now, .. } = Bench::new(small(), Data::with_messages(3));
    let looks = Rc::new(Cell::new(0));
    let port = Counted(port, looks.clone());
    let mut agent = QueryAgent::new(server, port, NoDisk, Arc::new(Progress::default()));
    let mut looked_for = |nanoseconds: u64| {
        let before = looks.get();
        let end_ns = now.monotonic_ns + nanoseconds;
        while now.monotonic_ns < end_ns {
            now.monotonic_ns += MICROSECOND_NS;
            agent.duty(now).unwrap();
        }
        looks.get() - before
    };
    looked_for(MILLISECOND_NS);
    assert_eq!(looked_for(MILLISECOND_NS), 10);
    let id = network.connect();
    network.send(id, &login("ops", "secret", Session::BLANK, 0));
    looked_for(200 * MICROSECOND_NS);
    assert_eq!(accepted(&split(&network.take(id))[0]).sequence, 1);
    looked_for(MILLISECOND_NS);
    assert_eq!(looked_for(MILLISECOND_NS), 200, "it is silent, and may ask at any time");
    network.hang_up(id);
    looked_for(MILLISECOND_NS);
    assert_eq!(looked_for(MILLISECOND_NS), 10, "it is gone");
}
