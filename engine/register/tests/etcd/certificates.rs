//! Certificates of a CA, a server, and a client, made for one test.
use crate::server::ServerTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A CA and what it signed.
pub struct Certificates(TempDir);

impl Certificates {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("write");
        let mut ca = CertificateParams::new([]).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("a CA");
        write("ca.pem", ca.pem());
        for name in ["server", "client"] {
            let key = KeyPair::generate().expect("a key");
            let names = ["127.0.0.1".to_owned(), name.to_owned()];
            let signed =
                CertificateParams::new(names).expect("parameters").signed_by(&key, &ca).expect("signed");
            write(&format!("{name}.pem"), signed.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub fn client(&self) -> PathBuf {
        self.file("client.pem")
    }

    pub fn client_key(&self) -> PathBuf {
        self.file("client.key")
    }

    pub fn server(&self) -> ServerTls {
        ServerTls { certificate: self.file("server.pem"), key: self.file("server.key"), ca: self.ca() }
    }
}
