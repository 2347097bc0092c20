use super::*;
use crate::config::Peer;
use gds_core::cursor::Progress;
use gds_core::journal::{JournalConfig, begin_with};
use gds_core::memory::ring::{Ring, RingConfig, RingIdentity};
use gds_core::memory::words::HeapWords;
use gds_nic::{Directory, DirectoryConfig};
use tempfile::TempDir;

const STREAM: Session = Session(*b"1700000000");
const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A node whose journals begin with message 90, and that has no snapshot.
struct Home {
    giver: Giver,
    address: SocketAddrV4,
    _folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = TcpListener::bind((OWN, 0)).and_then(|listener| listener.local_addr()).expect("a port");
        let mut config = Config::default();
        config.cluster.node = 1;
        config.cluster.history_port = free.port();
        config.cluster.peer = vec![Peer { node: 2, address: PEER }];
        let disk = |name: &str, session| {
            let path = folder.path().join(name);
            let mut disk = Files(Directory::open(DirectoryConfig::new(&path)).expect("a folder"));
            let journal = JournalConfig { segment_bytes: 1 << 20, ..JournalConfig::default() };
            assert_eq!(begin_with(&mut disk, journal, session, 90, (4, 7), b"message"), Ok(true));
            Files::open_to_read(&path).expect("a journal")
        };
        let (bus, acknowledgements) =
            (disk("bus", STREAM), disk("acknowledgements", acknowledgement_session(STREAM)));
        let ring_config = RingConfig { data_bytes: 1 << 13, positions: 2 };
        let words = HeapWords::shared(Ring::words_needed(&ring_config));
        let ring = Ring::create(
            words,
            ring_config,
            RingIdentity { stream: STREAM, boot_id: [0; 16], directory: [0; 16] },
            91,
        );
        let member = Member {
            config,
            own: OWN,
            bus: Stream {
                session: STREAM,
                name: STREAM,
                ring,
                progress: Arc::<Progress>::default(),
                publish_from: 91,
                unreadable: Arc::default(),
            },
            leadership: Arc::new(Leadership::following()),
            replication: Arc::default(),
            orders: Arc::default(),
        };
        let giver = Giver::start(member, Shelf { snapshots: None, bus, acknowledgements }).expect("a thread");
        Self { giver, address: SocketAddrV4::new(OWN, free.port()), _folder: folder }
    }

    fn link(&self, from: Ipv4Addr, stream: Session) -> Link {
        Link::open(from, self.address, stream, PATIENCE).expect("it listens")
    }
}

#[test]
fn a_peer_is_told_what_there_is_and_refused_what_is_not() {
    let home = Home::new();
    let mut link = home.link(PEER, STREAM);
    for _ in 0..3 {
        link.say(&Frame::Question).expect("a connection");
        let (stream, Frame::Offer(offer)) = link.hear().expect("an answer") else { panic!("no offer") };
        assert_eq!((stream, offer.first_kept, offer.sequence, offer.chunks), (STREAM, 90, 0, 0));
    }
    link.say(&Frame::Get { sequence: 90, chunk: 0 }).expect("a connection");
    assert_eq!(link.hear().expect("an answer").1, Frame::Refusal(SnapshotRefusal::Gone));
    let mut link = home.link(PEER, Session(*b"1800000000"));
    link.say(&Frame::Question).expect("a connection");
    assert_eq!(link.hear().expect("an answer"), (STREAM, Frame::Refusal(SnapshotRefusal::Stream)));
    let counters = home.giver.counters();
    assert_eq!((counters.questions.get(), counters.transfers.get(), counters.refused.get()), (3, 1, 2));
}

#[test]
fn a_stranger_and_one_too_many_get_no_answer() {
    let home = Home::new();
    let no_answer = |mut link: Link| {
        let _ = link.say(&Frame::Question);
        link.hear().expect_err("nobody is there");
    };
    no_answer(home.link(STRANGER, STREAM));
    assert_eq!(home.giver.counters().strangers.get(), 1);
    let mut links: Vec<Link> = (0..CONNECTIONS_MAX).map(|_| home.link(PEER, STREAM)).collect();
    for link in &mut links {
        link.say(&Frame::Question).expect("a connection");
        link.hear().expect("an answer");
    }
    no_answer(home.link(PEER, STREAM));
    assert_eq!(home.giver.counters().strangers.get(), 2);
    links[0].say(&Frame::Question).expect("a connection");
    links[0].hear().expect("the others are served");
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let home = Home::new();
    let mut connection = home.link(PEER, STREAM);
    connection.say(&Frame::Chunk(b"nobody asked for it")).expect("a connection");
    connection.hear().expect_err("it is closed");
    let mut another = home.link(PEER, STREAM);
    another.say(&Frame::Question).expect("a connection");
    another.hear().expect("it answers others");
}

#[test]
fn what_is_given_keeps_to_its_pace() {
    let mut pace = Pace::new(1 << 20);
    let began = Instant::now();
    for _ in 0..4 {
        pace.wait(1 << 16);
    }
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
}
