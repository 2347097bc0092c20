//! The label of a data directory: what a start must know of the journals beside it, and cannot read from them.
//!
//! - **Under which durability they are written.** What an acknowledgement stood for is not what the configuration says now: it is what it said when the
//!   message was acknowledged. A start changes the label before anything is acknowledged under another durability, and only once all that was
//!   acknowledged under the one before is as safe as the new one promises.
//! - **Under which session names the stream goes out.** Files, ring, register and the nodes among themselves name the stream by its *stream id*, which it has for its
//!   life. Listeners and clients know it by its *session name*. That is the stream id too, until a person makes a node lead on which messages may be missing: from
//!   then on the stream has a new session name, so that nobody takes a number that is given again for what it was.
use crate::agent::start::acknowledgement_session;
use crate::journal::Durability;
use crate::time::{SECOND_NS, Time};
use arrayvec::ArrayVec;
use gds_wire::session::Session;

/// Most session names that are remembered; the oldest go.
pub const NAMES_MAX: usize = 8;

crate::counter_set! {
    /// A session name that the stream was given after its first one.
    pub struct SessionCounters {
        /// The first number that only this session has: from there on it may say something else than the session before.
        from,
    }
}

/// The name of the counter set of a session.
pub fn counters_of(name: Session) -> String {
    format!("session_{name}")
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The stream id.
    pub stream: Session,
    /// What an acknowledgement of the messages in the journals stood for, at the least. With [`Durability::Fsync`] the journal alone has everything that was
    /// acknowledged; with [`Durability::Memory`] it has that with the ring, or once it is closed in order.
    pub durability: Durability,
    /// The session names.
    pub sessions: SessionNames,
}

/// A session name, and where its numbers begin to be its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionName {
    /// The name.
    pub name: Session,
    /// The first number that only this session has. The messages before are those of the session before it.
    pub from: u64,
}

/// The session names that a stream was given after its first one, which is the stream id; in the order in which it was given them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionNames(ArrayVec<SessionName, NAMES_MAX>);

impl SessionNames {
    /// As somebody says they are.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub fn of(stream: Session, names: impl IntoIterator<Item = SessionName>) -> Result<Self, String> {
        let mut these = Self::default();
        for SessionName { name, from } in names {
            if these.0.is_full() {
                return Err(format!("more than {NAMES_MAX} session names"));
            }
            if from == 0 {
                return Err(format!("session {name} begins with message 0: numbers begin with 1"));
            }
            if these.clashes(stream, name) {
                return Err(format!(
                    "session {name}: that is no name, or one that the stream or its acknowledgements had before"
                ));
            }
            these.0.push(SessionName { name, from });
        }
        Ok(these)
    }

    /// All that are remembered.
    pub fn names(&self) -> &[SessionName] {
        &self.0
    }

    /// The name under which the stream goes out now.
    pub fn current(&self, stream: Session) -> Session {
        self.0.last().map_or(stream, |last| last.name)
    }

    /// The same with one name more: `from` is the first number that may mean something else than it did. Drawn as a stream's name is, by the time.
    pub fn renewed(&self, stream: Session, from: u64, now: Time) -> Self {
        let mut next = self.clone();
        if next.0.is_full() {
            next.0.remove(0);
        }
        let before = number_of(self.current(stream)).map_or(0, |seconds| seconds + 1);
        let name = (before.max(now.wall_ns / SECOND_NS)..)
            .map(name_of)
            .find(|name| !self.clashes(stream, *name))
            .expect("few names are taken");
        next.0.push(SessionName { name, from });
        next
    }

    /// From which number on the stream may say something else than it did under this name; `None`: it still has that name, or never had it.
    pub fn differs_from(&self, stream: Session, name: Session) -> Option<u64> {
        let after = match self.0.iter().position(|known| known.name == name) {
            Some(place) => place + 1,
            None if name == stream => 0,
            None => return None,
        };
        self.0[after..].iter().map(|later| later.from).min()
    }

    /// Whether a name, or that of its acknowledgements, cannot be told from one that is known.
    fn clashes(&self, stream: Session, name: Session) -> bool {
        let both = |name| [name, acknowledgement_session(name)];
        let known = std::iter::once(stream).chain(self.0.iter().map(|known| known.name)).flat_map(both);
        name.is_blank() || known.into_iter().any(|known| both(name).contains(&known))
    }
}

/// Ten digits, the Unix time: how a Genium venue names its streams.
pub fn name_of(seconds: u64) -> Session {
    // Ten digits do until the year 2286.
    let seconds = seconds % 10_000_000_000;
    Session::padded(&format!("{seconds:010}")).expect("ten digits are a name")
}

/// The time that a name of ten digits is.
pub fn number_of(name: Session) -> Option<u64> {
    let digits = name.name();
    let are_digits = digits.len() == 10 && digits.iter().all(u8::is_ascii_digit);
    are_digits.then(|| digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Session = Session(*b"1700000000");

    fn at(seconds: u64) -> Time {
        Time { monotonic_ns: 0, wall_ns: seconds * SECOND_NS }
    }

    fn names(names: &SessionNames) -> Vec<(String, u64)> {
        names.names().iter().map(|known| (known.name.to_string(), known.from)).collect()
    }

    #[test]
    fn a_stream_goes_out_under_its_own_name_until_it_is_given_another() {
        let none = SessionNames::default();
        assert_eq!((none.current(STREAM), none.differs_from(STREAM, STREAM)), (STREAM, None));
        let one = none.renewed(STREAM, 65, at(1_800_000_000));
        assert_eq!(names(&one), [("1800000000".into(), 65)]);
        assert_eq!(one.current(STREAM).to_string(), "1800000000");
        assert_eq!(one.differs_from(STREAM, STREAM), Some(65));
        assert_eq!(one.differs_from(STREAM, one.current(STREAM)), None);
        assert_eq!(one.differs_from(STREAM, Session(*b"SOMEBODY  ")), None);
    }

    #[test]
    fn a_name_is_later_than_the_one_before_whatever_the_clock_says() {
        let mut known = SessionNames::default();
        for (from, seconds, name) in
            [(65, 1_600_000_000, "1700000001"), (70, 1_700_000_001, "1700000002"), (9, 0, "1700000003")]
        {
            known = known.renewed(STREAM, from, at(seconds));
            assert_eq!(known.current(STREAM).to_string(), name);
        }
        assert_eq!(known.differs_from(STREAM, STREAM), Some(9), "the third went back furthest");
        let second = known.names()[1].name;
        assert_eq!(known.differs_from(STREAM, second), Some(9));
        let named = Session(*b"NASDAQ    ");
        let drawn = SessionNames::default().renewed(named, 2, at(1_800_000_000));
        assert_eq!(drawn.current(named).to_string(), "1800000000");
    }

    #[test]
    fn a_name_is_no_other_ones_and_no_acknowledgements() {
        // Their acknowledgements would be one session.
        let taken = SessionNames::of(STREAM, [SessionName { name: Session(*b"2800000000"), from: 3 }]);
        let drawn = taken.expect("good").renewed(STREAM, 4, at(1_800_000_000));
        assert_eq!(drawn.current(STREAM).to_string(), "2800000001");
        for wrong in [STREAM, acknowledgement_session(STREAM), Session::BLANK, Session(*b"2700000000")] {
            let refused = SessionNames::of(STREAM, [SessionName { name: wrong, from: 3 }]);
            assert!(refused.is_err(), "{wrong:?}");
        }
        let zero = SessionNames::of(STREAM, [SessionName { name: Session(*b"1700000001"), from: 0 }]);
        assert!(zero.expect_err("refused").contains("message 0"));
    }

    #[test]
    fn names_are_bounded_and_the_oldest_go() {
        let mut known = SessionNames::default();
        for from in 1..=NAMES_MAX as u64 + 3 {
            known = known.renewed(STREAM, 100 - from, at(0));
        }
        assert_eq!(known.names().len(), NAMES_MAX);
        assert_eq!(known.names()[0].from, 96);
        assert_eq!(SessionNames::of(STREAM, known.names().to_vec()), Ok(known.clone()));
        let many = (0..9).map(|number| SessionName { name: name_of(1_800_000_000 + number), from: 1 });
        assert!(SessionNames::of(STREAM, many).expect_err("refused").contains("more than 8"));
    }
}
