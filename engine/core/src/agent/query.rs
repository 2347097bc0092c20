//! Answers queries.
use super::{Agent, Fault};
use crate::cursor::Progress;
use crate::disk::Disk;
use crate::port::StreamPort;
use crate::query::QueryServer;
use crate::time::Time;
use std::sync::Arc;

/// A query server with its connections and the journal it reads old messages from.
pub struct QueryAgent<S, D> {
    server: QueryServer,
    port: S,
    disk: D,
    progress: Arc<Progress>,
}

impl<S: StreamPort, D: Disk> QueryAgent<S, D> {
    /// `port` listens; `progress` is the bus's.
    pub fn new(server: QueryServer, port: S, disk: D, progress: Arc<Progress>) -> Self {
        Self { server, port, disk, progress }
    }

    /// The server itself.
    pub fn server(&self) -> &QueryServer {
        &self.server
    }
}

impl<S: StreamPort, D: Disk> Agent for QueryAgent<S, D> {
    fn duty(&mut self, now: Time) -> Result<usize, Fault> {
        Ok(self.server.duty(now, &mut self.port, &mut self.disk))
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
