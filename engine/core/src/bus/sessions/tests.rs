use super::*;
use gds_wire::declaration::{Limits, Schema};
use gds_wire::envelope::{Envelope, Reason};
use gds_wire::session::SessionPattern;

fn declaration(sessions_max: u32, forget: u64, schemas: Vec<SchemaDeclaration>) -> Vec<u8> {
    let limits = Limits {
        records_max: 10,
        bytes_max: 1000,
        sessions_max,
        session_forget_messages: forget,
        horizon_messages: 10,
        index_seed: 1,
    };
    Declaration { limits, tables: Vec::new(), schemas }.to_bytes()
}

fn message(session: Session, kind: Kind, number: u64, body: &[u8]) -> Vec<u8> {
    let reason = if kind == Kind::Void { Reason::TooLong } else { Reason::None };
    let mut bytes = Envelope::new(session, kind, reason, number, 0).to_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// Applies one message after another and numbers them.
struct Stream(SessionTable, u64);

impl Stream {
    fn declared(sessions_max: u32, forget: u64) -> Self {
        let mut stream = Self(SessionTable::new(), 0);
        let schema = SchemaDeclaration {
            pattern: "ITCH*".parse().unwrap(),
            schema: Schema::Itch50,
            version: 1,
            first_table: 3,
        };
        let body = declaration(sessions_max, forget, vec![schema]);
        assert_eq!(stream.put(NODE_SESSION, Kind::Declare, 1, &body), SessionStep::Node);
        stream
    }

    fn put(&mut self, session: Session, kind: Kind, number: u64, body: &[u8]) -> SessionStep {
        self.1 += 1;
        self.0.apply(self.1, &Message::parse(&message(session, kind, number, body)).unwrap())
    }

    fn transaction(&mut self, name: &str, number: u64) -> SessionStep {
        self.put(Session::padded(name).unwrap(), Kind::Transaction, number, b"x")
    }

    fn end(&mut self, name: &str, number: u64) -> SessionStep {
        self.put(Session::padded(name).unwrap(), Kind::EndOfSession, number, b"")
    }
}

#[test]
fn should_take_numbers_in_order_and_refuse_others() {
    let mut stream = Stream::declared(4, 0);
    assert_eq!(stream.transaction("A", 1), SessionStep::Taken { schema: NO_SCHEMA });
    assert_eq!(stream.transaction("A", 3), SessionStep::OutOfOrder);
    assert_eq!(stream.transaction("A", 1), SessionStep::OutOfOrder);
    assert_eq!(stream.transaction("A", 2), SessionStep::Taken { schema: NO_SCHEMA });
    assert_eq!(stream.transaction("ITCH1", 500), SessionStep::Taken { schema: 0 });
    assert_eq!(stream.0.get(&Session::padded("ITCH1").unwrap()).unwrap().next, 501);
    assert_eq!(stream.transaction("B", 0), SessionStep::OutOfOrder);
    assert_eq!(stream.0.len(), 2);
}

#[test]
fn should_refuse_a_new_name_when_full_until_an_ended_one_is_forgotten() {
    let mut stream = Stream::declared(1, 3);
    stream.transaction("A", 1);
    assert_eq!(stream.transaction("B", 1), SessionStep::Full);
    assert_eq!(stream.end("A", 2), SessionStep::Ended);
    assert_eq!(stream.transaction("A", 2), SessionStep::OutOfOrder);
    assert_eq!(stream.transaction("B", 1), SessionStep::Full);
    assert!(stream.0.is_full());
    stream.put(NODE_SESSION, Kind::Declare, 2, &declaration(1, 3, Vec::new()));
    assert!(stream.0.is_empty(), "forgotten three messages after the end");
    assert_eq!(stream.transaction("A", 1), SessionStep::Taken { schema: NO_SCHEMA });
}

#[test]
fn should_keep_ended_names_for_ever_when_told_so() {
    let mut stream = Stream::declared(2, 0);
    stream.transaction("A", 1);
    stream.end("A", 2);
    for number in 1..100 {
        stream.transaction("B", number);
    }
    assert_eq!(stream.transaction("A", 1), SessionStep::OutOfOrder);
}

#[test]
fn should_go_on_behind_a_skip_and_remember_it() {
    let mut stream = Stream::declared(2, 0);
    let session = Session::padded("F").unwrap();
    assert_eq!(stream.put(session, Kind::Skip, 1, &Skip::new(1, 9).to_bytes()), SessionStep::Skipped);
    assert_eq!(stream.transaction("F", 10), SessionStep::Taken { schema: NO_SCHEMA });
    assert_eq!(stream.put(session, Kind::Skip, 12, &Skip::new(12, 12).to_bytes()), SessionStep::OutOfOrder);
    let entry = stream.0.get(&session).unwrap();
    assert_eq!((entry.skipped, entry.skip, entry.next), (9, (1, 9), 11));
}

#[test]
fn should_have_the_same_digest_whatever_the_order_of_sessions_and_of_asking() {
    let mut one = Stream::declared(4, 0);
    let mut other = Stream::declared(4, 0);
    let empty = one.0.digest();
    for (name, number) in [("A", 1), ("B", 1), ("A", 2), ("B", 2)] {
        one.transaction(name, number);
        one.0.digest();
    }
    for (name, number) in [("B", 1), ("B", 2), ("A", 1), ("A", 2)] {
        other.transaction(name, number);
    }
    assert_eq!(one.0.digest(), other.0.digest());
    assert_ne!(one.0.digest(), empty);
    other.transaction("A", 3);
    assert_ne!(one.0.digest(), other.0.digest());
}

#[test]
fn should_return_to_the_same_digest_when_sessions_are_forgotten() {
    let mut stream = Stream::declared(8, 1);
    let before = stream.0.digest();
    for round in 0..50 {
        let name = format!("S{round}");
        stream.transaction(&name, 1);
        stream.end(&name, 2);
    }
    stream.transaction("LAST", 1);
    stream.end("LAST", 2);
    stream.put(Session::padded("X").unwrap(), Kind::Transaction, 5, b"");
    stream.end("X", 6);
    stream.put(Session::padded("X").unwrap(), Kind::Transaction, 0, b"");
    assert!(stream.0.is_empty());
    assert_eq!(stream.0.digest(), before);
}

#[test]
fn should_keep_what_it_has_when_a_later_declaration_allows_more() {
    let mut stream = Stream::declared(1, 0);
    stream.transaction("A", 1);
    let any = SchemaDeclaration {
        pattern: SessionPattern::ANY,
        schema: Schema::Native,
        version: 1,
        first_table: 0,
    };
    stream.put(NODE_SESSION, Kind::Declare, 2, &declaration(3, 0, vec![any]));
    assert_eq!(stream.transaction("A", 2), SessionStep::Taken { schema: NO_SCHEMA });
    assert_eq!(stream.transaction("B", 1), SessionStep::Taken { schema: 1 });
    assert_eq!(stream.transaction("ITCH", 1), SessionStep::Taken { schema: 0 });
    assert_eq!(stream.0.schemas().len(), 2);
}

#[test]
#[should_panic(expected = "applied after message")]
fn should_insist_on_consecutive_bus_numbers() {
    let mut table = SessionTable::new();
    table.apply(2, &Message::parse(&message(NODE_SESSION, Kind::EndOfStream, 1, b"")).unwrap());
}

#[test]
fn should_copy_the_table_of_one_moment_slice_by_slice_and_restore_it() {
    let mut random = crate::random::Random::new(11);
    for round in 0..200 {
        let mut stream = Stream::declared(20, 15);
        let declaration = declaration(20, 15, stream.0.schemas().to_vec());
        let declaration = Declaration::parse(&declaration).unwrap();
        let mut next = [1u64; 40];
        let mut live = |stream: &mut Stream, random: &mut crate::random::Random| {
            let number = random.below(40) as usize;
            let name = format!("{}{number}", if number < 10 { "ITCH" } else { "C" });
            let step = match random.below(6) {
                0 => stream.end(&name, next[number]),
                1 => {
                    let from = next[number];
                    let skip = Skip::new(from, from + 2);
                    next[number] += 2;
                    stream.put(Session::padded(&name).unwrap(), Kind::Skip, from, &skip.to_bytes())
                }
                _ => stream.transaction(&name, next[number]),
            };
            match step {
                SessionStep::Taken { .. } | SessionStep::Skipped => next[number] += 1,
                // It may come back under the same name once it is forgotten.
                _ => {
                    next[number] =
                        stream.0.get(&Session::padded(&name).unwrap()).map_or(1, |entry| entry.next)
                }
            }
        };
        for _ in 0..random.below(200) {
            live(&mut stream, &mut random);
        }
        let mut then = stream.0.clone();
        let mut image = Box::<SessionImage>::default();
        image.clear(stream.0.slots());
        stream.0.begin_image(image);
        let image = loop {
            if let Some(image) = stream.0.go_on_with_image(1 + random.below(4) as usize) {
                break image;
            }
            for _ in 0..random.below(4) {
                live(&mut stream, &mut random);
            }
        };
        assert_eq!(image.digest(), then.digest(), "round {round}");
        let mut restored = SessionTable::restore(then.applied(), &declaration, &image, false).unwrap();
        assert_eq!(restored.digest(), then.digest());
        // Both go on in the same way.
        let (mut one, mut other) = (Stream(then, 0), Stream(restored, 0));
        (one.1, other.1) = (one.0.applied(), one.0.applied());
        for step in 0..100 {
            let name = format!("C{}", random.below(40));
            let number = one.0.get(&Session::padded(&name).unwrap()).map_or(1, |entry| entry.next);
            assert_eq!(one.transaction(&name, number), other.transaction(&name, number), "step {step}");
            assert_eq!(one.0.digest(), other.0.digest());
        }
        restored = other.0;
        assert_eq!(restored.len(), one.0.len());
    }
}
