//! What the query server counts.
use super::connection::Close;
use crate::counter_set;
use crate::counters::Counter;

counter_set! {
    /// Counters of a [`QueryServer`](super::QueryServer). Every reason for which it closes a connection is one of them.
    pub struct QueryCounters {
        /// connections open now
        connections_open,
        /// sessions kept now, connected or not
        sessions_kept,
        /// ranges and watches open now
        streams_open,
        /// logins accepted
        logins,
        /// logins that went on with a session
        resumed,
        /// logins rejected: unknown user or wrong password
        rejected_not_authorized,
        /// logins rejected: the session asked for is unknown, another user's, or too old
        rejected_session_unknown,
        /// logins rejected: the number asked for is no longer kept
        rejected_pruned,
        /// logins rejected: the table of sessions is full
        rejected_sessions_full,
        /// logins rejected: the user is connected already
        rejected_same_user,
        /// sessions forgotten early because the table of sessions was full
        sessions_evicted,
        /// sessions forgotten after their time to resume
        sessions_expired,
        /// connections closed on arrival: the bound on connections is reached
        connections_refused,
        /// connections closed: the client logged out
        closed_logout,
        /// connections closed by the client or the network
        closed_by_peer,
        /// connections closed: no login in time
        closed_no_login,
        /// connections closed: the client was silent for too long
        closed_silent,
        /// connections closed: bytes that are no SoupBinTCP packet, or a packet that may not come there
        closed_protocol,
        /// connections closed: a packet longer than the bound
        closed_oversize,
        /// connections closed: more requests than the buffer holds while answers wait
        closed_requests_overflow,
        /// connections closed: the reader was too slow for too long
        closed_slow_reader,
        /// connections closed: the same session or user logged in again
        closed_superseded,
        /// connections closed: what was to be sent again can no longer be read
        closed_unreadable,
        /// connections closed after a login was rejected
        closed_rejected,
        /// connections closed: the stream has ended
        closed_end,
        /// reads of messages that the journal should have and that cannot be read: the request fails with the reason unavailable
        unreadable,
        /// requests received
        requests,
        /// requests answered with an error
        requests_failed,
        /// requests taken for resends of one that is still being answered
        requests_resent,
        /// requests that had to wait for a sequence number
        requests_waited,
        /// records answered
        records,
        /// bus messages answered by ranges and watches
        messages,
        /// answer packets made
        answers,
        /// bytes of answer packets made
        answer_bytes,
        /// answer packets made again for a resume, because they had been dropped
        answers_repeated,
        /// bytes handed to the port
        sent_bytes,
        /// times a session paused because its reader is slow
        pauses,
        /// heartbeats sent
        heartbeats,
    }
}

impl QueryCounters {
    /// The counter of connections closed for this reason.
    pub fn closed(&self, why: Close) -> &Counter {
        match why {
            Close::Logout => &self.closed_logout,
            Close::Peer => &self.closed_by_peer,
            Close::NoLogin => &self.closed_no_login,
            Close::Silent => &self.closed_silent,
            Close::Protocol => &self.closed_protocol,
            Close::Oversize => &self.closed_oversize,
            Close::RequestsOverflow => &self.closed_requests_overflow,
            Close::SlowReader => &self.closed_slow_reader,
            Close::Superseded => &self.closed_superseded,
            Close::Unreadable => &self.closed_unreadable,
            Close::Rejected => &self.closed_rejected,
            Close::End => &self.closed_end,
        }
    }
}
