//! Writes the first inputs of every corpus, built with the project's own encoders: `cargo run -p gds-fuzz --example seeds`.
//!
//! A seed is a plain, right input; the fuzzers do the rest. Running it again writes the same files.
use gds_fuzz::script::Writer;
use gds_nic::xdp::readers;
use gds_tuning::profile::PROFILES;
use gds_wire::acknowledgement::{Acknowledgement, Outcome};
use gds_wire::declaration::{Declaration, Limits, Schema, SchemaDeclaration, TableDeclaration};
use gds_wire::envelope::{Envelope, Kind, Reason, Skip, Void};
use gds_wire::mold::{self, PacketBuilder};
use gds_wire::query::{
    self, Answer, AnswerBody, Checksum, ErrorCode, Key, MessagesBuilder, Query, Record, Request, Status,
};
use gds_wire::refusal::{Refusal, RefusalReason};
use gds_wire::session::Session;
use gds_wire::snapshot::{Frame, Offer, SnapshotRefusal};
use gds_wire::soup::{self, Login, LoginAccepted, RejectCode};
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;

const SESSION: Session = Session(*b"SESSION   ");

fn main() {
    for (target, seeds) in [
        ("acknowledgement", acknowledgements()),
        ("arbiter", arbiters()),
        ("binary_file", binary_files()),
        ("capture", captures()),
        ("config", configs()),
        ("cores", core_lists()),
        ("declaration", declarations()),
        ("envelope", envelopes()),
        ("ethtool", ethtools()),
        ("ingress", ingresses()),
        ("interrupts", interrupt_counts()),
        ("itch", itches()),
        ("journal", journals()),
        ("mold", molds()),
        ("netlink", kernel_answers()),
        ("packet", datagrams()),
        ("profile", profiles()),
        ("query_answer", answers()),
        ("query_request", requests()),
        ("query_server", servers()),
        ("receiver", receivers()),
        ("refusal", refusals()),
        ("register", registers()),
        ("rewinder", rewinders()),
        ("ring", rings()),
        ("session", sessions()),
        ("snapshot_frame", frames()),
        ("soup", soups()),
        ("soup_client", clients()),
        ("store", stores()),
        ("submitter", submitters()),
        ("transaction", transactions()),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder).expect("a folder that can be made");
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index}")), seed).expect("a file that can be written");
        }
    }
}

type Seeds = Vec<Vec<u8>>;

fn packet(sequence: u64, messages: &[&[u8]]) -> Vec<u8> {
    let mut buffer = vec![0; 1400];
    let mut builder = PacketBuilder::new(&mut buffer, SESSION, sequence);
    assert!(messages.iter().all(|message| builder.push(message)));
    let length = builder.finish();
    buffer[..length].to_vec()
}

fn molds() -> Seeds {
    vec![
        packet(1, &[b"first", b"", b"third"]),
        [packet(7, &[b"x"]), b"trailing".to_vec()].concat(),
        mold::heartbeat(SESSION, 9).to_vec(),
        mold::end_of_session(SESSION, 9).to_vec(),
        mold::Request { session: SESSION, sequence: 5, count: 3 }.to_bytes().to_vec(),
    ]
}

fn frames() -> Seeds {
    let offer = Offer {
        first_kept: 2,
        sequence: 3,
        chunks: 6,
        epoch: 3,
        chain: 7,
        acknowledgement_chain: 8,
        message: b"message",
        acknowledgement: b"outcome",
    };
    let nothing = Offer::default();
    let frame = |frame: Frame<'_>| {
        let mut into = Vec::new();
        frame.write(SESSION, &mut into);
        into
    };
    vec![
        frame(Frame::Question),
        frame(Frame::Offer(offer)),
        frame(Frame::Offer(nothing)),
        frame(Frame::Get { sequence: 3, chunk: 4 }),
        frame(Frame::Chunk(b"a chunk")),
        frame(Frame::Refusal(SnapshotRefusal::Busy)),
    ]
}

fn soups() -> Seeds {
    let encoded = |encode: &dyn Fn(&mut [u8]) -> Option<usize>| {
        let mut into = vec![0; 200];
        let length = encode(&mut into).expect("there is room");
        into.truncate(length);
        into
    };
    let login = Login::new("user", "password", SESSION, 12).expect("short enough");
    let mut later = login;
    later.heartbeat_timeout_ms = Some(1_500);
    let accepted = LoginAccepted { session: SESSION, sequence: 12 };
    let login_packet = encoded(&|into| login.encode(into));
    let nul_padded = login_packet.iter().map(|byte| if *byte == b' ' { 0 } else { *byte }).collect();
    vec![
        login_packet.clone(),
        login_packet[3..].to_vec(),
        nul_padded,
        encoded(&|into| later.encode(into)),
        [encoded(&|into| accepted.encode(into)), encoded(&|into| soup::encode(b'S', &[b"data"], into))]
            .concat(),
        RejectCode::NotAuthorized.packet().to_vec(),
        [
            soup::SERVER_HEARTBEAT_PACKET,
            soup::CLIENT_HEARTBEAT_PACKET,
            soup::END_OF_SESSION_PACKET,
            soup::LOGOUT_REQUEST_PACKET,
        ]
        .concat(),
        encoded(&|into| soup::encode(b'U', &[b"request"], into)),
        encoded(&|into| soup::encode(b'+', &[b"debug"], into)),
    ]
}

fn requests() -> Seeds {
    let key = Key { table: 1, key: b"key" };
    let encode = |query| {
        let mut into = vec![0; 200];
        let length = Request { request_id: 7, at_least: 3, query }.encode(&mut into).expect("there is room");
        into[..length].to_vec()
    };
    let mut several = vec![0; 200];
    let keys = [key, Key { table: 2, key: b"k" }];
    let length = query::encode_multi_get(&mut several, 8, 0, 5, &keys).expect("there is room");
    vec![
        encode(Query::Get { as_of: 4, key }),
        several[..length].to_vec(),
        encode(Query::Range { from: 1, to: 9 }),
        encode(Query::Watch { from: 0 }),
        encode(Query::Cancel),
        encode(Query::Status),
        encode(Query::Checksum { sequence: 5 }),
    ]
}

fn answers() -> Seeds {
    let encode = |body| {
        let mut into = vec![0; 300];
        let answer = Answer { request_id: 7, last: true, sequence: 5, body };
        let length = answer.encode(&mut into).expect("there is room");
        into[..length].to_vec()
    };
    let record = Record { found: true, table: 1, key: b"key", version: 4, value: b"value" };
    let missing = Record { found: false, version: 0, value: b"", ..record };
    let mut messages = vec![0; 200];
    let mut builder = MessagesBuilder::new(&mut messages, 7, 5);
    assert!(builder.push(b"one") && builder.push(b""));
    let length = builder.finish(false);
    let status = Status {
        applied: 5,
        committed: 6,
        published: 6,
        first_kept: 1,
        records: 2,
        bytes: 30,
        digest: 99,
        stream: SESSION,
    };
    let mut with_counters = vec![0; 300];
    let counters = [("bus.messages", 6), ("", u64::MAX)];
    let used = query::encode_status(&mut with_counters, 7, &status, counters).expect("there is room");
    vec![
        encode(AnswerBody::Record(record)),
        encode(AnswerBody::Record(missing)),
        messages[..length].to_vec(),
        with_counters[..used].to_vec(),
        encode(AnswerBody::End),
        encode(AnswerBody::Error(ErrorCode::NotFound, "text")),
        encode(AnswerBody::Checksum(Checksum { epoch: 3, chain: 77 })),
    ]
}

fn transaction(operations: &[Operation<'_>]) -> Vec<u8> {
    let mut buffer = vec![0; 500];
    let mut builder = TransactionBuilder::new(&mut buffer);
    operations.iter().for_each(|operation| builder.push(operation).expect("there is room"));
    let length = builder.finish();
    buffer[..length].to_vec()
}

fn transactions() -> Seeds {
    let operation = |kind: OperationKind, expected| Operation {
        kind,
        table: 1,
        key: b"key",
        value: if kind.has_value() { b"value" } else { b"" },
        expected,
    };
    vec![
        transaction(&[operation(OperationKind::Put, None)]),
        transaction(&[
            operation(OperationKind::Insert, None),
            operation(OperationKind::Modify, Some(3)),
            operation(OperationKind::Delete, None),
            operation(OperationKind::Check, Some(0)),
        ]),
    ]
}

fn envelopes() -> Seeds {
    let message = |kind, reason, body: &[u8]| {
        [&Envelope::new(SESSION, kind, reason, 4, 1_000).to_bytes(), body].concat()
    };
    vec![
        message(Kind::Transaction, Reason::None, &transactions()[0]),
        message(Kind::EndOfSession, Reason::None, b""),
        message(Kind::Skip, Reason::None, &Skip::new(4, 9).to_bytes()),
        message(Kind::Declare, Reason::None, &declarations()[0]),
        message(Kind::Void, Reason::TooLong, &Void::of(b"block").to_bytes()),
        message(Kind::EndOfStream, Reason::None, b""),
    ]
}

fn declarations() -> Seeds {
    let limits = Limits {
        records_max: 100,
        bytes_max: 10_000,
        sessions_max: 16,
        session_forget_messages: 1_000,
        horizon_messages: 50,
        index_seed: 7,
    };
    let table = |table, name: &str| TableDeclaration { table, name: name.parse().expect("a name") };
    let schema = |pattern: &str, schema, first_table| SchemaDeclaration {
        pattern: pattern.parse().expect("a pattern"),
        schema,
        version: 1,
        first_table,
    };
    let full = Declaration {
        limits,
        tables: vec![table(1, "records"), table(100, "orders"), table(101, "stocks")],
        schemas: vec![schema("ITCH*", Schema::Itch50, 100), schema("*", Schema::Native, 0)],
    };
    let empty = Declaration { limits, tables: Vec::new(), schemas: Vec::new() };
    vec![full.to_bytes(), empty.to_bytes()]
}

fn acknowledgements() -> Seeds {
    let one = |outcome: &Outcome| Acknowledgement::new(SESSION, 7, 0xE306_9283, *outcome).to_bytes().to_vec();
    Outcome::ALL.iter().map(one).collect()
}

fn refusals() -> Seeds {
    let reasons = (1..=4).filter_map(RefusalReason::from_u16);
    reasons.map(|reason| Refusal { reason, session: SESSION, next: 5 }.to_bytes().to_vec()).collect()
}

/// A message of each type, all zeros but for its type and time.
fn itches() -> Seeds {
    let message = |kind: u8| {
        let mut bytes = vec![0; gds_wire::itch::size_of_type(kind)?];
        bytes[0] = kind;
        bytes[10] = 42;
        Some(bytes)
    };
    (0..=u8::MAX).filter_map(message).collect()
}

fn records(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0; 4096];
    let mut used = 0;
    for message in messages {
        used += gds_wire::binary_file::write_record(message, &mut file[used..]).expect("there is room");
    }
    file.truncate(used);
    file
}

fn binary_files() -> Seeds {
    let whole = records(&itches()[..4]);
    let ended = [whole.clone(), vec![0, 0]].concat();
    let cut = whole[..whole.len() - 3].to_vec();
    vec![whole, ended, cut]
}

fn sessions() -> Seeds {
    let texts = ["SESSION", "A*", "A?C", "\\x00\\x5c", "ten chars!", "*", "eleven chars"];
    let mut seeds: Seeds = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(b"ITCH-A    ITCH*     ".to_vec());
    seeds.push(b"AB        A?        ".to_vec());
    seeds
}

fn texts(texts: &[&str]) -> Seeds {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn core_lists() -> Seeds {
    texts(&["", "0-3,8\n", "2", "00000000,0000010f\n", "3", "8191", "5-4", "0-8192"])
}

fn interrupt_counts() -> Seeds {
    let now = " CPU0 CPU1\n 38: 0 14893 PCI-MSIX-0000:00:03.0 1-edge virtio2-input.0\nLOC: 27814756 26214310 Local timer interrupts\nERR: 0\n";
    texts(&[now, &format!("{now}\0{}", now.replace("14893", "14900"))])
}

fn ethtools() -> Seeds {
    texts(&[
        "Ring parameters for eth0:\nPre-set maximums:\nRX:\t\t8192\nRX Mini:\tn/a\nCurrent hardware settings:\nRX:\t\t512\nTX:\t\t512\n",
        "Coalesce parameters for eth0:\nAdaptive RX: on  TX: n/a\nrx-usecs: 50\nrx-frames: n/a\n",
        "Features for eth0:\ngeneric-receive-offload: on\nlarge-receive-offload: off [fixed]\nntuple-filters: off\n",
        "Pause parameters for eth0:\nAutonegotiate:\ton\nRX:\t\toff\nTX:\t\toff\n",
        "Total 1 rules\n\nFilter: 1023\n\tRule Type: UDP over IPv4\n\tSrc IP addr: 0.0.0.0 mask: 255.255.255.255\n\
         \tDest IP addr: 239.192.7.1 mask: 0.0.0.0\n\tDest port: 26400 mask: 0x0\n\tAction: Direct to queue 3\n",
    ])
}

fn profiles() -> Seeds {
    let own = PROFILES.map(|(_, text)| text);
    let wrong = [
        "about = \"x\"\n[item]\nnmi_watchdog = { wanted = 7 }\n",
        "about = \"x\"\n[item]\nno_such = { wanted = 0 }\n",
    ];
    texts(&[own, wrong].concat())
}

fn datagrams() -> Seeds {
    let at = |ip: [u8; 4]| SocketAddrV4::new(ip.into(), 26_400);
    let frame = |datagram: &[u8]| {
        let mut frame = vec![0; 2048];
        let length = readers::write_packet(&mut frame, at([10, 77, 0, 1]), at([239, 192, 7, 1]), datagram);
        frame.truncate(length);
        frame
    };
    let mut fragment = frame(b"a fragment");
    fragment[20] = 0x20;
    vec![frame(b""), frame(b"odd"), frame(&[0x5a; 200]), fragment]
}

/// Netlink messages: a head with length, kind and number, a body, and attributes (rtnetlink(7)).
fn kernel_answers() -> Seeds {
    let attribute = |kind: u16, value: &[u8]| {
        let mut bytes = [((4 + value.len()) as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let message = |kind: u16, body: &[u8], attributes: &[Vec<u8>]| {
        let rest = [body, &attributes.concat()].concat();
        let mut bytes = (16 + rest.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(16, 0);
        [bytes, rest].concat()
    };
    let (mac, number) = ([2u8, 0, 0, 0, 0, 1], 3u32.to_ne_bytes());
    let link = [0, 0, 1, 0, 3, 0, 0, 0, 0x43, 0x10, 1, 0, 0, 0, 0, 0];
    let xdp = attribute(43 | 0x8000, &[attribute(2, &[2]), attribute(6, &number)].concat());
    let route = [2, 32, 0, 0, 254, 16, 0, 1, 0, 0, 0, 0];
    let neighbour = [2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 1];
    vec![
        message(16, &link, &[attribute(1, &mac), attribute(4, &1500u32.to_ne_bytes()), xdp]),
        message(24, &route, &[attribute(4, &number), attribute(5, &[10, 77, 0, 9])]),
        message(28, &neighbour, &[attribute(1, &[10, 77, 0, 2]), attribute(2, &mac)]),
        message(2, &(-19i32).to_ne_bytes(), &[]),
    ]
}

fn configs() -> Seeds {
    let texts = [
        "",
        "[network]\ningress_port = 9\ntransport = \"socket\"\n",
        "[stream]\ndurability = \"fsync\"\nsession = \"DAY\"\n[limits]\nrecords_max = 5\n",
        "[[table]]\nid = 1\nname = \"records\"\n[[schema]]\npattern = \"*\"\nschema = \"native\"\ntable = 0\n",
        "[[admission]]\npattern = \"A?\"\nsources = [\"10.0.0.0/8\"]\ngap = \"skip\"\nskip_after_ms = 5\nstart = \"first_seen\"\n\
         rerequest = \"10.0.0.1:9\"\n",
        "[[user]]\nname = \"a\"\npassword = \"b\"\ntables = [1, \"*\"]\n",
        "[[core]]\ncpu = 1\nidle = \"spin\"\nidle_sleep_us = 1\nagents = [\"sequencer\"]\n",
        "[loss]\nseed = 5\ningress_per_mille = 10\n",
        "[ring]\npositions = 1024\n[journal]\nsegment_bytes = 1048576\ngroup_bytes_max = 8192\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// An Ethernet frame with an IPv4 datagram to a group.
fn frame(payload: &[u8], vlan: bool) -> Vec<u8> {
    let mut frame = vec![1, 0, 0x5E, 1, 2, 3, 2, 0, 0, 0, 0, 7];
    if vlan {
        frame.extend([0x81, 0, 0, 42]);
    }
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((28 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 7, 239, 1, 2, 3, 0, 5, 0, 6]);
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

fn pcap(magic: u32, link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = magic.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0]);
    file.extend(link.to_le_bytes());
    for frame in frames {
        file.extend([7, 0, 0, 0, 5, 0, 0, 0]);
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(frame);
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = (12 + padded as u32).to_be_bytes();
    let mut block = kind.to_be_bytes().to_vec();
    block.extend(length);
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file =
        block(0x0A0D_0D0A, &[0x1A, 0x2B, 0x3C, 0x4D, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    file.extend(block(1, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]));
    file.extend(block(5, b"statistics"));
    for frame in frames {
        let length = (frame.len() as u32).to_be_bytes();
        let head = [[0; 4], [0; 4], [0, 0, 1, 0], length, length].concat();
        file.extend(block(6, &[head, frame.clone()].concat()));
        file.extend(block(3, &[length.to_vec(), frame.clone()].concat()));
    }
    file
}

fn captures() -> Seeds {
    let frames = [frame(&packet(1, &[b"a"]), false), frame(&packet(2, &[b"b"]), true)];
    let files = [
        pcap(0xA1B2_C3D4, 1, &frames),
        pcap(0xA1B2_3C4D, 101, &[frames[0][14..].to_vec()]),
        pcapng(&frames),
        binary_files()[0].clone(),
        binary_files()[1].clone(),
    ];
    // The mode in front: as it is, inside gzip, inside two members, inside gzip that stops short.
    let with = |(mode, file): (u8, &Vec<u8>)| [&[mode][..], file].concat();
    let mut seeds: Seeds = [0, 1, 2, 3, 0].into_iter().zip(&files).map(with).collect();
    seeds.push(with((0x1C, &files[2])));
    seeds
}

/// Traffic as [`Script`](gds_fuzz::script::Script) has it: kind, session, distance, count.
fn messages(writer: Writer, session: u8, distance: i8, count: u8) -> Writer {
    writer.raw(&[0, session]).near(distance).raw(&[count - 1])
}

fn receivers() -> Seeds {
    let settings = |writer: Writer| writer.raw(&[1, 0, 5, 1, 3, 2]);
    let in_order =
        (0..4).fold(settings(Writer::default()), |writer, _| messages(writer.raw(&[0, 0]), 0, 0, 3));
    let gaps = messages(settings(Writer::default()).raw(&[0, 0]), 0, 0, 2);
    let gaps = messages(gaps.raw(&[0, 0]), 0, 5, 2).raw(&[3, 100]);
    let gaps = messages(gaps.raw(&[0, 1]), 0, 4, 1).raw(&[3, 100]);
    let gaps = messages(gaps.raw(&[0, 0]), 0, 0, 8).raw(&[3, 120]);
    let ends = messages(settings(Writer::default()).raw(&[0, 0]), 0, 0, 2);
    let ends = ends.raw(&[0, 1, 1, 0]).near(6).raw(&[0, 1, 2, 0]).near(2).raw(&[3, 127]);
    vec![in_order.0, gaps.0, ends.0]
}

fn arbiters() -> Seeds {
    let settings = Writer::default().raw(&[0, 0, 5, 40, 3, 3]);
    let lines =
        (0..5).fold(settings.clone(), |writer, index| messages(writer.raw(&[1, 1, 2]), 0, index % 3, 2));
    let gap = messages(settings.raw(&[1, 1, 2]), 0, 0, 1);
    let gap = messages(gap.raw(&[1, 1, 2]), 0, 4, 2).raw(&[100, 1, 2]).raw(&[1, 0]).near(9);
    vec![lines.0, gap.0]
}

fn ingresses() -> Seeds {
    // Ring, reserve, window, pool, part, packet, receptions, forget, sessions.
    let settings = Writer::default().raw(&[2, 2, 200, 40, 11, 7, 1, 3, 10, 4]);
    let sessions = (0..4).fold(settings.clone(), |writer, session| messages(writer.raw(&[0]), session, 0, 3));
    let gap = messages(settings.clone().raw(&[0]), 0, 3, 2).raw(&[5, 9]);
    let gap = messages(gap.raw(&[0]), 0, 0, 3).raw(&[0, 2, 0]).near(0);
    let skip = messages(settings.clone().raw(&[0]), 1, 4, 2);
    let skip = messages(skip.raw(&[0]), 1, 6, 2).raw(&[5, 100, 5, 100]);
    let full = messages(settings.raw(&[0]), 0, 0, 8);
    let full = (0..20).fold(full, |writer, _| messages(writer.raw(&[0]), 0, 0, 8)).raw(&[6, 255, 7, 0]);
    vec![sessions.0, gap.0, skip.0, full.0]
}

fn submitters() -> Seeds {
    let settings = Writer::default().raw(&[0, 7, 100, 1]);
    let submit = |writer: Writer, block: &[u8]| writer.raw(&[0]).bytes(block);
    let acknowledge = |writer: Writer| writer.raw(&[2]).near(0).raw(&[0, 0, 0]);
    let plain = submit(submit(settings.clone(), b"one"), b"two").raw(&[6]);
    let plain = acknowledge(acknowledge(plain)).raw(&[0xF7, 5, 1]);
    let resent = submit(settings, b"late").raw(&[6, 5, 20, 5, 40, 5, 127]);
    let resent = resent.raw(&[3, 1]).near(0).raw(&[0, 9]).raw(&[3, 0, 0, 1]).near(0);
    vec![plain.0, resent.0]
}

fn rings() -> Seeds {
    // Built (1), sizes, first number, then messages of (byte, length, epoch, publish), then damage.
    let built = |messages: u8, damage: &[u8]| {
        let head = Writer::default().raw(&[1, 4, 4]).near(5).raw(&[messages]);
        let written = (0..messages).fold(head, |writer, index| writer.raw(&[index, 3 * index, 1, 1]));
        written.raw(damage).0
    };
    let whole = built(20, &[]);
    vec![whole, built(3, &[64, 1, 0]), built(12, &[]), built(9, &[16, 1, 1]), vec![0; 400]]
}

fn journals() -> Seeds {
    // Group: kind, first, durable, count, (length, epoch)..., changes, torn.
    let group = |writer: Writer, messages: u8| {
        let head = writer.raw(&[3]).near(0).near(0).raw(&[messages - 1]);
        (0..messages).fold(head, |writer, index| writer.raw(&[index * 30, 1])).raw(&[0, 0])
    };
    let head = Writer::default().raw(&[1, 0, 0, 2, 0, 3]);
    let whole = group(group(group(head.clone(), 2), 1), 4).raw(&[2]).near(0).near(-1).raw(&[0, 0]);
    let torn = group(group(head.clone(), 3), 2);
    let torn = torn.raw(&[3]).near(0).near(0).raw(&[0, 5, 1, 0, 0xF5, 0, 70, 9]);
    let damaged = group(head, 3).raw(&[1, 4, 1, 2, 3, 4]);
    let damaged = group(damaged, 2);
    vec![whole.0, torn.0, damaged.0]
}

fn servers() -> Seeds {
    let settings = Writer::default().raw(&[2, 100, 2, 2, 0, 4, 20]);
    let login = |writer: Writer, at: u8| writer.raw(&[at << 4, at << 4 | 3, 0, 0, 1, 0]);
    let get = login(settings.clone(), 0).raw(&[4, 0, 1, 0, 0, 1, 3, 0]);
    let several = login(settings.clone(), 0).raw(&[4, 1, 2, 0, 0, 3, 1, 2, 2, 3, 0, 4, 0]);
    let watch = login(settings.clone(), 0).raw(&[4, 3, 3, 0, 1, 0, 0, 9, 64, 9, 255, 4, 4, 3, 0, 0]);
    let range =
        login(settings.clone(), 0).raw(&[8, 2, 4, 2, 3, 0, 0xF8, 1, 0xFF, 0, 9, 64, 11, 4, 5, 4, 0, 0]);
    let resume = login(login(settings, 0).raw(&[4, 0, 1, 0, 0, 1, 3, 0, 1, 0, 3, 0, 1, 1, 0]), 1);
    vec![get.0, several.0, watch.0, range.0, resume.0]
}

fn clients() -> Seeds {
    let settings = Writer::default().raw(&[1, 0, 0]);
    let accept = |writer: Writer| writer.raw(&[3]).near(0).raw(&[1]);
    // Step, request, last, sequence, body.
    let get = accept(settings.clone().raw(&[0, 0, 0, 0, 1, 1, b'k', 0])).raw(&[4, 0, 1, 5, 2]);
    let watch = accept(settings.clone()).raw(&[0, 0, 3, 0, 4, 0, 0, 1, 3, 4, 4, 0, 0, 5, 3, 2]);
    let broken = accept(accept(settings.clone()).raw(&[0, 0, 2, 1, 9, 4, 0, 0, 1, 3, 2, 8, 9, 100]));
    let silent = accept(settings).raw(&[9, 127, 9, 127, 9, 127]);
    vec![get.0, watch.0, broken.0, silent.0]
}

fn registers() -> Seeds {
    let value = r#"{"stream":"1763800000","epoch":3,"leader":1,"in_sync":[{"node":1,"incarnation":7},{"node":2,"incarnation":2}]}"#;
    let hostile = [
        ("\"epoch\":3", "\"epoch\":4294967295"),
        ("\"epoch\":3", "\"epoch\":0"),
        ("\"leader\":1", "\"leader\":3"),
        ("\"incarnation\":7", "\"incarnation\":18446744073709551615"),
        ("\"node\":1", "\"node\":0"),
        ("\"node\":1", "\"node\":2"),
    ];
    let values = hostile.map(|(from, to)| value.replacen(from, to, 1));
    let file = format!("{{\"revision\": 4, \"value\": {value}}}\n");
    let last = file.replacen('4', "18446744073709551615", 1);
    let lives =
        ["incarnation = 7\nwhole_since = 3\n", "incarnation = 18446744073709551615\nwhole_since = 1\n"];
    let texts = values.iter().map(String::as_str).chain([value, &file, &last]).chain(lives);
    texts.map(|text| text.as_bytes().to_vec()).collect()
}

fn rewinders() -> Seeds {
    let settings = Writer::default().raw(&[1, 2, 60, 0, 100, 255, 255]);
    let ask = |writer: Writer, distance: i8, count: u8| writer.raw(&[2, 0]).near(distance).raw(&[0, count]);
    vec![ask(ask(ask(settings.clone(), -10, 5), -59, 50), 0, 1).0, ask(settings.raw(&[1, 9]), 1, 1).0]
}

fn stores() -> Seeds {
    let settings = Writer::default().raw(&[15, 255, 4, 3, 6, 0]);
    // Step, session, distance; operations of kind, value, table, key, expected.
    let put = |writer: Writer, key: u8| writer.raw(&[0, 0]).near(0).raw(&[0, 27, 1, 2, 3, 4, 5, 0, key, 0]);
    let native = put(put(put(settings.clone(), 0), 1), 0).raw(&[0, 0]).near(0).raw(&[0, 3, 0, 0, 0]);
    let add = |writer: Writer, order: u8| writer.raw(&[4, 1]).near(0).raw(&[2, order, 3, 7, 0]);
    let feed = add(add(settings.clone(), 0), 1).raw(&[4, 1]).near(0).raw(&[4, 0, 1, 0]);
    let feed = feed.raw(&[4, 1]).near(0).raw(&[8, 1, 2, 5, 0]).raw(&[4, 1]).near(0).raw(&[0, 0, 0]);
    let others = put(settings, 0).raw(&[8, 0]).near(0).raw(&[1, 3]).raw(&[8, 0]).near(0).raw(&[0]);
    vec![native.0, feed.0, others.0]
}
