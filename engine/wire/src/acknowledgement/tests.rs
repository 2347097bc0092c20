use proptest::prelude::*;

use super::*;

#[test]
fn should_know_every_outcome_by_its_code() {
    assert_eq!(Outcome::ALL.len(), 16);
    for (code, &outcome) in Outcome::ALL.iter().enumerate() {
        assert_eq!((outcome as usize, Outcome::from_u16(code as u16)), (code, Some(outcome)));
    }
    assert_eq!(Outcome::from_u16(16), None);
    assert!(Outcome::NoOperation.is_success() && !Outcome::Skipped.is_success());
}

#[test]
fn should_lay_out_the_fields_in_order() {
    let session = Session(*b"CLIENT    ");
    let acknowledgement = Acknowledgement::new(session, 7, 0x0102_0304, Outcome::Malformed);
    let bytes = acknowledgement.to_bytes();
    assert_eq!(bytes, *b"CLIENT    \0\0\0\0\0\0\0\x07\x01\x02\x03\x04\0\x07");
    assert_eq!(Acknowledgement::parse(&bytes), Ok(&acknowledgement));
    assert_eq!(acknowledgement.outcome(), Outcome::Malformed);
}

#[test]
fn should_refuse_other_sizes_and_unknown_outcomes() {
    assert_eq!(Acknowledgement::parse(&[0; 23]), Err(AcknowledgementError::Length(23)));
    assert_eq!(Acknowledgement::parse(&[1; 24]), Err(AcknowledgementError::UnknownOutcome(0x0101)));
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(session in any::<[u8; 10]>(), sequence: u64, checksum: u32, code in 0..16_u16) {
        let outcome = Outcome::from_u16(code).unwrap();
        let bytes = Acknowledgement::new(Session(session), sequence, checksum, outcome).to_bytes();
        let read = Acknowledgement::parse(&bytes).unwrap();
        prop_assert_eq!((read.session, read.client_sequence()), (Session(session), sequence));
        prop_assert_eq!((read.checksum(), read.outcome()), (checksum, outcome));
    }

    #[test]
    fn should_never_panic_on_bytes(bytes in prop::collection::vec(any::<u8>(), 20..28)) {
        let _ = format!("{:?}", Acknowledgement::parse(&bytes));
    }
}
