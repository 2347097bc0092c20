//! What the query server is built from: its bounds and its times.
use super::answer_log;
use crate::time::{MILLISECOND_NS, SECOND_NS};
use gds_wire::query::ANSWER_HEADER_BYTES;
use gds_wire::soup;

/// What happens when a user logs in who is connected already.
///
/// A login that names a session which is still connected always concerns that connection; the other logins of the user are
/// concerned as the variant says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SameUser {
    /// A user may be connected any number of times, each with a session of its own. A login to a connected session takes it
    /// over, and the connection that had it is closed.
    #[default]
    Together,
    /// One connection per user: the new one closes the others.
    Supersede,
    /// One connection per user: the new one is rejected with `S`.
    Refuse,
}

/// Bounds and times of a [`QueryServer`](super::QueryServer). All memory is taken at construction:
/// `sessions_max * (retained_bytes + 192 KiB) + connections_max * (request_buffer_bytes + waits_max * request_bytes_max)`.
#[derive(Clone, Debug)]
pub struct QueryConfig {
    /// Connections at a time; one more is closed at once (`connections_refused`).
    pub connections_max: usize,
    /// Sessions at a time, connected or not; see [`Sessions`](super::sessions::Sessions) for what happens to one more.
    pub sessions_max: usize,
    /// Answers kept per session, in bytes of packets, for resume. Half of it may be unsent before the session pauses; the other
    /// half, less two packets, is kept of what was sent. Answers to ranges and watches can be made again when they were dropped;
    /// for others, what a broken link may swallow (the send buffers of the connection) should be less than is kept.
    pub retained_bytes: usize,
    /// Ranges and watches at a time in one session; one more is answered with `TooMany`.
    pub streams_max: usize,
    /// Requests of one connection that wait for a sequence number (`at least`); one more is answered with `TooMany`.
    pub waits_max: usize,
    /// Keys of one multi-get; a longer one is answered with `TooMany`.
    pub keys_max: usize,
    /// Largest packet a client may send, in bytes with length and type. Larger ones close the connection.
    pub request_bytes_max: usize,
    /// Requests of one connection that are kept while its answers wait for room. More close the connection.
    pub request_buffer_bytes: usize,
    /// Largest value a record may have, in bytes: room for it is found before a record is read.
    pub value_bytes_max: usize,
    /// Payload of one `m` answer at most, in bytes; at most 32,766.
    pub answer_bytes_max: usize,
    /// `m` answers made in one duty cycle, over all sessions, so that a range never holds up the rest.
    pub slices_per_duty: usize,
    /// Events taken from the port in one duty cycle.
    pub events_per_duty: usize,
    /// How long a connection may stand without a login.
    pub login_wait_ns: u64,
    /// How long a logged-in client may be silent, unless its login (4.10) says otherwise.
    pub silence_ns: u64,
    /// A heartbeat goes out when nothing was sent for this long.
    pub heartbeat_ns: u64,
    /// How long a session is kept after its connection broke.
    pub resume_ns: u64,
    /// How long a request waits for the sequence number it names before it is answered with `AheadOfStream`.
    pub wait_ns: u64,
    /// How long a session may be paused because its reader is slow before the connection is closed.
    pub slow_reader_ns: u64,
    /// What a second login of a connected user does.
    pub same_user: SameUser,
    /// Session names are drawn from it: another one for each start and each node.
    pub seed: u64,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            connections_max: 64,
            sessions_max: 128,
            retained_bytes: 2 << 20,
            streams_max: 16,
            waits_max: 8,
            keys_max: 256,
            request_bytes_max: soup::MAX_PACKET_BYTES,
            request_buffer_bytes: 256 << 10,
            value_bytes_max: 1_400,
            answer_bytes_max: soup::MAX_PAYLOAD_BYTES,
            slices_per_duty: 8,
            events_per_duty: 16,
            login_wait_ns: 30 * SECOND_NS,
            silence_ns: 15 * SECOND_NS,
            heartbeat_ns: 900 * MILLISECOND_NS,
            resume_ns: 600 * SECOND_NS,
            wait_ns: 5 * SECOND_NS,
            slow_reader_ns: 10 * SECOND_NS,
            same_user: SameUser::default(),
            seed: 1,
        }
    }
}

/// Bytes of a `g` answer beside header, key and value.
const RECORD_BODY_BYTES: usize = 16;
/// Bytes of the longest key.
const KEY_BYTES_MAX: usize = 255;

impl QueryConfig {
    /// Payload of the longest `g` answer there can be.
    pub fn record_bytes_max(&self) -> usize {
        ANSWER_HEADER_BYTES + RECORD_BODY_BYTES + KEY_BYTES_MAX + self.value_bytes_max
    }

    /// Bytes of all packets of the longest multi-get's answer.
    pub fn multi_get_bytes_max(&self) -> usize {
        self.keys_max * (answer_log::PACKET_HEADER_BYTES + self.record_bytes_max())
    }

    /// How many bytes of a session may be unsent before it pauses.
    pub fn unsent_max(&self) -> u64 {
        self.retained_bytes as u64 / 2
    }

    /// The least `retained_bytes` with which the longest answer finds room in a session that is not paused.
    pub fn retained_bytes_min(&self) -> usize {
        let packet = answer_log::PACKET_HEADER_BYTES + soup::MAX_PAYLOAD_BYTES;
        2 * (self.multi_get_bytes_max() + 2 * packet)
    }

    /// # Panics
    /// When the bounds contradict each other.
    pub(super) fn check(&self) {
        assert!(self.connections_max > 0 && self.sessions_max > 0, "no connection or no session is allowed");
        assert!(self.streams_max > 0 && self.keys_max > 0, "no range, or no key in a multi-get, is allowed");
        assert!(self.answer_bytes_max <= soup::MAX_PAYLOAD_BYTES, "answers are longer than a packet may be");
        assert!(
            self.record_bytes_max() <= soup::MAX_PAYLOAD_BYTES,
            "values are longer than an answer may be"
        );
        assert!(
            self.request_bytes_max >= soup::MAX_LOGIN_PACKET_BYTES,
            "a login is longer than request_bytes_max"
        );
        assert!(self.request_bytes_max <= self.request_buffer_bytes, "a request is longer than its buffer");
        assert!(
            self.retained_bytes >= self.retained_bytes_min(),
            "retained_bytes is {}; the longest multi-get needs {}",
            self.retained_bytes,
            self.retained_bytes_min()
        );
        assert!(self.slices_per_duty > 0 && self.events_per_duty > 0, "a duty cycle that may do nothing");
    }
}
