//! The rewinder: whatever is asked, it answers with what was asked for, whole, or not at all.
use gds_core::bus::{RewindSource, Rewinder, RewinderConfig, StreamReader};
use gds_core::memory::{HeapWords, Ring, RingConfig, RingIdentity};
use gds_core::time::Time;
use gds_wire::mold::{Packet, Request};
use gds_wire::session::Session;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::disk::MemoryDisk;
use crate::script::Script;

const STREAM: Session = Session(*b"STREAM    ");
const PAYLOAD_BYTES_MAX: usize = 200;

fn message(sequence: u64) -> Vec<u8> {
    vec![sequence as u8; (sequence % 150) as usize]
}

/// Requests into a rewinder over a ring.
pub fn rewinder(data: &[u8]) {
    let mut script = Script::new(data);
    let sizes = RingConfig { data_bytes: 2048 << script.below(3), positions: 16 << script.below(3) };
    let words = HeapWords::shared(Ring::words_needed(&sizes));
    let ring =
        Ring::create(words, sizes, RingIdentity { stream: STREAM, boot_id: [0; 16], directory: [0; 16] }, 1);
    let mut writer = ring.writer();
    for _ in 0..script.byte() {
        let message = message(writer.next_sequence());
        if writer.room(u64::MAX) > message.len() {
            writer.append(1, &[&message]);
        }
        writer.publish();
    }
    let committed = ring.last().saturating_sub(u64::from(script.byte() % 4));
    let reader = StreamReader::new(ring.reader(1), None);
    let limit = Box::new(move || committed);
    let config = RewinderConfig {
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        bytes_per_second: script.number(),
        burst_bytes: u64::from(script.u16()),
        requesters_max: 2,
        ..RewinderConfig::default()
    };
    let mut rewinder = Rewinder::new(config, vec![RewindSource { session: STREAM, reader, limit }]);
    let mut disk = MemoryDisk::default();
    let mut now = Time::default();
    while let Some(step) = script.step() {
        let from = SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::from(step / 16));
        let datagram = match step % 4 {
            0 => script.bytes().to_vec(),
            1 => {
                now.monotonic_ns =
                    now.monotonic_ns.saturating_add(script.number().saturating_mul(1_000)).min(1 << 60);
                continue;
            }
            _ => {
                let session = if script.byte() == 0xFF { Session::NODE } else { STREAM };
                let sequence = script.near(committed);
                Request { session, sequence, count: script.u16() }.to_bytes().to_vec()
            }
        };
        let reply = rewinder.on_datagram(now, from, &datagram, &mut [&mut disk]);
        let Some(reply) = reply else { continue };
        let request = Request::parse(&datagram).expect("only a request is answered");
        let packet = Packet::parse(reply).expect("a downstream packet");
        assert!(reply.len() <= PAYLOAD_BYTES_MAX && packet.count() > 0 && packet.trailing_bytes == 0);
        assert_eq!((packet.session, packet.sequence), (STREAM, request.sequence));
        assert!(packet.count() <= request.count && packet.next_sequence() <= committed + 1);
        assert!(packet.messages().all(|(sequence, found)| found == message(sequence)));
    }
}
