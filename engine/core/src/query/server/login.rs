//! Logins: who comes in, with which session, and who has to go for it.
use super::QueryServer;
use crate::disk::Disk;
use crate::query::config::SameUser;
use crate::query::connection::Close;
use crate::query::sessions::{ConnectionIndex, Link, SessionIndex};
use crate::query::users::UserId;
use crate::time::{MILLISECOND_NS, Time};
use gds_wire::soup::{Login, LoginAccepted, RejectCode};

impl QueryServer {
    /// Answers a login, and joins the connection to its session or marks it to be closed.
    pub(super) fn login(&mut self, at: ConnectionIndex, now: Time, login: &Login, disk: &mut dyn Disk) {
        let accepted = match self.users.authorize(login) {
            None => {
                self.counters.rejected_not_authorized.increment();
                Err(RejectCode::NotAuthorized)
            }
            Some(user) => self.session_for(at, user, login, disk),
        };
        let connection = &mut self.connections[at];
        match accepted {
            Ok((index, sequence)) => {
                let session = self.sessions.get(index);
                session.link = Link::Connected(at);
                connection.session = Some(index);
                connection.received_ns = now.monotonic_ns;
                let timeout_ns = login.heartbeat_timeout_ms.map(|ms| u64::from(ms) * MILLISECOND_NS);
                connection.silence_ns = timeout_ns.unwrap_or(self.config.silence_ns);
                connection.control.encode(|into| {
                    LoginAccepted { session: session.name, sequence }.encode(into).expect("it fits")
                });
                self.counters.logins.increment();
            }
            Err(code) => {
                connection.control.push(&code.packet());
                connection.closing = Some(Close::Rejected);
            }
        }
    }

    /// The session a login gets, and the number of the first packet in it.
    fn session_for(
        &mut self,
        at: ConnectionIndex,
        user: UserId,
        login: &Login,
        disk: &mut dyn Disk,
    ) -> Result<(SessionIndex, u64), RejectCode> {
        if self.config.same_user == SameUser::Refuse && self.sessions.connected(user).is_some() {
            self.counters.rejected_same_user.increment();
            return Err(RejectCode::SessionNotAvailable);
        }
        let granted = if login.session.is_blank() {
            let Some((session, evicted)) = self.sessions.open(user) else {
                self.counters.rejected_sessions_full.increment();
                return Err(RejectCode::SessionNotAvailable);
            };
            self.counters.sessions_evicted.add(u64::from(evicted));
            (session, 1)
        } else {
            let Some(session) = self.sessions.find(&login.session, user) else {
                self.counters.rejected_session_unknown.increment();
                return Err(RejectCode::SessionNotAvailable);
            };
            let first_kept = self.engine.first_kept(disk);
            let Some(sequence) = self.sessions.resume(session, login.sequence, first_kept) else {
                self.counters.rejected_pruned.increment();
                return Err(RejectCode::SessionNotAvailable);
            };
            self.counters.resumed.increment();
            if let Link::Connected(other) = self.sessions.get(session).link {
                self.supersede(other);
            }
            (session, sequence)
        };
        if self.config.same_user == SameUser::Supersede {
            while let Some(other) = self.sessions.connected(user) {
                assert_ne!(other, at, "this connection is not logged in yet");
                self.supersede(other);
            }
        }
        Ok(granted)
    }

    /// Parts a connection from its session, which another login takes over or makes redundant.
    fn supersede(&mut self, at: ConnectionIndex) {
        let connection = &mut self.connections[at];
        let session = connection.session.take().expect("a connected session's connection is logged in");
        // Its user is here on another connection; whether it resumes this session is not known yet.
        self.sessions.get(session).link = Link::Broken(connection.received_ns);
        connection.closing = Some(Close::Superseded);
    }
}
