use super::*;
use crate::orders::Orders;
use gds_wire::itch::{self, size_of_type};
use proptest::prelude::*;
use std::time::Instant;

/// Live orders of a certain day, and their digest.
const QUOTED: (usize, u64) = (114, 15_433_812_698_658_419_467);

/// All messages of a day.
fn messages(config: DayConfig) -> Vec<Vec<u8>> {
    let mut day = Day::new(config).unwrap();
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let mut messages = Vec::new();
    while let Some(length) = day.next_message(&mut buffer) {
        messages.push(buffer[..length].to_vec());
    }
    messages
}

fn timestamp_ns(message: &[u8]) -> u64 {
    crate::capture::itch_timestamp_ns(message).unwrap()
}

#[test]
fn a_day_has_exactly_as_many_messages_as_asked() {
    for count in [306, 307, 1_000, 20_000] {
        let config = DayConfig { symbols: 100, ..DayConfig::new(3, count) };
        assert_eq!(messages(config).len() as u64, count);
    }
    assert_eq!(messages(DayConfig::new(3, 20)).len(), 20);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let config = DayConfig::new(42, 5_000);
    assert_eq!(messages(config), messages(config));
    assert_ne!(messages(config), messages(DayConfig { seed: 43, ..config }));
}

#[test]
fn a_quoted_seed_still_gives_the_day_it_always_gave() {
    // A change here changes every day anybody has quoted by its seed: a note in the change log at least.
    let mut day = Day::new(DayConfig::new(1, 10_000)).unwrap();
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    while day.next_message(&mut buffer).is_some() {}
    assert_eq!((day.state().live_orders(), day.state().digest()), QUOTED);
}

#[test]
fn the_marks_of_the_day_come_in_their_order() {
    let messages = messages(DayConfig::new(7, 10_000));
    let marks: Vec<u8> =
        messages.iter().filter(|message| message[0] == b'S').map(|message| message[11]).collect();
    assert_eq!(marks, b"OSQMEC");
    assert_eq!(messages[0][11], b'O');
    assert!(messages[1..101].iter().all(|message| message[0] == b'R'));
    assert_eq!(messages.last().unwrap()[11], b'C');
}

#[test]
fn every_message_is_one_of_itch_with_a_time_that_does_not_run_back() {
    let mut last_ns = 0;
    for message in messages(DayConfig::new(11, 50_000)) {
        assert_eq!(size_of_type(message[0]), Some(message.len()), "type {:?}", message[0] as char);
        itch::parse(&message).unwrap();
        let at_ns = timestamp_ns(&message);
        assert!(at_ns >= last_ns && at_ns < 24 * HOUR_NS);
        last_ns = at_ns;
    }
    assert!(last_ns >= MESSAGES_END_NS);
}

#[test]
fn trading_stays_between_its_marks_and_fills_the_day() {
    let messages = messages(DayConfig::new(5, 100_000));
    let last_trading = messages.iter().rev().find(|message| message[0] == b'A').unwrap();
    let at_ns = timestamp_ns(last_trading);
    assert!((15 * HOUR_NS..MARKET_END_NS).contains(&at_ns), "{at_ns}");
}

#[test]
fn every_order_message_is_valid_and_the_state_is_the_plain_count() {
    let config = DayConfig { live_orders_max: 500, ..DayConfig::new(9, 200_000) };
    let mut day = Day::new(config).unwrap();
    let mut orders = Orders::new();
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    while let Some(length) = day.next_message(&mut buffer) {
        orders.apply(&buffer[..length]).unwrap_or_else(|error| panic!("message {}: {error}", day.made()));
        assert!(orders.len() <= 500);
        if day.made() % 50_000 == 7 {
            assert_eq!(day.state().digest(), orders.digest());
        }
    }
    let mut live: Vec<_> = day.state().iter().collect();
    live.sort_unstable();
    assert_eq!(live, orders.sorted());
    assert_eq!(day.state().live_orders(), orders.len());
    assert_eq!(day.state().digest(), orders.digest());
    assert!(!orders.is_empty());
}

#[test]
fn types_come_in_the_proportion_of_a_recorded_day() {
    let mut counts = [0_u32; 256];
    let messages = messages(DayConfig::new(1, 1_000_000));
    for message in &messages {
        counts[usize::from(message[0])] += 1;
    }
    let percent = |kind: u8| f64::from(counts[usize::from(kind)]) / messages.len() as f64 * 100.0;
    for (kind, expected) in [(b'A', 47.6), (b'D', 40.8), (b'E', 8.3), (b'P', 2.4), (b'L', 0.5)] {
        assert!((percent(kind) - expected).abs() < 0.5, "{}: {} %", kind as char, percent(kind));
    }
    for kind in *b"CUXFHYRS" {
        assert!(counts[usize::from(kind)] > 0, "no {}", kind as char);
    }
}

#[test]
fn symbols_are_different_and_look_like_symbols() {
    let config = DayConfig { symbols: SYMBOLS_MAX, ..DayConfig::new(1, 40_000) };
    let mut symbols: Vec<[u8; 8]> = messages(config)
        .iter()
        .filter(|message| message[0] == b'R')
        .map(|message| message[11..19].try_into().unwrap())
        .collect();
    symbols.sort_unstable();
    symbols.dedup();
    assert_eq!(symbols.len(), usize::from(SYMBOLS_MAX));
    for symbol in symbols {
        let name = symbol.trim_ascii_end();
        assert!((2..=5).contains(&name.len()) && name.iter().all(u8::is_ascii_uppercase));
    }
}

#[test]
fn a_config_that_makes_no_day_is_refused() {
    let config = DayConfig::new(1, 1_000);
    let refused = |config| Day::new(config).unwrap_err();
    assert_eq!(refused(DayConfig { symbols: 0, ..config }), DayError::Symbols { symbols: 0 });
    assert_eq!(refused(DayConfig { live_orders_max: 0, ..config }), DayError::NoLiveOrders);
    let error = refused(DayConfig { messages: 305, symbols: 100, ..config });
    assert_eq!(error, DayError::TooFewMessages { messages: 305, messages_min: 306 });
    assert!(error.to_string().contains("at least 306"));
}

#[test]
fn a_million_messages_take_no_time_to_speak_of() {
    let mut day = Day::new(DayConfig::default()).unwrap();
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let started = Instant::now();
    while day.next_message(&mut buffer).is_some() {}
    let elapsed = started.elapsed();
    println!("{:.1} million messages a second", day.made() as f64 / elapsed.as_secs_f64() / 1e6);
    // Far below what it does, so that a loaded machine does not fail it; above what an allocation for each would cost.
    assert!(elapsed.as_secs_f64() < 5.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_seed_gives_a_valid_day(
        seed in any::<u64>(),
        symbols in 1_u16..40,
        extra in 0_u64..3_000,
        live_orders_max in 1_usize..200,
    ) {
        let mut config = DayConfig { seed, symbols, live_orders_max, messages: 0 };
        config.messages = config.messages_min() + extra;
        let mut orders = Orders::new();
        let all = messages(config);
        prop_assert_eq!(all.len() as u64, config.messages);
        for message in all {
            prop_assert!(orders.apply(&message).is_ok());
            prop_assert!(orders.len() <= live_orders_max);
        }
    }
}
