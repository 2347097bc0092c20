//! The register of several machines: a key of etcd, through its HTTP/JSON gateway (version 3 of the API: etcd 3.4 and newer).
//!
//! The key holds [the value](crate::value) as one line of JSON (`etcdctl get KEY` shows it); its revision is the key's `mod_revision`. A swap is one transaction that
//! compares that and writes. Reads are linearizable: an etcd member without a majority answers neither.
//!
//! **Endpoints** are tried in turn, beginning with the one that answered last, each for its share of what is left of the time limit. A swap asked for again at the
//! next endpoint is the same swap: if the first one happened after all, the second finds another revision and says what is there.
//! All endpoints must belong to one etcd cluster; one that does not is refused.
//!
//! **Login.** With a user and password, a token is got first, and again when etcd no longer knows it. etcd takes its time to check a
//! password (tens of milliseconds and more, on purpose), so a login has a time limit of its own.
//!
//! **TLS** for `https` endpoints: the servers' certificates are checked against the CA file, and nothing else; a client certificate is shown if
//! there is one. (A gateway of etcd does not take a certificate's name for a user: where etcd asks for users, give one.)
mod answer;
mod config;
mod tls;

pub use config::{EtcdConfig, Login};

use crate::{Register, RegisterError, SwapAnswer, value};
use answer::{Answer, Failure, KeyValue, Token};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gds_core::replication::{RegisterState, RegisterValue};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use ureq::Agent;

/// Longest wait for a login at one endpoint.
const LOGIN_WAIT: Duration = Duration::from_secs(2);
/// Largest answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A register in etcd.
#[derive(Debug)]
pub struct Etcd {
    config: EtcdConfig,
    agent: Agent,
    /// The endpoint that answered last.
    at: usize,
    /// From the last login.
    token: Option<String>,
    /// The etcd cluster that answered first.
    cluster: Option<String>,
}

/// What became of one endpoint.
enum Attempt {
    /// The next may do better.
    Next {
        why: String,
        /// Whether the request may have reached it.
        sent: bool,
    },
    /// No other would say anything else.
    Refused(String),
    /// It belongs to another cluster.
    OtherCluster(String),
}

impl Etcd {
    /// Reads the certificates' files; asks nothing yet.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: &EtcdConfig) -> Result<Self, RegisterError> {
        config.check().map_err(|what| RegisterError::Setting { what: format!("cluster.etcd.{what}") })?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls::config(config)?)
            .build()
            .into();
        Ok(Self { config: config.clone(), agent, at: 0, token: None, cluster: None })
    }

    fn key(&self) -> String {
        BASE64.encode(&self.config.key)
    }

    /// Posts to one endpoint after the other until one answers. `swap`: whether a request that got no answer leaves a doubt.
    fn ask(&mut self, path: &str, body: &Value, swap: bool) -> Result<Answer, RegisterError> {
        let count = self.config.endpoints.len();
        let (first, mut deadline) = (self.at, Instant::now() + self.config.timeout);
        let (mut tried, mut swap_in_doubt) = (Vec::new(), false);
        for turn in 0..count {
            self.at = (first + turn) % count;
            let endpoint = self.config.endpoints[self.at].clone();
            match self.ask_one(&endpoint, path, body, count - turn, &mut deadline) {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Next { why, sent }) => {
                    swap_in_doubt |= swap && sent;
                    tried.push(format!("{endpoint}: {why}"));
                }
                Err(Attempt::Refused(why)) => {
                    return Err(RegisterError::Refused { endpoint, why, swap_in_doubt });
                }
                Err(Attempt::OtherCluster(cluster)) => {
                    let expected = self.cluster.clone().unwrap_or_default();
                    return Err(RegisterError::OtherCluster { endpoint, cluster, expected, swap_in_doubt });
                }
            }
        }
        Err(RegisterError::Silent { tried, swap_in_doubt })
    }

    /// Posts to one endpoint, after a login where one is needed, which does not count against the deadline. `turns` endpoints are left to try, this
    /// one included.
    fn ask_one(
        &mut self,
        endpoint: &str,
        path: &str,
        body: &Value,
        turns: usize,
        deadline: &mut Instant,
    ) -> Result<Answer, Attempt> {
        for last in [false, true] {
            if self.token.is_none() {
                let begin = Instant::now();
                let token = self.login(endpoint);
                *deadline += begin.elapsed();
                self.token = token?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.post(endpoint, path, body, left / turns as u32) {
                Err(failure) if failure.token_is_over() && self.token.is_some() && !last => self.token = None,
                Err(failure) => return Err(failure.into()),
                Ok(answer) => return self.of_our_cluster(answer),
            }
        }
        unreachable!("the second turn returns")
    }

    /// A token, if the configuration has a user.
    fn login(&self, endpoint: &str) -> Result<Option<String>, Attempt> {
        let Some(login) = &self.config.login else { return Ok(None) };
        let body = json!({ "name": login.user, "password": login.password });
        match self.post::<Token>(endpoint, "/v3/auth/authenticate", &body, LOGIN_WAIT) {
            Ok(answer) => Ok(Some(answer.token)),
            // There are no users: none is needed.
            Err(failure) if failure.authentication_is_off() => Ok(None),
            // The register has not been asked for anything yet.
            Err(failure) => Err(match failure.into() {
                Attempt::Next { why, .. } => Attempt::Next { why: format!("login: {why}"), sent: false },
                Attempt::Refused(why) => Attempt::Refused(format!("login of user {:?}: {why}", login.user)),
                other => other,
            }),
        }
    }

    fn post<A: DeserializeOwned>(
        &self,
        endpoint: &str,
        path: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<A, Failure> {
        let url = format!("{}{path}", endpoint.trim_end_matches('/'));
        // ureq takes no time at all for a second.
        let limit = limit.max(Duration::from_millis(1));
        let request = self.agent.post(url).config().timeout_global(Some(limit)).build();
        let request = match &self.token {
            Some(token) => request.header("Authorization", token),
            None => request,
        };
        let mut answer = request.content_type("application/json").send(body.to_string())?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
        answer::read(status, &text)
    }

    fn of_our_cluster(&mut self, answer: Answer) -> Result<Answer, Attempt> {
        let cluster = &answer.header.cluster_id;
        match &self.cluster {
            Some(ours) if ours != cluster => Err(Attempt::OtherCluster(cluster.clone())),
            Some(_) => Ok(answer),
            None => {
                self.cluster = Some(cluster.clone());
                Ok(answer)
            }
        }
    }

    /// What the key holds.
    fn state(&self, found: &[KeyValue]) -> Result<RegisterState, RegisterError> {
        let Some(found) = found.first() else { return Ok(RegisterState { revision: 0, value: None }) };
        let damaged = |why| RegisterError::Damaged { place: format!("etcd key {:?}", self.config.key), why };
        let bytes = BASE64.decode(&found.value).map_err(|error| damaged(error.to_string()))?;
        let value = value::read(&bytes).map_err(damaged)?;
        Ok(RegisterState { revision: found.mod_revision, value: Some(value) })
    }
}

impl Register for Etcd {
    fn read(&mut self) -> Result<RegisterState, RegisterError> {
        let answer = self.ask("/v3/kv/range", &json!({ "key": self.key() }), false)?;
        self.state(&answer.kvs)
    }

    fn swap(&mut self, revision: u64, value: &RegisterValue) -> Result<SwapAnswer, RegisterError> {
        let key = self.key();
        let body = json!({
            "compare": [{ "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string() }],
            "success": [{ "request_put": { "key": key, "value": BASE64.encode(value::write(value)) } }],
            "failure": [{ "request_range": { "key": key } }],
        });
        let answer = self.ask("/v3/kv/txn", &body, true)?;
        if answer.succeeded {
            // The transaction wrote one key, so the store's revision is the key's.
            return Ok(SwapAnswer::Swapped(answer.header.revision));
        }
        let found = answer.responses.into_iter().find_map(|response| response.response_range);
        self.state(&found.unwrap_or_default().kvs).map(SwapAnswer::Holds)
    }
}
