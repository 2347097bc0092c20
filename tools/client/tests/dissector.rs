//! A dissector that is not ours, tshark's, reads what a node and its clients say to each other: all of it is well formed, and it
//! counts what the node counts. UDP is recorded as it is sent, one datagram a packet: bursts, which would be recorded before they are
//! cut, are turned off.
//!
//! Wireshark tells a request packet from a downstream packet by its 20 bytes with a count above 0. That is an end-of-session packet
//! too, and some versions call it a request: see [`is_request`]. Refusals are GDS's own and none is provoked here.
#[path = "dissector/recording.rs"]
mod recording;

use gds_client::{ClientError, Listener, ListenerConfig, Network, Reader, Writer, draw_session};
use gds_core::bus::SubmitEvent;
use gds_core::query::CounterSets;
use gds_node::config::Config;
use gds_node::node::Node;
use gds_wire::query::Key;
use gds_wire::session::Session;
use gds_wire::soup::{LOGOUT_REQUEST_PACKET, Login, RejectCode};
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use recording::{Frame, Recording};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Ports and groups of this process's own: other checkouts on this machine may run the same test.
static OWN: LazyLock<u16> = LazyLock::new(|| (std::process::id() % 100) as u16);
static INGRESS: LazyLock<u16> = LazyLock::new(|| 30_000 + *OWN * 10);
static DOWNSTREAM: LazyLock<u16> = LazyLock::new(|| *INGRESS + 1);
static ACKNOWLEDGEMENTS: LazyLock<u16> = LazyLock::new(|| *INGRESS + 2);
static REWINDER: LazyLock<u16> = LazyLock::new(|| *INGRESS + 3);
static QUERY: LazyLock<u16> = LazyLock::new(|| *INGRESS + 4);

const WRITERS: usize = 2;
const BLOCKS: u64 = 1_500;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than both sides of a SoupBinTCP session may say nothing.
const QUIET: Duration = Duration::from_millis(2_300);

/// The count of an end-of-session packet.
const END_OF_SESSION: u64 = 0xFFFF;

/// Wireshark's severity of an error and its group of malformed packets.
const SEVERITY_ERROR: u64 = 0x0080_0000;
const GROUP_MALFORMED: u64 = 0x0700_0000;

/// What is wrong with a packet, in the dissectors' words.
const COMPLAINTS: [&str; 6] = [
    "_ws.malformed",
    "moldudp64.msglen.invalid",
    "moldudp64.count.invalid",
    "moldudp64.end_of_session_extra",
    "soupbintcp.next_seq_num.invalid",
    "soupbintcp.req_seq_num.invalid",
];

const FIELDS: [&str; 21] = [
    "frame.number",
    "udp.srcport",
    "udp.dstport",
    "tcp.srcport",
    "tcp.len",
    "moldudp64.session",
    "moldudp64.sequence",
    "moldudp64.count",
    "moldudp64.request",
    "moldudp64.msgseq",
    "moldudp64.msgdata",
    "soupbintcp.packet_type",
    "soupbintcp.reject_code",
    "_ws.expert.severity",
    "_ws.expert.group",
    COMPLAINTS[0],
    COMPLAINTS[1],
    COMPLAINTS[2],
    COMPLAINTS[3],
    COMPLAINTS[4],
    COMPLAINTS[5],
];

#[test]
fn should_be_understood_by_a_dissector_that_is_not_ours() {
    let place = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let recording = match Recording::begin(place.path(), (*INGRESS, *REWINDER), *QUERY) {
        Ok(recording) => recording,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let day = Day::live(&configuration(place.path()));
    let mut settings: Vec<String> = Vec::new();
    for port in [*INGRESS, *DOWNSTREAM, *ACKNOWLEDGEMENTS, *REWINDER] {
        settings.extend(["-d".into(), format!("udp.port=={port},moldudp64")]);
    }
    settings.extend(["-d".into(), format!("tcp.port=={},soupbintcp", *QUERY)]);
    let frames = recording.end(&settings, &FIELDS);
    println!("{} packets recorded", frames.len());

    nothing_is_malformed(&frames);
    day.holds_downstream(&frames);
    day.holds_requests(&frames);
    day.holds_ingress(&frames);
    day.holds_soup(&frames);
}

fn configuration(directory: &std::path::Path) -> Config {
    let (own, ingress) = (*OWN, *INGRESS);
    let (downstream, acknowledgements, rewinder, query) = (*DOWNSTREAM, *ACKNOWLEDGEMENTS, *REWINDER, *QUERY);
    let text = format!(
        "[stream]\ndirectory = {:?}\n\
         [network]\nsegmentation = false\ningress_groups = [\"239.193.1{own:02}.1\", \"239.193.1{own:02}.2\"]\ningress_port = {ingress}\n\
         downstream_group = \"239.193.1{own:02}.3\"\ndownstream_port = {downstream}\n\
         acknowledgement_group = \"239.193.1{own:02}.4\"\nacknowledgement_port = {acknowledgements}\n\
         rewinder_port = {rewinder}\nquery_port = {query}\n\
         [limits]\nrecords_max = 10000\nbytes_max = 4000000\n\
         [ring]\ndata_bytes = 4194304\npositions = 16384\n[journal]\nsegment_bytes = 33554432\n\
         [loss]\ningress_per_mille = 100",
        directory.join("node"),
    );
    Config::parse(&text, "dissector").expect("a good configuration")
}

/// What happened, as the node and its clients know it.
struct Day {
    counters: BTreeMap<String, u64>,
    sessions: (String, String),
    writers: BTreeSet<String>,
    /// The bus as the listener had it, from message 1 on.
    delivered: Vec<Vec<u8>>,
    /// Request packets that clients sent.
    requests: u64,
}

impl Day {
    /// Runs a node from its first message to the end of its stream.
    fn live(config: &Config) -> Self {
        let node = Node::start(config, &mut gds_node::step::unwatched).expect("the node starts");
        let network = Network::of(config).expect("loopback is there");
        let lossy = ListenerConfig { loss_per_mille: 100, ..ListenerConfig::bus(&network) };
        let mut listener = Listener::open(&network, lossy).expect("a listener");
        let mut delivered: Vec<Vec<u8>> = Vec::new();
        let mut deliver = |listener: &mut Listener| {
            listener.poll(&mut |sequence, message| {
                assert_eq!(sequence, delivered.len() as u64 + 1);
                delivered.push(message.to_vec());
            });
        };
        let mut writers: Vec<Writer> =
            (0..WRITERS).map(|_| Writer::open(&network, draw_session("DIS"), 1).expect("a writer")).collect();
        write(&mut writers, &mut || deliver(&mut listener));
        let mut to_the_end = query(&network);

        node.end_stream();
        let deadline = Instant::now() + TIMEOUT;
        while !listener.ended() || !writers.iter().all(|writer| writer.acknowledgements().ended()) {
            deliver(&mut listener);
            writers.iter_mut().for_each(|writer| _ = writer.poll(&mut |_| {}));
            assert!(Instant::now() < deadline, "the streams do not end");
        }
        let sessions = (node.stream().session.to_string(), node.acknowledgements().session.to_string());
        let sets = node.counters().clone();
        let files = gds_node::rings::files(config);
        let stopped = node.stop();
        for file in files {
            let _ = std::fs::remove_file(file);
        }
        stopped.expect("the node stops in order");
        assert!(
            matches!(to_the_end.status(0), Err(ClientError::Ended)),
            "the end of session reaches the reader"
        );

        let asked = |writer: &Writer| writer.acknowledgements().counters().requests.get();
        Self {
            counters: values(&sets),
            sessions,
            writers: writers.iter().map(|writer| writer.session().to_string()).collect(),
            requests: listener.counters().requests.get() + writers.iter().map(asked).sum::<u64>(),
            delivered,
        }
    }

    fn counted(&self, name: &str) -> u64 {
        *self.counters.get(name).unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// Both groups carry each number once, and what they carry is what the listener had.
    fn holds_downstream(&self, frames: &[Frame]) {
        let streams = [
            (*DOWNSTREAM, &self.sessions.0, "publisher"),
            (*ACKNOWLEDGEMENTS, &self.sessions.1, "acknowledgement_publisher"),
        ];
        for (port, session, set) in streams {
            let packets: Vec<&Frame> =
                frames.iter().filter(|frame| frame.number("udp.dstport") == Some(port.into())).collect();
            assert!(
                packets.iter().all(|frame| frame.all("moldudp64.session").eq([session.as_str()])),
                "{set}"
            );
            assert!(!packets.iter().any(|frame| is_request(frame)), "{set}: taken for a request");
            let count = |wanted: &dyn Fn(u64) -> bool| {
                let counts = packets.iter().map(|frame| frame.number("moldudp64.count").expect("a count"));
                counts.filter(|count| wanted(*count)).count() as u64
            };
            assert_eq!(
                count(&|count| (1..END_OF_SESSION).contains(&count)),
                self.counted(&format!("{set}.packets")),
                "{set}"
            );
            assert_eq!(count(&|count| count == 0), self.counted(&format!("{set}.heartbeats")), "{set}");
            assert_eq!(
                count(&|count| count == END_OF_SESSION),
                self.counted(&format!("{set}.ends")),
                "{set}"
            );
            assert!(
                self.counted(&format!("{set}.ends")) >= 5 && self.counted(&format!("{set}.unsent")) == 0,
                "{set}"
            );

            let numbers = packets.iter().flat_map(|frame| frame.numbers("moldudp64.msgseq"));
            assert!(numbers.eq(1..=self.counted(&format!("{set}.messages"))), "{set}: numbers");
            let messages = self.delivered.len() as u64;
            assert_eq!(self.counted(&format!("{set}.messages")), messages, "{set}");
            for frame in
                packets.iter().filter(|frame| frame.number("moldudp64.count") == Some(END_OF_SESSION))
            {
                assert_eq!(frame.number("moldudp64.sequence"), Some(messages + 1), "{set}: end of session");
            }
        }
        let downstream =
            frames.iter().filter(|frame| frame.number("udp.dstport") == Some(u64::from(*DOWNSTREAM)));
        let bodies = downstream.flat_map(|frame| frame.all("moldudp64.msgdata"));
        assert!(bodies.eq(self.delivered.iter().map(|message| hex(message))), "the messages themselves");
    }

    /// Requests of clients and of the node, and the rewinder's replies.
    fn holds_requests(&self, frames: &[Frame]) {
        let requests = |field: &str, port: u16| {
            let from = frames.iter().filter(|frame| frame.number(field) == Some(port.into()));
            from.filter(|frame| is_request(frame)).count() as u64
        };
        assert!(self.requests > 10, "few packets were lost");
        assert_eq!(requests("udp.dstport", *REWINDER), self.requests);
        assert_eq!(self.counted("rewinder.requests"), self.requests);
        assert!(self.counted("ingress.requests") > 0, "no client packet was asked for");
        assert_eq!(requests("udp.srcport", *INGRESS), self.counted("ingress.requests"));

        let replies: Vec<&Frame> =
            frames.iter().filter(|frame| frame.number("udp.srcport") == Some(u64::from(*REWINDER))).collect();
        let messages =
            replies.iter().map(|frame| frame.numbers("moldudp64.msgseq").count() as u64).sum::<u64>();
        assert_eq!(replies.len() as u64, self.counted("rewinder.replies"));
        assert_eq!(messages, self.counted("rewinder.messages"));
    }

    /// Each client's session carries its numbers from 1 on, and its end.
    fn holds_ingress(&self, frames: &[Frame]) {
        let mut numbers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        for frame in frames.iter().filter(|frame| frame.number("udp.dstport") == Some(u64::from(*INGRESS))) {
            let session = frame.all("moldudp64.session").next().expect("a session");
            numbers.entry(session).or_default().extend(frame.numbers("moldudp64.msgseq"));
            if frame.number("moldudp64.count") == Some(END_OF_SESSION) {
                ended.insert(session.to_owned());
            }
        }
        assert!(numbers.keys().copied().eq(self.writers.iter().map(String::as_str)), "{numbers:?}");
        assert!(numbers.values().all(|numbers| numbers.iter().copied().eq(1..=BLOCKS)));
        assert_eq!(ended, self.writers);
    }

    /// Every type of packet, as often as the server says.
    fn holds_soup(&self, frames: &[Frame]) {
        let mut seen: BTreeMap<(bool, char), u64> = BTreeMap::new();
        for frame in frames {
            let from_server = frame.number("tcp.srcport") == Some(u64::from(*QUERY));
            for kind in frame.all("soupbintcp.packet_type") {
                *seen.entry((from_server, character(kind))).or_default() += 1;
            }
        }
        println!("SoupBinTCP packets by (from the server, type): {seen:?}");
        let server = |kind: char| seen.get(&(true, kind)).copied().unwrap_or(0);
        let client = |kind: char| seen.get(&(false, kind)).copied().unwrap_or(0);
        assert_eq!(server('A'), self.counted("query.logins"));
        assert_eq!(server('J'), 2);
        assert_eq!(server('S'), self.counted("query.answers"));
        assert_eq!(server('H'), self.counted("query.heartbeats"));
        assert_eq!(server('Z'), 1);
        assert_eq!(client('L'), server('A') + server('J'));
        assert_eq!(client('U'), self.counted("query.requests"));
        assert_eq!(client('O'), self.counted("query.closed_logout"));
        assert!(server('S') > 10 && server('H') >= 2 && client('R') >= 2 && client('O') >= 2, "{seen:?}");
        let reasons = frames.iter().flat_map(|frame| frame.all("soupbintcp.reject_code")).map(character);
        assert_eq!(reasons.collect::<BTreeSet<_>>(), BTreeSet::from(['A', 'S']));
    }
}

/// What the dissector calls a request, but for ends of session.
fn is_request(frame: &Frame) -> bool {
    frame.has("moldudp64.request") && frame.number("moldudp64.count") != Some(END_OF_SESSION)
}

fn nothing_is_malformed(frames: &[Frame]) {
    for frame in frames {
        let bad = COMPLAINTS.iter().find(|field| frame.has(field));
        assert!(bad.is_none(), "{}: {frame:?}", bad.expect("it is there"));
        let error = frame.numbers("_ws.expert.severity").any(|severity| severity >= SEVERITY_ERROR);
        let malformed = frame.numbers("_ws.expert.group").any(|group| group == GROUP_MALFORMED);
        assert!(!error && !malformed, "the dissector has something to say: {frame:?}");
        let understood = frame.has("moldudp64.session") || frame.has("soupbintcp.packet_type");
        let empty = frame.number("tcp.len") == Some(0);
        let part = frame.number("tcp.len").is_some();
        assert!(understood || empty || part, "not dissected: {frame:?}");
    }
}

/// Writes every record, while `meanwhile` is called again and again, and ends the sessions.
fn write(writers: &mut [Writer], meanwhile: &mut dyn FnMut()) {
    let mut acknowledged = vec![0; writers.len()];
    let mut submitted = vec![0; writers.len()];
    let deadline = Instant::now() + TIMEOUT;
    while !writers.iter().all(Writer::finished) {
        for (at, writer) in writers.iter_mut().enumerate() {
            // A few at a time, so that there are packets enough for some to be lost.
            for _ in 0..10_u64.min(BLOCKS - submitted[at]) {
                let mut buffer = [0; 256];
                let length = put(&mut buffer, submitted[at]);
                if writer.submit(&buffer[..length]).is_ok() {
                    submitted[at] += 1;
                }
            }
            if submitted[at] == BLOCKS {
                writer.end();
            }
            writer.poll(&mut |event| {
                acknowledged[at] += u64::from(matches!(event, SubmitEvent::Acknowledged { .. }));
            });
        }
        meanwhile();
        assert!(Instant::now() < deadline, "acknowledged {acknowledged:?} of {BLOCKS}");
    }
    assert_eq!(acknowledged, [BLOCKS; WRITERS]);
    // Heartbeats are long apart by now, and every gap is filled.
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        meanwhile();
    }
}

fn put(buffer: &mut [u8], key: u64) -> usize {
    let mut builder = TransactionBuilder::new(buffer);
    let value = [b'v'; 60];
    let key = key.to_be_bytes();
    let operation =
        Operation { kind: OperationKind::Put, table: 1, key: &key, value: &value, expected: None };
    builder.push(&operation).expect("it fits");
    builder.finish()
}

/// Asks everything there is to ask, lets one connection fall silent, and leaves another open, which it returns.
fn query(network: &Network) -> Reader {
    let open = |password: &str| Reader::open(network, "reader", password, TIMEOUT);
    let mut reader = open("reader").expect("a login");
    let key = 7_u64.to_be_bytes();
    assert!(reader.get(1, &key, 0, 0).expect("an answer").is_some());
    assert!(reader.get(1, b"missing", 0, 0).expect("an answer").is_none());
    let keys = [Key { table: 1, key: &key }, Key { table: 1, key: b"missing" }];
    assert_eq!(reader.get_all(&keys, 0, 0).expect("an answer").len(), 2);
    let mut messages = 0;
    reader.range(1, 0, &mut |_, _| messages += 1).expect("a range");
    assert!(messages > BLOCKS);
    let quiet = Instant::now() + QUIET;
    reader.watch(1, &mut |_, _| true, &mut || Instant::now() < quiet).expect("a watch");
    // Answered after the watch's end, so that nothing is left unsent by the logout.
    reader.status(0).expect("a status");
    reader.close();

    assert!(matches!(open("wrong"), Err(ClientError::Rejected(RejectCode::NotAuthorized))));
    log_in_by_hand(network, "NOSUCHNAME", None);
    // A login of version 4.10, which says how long its client may be silent.
    log_in_by_hand(network, "", Some(5_000));
    open("reader").expect("a login")
}

/// Logs in byte by byte, to `session` or a new one, and out again.
fn log_in_by_hand(network: &Network, session: &str, heartbeat_timeout_ms: Option<u32>) {
    let session = Session::padded(session).unwrap_or(Session::BLANK);
    let mut login = Login::new("reader", "reader", session, 1).expect("a good login");
    login.heartbeat_timeout_ms = heartbeat_timeout_ms;
    let mut packet = [0; 64];
    let length = login.encode(&mut packet).expect("it fits");
    let mut stream = TcpStream::connect(network.addresses().query).expect("a connection");
    stream.write_all(&packet[..length]).expect("the login is taken");
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).expect("an answer");
    let expected = if session == Session::BLANK { b'A' } else { b'J' };
    assert_eq!(answer[2], expected);
    if expected == b'A' {
        stream.write_all(&LOGOUT_REQUEST_PACKET).expect("the logout is taken");
    }
    // Until the server closes.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the server closes");
    sleep(Duration::from_millis(10));
}

fn values(sets: &CounterSets) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for (set, counters) in sets {
        counters.for_each(&mut |name, _, value| {
            found.insert(format!("{set}.{name}"), value);
        });
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A character as tshark prints it: in quotes, or its code.
fn character(text: &str) -> char {
    let text = text.trim_matches('\'');
    let code = text.strip_prefix("0x").and_then(|digits| u8::from_str_radix(digits, 16).ok());
    code.map(char::from).or_else(|| text.chars().next()).expect("a character")
}
