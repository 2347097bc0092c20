use proptest::prelude::*;

use super::*;

#[test]
fn should_lay_out_the_fields_in_order() {
    let refusal = Refusal { reason: RefusalReason::SessionsFull, session: Session(*b"CLIENT    "), next: 7 };
    let bytes = refusal.to_bytes();
    assert_eq!(bytes, *b"GDSR\0\x02CLIENT    \0\0\0\0\0\0\0\x07");
    assert_eq!(Refusal::parse(&bytes), Some(refusal));
}

#[test]
fn should_take_nothing_else_for_a_refusal() {
    let bytes = Refusal { reason: RefusalReason::DiskFull, session: Session::NODE, next: 1 }.to_bytes();
    assert_eq!(Refusal::parse(&bytes[..23]), None);
    let mut other = bytes;
    other[0] = b'X';
    assert_eq!(Refusal::parse(&other), None);
    let mut unknown = bytes;
    unknown[5] = 5;
    assert_eq!(Refusal::parse(&unknown), None);
}

proptest! {
    #[test]
    fn should_read_back_what_it_writes(session in any::<[u8; 10]>(), next: u64, code in 1..5_u16) {
        let refusal = Refusal { reason: RefusalReason::from_u16(code).unwrap(), session: Session(session), next };
        prop_assert_eq!(Refusal::parse(&refusal.to_bytes()), Some(refusal));
    }

    #[test]
    fn should_never_panic_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..28)) {
        let _ = Refusal::parse(&bytes);
    }
}
