//! What a client is built from and what it counts.
use crate::counter_set;
use crate::time::{MILLISECOND_NS, SECOND_NS};
use gds_wire::session::Session;

/// What a client is built from.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Up to 6 characters.
    pub user: String,
    /// Up to 10 characters.
    pub password: String,
    /// The session to resume; blank for a new one.
    pub session: Session,
    /// The number wanted next in that session.
    pub sequence: u64,
    /// Tell the server how long it may hear nothing (a 4.10 login), in ms. `None`: a 3.00 login.
    pub heartbeat_timeout_ms: Option<u32>,
    /// When the session cannot be resumed: open another one and ask everything open again, or stop.
    pub renew: bool,
    /// Requests open at a time, at most 65,536.
    pub requests_max: usize,
    /// A heartbeat goes out when nothing was sent for this long.
    pub heartbeat_ns: u64,
    /// A server silent for this long is gone.
    pub silence_ns: u64,
    /// How long connecting and logging in may take.
    pub login_wait_ns: u64,
    /// The first wait before connecting again; doubles up to `reconnect_max_ns`.
    pub reconnect_ns: u64,
    /// The longest wait before connecting again.
    pub reconnect_max_ns: u64,
}

impl ClientConfig {
    /// The usual values for this user and a new session.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            session: Session::BLANK,
            sequence: 1,
            heartbeat_timeout_ms: None,
            renew: true,
            requests_max: 1024,
            heartbeat_ns: 900 * MILLISECOND_NS,
            silence_ns: 15 * SECOND_NS,
            login_wait_ns: 5 * SECOND_NS,
            reconnect_ns: 10 * MILLISECOND_NS,
            reconnect_max_ns: SECOND_NS,
        }
    }
}

counter_set! {
    /// Counters of a [`SoupClient`].
    pub struct ClientCounters {
        /// logins accepted
        logins,
        /// logins that went on with a session
        resumed,
        /// links that broke
        links_lost,
        /// sessions that could not be resumed
        sessions_lost,
        /// requests opened
        requests,
        /// requests sent again after a break
        requests_resent,
        /// sequenced packets received
        answers,
        /// answers dropped because their request was answered before
        answers_repeated,
        /// sequenced packets that are no answer
        answers_malformed,
    }
}
