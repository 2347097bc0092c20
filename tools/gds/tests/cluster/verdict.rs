//! Everything that anybody knows, held against what the nodes have.
use crate::common::model::{BusMessage, Records};
use crate::ears::{Heard, fingerprint};
use crate::member::Member;
use crate::writers::{Acknowledged, WRITERS, block, writer};
use gds_wire::acknowledgement::Outcome;

/// Of a stream that ends with message `last`. Where journals are `pruned`, what a node no longer keeps cannot be asked for.
pub fn judge(members: &mut [Member], last: u64, acknowledged: &[Acknowledged], heard: &Heard, pruned: bool) {
    let streams = [("message", &heard.bus), ("acknowledgement", &heard.acknowledgements)];
    for (what, stream) in streams {
        assert_eq!(stream.delivered.len() as u64, last, "{what}s delivered");
        assert!(
            stream.witnessed.len() as u64 <= last,
            "{what} {} was sent and is not there",
            stream.witnessed.len()
        );
        for (place, (seen, delivered)) in stream.witnessed.iter().zip(&stream.delivered).enumerate() {
            assert!(*seen == 0 || seen == delivered, "{what} {} was sent with another content", place + 1);
        }
    }
    let mut book = Book { acknowledged, next: [1; WRITERS], records: Records::default() };
    for member in members {
        let first = if pruned { member.first_kept() } else { 1 };
        let mut next = first;
        let mut reader = member.reader();
        let read = reader.range(first, last, &mut |sequence, bytes| {
            assert_eq!(sequence, next, "node {} has a hole", member.place + 1);
            let same = fingerprint(bytes) == heard.bus.delivered[sequence as usize - 1];
            assert!(same, "node {} has another message {sequence} than listeners", member.place + 1);
            if member.place == 0 && !pruned {
                book.check(sequence, bytes);
            }
            next += 1;
        });
        read.unwrap_or_else(|error| panic!("node {}: {error}", member.place + 1));
        reader.close();
        assert_eq!(next, last + 1, "node {} ends early", member.place + 1);
    }
    if pruned {
        return;
    }
    for (number, (next, acknowledged)) in book.next.iter().zip(acknowledged).enumerate() {
        assert_eq!(
            *next,
            acknowledged.len() as u64 + 1,
            "writer {number}: transactions in the stream, and acknowledged"
        );
    }
}

/// Goes through the stream with a plain model beside it.
struct Book<'a> {
    acknowledged: &'a [Acknowledged],
    /// The next number of each writer.
    next: [u64; WRITERS],
    records: Records,
}

impl Book<'_> {
    /// Each transaction is the next of its writer, as submitted, acknowledged with this number, and with the outcome that the model finds.
    fn check(&mut self, sequence: u64, bytes: &[u8]) {
        let message = BusMessage::of(bytes);
        let Some(writer) = writer(message.session) else { return };
        let number = self.next[writer];
        self.next[writer] += 1;
        assert_eq!(
            (message.kind, message.client_sequence),
            (b'T', number),
            "message {sequence} of writer {writer}"
        );
        assert_eq!(message.body, block(writer, number), "message {sequence} is not what was submitted");
        let (at, outcome) = *self.acknowledged[writer]
            .get(number as usize - 1)
            .unwrap_or_else(|| panic!("message {sequence} was never acknowledged"));
        assert_eq!(
            at, sequence,
            "transaction {number} of writer {writer} was acknowledged as another message"
        );
        let applied = self.records.apply(sequence, message.body);
        assert_eq!(applied, outcome == Outcome::Applied, "message {sequence} was acknowledged: {outcome}");
    }
}
