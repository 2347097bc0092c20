//! `gds replay` into a running node: what the store holds afterwards is what a plain count of the file gives.
mod common;

use common::captures::{binary_file, capture, made_up_day, messages};
use common::model::{BusMessage, Orders};
use common::{Node, Place, Settings, orders};
use std::fs;
use std::io::Write;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// The node's tables hold exactly the live orders and the stocks of the model.
fn check_orders(place: &Place, model: &Orders) {
    orders::pass_horizon(place);
    let records = orders::check(place, model);
    assert_eq!(place.settled().records, records, "nothing else is there");
}

fn settings() -> Settings {
    Settings { horizon_messages: 1, session: "TESTSTREAM", ..Settings::default() }
}

#[test]
fn a_real_feed_leaves_exactly_its_live_orders() {
    let Some(file) = capture("itch/locate-13-10k.bin") else { return };
    let feed = messages(&fs::read(&file).expect("it is there"));
    assert_eq!(feed.len(), 10_000);
    let model = Orders::of(feed.iter().map(Vec::as_slice));
    assert_eq!(model.unexpected, 0, "the capture is whole");
    assert!(!model.live.is_empty() && model.dead.len() > 4_000 && model.stocks.len() == 1);

    let place = Place::new(&settings());
    let node = Node::start(&place);
    let ran = place.gds(&["replay", text(&file), "--session", "ITCHREAL01", "--json"]).succeeded();
    let told = ran.json();
    assert_eq!(told["messages"], 10_000);
    assert_eq!(
        told["outcomes"]["applied"].as_u64().unwrap() + told["outcomes"]["no operation"].as_u64().unwrap(),
        10_000
    );
    check_orders(&place, &model);

    // One declaration, the feed, its end, and then what moved the horizon.
    let stream = place.stream();
    let of_feed: Vec<BusMessage<'_>> = stream
        .iter()
        .map(|bytes| BusMessage::of(bytes))
        .filter(|message| message.session == b"ITCHREAL01")
        .collect();
    assert_eq!(of_feed.len(), 10_001);
    for (message, sent) in of_feed.iter().zip(&feed) {
        assert_eq!(message.body, sent);
    }
    assert_eq!(of_feed[10_000].kind, b'E');
    node.stop();
}

#[test]
fn a_cut_file_is_replayed_up_to_the_cut_which_is_told() {
    let Some(file) = capture("itch/cut-mid-record.itch") else { return };
    let place = Place::new(&settings());
    let node = Node::start(&place);
    let ran = place.gds(&["replay", text(&file), "--session", "ITCHCUT001", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("4081") && ran.err.contains("15"), "{ran:?}");
    assert_eq!(ran.json()["messages"], 101);
    let stream = place.stream();
    let sent =
        stream.iter().filter(|bytes| BusMessage::of(bytes).session == b"ITCHCUT001" && bytes[10] == b'T');
    let whole = messages(&fs::read(&file).expect("it is there")[..4081]);
    assert!(sent.map(|bytes| BusMessage::of(bytes).body).eq(whole.iter().map(Vec::as_slice)));
    node.stop();
}

#[test]
fn a_file_that_is_no_binary_file_is_refused() {
    let Some(file) = capture("itch/zero-lengths.itch50") else { return };
    let place = Place::new(&settings());
    let node = Node::start(&place);
    let before = place.settled();
    let ran = place.gds(&["replay", text(&file), "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("zero-lengths.itch50") && ran.err.to_lowercase().contains("length"), "{ran:?}");
    assert_eq!(place.settled(), before, "nothing was submitted");
    node.stop();
}

#[test]
fn a_recording_of_multicast_and_replies_is_replayed_in_order_and_once() {
    let Some(file) = capture("mold/recovery.pcap") else { return };
    let Some(feed) = capture("itch/locate-13-10k.bin") else { return };
    let place = Place::new(&settings());
    let node = Node::start(&place);
    let told = place.gds(&["replay", text(&file), "--json"]).succeeded().json();
    assert_eq!(told["messages"], 600);
    assert_eq!(told["sessions"], serde_json::json!(["NASSAU0001"]));
    let stream = place.stream();
    let of_session: Vec<BusMessage<'_>> = stream
        .iter()
        .map(|bytes| BusMessage::of(bytes))
        .filter(|message| message.session == b"NASSAU0001")
        .collect();
    let feed = messages(&fs::read(&feed).expect("it is there"));
    assert_eq!(of_session.len(), 601, "600 messages and the end of the session");
    for (number, (message, wanted)) in (1..=600).zip(of_session.iter().zip(&feed)) {
        assert_eq!((message.kind, message.client_sequence), (b'T', number));
        assert_eq!(message.body, wanted, "message {number}");
    }
    assert_eq!(of_session[600].kind, b'E');
    check_orders(&place, &Orders::of(feed[..600].iter().map(Vec::as_slice)));
    node.stop();
}

#[test]
fn a_compressed_file_gives_what_the_plain_one_gives() {
    let feed = match capture("itch/locate-13-10k.bin") {
        Some(file) => fs::read(file).expect("it is there"),
        None => binary_file(&made_up_day(1, 10_000)),
    };
    let mut digests = Vec::new();
    for compressed in [false, true] {
        let place = Place::new(&settings());
        let node = Node::start(&place);
        let file = place.folder().join(if compressed { "feed.gz" } else { "feed.bin" });
        let out = fs::File::create(&file).expect("the test's folder can be written");
        if compressed {
            let mut out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            out.write_all(&feed).and_then(|()| out.try_finish()).expect("the disk has room");
        } else {
            { out }.write_all(&feed).expect("the disk has room");
        }
        let ran = place.gds(&["replay", text(&file), "--session", "ITCHSAME01"]).succeeded();
        assert!(ran.out.contains("10 000 messages"), "{ran:?}");
        digests.push(place.settled());
        node.stop();
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_made_up_day_leaves_exactly_its_live_orders() {
    let feed = made_up_day(42, 20_000);
    let model = Orders::of(feed.iter().map(Vec::as_slice));
    assert_eq!(model.unexpected, 0);
    let place = Place::new(&settings());
    let node = Node::start(&place);
    let file = place.folder().join("day.bin");
    fs::write(&file, binary_file(&feed)).expect("the test's folder can be written");
    place.gds(&["replay", text(&file)]).succeeded();
    check_orders(&place, &model);
    node.stop();
}
