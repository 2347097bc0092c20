//! What etcd's gateway answers.
use super::Attempt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::io;

/// The answer to a range request and to a transaction. The gateway leaves out what is empty, zero, or false.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Who answers.
    pub header: Header,
    /// Of a transaction: whether it compared equal.
    #[serde(default)]
    pub succeeded: bool,
    /// Of a range.
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
    /// Of a transaction.
    #[serde(default)]
    pub responses: Vec<Response>,
}

/// Who answers.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// The etcd cluster.
    pub cluster_id: String,
    /// The store's revision.
    #[serde(default, deserialize_with = "number")]
    pub revision: u64,
}

/// A key.
#[derive(Debug, Deserialize)]
pub struct KeyValue {
    /// The store's revision at which it was last written.
    #[serde(deserialize_with = "number")]
    pub mod_revision: u64,
    /// Its value in base64.
    #[serde(default)]
    pub value: String,
}

/// The answer to one part of a transaction.
#[derive(Debug, Deserialize)]
pub struct Response {
    /// If the part was a range request.
    pub response_range: Option<Range>,
}

/// The keys of a range.
#[derive(Debug, Default, Deserialize)]
pub struct Range {
    /// The keys.
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// The answer to a login.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// Stands for user and password from now on.
    pub token: String,
}

/// 64-bit numbers come as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Nothing came back in time, or something that is no answer of etcd.
    NoAnswer {
        /// What happened.
        why: String,
        /// Whether the request may have reached etcd.
        sent: bool,
    },
    /// etcd says no.
    Status {
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: String,
}

/// Reads what came back.
pub fn read<A: DeserializeOwned>(status: u16, text: &str) -> Result<A, Failure> {
    if status == 200 {
        let no_answer =
            |error| Failure::NoAnswer { why: format!("its answer is not etcd's: {error}"), sent: true };
        return serde_json::from_str(text).map_err(no_answer);
    }
    let message = match serde_json::from_str::<Refusal>(text) {
        Ok(refusal) if !refusal.message.is_empty() => refusal.message,
        Ok(refusal) if !refusal.error.is_empty() => refusal.error,
        _ => "no reason given".into(),
    };
    Err(Failure::Status { status, message })
}

impl Failure {
    /// Does etcd no longer take the token?
    pub fn token_is_over(&self) -> bool {
        let Self::Status { status, message } = self else { return false };
        *status == 401
            || message.contains("invalid auth token")
            || message.contains("revision of auth store is old")
    }

    /// Does etcd have no users?
    pub fn authentication_is_off(&self) -> bool {
        matches!(self, Self::Status { message, .. } if message.contains("authentication is not enabled"))
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        let sent = may_be_sent(&error);
        let why = match error {
            ureq::Error::Timeout(_) => "no answer in time".into(),
            ureq::Error::Io(cause) => cause.to_string(),
            error => error.to_string(),
        };
        Self::NoAnswer { why, sent }
    }
}

/// Whether a request that failed so may have reached etcd: always, unless there was no connection, or none that we trust.
fn may_be_sent(error: &ureq::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    use rustls::Error::InvalidCertificate;
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Tls(_) => false,
        ureq::Error::Rustls(InvalidCertificate(_)) => false,
        ureq::Error::Io(cause) => {
            let unreachable =
                matches!(cause.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable);
            let tls = cause.get_ref().and_then(|inner| inner.downcast_ref());
            !unreachable && !matches!(tls, Some(InvalidCertificate(_)))
        }
        _ => true,
    }
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoAnswer { why, sent } => Self::Next { why, sent },
            // The server's own trouble (no majority, an election, given up): it may still do what it was asked.
            Failure::Status { status: 408 | 499 | 500.., message } => Self::Next { why: message, sent: true },
            Failure::Status { status: 404, .. } => Self::Refused(
                "it has no /v3 API: it must be etcd 3.4 or newer, with its gRPC gateway on".into(),
            ),
            Failure::Status { message, .. } if message.contains("user name is empty") => {
                Self::Refused(format!("{message}: set cluster.etcd.user and cluster.etcd.password"))
            }
            Failure::Status { message, .. } => Self::Refused(message),
        }
    }
}
