//! SoupBinTCP sessions: named, each with its answers kept for resume.
//!
//! A login with a blank session opens a new one; the server draws its name. When the connection breaks, the session stays for
//! its user until the time to resume is over. While it is not connected nothing of its log is dropped, because nobody knows
//! how much of what was sent has arrived: its ranges and watches pause when the log is full, and go on after the resume.
//!
//! The table is bounded. When it is full, a new session takes the place of, in this order: the one longest logged out; the
//! same user's longest broken one; else the login is rejected with `S`. So a user can spend another user's room only by staying
//! connected or by breaking off, never by coming and going.
use super::answer_log::{AnswerLog, SendPosition};
use super::counters::QueryCounters;
use super::users::UserId;
use crate::random::Random;
use crate::time::Time;
use gds_wire::session::Session;

/// The place of a session in the table.
pub type SessionIndex = usize;

/// The place of a connection in its table.
pub type ConnectionIndex = usize;

/// A range or a watch on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenStream {
    /// The request that began it.
    pub request: u64,
    /// The next number to answer.
    pub next: u64,
    /// The last number to answer; `u64::MAX` for a watch.
    pub to: u64,
}

/// How a session is joined to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The place is free.
    Free,
    /// By this connection.
    Connected(ConnectionIndex),
    /// Not, since this (monotonic) time; waits for a resume.
    Broken(u64),
    /// Not, since this time, because the client logged out. May still be resumed, but is the first to be forgotten.
    LoggedOut(u64),
}

/// One session.
#[derive(Debug)]
pub struct SoupSession {
    /// Its name on the wire.
    pub name: Session,
    /// Whose it is.
    pub user: UserId,
    /// Connected or not.
    pub link: Link,
    /// All answers kept.
    pub log: AnswerLog,
    /// What has been handed to the connection.
    pub sent: SendPosition,
    /// Dropped packets to be made and sent again before anything in the log: the number, and how much of it is sent.
    pub repeating: Option<(u64, usize)>,
    /// Ranges and watches, bounded by `streams_max`.
    pub streams: Vec<OpenStream>,
    /// Which stream is next to get a slice.
    pub turn: usize,
    /// Since when there is something to answer and no room because the reader is slow.
    pub paused_since_ns: Option<u64>,
}

impl SoupSession {
    fn new(retained_bytes: usize, streams_max: usize) -> Self {
        let log = AnswerLog::new(retained_bytes);
        let sent = log.seek(1).expect("an empty log begins at 1");
        let name = Session::padded("-").expect("is a session name");
        let streams = Vec::with_capacity(streams_max);
        Self {
            name,
            user: 0,
            link: Link::Free,
            log,
            sent,
            repeating: None,
            streams,
            turn: 0,
            paused_since_ns: None,
        }
    }

    /// Whether the last packet begun has been sent to its end, so that another packet may go between.
    pub fn is_between_packets(&self) -> bool {
        match self.repeating {
            Some((_, sent)) => sent == 0,
            None => self.sent.is_between_packets(),
        }
    }

    /// From where on nothing may be dropped.
    pub fn keep(&self) -> SendPosition {
        match self.link {
            Link::Connected(_) => self.sent,
            _ => self.log.seek(self.log.first()).expect("the first packet is kept"),
        }
    }

    /// Room for one answer; `None` while there is none, or while too much is unsent.
    pub fn reserve(&mut self, payload: usize, unsent_max: u64) -> Option<&mut [u8]> {
        if self.log.unsent(&self.sent) > unsent_max {
            return None;
        }
        let keep = self.keep();
        let room = self.log.reserve(payload, &keep);
        if room.is_some() {
            self.paused_since_ns = None;
        }
        room
    }

    /// Notes that there is something to answer and no room for it.
    pub fn pause(&mut self, now_ns: u64, counters: &QueryCounters) {
        // A session that is not connected waits for its client, however long that takes.
        if matches!(self.link, Link::Connected(_)) && self.paused_since_ns.is_none() {
            self.paused_since_ns = Some(now_ns);
            counters.pauses.increment();
        }
    }

    /// For how long the session has been paused without a moment in between; ends the pause when there is room again.
    pub fn paused_ns(&mut self, now_ns: u64, unsent_max: u64) -> u64 {
        if self.log.unsent(&self.sent) <= unsent_max {
            self.paused_since_ns = None;
        }
        self.paused_since_ns.map_or(0, |since| now_ns.saturating_sub(since))
    }

    /// Whether answers of these many bytes in all will find room.
    pub fn has_room(&mut self, bytes: usize, largest: usize, unsent_max: u64) -> bool {
        let keep = self.keep();
        self.log.unsent(&self.sent) <= unsent_max && self.log.has_room(bytes, largest, &keep)
    }
}

/// All sessions. See the module.
#[derive(Debug)]
pub struct Sessions {
    slots: Vec<SoupSession>,
    names: Random,
}

impl Sessions {
    /// Takes all memory there will ever be. `seed` makes the names.
    pub fn new(sessions_max: usize, retained_bytes: usize, streams_max: usize, seed: u64) -> Self {
        let slots = (0..sessions_max).map(|_| SoupSession::new(retained_bytes, streams_max)).collect();
        Self { slots, names: Random::new(seed) }
    }

    /// One session.
    pub fn get(&mut self, at: SessionIndex) -> &mut SoupSession {
        &mut self.slots[at]
    }

    /// How many places there are.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many are kept.
    pub fn kept(&self) -> usize {
        self.slots.iter().filter(|session| session.link != Link::Free).count()
    }

    /// How many ranges and watches are open.
    pub fn streams_open(&self) -> usize {
        self.slots.iter().map(|session| session.streams.len()).sum()
    }

    /// A connection this user is logged in on.
    pub fn connected(&self, user: UserId) -> Option<ConnectionIndex> {
        self.slots.iter().find_map(|session| match session.link {
            Link::Connected(at) if session.user == user => Some(at),
            _ => None,
        })
    }

    /// Forgets all.
    pub fn forget_all(&mut self) {
        for session in &mut self.slots {
            session.link = Link::Free;
            session.streams.clear();
        }
    }

    /// The session of this name, if it is this user's.
    pub fn find(&self, name: &Session, user: UserId) -> Option<SessionIndex> {
        let is = |session: &SoupSession| {
            session.link != Link::Free && session.name == *name && session.user == user
        };
        self.slots.iter().position(is)
    }

    /// Opens a new session for this user. The flag says that another one was forgotten for it. `None`: the table is full.
    pub fn open(&mut self, user: UserId) -> Option<(SessionIndex, bool)> {
        let free = self.slots.iter().position(|session| session.link == Link::Free);
        let at = free.or_else(|| self.evictable(user))?;
        let name = self.draw_name();
        let session = &mut self.slots[at];
        session.log.reset();
        session.sent = session.log.seek(1).expect("an empty log begins at 1");
        session.streams.clear();
        session.repeating = None;
        (session.name, session.user, session.turn, session.paused_since_ns) = (name, user, 0, None);
        Some((at, free.is_none()))
    }

    /// Puts a session's sending position where a login wants it: at `sequence`, at the next new answer for 0 and for a number
    /// beyond it (PROTOCOLS A8 rows S2, S3). Returns the number of the next packet the client will get; `None`, with nothing
    /// changed, when the number asked for is neither kept nor can be made again from bus messages `first_kept` and later
    /// (row S4).
    pub fn resume(&mut self, at: SessionIndex, sequence: u64, first_kept: u64) -> Option<u64> {
        let session = &mut self.slots[at];
        let (first, next) = (session.log.first(), session.log.next());
        let wanted = if sequence == 0 { next } else { sequence.min(next) };
        if wanted < first {
            let note = session.log.note(wanted)?;
            if note.count > 0 && note.first < first_kept {
                return None;
            }
        }
        session.repeating = (wanted < first).then_some((wanted, 0));
        session.sent = session.log.seek(wanted.max(first)).expect("everything from the first is kept");
        session.paused_since_ns = None;
        Some(wanted)
    }

    /// Forgets what has not been connected for `resume_ns`; returns how many.
    pub fn expire(&mut self, now: Time, resume_ns: u64) -> u64 {
        let mut expired = 0;
        for session in &mut self.slots {
            if let Link::Broken(since) | Link::LoggedOut(since) = session.link
                && now.monotonic_ns.saturating_sub(since) >= resume_ns
            {
                session.link = Link::Free;
                session.streams.clear();
                expired += 1;
            }
        }
        expired
    }

    fn evictable(&self, user: UserId) -> Option<SessionIndex> {
        let oldest = |age: &dyn Fn(&SoupSession) -> Option<u64>| {
            let aged = self.slots.iter().enumerate().filter_map(|(at, session)| Some((age(session)?, at)));
            aged.min().map(|(_, at)| at)
        };
        let logged_out = oldest(&|session| match session.link {
            Link::LoggedOut(since) => Some(since),
            _ => None,
        });
        logged_out.or_else(|| {
            oldest(&|session| match session.link {
                Link::Broken(since) if session.user == user => Some(since),
                _ => None,
            })
        })
    }

    /// Ten characters that no other start and no other node will have drawn: so a session that is gone is never mistaken for
    /// one that is here.
    fn draw_name(&mut self) -> Session {
        const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        loop {
            let name: [u8; 10] = std::array::from_fn(|_| LETTERS[self.names.below(36) as usize]);
            if !self.slots.iter().any(|session| session.link != Link::Free && session.name.0 == name) {
                return Session(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic_ns: u64) -> Time {
        Time { monotonic_ns, wall_ns: 0 }
    }

    fn opened(sessions: &mut Sessions, user: UserId, link: Link) -> SessionIndex {
        let (index, _) = sessions.open(user).expect("there is room");
        sessions.get(index).link = link;
        index
    }

    #[test]
    fn should_forget_a_session_only_after_its_time_to_resume() {
        let mut sessions = Sessions::new(2, 1024, 1, 7);
        let index = opened(&mut sessions, 3, Link::Broken(100));
        let name = sessions.get(index).name;
        assert_eq!(sessions.expire(at(109), 10), 0);
        assert_eq!(sessions.find(&name, 3), Some(index));
        assert_eq!(sessions.find(&name, 4), None, "another user's session is unknown");
        assert_eq!(sessions.expire(at(110), 10), 1);
        assert_eq!(sessions.find(&name, 3), None);
    }

    #[test]
    fn should_evict_logged_out_sessions_first_and_broken_ones_only_of_the_same_user() {
        let mut sessions = Sessions::new(3, 1024, 1, 7);
        let broken = opened(&mut sessions, 1, Link::Broken(1));
        let out_late = opened(&mut sessions, 2, Link::LoggedOut(9));
        let out_early = opened(&mut sessions, 2, Link::LoggedOut(5));
        assert_eq!(sessions.open(3), Some((out_early, true)));
        sessions.get(out_early).link = Link::Connected(0);
        assert_eq!(sessions.open(3), Some((out_late, true)));
        sessions.get(out_late).link = Link::Connected(1);
        assert_eq!(sessions.open(3), None, "a broken session is kept for its own user");
        assert_eq!(sessions.open(1), Some((broken, true)));
    }

    #[test]
    fn should_clamp_the_number_asked_for_and_name_the_true_one() {
        let mut sessions = Sessions::new(1, 1024, 1, 7);
        let index = opened(&mut sessions, 0, Link::Broken(0));
        for _ in 0..2 {
            sessions.get(index).reserve(5, 1024).expect("room");
            sessions.get(index).log.commit(5);
        }
        assert_eq!(sessions.resume(index, 0, 1), Some(3));
        assert_eq!(sessions.resume(index, 99, 1), Some(3));
        assert_eq!(sessions.resume(index, 2, 1), Some(2));
        assert_eq!(sessions.resume(index, 1, 1), Some(1));
    }
}
