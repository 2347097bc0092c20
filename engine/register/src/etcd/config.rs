//! How etcd is reached.
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How etcd is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    /// `http://HOST:PORT` or `https://HOST:PORT`, 1 to 16 of them, all of one etcd cluster.
    pub endpoints: Vec<String>,
    /// The key that holds the register.
    pub key: String,
    /// User and password, where etcd asks for them.
    pub login: Option<Login>,
    /// The certificates (PEM) by which the servers of `https` endpoints are known.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate (PEM), and the chain above it, where etcd asks for one.
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
    /// Time for a request, over all endpoints; a login not counted.
    pub timeout: Duration,
}

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password; never shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl EtcdConfig {
    /// Whether it can be used, files not looked at.
    ///
    /// # Errors
    /// The key, its value, and what would do.
    pub fn check(&self) -> Result<(), String> {
        let Self { endpoints, key, timeout, .. } = self;
        if !(1..=16).contains(&endpoints.len()) {
            return Err(format!("endpoints = {} endpoints: name 1 to 16", endpoints.len()));
        }
        if let Some(wrong) = endpoints.iter().find(|endpoint| !is_endpoint(endpoint)) {
            return Err(format!(
                "endpoints = {wrong:?}: write http://HOST:PORT or https://HOST:PORT, such as \"http://10.0.0.9:2379\""
            ));
        }
        if !(1..=256).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "key = {key:?}: 1 to 256 ASCII characters, no spaces, such as \"/gds/orders\""
            ));
        }
        if self.has_tls() && self.ca_file.is_none() {
            return Err(
                "ca_file = \"\": name the file with the CA certificate of the https endpoints (PEM)".into()
            );
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            return Err("certificate_file, key_file: name both or neither".into());
        }
        let timeout_ms = timeout.as_millis();
        if !(10..=60_000).contains(&timeout_ms) {
            return Err(format!("timeout_ms = {timeout_ms}: must be 10 to 60000"));
        }
        Ok(())
    }

    /// Whether any endpoint is reached over TLS.
    pub fn has_tls(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.starts_with("https://"))
    }
}

fn is_endpoint(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    let Some((host, port)) = rest.trim_end_matches('/').rsplit_once(':') else { return false };
    let of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(of_a_host) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> EtcdConfig {
        EtcdConfig {
            endpoints: vec!["http://127.0.0.1:2379".into()],
            key: "/gds/stream".into(),
            login: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            timeout: Duration::from_millis(200),
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_what_would_do() {
        assert_eq!(config().check(), Ok(()));
        let refused = |change: &dyn Fn(&mut EtcdConfig), hint: &str| {
            let mut config = config();
            change(&mut config);
            let error = config.check().expect_err(hint);
            assert!(error.contains(hint), "{error}");
        };
        refused(&|config| config.endpoints.clear(), "name 1 to 16");
        for wrong in [
            "127.0.0.1:2379",
            "http://127.0.0.1",
            "http://:2379",
            "http://a:0",
            "http://u@a:1",
            "http://a:1/v3",
        ] {
            refused(
                &|config| config.endpoints.push(wrong.into()),
                &format!("{wrong:?}: write http://HOST:PORT"),
            );
        }
        refused(&|config| config.key = "a key".into(), "no spaces");
        refused(&|config| config.endpoints.push("https://etcd.example:2379/".into()), "ca_file");
        refused(&|config| config.key_file = Some("key.pem".into()), "both or neither");
        refused(&|config| config.timeout = Duration::from_millis(9), "timeout_ms = 9");
    }

    #[test]
    fn a_password_is_never_shown() {
        let login = Login { user: "gds".into(), password: "secret".into() };
        let text = format!("{:?}", EtcdConfig { login: Some(login), ..config() });
        assert!(text.contains("gds") && !text.contains("secret"), "{text}");
    }
}
