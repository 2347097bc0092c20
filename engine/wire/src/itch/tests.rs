use proptest::prelude::*;
use zerocopy::FromZeros;

use super::*;

const TYPES: &[u8] = b"SRHYLVWKJhAFECXDUPQBINO";

#[test]
fn should_know_the_size_of_every_type() {
    let known: Vec<u8> = (0..=255).filter(|&kind| size_of_type(kind).is_some()).collect();
    let mut types = TYPES.to_vec();
    types.sort_unstable();
    assert_eq!(known, types);
    for &kind in TYPES {
        let mut bytes = vec![0; size_of_type(kind).unwrap()];
        bytes[0] = kind;
        let message = parse(&bytes).unwrap();
        assert_eq!(message.prefix().kind, kind);
        assert_eq!(matches!(message, Message::Other { .. }), !b"SRAFECXDU".contains(&kind));
        let expected = bytes.len();
        bytes.push(0);
        let error = ItchError::Size { kind, length: expected + 1, expected };
        assert_eq!(parse(&bytes), Err(error));
        assert!(parse(&bytes[..expected - 1]).is_err());
    }
    assert_eq!(parse(b""), Err(ItchError::Empty));
    assert_eq!(parse(b"Z"), Err(ItchError::UnknownType(b'Z')));
}

#[test]
fn should_find_the_fields_of_an_order_where_they_are_published() {
    let mut bytes = *b"F\0\x0d\0\x02\0\0\0\0\x01\0\0\0\0\0\0\0\0\x07B\0\0\0\x64AAPL    \0\x01\x86\xa0MPID";
    let Ok(Message::AddOrderMpid(order)) = parse(&bytes) else { panic!("no order") };
    let (add, prefix) = (&order.order, &order.order.prefix);
    assert_eq!((prefix.locate.get(), prefix.tracking.get(), prefix.timestamp.ns()), (13, 2, 256));
    assert_eq!((add.reference.get(), add.side, add.shares.get()), (7, b'B', 100));
    assert_eq!((&add.stock, add.price.get(), &order.attribution), (b"AAPL    ", 10 * PRICE_SCALE, b"MPID"));
    bytes[0] = b'A';
    assert!(parse(&bytes[..36]).is_ok_and(|message| matches!(message, Message::AddOrder(_))));
}

#[test]
fn should_find_the_fields_of_a_replacement_where_they_are_published() {
    let mut replace = Replace::new_zeroed();
    replace.prefix.kind = b'U';
    replace.old_reference = 1.into();
    replace.new_reference = 2.into();
    replace.shares = 3.into();
    replace.price = 4.into();
    let bytes = replace.as_bytes();
    assert_eq!((bytes[18], bytes[26], bytes[30], bytes[34]), (1, 2, 3, 4));
    let mut executed = ExecutedWithPrice::new_zeroed();
    executed.executed.prefix.kind = b'C';
    executed.printable = b'Y';
    executed.price = 5.into();
    let bytes = executed.as_bytes();
    assert_eq!((bytes[0], bytes[31], bytes[35]), (b'C', b'Y', 5));
}

#[test]
fn should_find_the_fields_of_the_directory_where_they_are_published() {
    let mut bytes = [0; 39];
    bytes[0] = b'R';
    for (offset, byte) in (11..).zip(1_u8..=28) {
        bytes[offset] = byte;
    }
    let Ok(Message::StockDirectory(stock)) = parse(&bytes) else { panic!("no directory") };
    assert_eq!((stock.stock[0], stock.market_category, stock.financial_status), (1, 9, 10));
    assert_eq!((stock.round_lot.get(), stock.round_lots_only), (0x0b0c_0d0e, 15));
    assert_eq!((stock.classification, stock.sub_type, stock.authenticity), (16, [17, 18], 19));
    assert_eq!((stock.short_sale_threshold, stock.ipo, stock.luld_tier, stock.etp), (20, 21, 22, 23));
    assert_eq!((stock.etp_leverage.get(), stock.inverse), (0x1819_1a1b, 28));
}

proptest! {
    #[test]
    fn should_keep_forty_eight_bits_of_a_timestamp(ns: u64) {
        prop_assert_eq!(Timestamp::new(ns).ns(), ns & 0xFFFF_FFFF_FFFF);
    }

    #[test]
    fn should_never_panic_on_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..60), kind in prop::sample::select(TYPES)) {
        let _ = parse(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = kind;
            bytes.resize(size_of_type(kind).unwrap(), 0);
            prop_assert_eq!(parse(&bytes).unwrap().prefix().kind, kind);
        }
    }
}
