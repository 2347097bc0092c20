//! Gets over SoupBinTCP.
use crate::schedule::Target;
use crate::workload::{TABLE, Workload};
use gds_client::Network;
use gds_core::query::{ClientConfig, Event, SoupClient};
use gds_core::time::Time;
use gds_nic::{TcpConfig, TcpPort};
use gds_node::clocks;
use gds_node::ports::Streams;
use gds_wire::query::AnswerBody;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Instant;

/// One login as a target: an operation is a get of the key that the workload's message of that number writes. One at a time.
pub struct Queries {
    client: SoupClient,
    port: Streams,
    server: SocketAddrV4,
    workload: Arc<Workload>,
    /// The operation under way.
    open: Option<u64>,
    missing: u64,
    trouble: Option<String>,
}

impl Queries {
    /// Logs in as the reader of the default configuration.
    ///
    /// # Errors
    /// That it cannot.
    pub fn open(network: &Network, workload: Arc<Workload>) -> Result<Self, String> {
        let port = TcpPort::new(TcpConfig { connections_max: 4, ..TcpConfig::default() })
            .map_err(|error| error.to_string())?;
        let mut queries = Self {
            client: SoupClient::new(ClientConfig::new("reader", "reader")),
            port: Streams(port),
            server: network.addresses().query,
            workload,
            open: None,
            missing: 0,
            trouble: None,
        };
        let deadline = Instant::now() + crate::schedule::PATIENCE;
        while !queries.client.is_logged_in() {
            queries.duty(clocks::now(), &mut |_| {});
            if Instant::now() > deadline {
                return Err(queries.trouble.unwrap_or("no answer to the login".into()));
            }
        }
        Ok(queries)
    }

    /// Gets that found no record. None is meant to.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// What went wrong, if anything.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn duty(&mut self, now: Time, answered: &mut dyn FnMut(u64)) -> usize {
        let Self { client, port, server, open, missing, trouble, .. } = self;
        if client.wants_connection(now) && port.0.connect(*server).is_err() {
            client.connect_failed(now);
        }
        client.duty(now, port, &mut |event| match event {
            Event::Answer { answer, .. } => {
                match &answer.body {
                    AnswerBody::Record(record) => *missing += u64::from(!record.found),
                    _ => *missing += 1,
                }
                if let Some(number) = open.take_if(|_| answer.last) {
                    answered(number);
                }
            }
            Event::LoggedIn { .. } => {}
            other => {
                trouble.get_or_insert_with(|| format!("{other:?}"));
            }
        })
    }
}

impl Target for Queries {
    fn fetch(&mut self, number: u64) {
        self.workload.fetch(number);
    }

    fn submit(&mut self, number: u64) -> bool {
        let asked = self.open.is_none() && self.client.get(TABLE, self.workload.key(number), 0, 0).is_some();
        if asked {
            self.open = Some(number);
        }
        asked
    }

    fn poll(&mut self, now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize {
        self.duty(Time { monotonic_ns: now_ns, wall_ns: 0 }, answered)
    }
}
