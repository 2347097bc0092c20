//! Readers of recordings, against small ones made by hand and, where they are there, against real ones.
use super::samples::{
    GROUP, MICROSECONDS, NANOSECONDS, Order, SOURCE, binary_file, block, enhanced, ethernet, gzip, interface,
    ipv4, pcap, plain, record, section, simple,
};
use super::*;
use crate::recorded::recording;
use proptest::prelude::*;
use std::io::{self, Cursor};
use std::net::Ipv4Addr;

const SECOND_NS: u64 = 1_000_000_000;
const ETHERNET: u32 = 1;

/// What reading to the end gives: times and payloads, or messages.
#[derive(Debug)]
struct Whole {
    items: Vec<(u64, Vec<u8>)>,
    skipped: Skipped,
    cut: Option<Cut>,
    error: Option<CaptureError>,
}

fn open(bytes: &[u8]) -> Result<Capture, CaptureError> {
    Capture::from_reader("sample", Cursor::new(bytes.to_vec()), Filter::default())
}

fn read(bytes: &[u8]) -> Whole {
    read_all(open(bytes).unwrap())
}

fn read_all(capture: Capture) -> Whole {
    let mut items = Vec::new();
    let mut error = None;
    match capture {
        Capture::Packets(mut packets) => {
            loop {
                match packets.next_datagram() {
                    Ok(Some(datagram)) => items.push((datagram.timestamp_ns, datagram.payload.to_vec())),
                    Ok(None) => break,
                    Err(cause) => error = Some(cause),
                }
            }
            assert!(packets.next_datagram().unwrap().is_none());
            let skipped = *packets.skipped();
            assert_eq!(packets.packets(), items.len() as u64 + skipped.packets());
            Whole { items, skipped, cut: packets.cut(), error }
        }
        Capture::Messages(mut messages) => {
            loop {
                match messages.next_message() {
                    Ok(Some(message)) => items.push((message.offset, message.bytes.to_vec())),
                    Ok(None) => break,
                    Err(cause) => error = Some(cause),
                }
            }
            assert!(messages.next_message().unwrap().is_none());
            assert_eq!(messages.messages(), items.len() as u64);
            Whole { items, skipped: Skipped::default(), cut: messages.cut(), error }
        }
    }
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_both_resolutions() {
    for order in [Order::Little, Order::Big] {
        for (magic, unit_ns) in [(MICROSECONDS, 1_000), (NANOSECONDS, 1)] {
            let file = pcap(order, magic, ETHERNET, &[plain(b"one"), plain(b"two")]);
            let whole = read(&file);
            let expected = [(7, "one"), (8, "two")]
                .map(|(second, text)| (second * SECOND_NS + 5 * unit_ns, text.as_bytes().to_vec()));
            assert_eq!(whole.items, expected, "{order:?} {magic:x}");
            assert_eq!((whole.skipped, whole.cut), (Skipped::default(), None));
        }
    }
}

#[test]
fn source_and_destination_are_told() {
    let Ok(Capture::Packets(mut packets)) =
        open(&pcap(Order::Little, MICROSECONDS, ETHERNET, &[plain(b"x")]))
    else {
        panic!("not packets");
    };
    let datagram = packets.next_datagram().unwrap().unwrap();
    assert_eq!(
        (datagram.source.to_string(), datagram.destination.to_string()),
        (SOURCE.into(), GROUP.into())
    );
}

#[test]
fn vlan_tags_are_stepped_over_and_counted() {
    let ip = ipv4(SOURCE, GROUP, b"tagged");
    let frames = [
        ethernet(&[0x8100], 0x0800, &ip),
        ethernet(&[0x88A8, 0x8100], 0x0800, &ip),
        ethernet(&[0x8100; 5], 0x0800, &ip),
    ];
    let whole = read(&pcap(Order::Little, MICROSECONDS, ETHERNET, &frames));
    assert_eq!(whole.items.len(), 2);
    assert!(whole.items.iter().all(|(_, payload)| payload == b"tagged"));
    assert_eq!((whole.skipped.vlan_tags, whole.skipped.malformed), (3, 1));
}

#[test]
fn every_link_type_leads_to_the_same_datagram() {
    let ip = ipv4(SOURCE, GROUP, b"x");
    let with = |head: &[u8]| [head, &ip].concat();
    let mut sll = vec![0; 14];
    sll.extend([8, 0]);
    let mut sll2 = vec![8, 0];
    sll2.extend([0; 18]);
    let cases = [
        (101, ip.clone()),
        (228, ip.clone()),
        (12, ip.clone()),
        (0, with(&[2, 0, 0, 0])),
        (0, with(&[0, 0, 0, 2])),
        (108, with(&[0, 0, 0, 2])),
        (113, with(&sll)),
        (276, with(&sll2)),
    ];
    for (link, frame) in cases {
        let whole = read(&pcap(Order::Little, MICROSECONDS, link, &[frame]));
        assert_eq!(whole.items.len(), 1, "link type {link}: {:?}", whole.skipped);
    }
    let whole = read(&pcap(Order::Little, MICROSECONDS, 147, &[ip]));
    assert_eq!(whole.skipped, Skipped { link_types: 1, ..Skipped::default() });
}

#[test]
fn foreign_traffic_is_counted_by_kind() {
    let ip = ipv4(SOURCE, GROUP, b"x");
    let changed = |at: usize, value: u8| {
        let mut packet = ip.clone();
        packet[at] = value;
        ethernet(&[], 0x0800, &packet)
    };
    let frames = [
        changed(9, 6),
        changed(6, 0x20),
        changed(7, 1),
        ethernet(&[], 0x86DD, &ip),
        ethernet(&[], 0x0806, &ip),
        changed(0, 0x44),
        changed(25, 200),
        changed(25, 7),
        plain(b"fine")[..20].to_vec(),
        plain(b"fine"),
    ];
    let whole = read(&pcap(Order::Little, MICROSECONDS, ETHERNET, &frames));
    assert_eq!(whole.items.len(), 1);
    let expected =
        Skipped { not_udp: 1, fragments: 2, ipv6: 1, not_ip: 1, malformed: 4, ..Skipped::default() };
    assert_eq!(whole.skipped, expected);
    assert_eq!(
        expected.to_string(),
        "9 packets skipped: 2 IPv4 fragments, 1 IPv6, 1 not IP, 1 not UDP, 4 malformed"
    );
    assert_eq!(Skipped::default().to_string(), "no packet skipped");
}

#[test]
fn a_packet_the_recorder_cut_is_skipped_unless_its_datagram_is_whole() {
    let frame = plain(b"cut short");
    let whole_bytes = frame.len() as u32;
    let mut file = pcap(Order::Little, MICROSECONDS, ETHERNET, &[]);
    for kept in [10, 20, 40, frame.len() - 1] {
        file.extend(record(Order::Little, 1, &frame[..kept], whole_bytes));
    }
    // Only padding behind the datagram is missing.
    file.extend(record(Order::Little, 1, &frame, whole_bytes + 4));
    let whole = read(&file);
    assert_eq!((whole.items.len(), whole.skipped.truncated), (1, 4));
}

#[test]
fn ethernet_padding_is_no_payload() {
    let mut frame = plain(b"x");
    frame.resize(60, 0xEE);
    let whole = read(&pcap(Order::Little, MICROSECONDS, ETHERNET, &[frame]));
    assert_eq!(whole.items[0].1, b"x");
}

#[test]
fn the_filter_wants_groups_and_ports() {
    let to = |destination| ethernet(&[], 0x0800, &ipv4(SOURCE, destination, b"x"));
    let file =
        pcap(Order::Little, MICROSECONDS, ETHERNET, &[to(GROUP), to("239.1.2.4:26400"), to("239.1.2.3:1")]);
    let filter = Filter { groups: vec![Ipv4Addr::new(239, 1, 2, 3)], ports: vec![26_400] };
    let capture = Capture::from_reader("sample", Cursor::new(file), filter).unwrap();
    let whole = read_all(capture);
    assert_eq!(whole.items.len(), 1);
    assert_eq!((whole.skipped.other_groups, whole.skipped.other_ports), (1, 1));
}

#[test]
fn pcapng_is_read_in_both_byte_orders_with_each_resolution() {
    for order in [Order::Little, Order::Big] {
        let offset = order.i64(100);
        let file = [
            section(order),
            interface(order, 1, &[]),
            interface(order, 1, &[(9, &[9])]),
            interface(order, 1, &[(9, &[0x80 | 10]), (14, &offset)]),
            interface(order, 101, &[(2, b"lo")]),
            block(order, 5, b"statistics!"),
            enhanced(order, 0, 3_000_001, &plain(b"micro")),
            enhanced(order, 1, 4_000_000_001, &plain(b"nano")),
            enhanced(order, 2, 1024 + 512, &plain(b"binary")),
            enhanced(order, 3, 9, &ipv4(SOURCE, GROUP, b"raw")),
            simple(order, &plain(b"simple")),
        ];
        let whole = read(&file.concat());
        assert!(whole.error.is_none(), "{:?}", whole.error);
        let expected = [
            (3_000_001_000, "micro"),
            (4_000_000_001, "nano"),
            (101_500_000_000, "binary"),
            (9_000, "raw"),
            (9_000, "simple"),
        ];
        assert_eq!(whole.items, expected.map(|(at, text)| (at, text.as_bytes().to_vec())), "{order:?}");
        assert_eq!((whole.skipped.other_blocks, whole.cut), (1, None));
    }
}

#[test]
fn a_new_pcapng_section_forgets_interfaces_and_byte_order() {
    let (little, big) = (Order::Little, Order::Big);
    let mut file =
        [section(little), interface(little, 1, &[]), enhanced(little, 0, 1, &plain(b"a"))].concat();
    file.extend([section(big), interface(big, 1, &[]), enhanced(big, 0, 2, &plain(b"b"))].concat());
    assert_eq!(read(&file).items.len(), 2);
    file.extend([section(little), enhanced(little, 0, 3, &plain(b"c"))].concat());
    let whole = read(&file);
    assert_eq!(whole.items.len(), 2);
    assert!(whole.error.unwrap().to_string().contains("interface"));
}

#[test]
fn a_large_block_of_another_kind_is_stepped_over() {
    let order = Order::Little;
    let large = vec![7; 3 * RECORD_BYTES_MAX];
    let file = [section(order), interface(order, 1, &[]), block(order, 0xBAD, &large)].concat();
    let mut whole = read(&[file.clone(), enhanced(order, 0, 1, &plain(b"x"))].concat());
    assert_eq!((whole.items.len(), whole.skipped.other_blocks), (1, 1));
    whole = read(&file[..file.len() - 2]);
    assert!(whole.cut.is_some());
}

#[test]
fn damage_is_told_with_its_offset_after_all_before_it_is_delivered() {
    let mut file = pcap(Order::Little, MICROSECONDS, ETHERNET, &[plain(b"fine")]);
    let offset = file.len();
    file.extend(record(Order::Little, 1, &[], 1)[..8].to_vec());
    file.extend([0xFF; 8]);
    let whole = read(&file);
    assert_eq!(whole.items.len(), 1);
    let error = whole.error.unwrap();
    assert!(matches!(&error, CaptureError::Damaged { offset: at, .. } if *at == offset as u64), "{error}");

    let order = Order::Little;
    let good = [section(order), interface(order, 1, &[]), enhanced(order, 0, 1, &plain(b"x"))].concat();
    for wrong in [
        block(order, 6, &[1; 20]),
        [[6, 0, 0, 0], [9, 0, 0, 0], [0; 4]].concat(),
        [[6, 0, 0, 0], [13, 0, 0, 0], [0; 4]].concat(),
    ] {
        let whole = read(&[good.clone(), wrong].concat());
        assert_eq!(whole.items.len(), 1);
        let error = whole.error.unwrap();
        assert!(
            matches!(&error, CaptureError::Damaged { offset, .. } if *offset == good.len() as u64),
            "{error}"
        );
    }
}

#[test]
fn a_pcap_cut_anywhere_gives_what_is_whole_and_tells_the_cut() {
    let order = Order::Little;
    let files = [
        pcap(order, MICROSECONDS, ETHERNET, &[plain(b"one"), plain(b"two")]),
        [
            section(order),
            interface(order, 1, &[]),
            block(order, 5, b"x"),
            enhanced(order, 0, 1, &plain(b"y")),
        ]
        .concat(),
    ];
    for file in files {
        for kept in 4..file.len() {
            let whole = read(&file[..kept]);
            assert!(whole.error.is_none());
            if let Some(cut) = whole.cut {
                assert!(cut.trailing_bytes > 0 && !cut.in_gzip);
                assert!(cut.offset + cut.trailing_bytes == kept as u64);
            } else {
                // On a boundary: nothing is lost that could be known of.
                assert!(kept >= 24);
            }
        }
        let Whole { cut, items, .. } = read(&file);
        assert!(cut.is_none() && !items.is_empty());
    }
}

#[test]
fn binary_file_ends_with_or_without_the_end_record() {
    let messages: [&[u8]; 3] = [b"Sone", b"R", b"Athree"];
    let file = binary_file(&messages);
    let ended = [file.as_slice(), &[0, 0]].concat();
    for (bytes, expected) in [(file, Ending::Boundary), (ended, Ending::EndOfSession)] {
        let Ok(Capture::Messages(mut capture)) = open(&bytes) else {
            panic!("not messages");
        };
        for message in messages {
            assert_eq!(capture.next_message().unwrap().unwrap().bytes, message);
        }
        assert_eq!(capture.next_message().unwrap(), None);
        assert_eq!(capture.ending(), Some(expected));
    }
    assert!(read(&[0, 0]).items.is_empty(), "an empty session is a session");
}

#[test]
fn a_zero_length_that_does_not_end_the_file_is_refused() {
    let early = [binary_file(&[b"Sone"]), vec![0, 0, 1]].concat();
    let error = open(&early).unwrap_err();
    assert!(matches!(error, CaptureError::ZeroLength { offset: 6, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("sample") && text.contains("byte 6"), "{text}");

    // Too far in to be seen at once: what comes before it is delivered.
    let message: &[u8] = b"Sone";
    let late = [binary_file(&[message; 100]), vec![0, 0], binary_file(&[message])].concat();
    let whole = read(&late);
    assert_eq!(whole.items.len(), 100);
    assert!(matches!(whole.error, Some(CaptureError::ZeroLength { offset: 600, .. })));
}

#[test]
fn a_binary_file_longer_than_the_buffer_is_read_whole() {
    let message = [b'Z'; 60_000];
    let file = binary_file(&[message.as_slice(); 20]);
    assert_eq!(read(&file).items.len(), 20);
    let cut = read(&file[..file.len() - 1]).cut.unwrap();
    assert_eq!((cut.offset, cut.trailing_bytes), (19 * 60_002, 60_001));
}

#[test]
fn gzip_of_anything_is_unpacked() {
    let file = pcap(Order::Little, MICROSECONDS, ETHERNET, &[plain(b"one"), plain(b"two")]);
    assert_eq!(read(&gzip(&file)).items.len(), 2);
    let messages = binary_file(&[b"Sone", b"Stwo"]);
    assert_eq!(read(&gzip(&messages)).items.len(), 2);
    // Several members one after the other are one stream.
    let (front, back) = messages.split_at(4);
    assert_eq!(read(&[gzip(front), gzip(back)].concat()).items.len(), 2);
}

#[test]
fn a_gzip_stream_that_stops_short_is_a_cut() {
    let messages = vec![b"Sone".as_slice(); 1000];
    let packed = gzip(&binary_file(&messages));
    let whole = read(&packed[..packed.len() - 9]);
    let cut = whole.cut.unwrap();
    assert!(cut.in_gzip && whole.error.is_none());
    assert_eq!(whole.items.len() as u64 * 6, cut.offset);
    assert!(open(&packed[..3]).unwrap_err().to_string().contains("gzip"));
}

#[test]
fn damaged_gzip_is_told_as_such() {
    let mut packed = gzip(&binary_file(&[b"Sone", b"Stwo"]));
    let last = packed.len() - 5;
    packed[last] ^= 0xFF;
    let error = match open(&packed) {
        Ok(capture) => read_all(capture).error.unwrap(),
        Err(error) => error,
    };
    assert!(matches!(error, CaptureError::Gzip { .. }), "{error:?}");
}

#[test]
fn what_is_no_recording_is_refused_with_its_name() {
    let refused = |bytes: &[u8]| open(bytes).unwrap_err();
    assert!(matches!(refused(b""), CaptureError::Empty { .. }));
    assert!(matches!(refused(b"#!/bin/sh\nexit 0\n"), CaptureError::Unknown { .. }));
    assert!(matches!(refused(b"some text of no interest"), CaptureError::Unknown { .. }));
    assert!(matches!(refused(&[0]), CaptureError::Unknown { .. }));
    let error = refused(&[0x28, 0xB5, 0x2F, 0xFD, 0, 0]);
    assert_eq!(error.to_string(), "sample: this is zstd, which is not read here; unpack it first");
    assert!(matches!(refused(&gzip(&gzip(b"x"))), CaptureError::Unsupported { .. }));
    let error = Capture::open(Path::new("/nowhere/day.itch"), Filter::default()).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/day.itch: cannot be opened"), "{error}");
}

#[test]
fn a_failing_read_is_told_with_its_offset() {
    struct Failing(Cursor<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::Error::other("the disk is gone")),
                read => Ok(read),
            }
        }
    }
    let file = pcap(Order::Little, MICROSECONDS, ETHERNET, &[plain(b"one")]);
    let length = file.len() as u64;
    let capture = Capture::from_reader("sample", Failing(Cursor::new(file)), Filter::default()).unwrap();
    let whole = read_all(capture);
    assert_eq!(whole.items.len(), 1);
    assert!(matches!(whole.error, Some(CaptureError::Read { offset, .. }) if offset == length));
}

#[test]
fn a_real_day_of_one_stock_has_ten_thousand_messages() {
    let Some(path) = recording("itch/locate-13-10k.bin") else { return };
    let Ok(Capture::Messages(mut capture)) = Capture::open(&path, Filter::default()) else {
        panic!("not messages");
    };
    let mut counts = [0_u64; 256];
    let mut last_ns = 0;
    while let Some(message) = capture.next_message().unwrap() {
        counts[usize::from(message.bytes[0])] += 1;
        let timestamp_ns = message.timestamp_ns().unwrap();
        assert!(timestamp_ns >= last_ns);
        last_ns = timestamp_ns;
    }
    assert_eq!(capture.ending(), Some(Ending::Boundary));
    let count = |kind: u8| counts[usize::from(kind)];
    assert_eq!(
        [b'A', b'D', b'E', b'P', b'L', b'U', b'X', b'F', b'R', b'H', b'Y'].map(count),
        [4758, 4083, 849, 240, 52, 7, 6, 2, 1, 1, 1]
    );
    assert_eq!(capture.messages(), 10_000);
    let progress = capture.progress();
    assert_eq!(Some(progress.read_bytes), progress.total_bytes);
}

#[test]
fn a_real_day_cut_in_a_record_gives_101_messages_and_the_cut() {
    let Some(path) = recording("itch/cut-mid-record.itch") else { return };
    let whole = read_all(Capture::open(&path, Filter::default()).unwrap());
    assert_eq!(whole.items.len(), 101);
    let cut = whole.cut.unwrap();
    assert_eq!(cut, Cut { offset: 4081, trailing_bytes: 15, in_gzip: false });
    assert_eq!(
        cut.to_string(),
        "the recording is cut at byte 4081: the 15 bytes that follow are no whole record"
    );
}

#[test]
fn a_file_with_zeros_for_lengths_is_refused() {
    let Some(path) = recording("itch/zero-lengths.itch50") else { return };
    let error = Capture::open(&path, Filter::default()).unwrap_err();
    assert!(matches!(error, CaptureError::ZeroLength { offset: 0, .. }));
    assert!(error.to_string().contains("zeros where lengths should be"), "{error}");
}

#[test]
fn packet_dumps_and_other_protocols_are_told_apart() {
    if let Some(path) = recording("mold/bist-three-packets.dat") {
        assert!(Capture::open(&path, Filter::default()).is_err());
    }
    let Some(path) = recording("soup/session.pcap") else { return };
    let whole = read_all(Capture::open(&path, Filter::default()).unwrap());
    assert!(whole.items.is_empty() && whole.skipped.not_udp > 0);
}

fn samples() -> Vec<Vec<u8>> {
    let frames = [plain(b"one"), ethernet(&[0x88A8, 0x8100], 0x0800, &ipv4(SOURCE, GROUP, b"two"))];
    let mut samples = Vec::new();
    for order in [Order::Little, Order::Big] {
        samples.push(pcap(order, NANOSECONDS, ETHERNET, &frames));
        samples.push(
            [
                section(order),
                interface(order, 1, &[(9, &[9]), (14, &[0, 0, 0, 0, 0, 0, 0, 1])]),
                block(order, 4, b"names"),
                enhanced(order, 0, 77, &frames[0]),
                simple(order, &frames[1]),
            ]
            .concat(),
        );
    }
    samples.push([binary_file(&[b"Sone", b"Stwo", b"Sthree"]), vec![0, 0]].concat());
    samples.push(gzip(&samples[0]));
    samples.push(gzip(&samples[4]));
    samples
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_mutated_recording_panics(
        which in 0_usize..7,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<proptest::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(capture) = open(&bytes) {
            read_all(capture);
        }
    }

    #[test]
    fn no_frame_panics(link in 0_u32..300, frame in proptest::collection::vec(any::<u8>(), 0..80)) {
        read(&pcap(Order::Big, MICROSECONDS, link, &[frame]));
    }
}
