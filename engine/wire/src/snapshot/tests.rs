use super::*;
use proptest::prelude::*;

const STREAM: Session = Session(*b"1700000000");

fn offer() -> Offer<'static> {
    Offer {
        first_kept: 70,
        sequence: 99,
        chunks: 6,
        epoch: 3,
        chain: 7,
        acknowledgement_chain: 8,
        message: b"message",
        acknowledgement: b"outcome",
    }
}

fn frames() -> [Frame<'static>; 6] {
    let nothing = Offer { first_kept: 1, ..Offer::default() };
    [
        Frame::Question,
        Frame::Offer(offer()),
        Frame::Offer(nothing),
        Frame::Get { sequence: 99, chunk: 4 },
        Frame::Chunk(b"a chunk"),
        Frame::Refusal(SnapshotRefusal::Gone),
    ]
}

fn written(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0xAA; 3];
    frame.write(STREAM, &mut bytes);
    bytes
}

fn length(frame: &[u8]) -> Option<usize> {
    Frame::length(frame[..LENGTH_BYTES].try_into().expect("it is longer"))
}

#[test]
fn what_was_written_is_read_back() {
    for frame in frames() {
        let bytes = written(&frame);
        assert_eq!(length(&bytes), Some(bytes.len()));
        assert_eq!(Frame::parse(&bytes), Some((STREAM, frame)));
    }
}

#[test]
fn a_frame_damaged_anywhere_or_cut_is_none() {
    for frame in frames() {
        let bytes = written(&frame);
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            assert_eq!(Frame::parse(&damaged), None, "{frame:?}, byte {place}");
            assert_eq!(Frame::parse(&bytes[..place]), None, "{frame:?}, cut at {place}");
        }
        assert_eq!(Frame::parse(&[&bytes[..], b"x"].concat()), None, "{frame:?}, and more");
    }
}

#[test]
fn no_frame_is_announced_longer_than_a_chunk_or_shorter_than_its_head() {
    let mut bytes = written(&Frame::Question);
    let mut with = |announced: usize| {
        bytes[8..12].copy_from_slice(&(announced as u32).to_be_bytes());
        length(&bytes)
    };
    assert_eq!((with(FRAME_BYTES - 1), with(FRAME_BYTES)), (None, Some(FRAME_BYTES)));
    let longest = FRAME_BYTES + BODY_BYTES_MAX;
    assert_eq!((with(longest), with(longest + 1)), (Some(longest), None));
}

#[test]
fn an_offer_says_all_of_a_snapshot_or_nothing() {
    let refused = |change: fn(&mut Offer<'static>)| {
        let mut offer = offer();
        change(&mut offer);
        assert_eq!(Frame::parse(&written(&Frame::Offer(offer))), None, "{offer:?}");
    };
    refused(|offer| offer.sequence = 0);
    refused(|offer| offer.chunks = 0);
    refused(|offer| offer.message = b"");
    refused(|offer| offer.acknowledgement = b"");
    refused(|offer| {
        *offer = Offer { epoch: 1, ..Offer::default() };
    });
    refused(|offer| *offer = Offer { chain: 1, ..Offer::default() });
}

proptest! {
    #[test]
    fn anything_else_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Frame::parse(&bytes), None);
    }

    #[test]
    fn any_sealed_body_parses_to_what_writes_the_same(
        kind in prop_oneof![Just(b'Q'), Just(b'O'), Just(b'G'), Just(b'C'), Just(b'R'), any::<u8>()],
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = written(&Frame::Chunk(&body));
        bytes[12] = kind;
        let sum = checksum(&bytes[CHECKED_FROM..]).to_be_bytes();
        bytes[4..CHECKED_FROM].copy_from_slice(&sum);
        if let Some((stream, frame)) = Frame::parse(&bytes) {
            prop_assert_eq!(stream, STREAM);
            prop_assert_eq!(written(&frame), bytes);
        }
    }
}
