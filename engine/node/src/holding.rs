//! Which rewinders elsewhere hold up old journal segments, as a node's counters say: on the node itself, or read on the query port from anywhere.

/// The counters of a rewinder elsewhere are named so, and after its address.
const SET: &str = "far_rewinder_";

/// How the counters of the rewinder at `address` are called.
pub fn set_of(address: std::net::SocketAddrV4) -> String {
    format!("{SET}{address}")
}

/// What is wrong, and what to do, one line for each rewinder that segments wait for; empty when nothing is. The counters are those of a node,
/// each `set.name`.
pub fn findings(counters: &[(String, u64)]) -> Vec<String> {
    let of = |name: &str| {
        let found = counters.iter().find(|(known, _)| known.strip_prefix("snapshots.") == Some(name));
        found.map_or(0, |(_, value)| *value)
    };
    let (held, most) = (of("held_bytes"), of("held_bytes_max"));
    // Four words and no number that changes all the time: whoever shows this shows it anew when it is another one.
    let share = match held.saturating_mul(4).checked_div(most).unwrap_or(4) {
        0 => "less than a quarter of that",
        1 => "more than a quarter of that",
        2 => "more than half of that",
        _ => "nearly all of that",
    };
    let gone = match of("segments_not_fetched") {
        0 => "",
        _ => " Some have gone without it already: it may have to begin anew, with an empty directory.",
    };
    let lacks = |(name, lacks): &(String, u64)| {
        let rewinder = name.strip_prefix(SET)?.strip_suffix(".lacks").filter(|_| *lacks > 0)?;
        Some(format!(
            "rewinder {rewinder} does not answer for what the oldest journal segments hold: it is down, cannot be reached, or is far behind. Start it, \
             or take it out of network.rewinders. Segments wait for it up to {} MiB (journal.rewinder_hold_bytes; {share} now), then the oldest go \
             without it.{gone}",
            most >> 20
        ))
    };
    counters.iter().filter_map(lacks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: &str = "far_rewinder_10.0.1.9:26403.lacks";

    fn told(of: &[(&str, u64)]) -> Vec<String> {
        let counters: Vec<_> = of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        findings(&counters)
    }

    #[test]
    fn one_that_lacks_nothing_is_no_finding() {
        assert!(told(&[]).is_empty());
        assert!(
            told(&[("snapshots.held_bytes", 7), (FAR, 0), ("far_rewinder_10.0.1.9:26403.asked", 3)])
                .is_empty()
        );
    }

    #[test]
    fn each_that_lacks_something_is_named_with_how_much_room_is_left() {
        let other = "far_rewinder_10.0.2.9:26403.lacks";
        for (held, share) in [
            (24, "less than a quarter"),
            (25, "more than a quarter"),
            (99, "nearly all"),
            (101, "nearly all"),
        ] {
            let found = told(&[
                ("snapshots.held_bytes", held),
                ("snapshots.held_bytes_max", 100),
                (FAR, 5),
                (other, 9),
            ]);
            assert_eq!(found.len(), 2);
            assert!(found[0].starts_with("rewinder 10.0.1.9:26403 does not answer"), "{}", found[0]);
            assert!(
                found[1].starts_with("rewinder 10.0.2.9:26403 ") && found[1].contains(share),
                "{}",
                found[1]
            );
            assert!(!found[0].contains("have gone"), "{}", found[0]);
        }
        let found = told(&[("snapshots.segments_not_fetched", 1), (FAR, 5)]);
        assert!(found[0].contains("Some have gone without it already"), "{}", found[0]);
    }
}
