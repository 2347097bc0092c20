use proptest::prelude::*;

use super::*;

const SESSION: Session = Session(*b"CLIENT    ");

fn message(kind: Kind, reason: Reason, client_sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Envelope::new(SESSION, kind, reason, client_sequence, 77).to_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn should_leave_the_clients_block_unchanged() {
    let bytes = message(Kind::Transaction, Reason::None, 5, b"anything");
    let parsed = Message::parse(&bytes).unwrap();
    let envelope = parsed.envelope;
    assert_eq!(
        (envelope.session, envelope.kind(), envelope.reason()),
        (SESSION, Kind::Transaction, Reason::None)
    );
    assert_eq!((envelope.client_sequence(), envelope.timestamp_ns()), (5, 77));
    assert_eq!((parsed.body, parsed.checksum()), (&b"anything"[..], crate::checksum(b"anything")));
    assert!(parsed.skip().is_none() && parsed.void().is_none());
}

#[test]
fn should_take_the_checksum_of_a_void_from_its_body() {
    let block = vec![3; 2000];
    let bytes = message(Kind::Void, Reason::TooLong, 5, &Void::of(&block).to_bytes());
    let parsed = Message::parse(&bytes).unwrap();
    assert_eq!(parsed.void().map(Void::length), Some(2000));
    assert_eq!(parsed.checksum(), crate::checksum(&block));
    assert_eq!(parsed.envelope.reason(), Reason::TooLong);
}

#[test]
fn should_give_both_ends_of_a_skip() {
    let bytes = message(Kind::Skip, Reason::None, 10, &Skip::new(10, 12).to_bytes());
    let parsed = Message::parse(&bytes).unwrap();
    assert_eq!(parsed.skip().map(|skip| (skip.from(), skip.to())), Some((10, 12)));
    assert_eq!(parsed.checksum(), crate::checksum(&bytes[28..]));
}

#[test]
fn should_refuse_what_contradicts_itself() {
    let parse = |bytes: &[u8]| Message::parse(bytes).unwrap_err();
    assert_eq!(parse(&[0; 27]), EnvelopeError::Short { length: 27 });
    assert_eq!(parse(&[0; 28]), EnvelopeError::UnknownKind(0));
    let void = Void::of(b"x").to_bytes();
    assert_eq!(parse(&message(Kind::Void, Reason::None, 1, &void)), EnvelopeError::UnknownReason(0));
    assert_eq!(parse(&message(Kind::EndOfSession, Reason::TooLong, 1, &[])), EnvelopeError::UnknownReason(1));
    let mut unknown = message(Kind::Void, Reason::TooLong, 1, &void);
    unknown[11] = 9;
    assert_eq!(parse(&unknown), EnvelopeError::UnknownReason(9));
    for (kind, reason, body) in [
        (Kind::EndOfSession, Reason::None, &b"x"[..]),
        (Kind::EndOfStream, Reason::None, b"x"),
        (Kind::Skip, Reason::None, b"x"),
        (Kind::Void, Reason::TooLong, b""),
    ] {
        let expected = EnvelopeError::BodyLength { kind, length: body.len() };
        assert_eq!(parse(&message(kind, reason, 1, body)), expected);
    }
    let skip = Skip::new(2, 3).to_bytes();
    let expected = EnvelopeError::SkipRange { from: 2, to: 3 };
    assert_eq!(parse(&message(Kind::Skip, Reason::None, 1, &skip)), expected);
}

#[test]
fn should_leave_room_for_header_length_and_envelope() {
    assert_eq!(max_block_bytes(mold::MAX_PAYLOAD_BYTES), 1350);
    assert_eq!(max_block_bytes(50), 0);
    assert_eq!(max_block_bytes(0), 0);
}

proptest! {
    #[test]
    fn should_never_panic_on_bytes(
        mut bytes in prop::collection::vec(any::<u8>(), 0..60),
        kind in prop::sample::select(&b"TEKDVZ?"[..]),
        reason in 0..4_u8,
    ) {
        if let [_, _, _, _, _, _, _, _, _, _, kind_byte, reason_byte, ..] = &mut bytes[..] {
            (*kind_byte, *reason_byte) = (kind, reason);
        }
        if let Ok(message) = Message::parse(&bytes) {
            let envelope = message.envelope;
            let again = Envelope::new(
                envelope.session,
                envelope.kind(),
                envelope.reason(),
                envelope.client_sequence(),
                envelope.timestamp_ns(),
            );
            prop_assert_eq!(&again.to_bytes()[..], &bytes[..28]);
            message.checksum();
            let _ = format!("{message:?}");
        }
    }
}
