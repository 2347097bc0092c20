use super::*;
use crate::config::Peer;
use crate::step::unwatched;
use gds_wire::snapshot::Offer;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, Sender};
use tempfile::TempDir;

const STREAM: Session = Session(*b"1700000000");
const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SEQUENCE: u64 = 90;

/// Two chunks whose frames are right, and that no store can come of: the head says nothing.
fn chunks() -> [Vec<u8>; 2] {
    let chunk = |kind: u8, number: u32, chain: u32| {
        let body = [0; 24];
        let mut bytes = [&b"GDSN\0\x01"[..], &[kind, 0], &STREAM.0, &[0; 2]].concat();
        bytes.extend((64 + body.len() as u32).to_be_bytes());
        bytes.extend(SEQUENCE.to_be_bytes());
        for field in [number, 0, 1, chain] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        let checksum = gds_wire::checksum(&bytes);
        bytes[36..40].copy_from_slice(&checksum.to_be_bytes());
        (bytes, checksum)
    };
    let (head, checksum) = chunk(b'H', 0, 0);
    [head, chunk(b'E', 1, gds_wire::checksum(&checksum.to_be_bytes())).0]
}

/// A peer that offers them, and gives one with each connection; it tells which it was asked for.
fn give(listener: &TcpListener, asked: &Sender<u32>) -> io::Result<()> {
    let offer = Offer {
        first_kept: 80,
        sequence: SEQUENCE,
        chunks: 2,
        epoch: 4,
        chain: 7,
        acknowledgement_chain: 8,
        message: b"message",
        acknowledgement: b"outcome",
    };
    for connection in listener.incoming() {
        let mut link = Link::new(connection?, STREAM, PATIENCE)?;
        while let Ok((_, said)) = link.hear() {
            match said {
                Frame::Question => link.say(&Frame::Offer(offer))?,
                Frame::Get { sequence: SEQUENCE, chunk } => {
                    asked.send(chunk).map_err(io::Error::other)?;
                    link.say(&Frame::Chunk(&chunks()[chunk as usize]))?;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    Ok(())
}

fn home() -> (TempDir, Config, Receiver<u32>) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let listener = TcpListener::bind((PEER, 0)).expect("a port");
    let mut config = Config::default();
    config.stream.directory = home.path().to_path_buf();
    config.snapshot.segment_bytes = 1 << 20;
    config.cluster.node = 1;
    config.cluster.history_port = listener.local_addr().expect("a port").port();
    config.cluster.peer = vec![Peer { node: 2, address: PEER }];
    let (sender, asked) = mpsc::channel();
    // It ends with the test's process.
    thread::spawn(move || give(&listener, &sender));
    (home, config, asked)
}

#[test]
fn what_has_come_stays_for_the_next_start_and_what_is_wrong_is_taken_once() {
    let (home, config, asked) = home();
    let learner =
        Learner { config: &config, own: OWN, stream: STREAM, leader: Some(NodeId(2)), committed: 0 };
    let mut seen = Vec::new();
    let stopped = learner.fetch(&mut |step| match step {
        Step::Fetch { from, transfer } => {
            seen.push((from, transfer.there, transfer.chunks));
            if transfer.there == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        // As whoever said so once must.
        _ if seen.iter().any(|(_, there, _)| *there == 1) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(stopped, Err("the snapshot of node 2 did not come: the start was told to stop".into()));
    assert_eq!((seen.first(), seen.last()), (Some(&(NodeId(2), 0, 2)), Some(&(NodeId(2), 1, 2))));
    let begun = arrival::begun(&config, STREAM).expect("what has come is there");
    assert_eq!((begun.from, begun.landing.sequence), (NodeId(2), SEQUENCE));

    let why = learner.fetch(&mut unwatched).expect_err("it is wrong");
    assert!(why.contains("the snapshot at message 90 cannot be used"), "{why}");
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [0, 1], "each chunk came once");
    assert_eq!(home.path().read_dir().expect("a folder").count(), 0, "nothing is left of it");
}
