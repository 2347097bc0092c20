//! Answers queries.
use super::{Agent, Fault};
use crate::disk::Disk;
use crate::port::StreamPort;
use crate::query::QueryServer;
use crate::time::Time;

/// A query server with its connections and the journal it reads old messages from.
pub struct QueryAgent<S, D> {
    server: QueryServer,
    port: S,
    disk: D,
}

impl<S: StreamPort, D: Disk> QueryAgent<S, D> {
    /// `port` listens.
    pub fn new(server: QueryServer, port: S, disk: D) -> Self {
        Self { server, port, disk }
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
}
