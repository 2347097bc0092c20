//! A real etcd, started by the test, with its data in memory.
use gds_register::EtcdConfig;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Tells whether etcd is installed; says so if not.
pub fn there_is_etcd() -> bool {
    let there = Command::new("etcd").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: etcd is not installed (apt-get install etcd-server)");
    }
    there
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// A folder in memory, if there is any.
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// Certificates of the server and the CA of its clients.
#[derive(Clone)]
pub struct ServerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// One member of an etcd cluster.
pub struct Server {
    name: String,
    pub port: u16,
    peer_port: u16,
    /// `name=url` of all members.
    cluster: String,
    tls: Option<ServerTls>,
    folder: TempDir,
    child: Child,
}

impl Server {
    /// A cluster of one that answers.
    pub fn start(tls: Option<ServerTls>) -> Self {
        let (peer_port, name) = (free_port(), "one".to_owned());
        let cluster = format!("{name}=http://127.0.0.1:{peer_port}");
        let server = Self::member(name, peer_port, cluster, tls);
        server.wait_until_ready();
        server
    }

    /// A cluster of three that answers.
    pub fn start_three() -> Vec<Self> {
        let members: Vec<(String, u16)> =
            ["one", "two", "three"].map(|name| (name.to_owned(), free_port())).into();
        let urls: Vec<String> =
            members.iter().map(|(name, port)| format!("{name}=http://127.0.0.1:{port}")).collect();
        let cluster = urls.join(",");
        let servers: Vec<Self> =
            members.into_iter().map(|(name, port)| Self::member(name, port, cluster.clone(), None)).collect();
        servers.iter().for_each(Self::wait_until_ready);
        servers
    }

    fn member(name: String, peer_port: u16, cluster: String, tls: Option<ServerTls>) -> Self {
        let (folder, port) = (folder(), free_port());
        let child = spawn(&name, folder.path(), port, peer_port, &cluster, tls.as_ref());
        Self { name, port, peer_port, cluster, tls, folder, child }
    }

    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls.is_some() { "https" } else { "http" }, self.port)
    }

    /// How it is reached, without a login and certificates.
    pub fn config(&self) -> EtcdConfig {
        config([self.endpoint()])
    }

    /// `kill -9`, and the same again with the same data.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("dead");
    }

    pub fn start_again(&mut self) {
        let tls = self.tls.as_ref();
        self.child = spawn(&self.name, self.folder.path(), self.port, self.peer_port, &self.cluster, tls);
        self.wait_until_ready();
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.expect("kill is there").success());
    }

    /// Posts without a client of ours, for what only an administrator does.
    pub fn administer(&self, path: &str, body: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path} {body} gave: {answer}");
    }

    /// Users `root` and `gds` with passwords of the same name; `gds` may read and write `/gds/` and below.
    pub fn ask_for_users(&self) {
        self.administer("/v3/auth/user/add", r#"{"name": "root", "password": "root"}"#);
        self.administer("/v3/auth/role/add", r#"{"name": "root"}"#);
        self.administer("/v3/auth/user/grant", r#"{"user": "root", "role": "root"}"#);
        self.administer("/v3/auth/user/add", r#"{"name": "gds", "password": "gds"}"#);
        self.administer("/v3/auth/role/add", r#"{"name": "gds"}"#);
        // From "/gds/" to "/gds0", in base64.
        let right = r#"{"name": "gds", "perm": {"permType": "READWRITE", "key": "L2dkcy8=", "range_end": "L2dkczA="}}"#;
        self.administer("/v3/auth/role/grant", right);
        self.administer("/v3/auth/user/grant", r#"{"user": "gds", "role": "gds"}"#);
        self.administer("/v3/auth/enable", "{}");
    }

    /// It answers once it has written that it serves clients and has a leader; asked of its own health page.
    fn wait_until_ready(&self) {
        for _ in 0..2_000 {
            if self.is_ready() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("etcd does not get ready:\n{log}");
    }

    fn is_ready(&self) -> bool {
        let metrics = self.folder.path().join("metrics");
        let Ok(port) = std::fs::read_to_string(metrics) else { return false };
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port.parse().expect("a number"))) else {
            return false;
        };
        let asked = write!(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(r#""health":"true""#)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    name: &str,
    folder: &Path,
    port: u16,
    peer_port: u16,
    cluster: &str,
    tls: Option<&ServerTls>,
) -> Child {
    let (metrics_port, scheme) = (free_port(), if tls.is_some() { "https" } else { "http" });
    std::fs::write(folder.join("metrics"), metrics_port.to_string()).expect("write");
    let log = File::options().append(true).create(true).open(folder.join("log")).expect("a log");
    let client_url = format!("{scheme}://127.0.0.1:{port}");
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new("etcd");
    command
        .args(["--name", name, "--data-dir"])
        .arg(folder.join("data"))
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--listen-metrics-urls", &format!("http://127.0.0.1:{metrics_port}")])
        .args(["--initial-cluster", cluster, "--heartbeat-interval", "20", "--election-timeout", "200"]);
    if let Some(tls) = tls {
        command.arg("--cert-file").arg(&tls.certificate).arg("--key-file").arg(&tls.key);
        command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&tls.ca);
    }
    // A build for another processor than etcd's main one asks for this; others ignore it.
    command.env("ETCD_UNSUPPORTED_ARCH", "arm64");
    let error_log = log.try_clone().expect("the log");
    command.stdin(Stdio::null()).stdout(log).stderr(error_log).spawn().expect("etcd starts")
}

/// Several endpoints, without a login and certificates.
pub fn config(endpoints: impl IntoIterator<Item = String>) -> EtcdConfig {
    EtcdConfig {
        endpoints: endpoints.into_iter().collect(),
        key: "/gds/stream".into(),
        login: None,
        ca_file: None,
        certificate_file: None,
        key_file: None,
        timeout: Duration::from_secs(2),
    }
}
