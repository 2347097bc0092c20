//! A listener: follows the stream with gap fill.
use super::{Scene, receive_from, receiver_config};
use crate::network::{SharedNetwork, SimulatedPort};
use crate::plan::{DOWNSTREAM, DOWNSTREAM_B, LISTENER_NET, pick};
use crate::violation::{Checked, ensure};
use gds_core::bus::Receiver;
use gds_core::port::DatagramPort;
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Somebody who listens.
pub struct Listener {
    name: String,
    host: Ipv4Addr,
    receiver: Receiver,
    port: SimulatedPort,
}

impl Listener {
    /// Listener `number` of the stream; a late one may begin anywhere.
    pub fn new(
        number: u64,
        stream: Session,
        late: bool,
        network: &SharedNetwork,
        scene: &mut Scene<'_>,
    ) -> Self {
        let host = Ipv4Addr::new(10, LISTENER_NET, (number >> 8) as u8, number as u8);
        let anywhere = 1 + scene.random.below(scene.truth.shown_last() + 1);
        let next = if late { *pick(scene.random, &[0, 1, anywhere]) } else { 1 };
        Self {
            name: format!("listener {number}"),
            host,
            receiver: Receiver::new(receiver_config(stream, next, scene)),
            port: SimulatedPort::open(network, SocketAddrV4::new(host, 1), &[DOWNSTREAM, DOWNSTREAM_B], None),
        }
    }

    /// Where it is.
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Whether it has followed the stream to its end.
    pub fn is_done(&self) -> bool {
        self.receiver.ended()
    }

    /// Why it is not done, for context.
    pub fn describe(&self) -> String {
        let (name, next, known) = (&self.name, self.receiver.next_sequence(), self.receiver.known_sequence());
        format!("{name}: message {next} is next, {known} known")
    }

    /// What its receiver has counted.
    pub fn for_each_counter(&self, visit: &mut dyn FnMut(&'static str, &'static str, u64)) {
        use gds_core::counters::CounterSet;
        self.receiver.counters().for_each(&mut |name, _, value| visit("receiver", name, value));
    }

    /// One duty cycle.
    pub fn duty(&mut self, scene: &mut Scene<'_>) -> Checked<usize> {
        let datagrams = receive_from(&mut self.port);
        for (from, datagram) in &datagrams {
            let mut next = self.receiver.next_sequence();
            let mut delivered = Vec::new();
            self.receiver.on_reply(scene.now, *from, datagram, &mut |number, message| {
                delivered.push((number, message.to_vec()));
            });
            for (number, message) in delivered {
                ensure!(
                    number == next || next == 0,
                    "gap fill",
                    "{} was delivered message {number} where {next} is next",
                    self.name
                );
                next = number + 1;
                scene.truth.show(&self.name, number, &message)?;
            }
        }
        let Self { receiver, port, .. } = self;
        let sent = receiver.on_timer(scene.now, &mut |to, request| {
            port.send(to, request);
        });
        Ok(datagrams.len() + sent)
    }
}
