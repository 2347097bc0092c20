//! Which places of a node's journals cannot be read, in words for people: on the node itself, or from its counters from anywhere.
//!
//! A node goes on without them: its rewinder does not answer for what is there, a query for it fails, and a replica that lacks it says so.
use gds_core::agent::start::Stream;
use gds_core::counters::CounterSet;
use gds_core::query::CounterSets;
use std::sync::Arc;

/// What the counters of the two journals are called, and what people call the journals.
const SETS: [(&str, &str); 2] =
    [("journal_unreadable", "bus"), ("acknowledgement_journal_unreadable", "acknowledgements")];

/// What follows from it, and what to do.
const ADVICE: &str = "The node goes on: request packets for what is there are not answered, queries for it fail, and its next start stops there. \
                      `gds journal verify` says how much is lost. Restore the file from a copy; in a cluster stop the node and start it with an empty \
                      directory, and it learns the stream from the others";

/// The counters of both journals.
pub fn counters(bus: &Stream, acknowledgements: &Stream) -> CounterSets {
    let streams = SETS.iter().zip([bus, acknowledgements]);
    streams
        .map(|((name, _), stream)| ((*name).to_owned(), stream.unreadable.clone() as Arc<dyn CounterSet>))
        .collect()
}

/// One line for each place, on the node itself.
pub fn lines(streams: [&Stream; 2]) -> Vec<String> {
    let places = streams.into_iter().flat_map(|stream| stream.unreadable.places());
    places.map(|place| format!("{}. {ADVICE}", place.what)).collect()
}

/// One line for each journal, as a node's counters say, each `set.name`; empty when all was readable that anybody wanted.
pub fn findings(counters: &[(String, u64)]) -> Vec<String> {
    let of = |set: &str, name: &str| {
        let found = counters.iter().find(|(known, _)| known.strip_prefix(set) == Some(name));
        found.map_or(0, |(_, value)| *value)
    };
    let finding = |(set, journal): &(&str, &str)| {
        let places = of(set, ".places");
        let (segment, offset, message) = (of(set, ".segment"), of(set, ".offset"), of(set, ".message"));
        let place = match segment {
            0 => String::new(),
            segment => format!(" in segment {segment} at offset {offset}, message {message}"),
        };
        let more = match places {
            0 => return None,
            1 => String::new(),
            more => format!(", and at {} more places", more - 1),
        };
        Some(format!("its journal of the {journal} cannot be read{place}{more}. {ADVICE}"))
    };
    SETS.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_a_finding_once_something_of_it_could_not_be_read() {
        let told = |of: &[(&str, u64)]| {
            let counters: Vec<_> = of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            findings(&counters)
        };
        assert!(told(&[("journal_unreadable.places", 0), ("journal_unreadable.reads", 0)]).is_empty());
        let found = told(&[
            ("journal_unreadable.places", 3),
            ("journal_unreadable.segment", 2),
            ("journal_unreadable.offset", 8192),
            ("journal_unreadable.message", 77),
            ("acknowledgement_journal_unreadable.places", 1),
        ]);
        assert_eq!(found.len(), 2);
        let text = "its journal of the bus cannot be read in segment 2 at offset 8192, message 77, and at 2 more places. The node goes on";
        assert!(found[0].starts_with(text), "{}", found[0]);
        assert!(found[1].starts_with("its journal of the acknowledgements cannot be read. "), "{}", found[1]);
    }
}
