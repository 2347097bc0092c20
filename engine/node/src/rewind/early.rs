//! What a rewinder finds out before it runs, where its journals do not say it.
use super::{Waiting, first_kept, hearing};
use crate::config::Config;
use crate::ports::{Datagrams, Files};
use crate::settings;
use gds_core::agent::Fault;
use gds_core::agent::start::Kept;
use gds_nic::{Transport, UdpConfig, UdpPort};
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Listens and asks over sockets of its own, which are gone before the agents open theirs.
pub struct Early<'a, 'b> {
    pub config: &'a Config,
    pub interface: Ipv4Addr,
    pub rewinders: &'a [SocketAddrV4],
    pub waiting: &'a mut Waiting<'b>,
}

impl Early<'_, '_> {
    fn port(&self, bind: SocketAddrV4, join: &[Ipv4Addr]) -> Result<Datagrams, Fault> {
        let datagram_bytes_max = super::DATAGRAM_BYTES_MAX;
        let settings = settings::udp(self.config, bind, join);
        let settings = UdpConfig { transport: Transport::Socket, datagram_bytes_max, ..settings };
        UdpPort::open(settings).map(Datagrams::new).map_err(Fault::from)
    }

    /// The name of the stream that is published to a group.
    pub fn name_of_the_stream(&mut self, group: SocketAddrV4) -> Result<Session, Fault> {
        let mut port = self.port(group, &[*group.ip()])?;
        hearing::name_of_the_stream(&mut port, group, self.waiting)
    }

    /// Lets a journal without a message begin with the first that anybody still has.
    pub fn begin(
        &mut self,
        journal: &mut Kept<Files>,
        session: Session,
        group: SocketAddrV4,
    ) -> Result<(), Fault> {
        if journal.recovered().stream.is_none() {
            let next =
                hearing::next_of(session, &mut self.port(group, &[*group.ip()])?, group, self.waiting)?;
            let mut own = self.port(SocketAddrV4::new(self.interface, 0), &[])?;
            journal.begin_with(first_kept::find(session, next, &mut own, self.rewinders, self.waiting)?);
        }
        Ok(())
    }
}
