//! Answers queries.
use super::{Agent, Fault};
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::lookout::Lookout;
use crate::port::{ConnectionId, StreamEvent, StreamPort};
use crate::query::QueryServer;
use crate::time::{MICROSECOND_NS, Time};
use std::sync::Arc;

/// A query server with its connections and the journal it reads old messages from.
pub struct QueryAgent<S, D> {
    server: QueryServer,
    port: S,
    disk: D,
    progress: Arc<Progress>,
    lookout: Lookout,
}

/// While no client has sent anything for a moment, the next may wait so long.
const PAUSE_NS: u64 = 5 * MICROSECOND_NS;
/// While none is connected, the next may: it has yet to log in, which takes several round trips.
const ALONE_PAUSE_NS: u64 = 100 * MICROSECOND_NS;

impl<S: StreamPort, D: Disk> QueryAgent<S, D> {
    /// `port` listens; `progress` is the bus's.
    pub fn new(server: QueryServer, port: S, disk: D, progress: Arc<Progress>) -> Self {
        Self { server, port, disk, progress, lookout: Lookout::new(PAUSE_NS) }
    }

    /// The server itself.
    pub fn server(&self) -> &QueryServer {
        &self.server
    }
}

impl<S: StreamPort, D: Disk> Agent for QueryAgent<S, D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        let Self { server, port, disk, lookout, .. } = self;
        lookout.pause(if server.is_alone() { ALONE_PAUSE_NS } else { PAUSE_NS });
        Ok(server.duty(now, &mut SeldomPolled { port, lookout, now }, disk))
    }

    /// Clients of a stream that has ended are told that their sessions have too. Those of a node that merely stops are cut off, and come
    /// back to their sessions elsewhere or later.
    fn close(&mut self, now: Time) -> Result<(), Fault> {
        if self.progress.ended.get() > 0 {
            self.server.end_sessions(now, &mut self.port, &mut self.disk);
        }
        Ok(())
    }
}

/// A port that is polled when its lookout says so.
struct SeldomPolled<'a, S> {
    port: &'a mut S,
    lookout: &'a mut Lookout,
    now: Time,
}

impl<S: StreamPort> StreamPort for SeldomPolled<'_, S> {
    fn poll(&mut self, limit: usize, deliver: &mut dyn FnMut(StreamEvent<'_>)) -> usize {
        if !self.lookout.is_due(self.now) {
            return 0;
        }
        let count = self.port.poll(limit, deliver);
        self.lookout.found(self.now, count);
        count
    }

    fn write(&mut self, connection: ConnectionId, bytes: &[u8]) -> usize {
        self.port.write(connection, bytes)
    }

    fn close(&mut self, connection: ConnectionId) {
        self.port.close(connection);
    }
}
