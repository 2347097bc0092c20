//! The register's value as text: JSON that a person can read, the same in a file and in etcd.
//!
//! ```json
//! {"stream": "1763800000", "epoch": 3, "leader": 1, "in_sync": [{"node": 1, "incarnation": 7}, {"node": 2, "incarnation": 2}]}
//! ```
//!
//! `stream` is the stream id, written as in all of our output; the leader is one of `in_sync`. Once the stream has been given another session name, `sessions` follows, with each
//! later name and the first number that only that session has: `"sessions": [{"name": "1763900000", "from": 65}]`.
use gds_core::label::{SessionName, SessionNames};
use gds_core::replication::{Member, NODES_MAX, NodeId, RegisterValue, Set};
use gds_wire::session::Session;
use serde::{Deserialize, Serialize};

/// So much of a name is shown where it is none.
const STREAM_CHARACTERS: usize = 40;
/// Longest text of a value that is read: many times what one with all nodes has.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The value's text form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueText {
    stream: String,
    epoch: u32,
    leader: u8,
    in_sync: Vec<MemberText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sessions: Vec<SessionText>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionText {
    name: String,
    from: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberText {
    node: u8,
    incarnation: u64,
}

impl From<&RegisterValue> for ValueText {
    fn from(value: &RegisterValue) -> Self {
        let session = |known: &SessionName| SessionText { name: known.name.to_string(), from: known.from };
        let member = |member: &Member| MemberText { node: member.node.0, incarnation: member.incarnation };
        Self {
            stream: value.stream.to_string(),
            epoch: value.epoch,
            leader: value.leader.0,
            in_sync: value.set.members().iter().map(member).collect(),
            sessions: value.sessions.names().iter().map(session).collect(),
        }
    }
}

impl ValueText {
    /// The value, if it is one.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn value(&self) -> Result<RegisterValue, String> {
        let stream = self.stream.parse().map_err(|error| {
            format!("stream = {:?}: {error}", self.stream.chars().take(STREAM_CHARACTERS).collect::<String>())
        })?;
        let (set, sessions) = (self.set()?, self.sessions(stream)?);
        let value = RegisterValue { stream, epoch: self.epoch, leader: NodeId(self.leader), set, sessions };
        value.flaw().map_or(Ok(value), Err)
    }

    fn sessions(&self, stream: Session) -> Result<SessionNames, String> {
        let name = |text: &SessionText| match text.name.parse() {
            Ok(name) => Ok(SessionName { name, from: text.from }),
            Err(error) => Err(format!("sessions has {:?}: {error}", text.name)),
        };
        let names = self.sessions.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        SessionNames::of(stream, names).map_err(|why| format!("sessions: {why}"))
    }

    fn set(&self) -> Result<Set, String> {
        if self.in_sync.len() > NODES_MAX {
            return Err(format!("in_sync has {} members; at most {NODES_MAX}", self.in_sync.len()));
        }
        let mut set = Set::default();
        for text in &self.in_sync {
            let member = Member { node: NodeId(text.node), incarnation: text.incarnation };
            if member.node.0 == 0 || set.incarnation(member.node).is_some() {
                return Err(format!("in_sync has node {}: numbers from 1 on, each once", member.node));
            }
            set = set.with(member);
        }
        Ok(set)
    }
}

/// One line of text.
pub fn write(value: &RegisterValue) -> String {
    serde_json::to_string(&ValueText::from(value)).expect("numbers and strings are JSON")
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// With what is wrong with the text.
pub fn read(text: &[u8]) -> Result<RegisterValue, String> {
    check_length(text.len())?;
    let text: ValueText = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    text.value()
}

/// Whether a text of so many bytes can be a register's.
pub(crate) fn check_length(bytes: usize) -> Result<(), String> {
    if bytes <= TEXT_BYTES_MAX { Ok(()) } else { Err(format!("it has more than {TEXT_BYTES_MAX} bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gds_core::replication::INCARNATION_MAX;
    use gds_core::time::Time;

    fn value() -> RegisterValue {
        let member = |node, incarnation| Member { node: NodeId(node), incarnation };
        RegisterValue {
            stream: Session::padded("GENIUM\\1").expect("a name"),
            epoch: 3,
            leader: NodeId(2),
            set: Set::of(member(2, INCARNATION_MAX)).with(member(1, 7)),
            sessions: SessionNames::default(),
        }
    }

    #[test]
    fn a_value_is_read_back_as_it_was_written() {
        let text = write(&value());
        assert_eq!(
            text,
            r#"{"stream":"GENIUM\\x5c1","epoch":3,"leader":2,"in_sync":[{"node":1,"incarnation":7},{"node":2,"incarnation":9007199254740992}]}"#
        );
        assert_eq!(read(text.as_bytes()), Ok(value()));
    }

    #[test]
    fn later_session_names_come_with_the_value() {
        let mut named = value();
        for from in [65, 66] {
            named.sessions = named.sessions.renewed(named.stream, from, Time::default());
        }
        let text = write(&named);
        let sessions = r#","sessions":[{"name":"0000000000","from":65},{"name":"0000000001","from":66}]}"#;
        assert!(text.ends_with(sessions), "{text}");
        assert_eq!(read(text.as_bytes()), Ok(named));
        for (from, to, reason) in [
            ("0000000001", "0000000000", "had before"),
            ("0000000001", "B000000000", "had before"),
            ("0000000001", "A000000000", "had before"),
            ("0000000001", "", "empty"),
            (r#""from":66"#, r#""from":0"#, "message 0"),
            (r#""from":66"#, r#""from":66,"to":67"#, "to"),
        ] {
            let error = read(text.replace(from, to).as_bytes()).expect_err(to);
            assert!(error.contains(reason), "{to} gave: {error}");
        }
        let many = r#",{"name":"X","from":1}"#.repeat(1_000);
        let error = read(text.replace("}]}", &format!("}}{many}]}}")).as_bytes()).expect_err("too many");
        assert!(error.contains("had before") || error.contains("more than"), "{error}");
    }

    #[test]
    fn what_is_no_value_is_refused_with_the_reason() {
        let text = write(&value());
        for (from, to, reason) in [
            (r#""epoch":3"#, r#""epoch":0"#, "epochs begin at 1"),
            (r#""epoch":3"#, r#""epoch":-3"#, "-3"),
            (r#""epoch":3"#, r#""epoch":4294967295"#, "no cluster comes to more than 2147483648"),
            (r#""epoch":3"#, r#""epoch":4294967296"#, "4294967296"),
            (r#""epoch":3"#, r#""epoch":3e2"#, "floating point"),
            (r#""incarnation":7"#, r#""incarnation":0"#, "node 1 in incarnation 0: they go from 1 to"),
            (
                r#""incarnation":7"#,
                r#""incarnation":18446744073709551615"#,
                "node 1 in incarnation 18446744073709551615",
            ),
            (
                r#"[{"node":1,"incarnation":7},{"node":2,"incarnation":9007199254740992}]"#,
                "[]",
                "leader = 2: it is not one of in_sync, {}",
            ),
            (r#"{"node":1"#, r#"{"node":256"#, "256"),
            (r#""epoch":3"#, r#""epoch":3,"term":4"#, "term"),
            (r#""leader":2"#, r#""leader":3"#, "leader = 3: it is not one of in_sync, {1.7"),
            (r#"[{"node":1"#, r#"[{"node":2"#, "node 2: numbers from 1 on, each once"),
            (r#"[{"node":1"#, r#"[{"node":0"#, "node 0: numbers from 1 on"),
            (r#""GENIUM\\x5c1""#, r#""""#, "empty"),
            ("}]}", "}]", "EOF"),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text, "{from} is not in it");
            let error = read(wrong.as_bytes()).expect_err(&wrong);
            assert!(error.contains(reason), "{wrong} gave: {error}");
        }
        let long = "x".repeat(TEXT_BYTES_MAX);
        let error = read(text.replace("GENIUM", &long).as_bytes()).expect_err("it is too long");
        assert_eq!(error, "it has more than 4096 bytes");
        let error = read(text.replace("GENIUM", &long[..3_000]).as_bytes()).expect_err("it is no name");
        assert!(error.len() < 200, "{error}");
        let many: Vec<String> = (1..=9).map(|node| format!(r#"{{"node":{node},"incarnation":1}}"#)).collect();
        let text = format!(r#"{{"stream":"S","epoch":1,"leader":1,"in_sync":[{}]}}"#, many.join(","));
        assert_eq!(read(text.as_bytes()), Err("in_sync has 9 members; at most 8".into()));
    }
}
