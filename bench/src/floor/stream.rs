//! A multicast stream one way: the packets of a saturating client, and nobody answers.
//!
//! What arrives in a second counts. Nothing holds the sender back, so what the receiver does not take in time is dropped by the kernel; the share
//! is told beside the rate.
use crate::addresses;
use crate::cores::Cores;
use crate::workload::BLOCK_BYTES;
use gds_nic::{Transport, UdpConfig, UdpPort, clock, cores};
use gds_wire::mold::{self, Kind, Packet, PacketBuilder};
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Sends packets full of canonical messages for so long, `segments` of them in one call, and counts what arrives on the other core.
///
/// # Errors
/// What could not be opened.
pub fn measure(
    transport: Transport,
    segments: usize,
    cores: Cores,
    duration: Duration,
) -> Result<Streamed, String> {
    let [port] = addresses::udp_ports()?;
    let group = addresses::group_address(port);
    let open = |config: UdpConfig| UdpPort::open(config).map_err(|error| error.to_string());
    let many = segments > 1;
    let mut to = open(UdpConfig {
        transport,
        segmentation: many,
        ..UdpConfig::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))
    })?;
    let mut from = open(UdpConfig { transport, coalescing: many, ..UdpConfig::group(group) })?;
    let packets = packets(segments);
    let (per_packet, packet_bytes) = (packets.1, packets.0.len() / segments);
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
                sent += to.send_segments(group, &packets.0, packet_bytes) as u64 * per_packet;
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

/// So many full packets one behind the other, and the messages in each.
fn packets(count: usize) -> (Vec<u8>, u64) {
    let session = Session::padded("STREAM").expect("six letters are a name");
    let mut one = vec![0; mold::MAX_PAYLOAD_BYTES];
    let mut builder = PacketBuilder::new(&mut one, session, 1);
    while builder.push(&[b's'; BLOCK_BYTES]) {}
    let messages = u64::from(builder.count());
    let length = builder.finish();
    (one[..length].repeat(count), messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_or_is_dropped() {
        for segments in [1, 8] {
            let duration = Duration::from_millis(50);
            let streamed = measure(Transport::Auto, segments, Cores::unpinned(), duration).unwrap();
            assert!(streamed.received > 0 && streamed.received <= streamed.sent, "{streamed:?}");
            assert_eq!(streamed.received % 6, 0);
        }
    }
}
