//! A multicast stream one way: the packets of a saturating client, and nobody answers.
//!
//! What arrives in a second counts. Nothing holds the sender back, so what the receiver does not take in time is dropped by the kernel; the share
//! is told beside the rate.
use crate::addresses;
use crate::cores::Cores;
use crate::road::{End, Road};
use crate::workload::BLOCK_BYTES;
use gds_nic::{UdpConfig, UdpPort, clock, cores};
use gds_wire::mold::{self, Kind, Packet, PacketBuilder};
use gds_wire::session::Session;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What leaves in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Packets.
    pub packets: usize,
    /// Canonical messages in each of them; as many as fit, if fewer do.
    pub messages_per_packet: u64,
    /// May the kernel have packets in one piece, and cut them up later, or not at all (segmentation offload)?
    pub offload: bool,
}

impl Call {
    /// So many full packets, in one piece where there are several.
    pub fn full(packets: usize) -> Self {
        Self { packets, messages_per_packet: u64::MAX, offload: packets > 1 }
    }

    /// So many packets of one message each, none in one piece with another.
    pub fn single(packets: usize) -> Self {
        Self { packets, messages_per_packet: 1, offload: false }
    }

    /// The packets one behind the other, and the messages in each.
    fn bytes(self) -> (Vec<u8>, u64) {
        let session = Session::padded("STREAM").expect("six letters are a name");
        let mut one = vec![0; mold::MAX_PAYLOAD_BYTES];
        let mut builder = PacketBuilder::new(&mut one, session, 1);
        while u64::from(builder.count()) < self.messages_per_packet && builder.push(&[b's'; BLOCK_BYTES]) {}
        let messages = u64::from(builder.count());
        let length = builder.finish();
        (one[..length].repeat(self.packets), messages)
    }
}

/// What a stream came to.
#[derive(Clone, Copy, Debug)]
pub struct Streamed {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages received in a second.
    pub rate: f64,
}

/// Sends packets of canonical messages for so long, and counts what arrives at the other end of the road, on the other core.
///
/// # Errors
/// What could not be opened.
pub fn measure(road: &Road, call: Call, cores: Cores, duration: Duration) -> Result<Streamed, String> {
    let [port] = addresses::udp_ports()?;
    let group = addresses::group_address(port);
    let mut to = road.open(End::Near, UdpConfig { segmentation: call.offload, ..road.sending(End::Near) })?;
    let mut from = road.open(End::Far, UdpConfig { coalescing: call.offload, ..road.receiving(group) })?;
    let (packets, per_packet) = call.bytes();
    let packet_bytes = packets.len() / call.packets;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            pin(cores.system)?;
            Ok::<u64, String>(receive(&mut from, &stop))
        });
        let sender = scope.spawn(|| {
            pin(cores.load)?;
            let end_ns = clock::monotonic_ns() + duration.as_nanos() as u64;
            let mut sent = 0;
            while clock::monotonic_ns() < end_ns {
                sent += to.send_segments(group, &packets, packet_bytes) as u64 * per_packet;
            }
            Ok::<u64, String>(sent)
        });
        let sent = sender.join().expect("the sender does not panic");
        // What is under way arrives.
        std::thread::sleep(Duration::from_millis(20));
        stop.store(true, Ordering::Release);
        let received = receiver.join().expect("the receiver does not panic")?;
        let rate = received as f64 / duration.as_secs_f64();
        Ok(Streamed { sent: sent?, received, rate })
    })
}

fn pin(core: Option<usize>) -> Result<(), String> {
    core.map_or(Ok(()), |core| cores::pin(core).map_err(|error| error.to_string()))
}

/// Messages that arrive until told to stop.
fn receive(port: &mut UdpPort, stop: &AtomicBool) -> u64 {
    let mut received = 0;
    while !stop.load(Ordering::Acquire) {
        let taken = port.receive(1024, &mut |_, datagram| {
            if let Ok(Packet { kind: Kind::Messages(count), .. }) = Packet::parse(datagram) {
                received += u64::from(count);
            }
        });
        if taken == 0 {
            std::hint::spin_loop();
        }
    }
    received
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_nic::Transport;

    #[test]
    fn what_is_sent_arrives_or_is_dropped() {
        for (call, per_packet) in [(Call::full(1), 6), (Call::full(8), 6), (Call::single(8), 1)] {
            let duration = Duration::from_millis(50);
            let road = Transport::Auto.into();
            let streamed = measure(&road, call, Cores::unpinned(), duration).unwrap();
            assert!(streamed.received > 0 && streamed.received <= streamed.sent, "{streamed:?}");
            assert_eq!((streamed.received % per_packet, call.bytes().1), (0, per_packet));
        }
    }
}
