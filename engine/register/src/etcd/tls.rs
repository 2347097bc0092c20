//! TLS towards etcd.
use super::EtcdConfig;
use crate::RegisterError;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

/// What the configuration's files come to. Everything is tried here, so that a wrong file is refused at the start.
pub fn config(config: &EtcdConfig) -> Result<TlsConfig, RegisterError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = Vec::new();
    if let Some(path) = &config.ca_file {
        let mut store = rustls::RootCertStore::empty();
        for certificate in certificates(path, "ca_file")? {
            roots.push(Certificate::from_der(&certificate).to_owned());
            store.add(certificate).map_err(|error| setting("ca_file", path, error))?;
        }
    }
    let own = match (&config.certificate_file, &config.key_file) {
        (Some(certificate), Some(key)) => Some(own(certificate, key, &provider)?),
        _ => None,
    };
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(own)
        .build())
}

/// Our own certificate, with its key.
fn own(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<ClientCert, RegisterError> {
    let chain = certificates(certificate, "certificate_file")?;
    let text = read(key, "key_file")?;
    let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|error| setting("key_file", key, error))?;
    CertifiedKey::from_der(chain.clone(), secret, provider)
        .map_err(|error| setting("key_file", key, error))?;
    let chain: Vec<Certificate> = chain.iter().map(|item| Certificate::from_der(item).to_owned()).collect();
    let secret = PrivateKey::from_pem(&text).map_err(|error| setting("key_file", key, error))?;
    Ok(ClientCert::new_with_certs(&chain, secret))
}

/// All certificates of a file, one at least.
fn certificates(path: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, RegisterError> {
    let text = read(path, name)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(setting(name, path, "no certificate (PEM) is in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(setting(name, path, error)),
    }
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, RegisterError> {
    fs::read(path).map_err(|error| setting(name, path, format!("cannot be read: {error}")))
}

fn setting(name: &str, path: &Path, why: impl std::fmt::Display) -> RegisterError {
    RegisterError::Setting { what: format!("cluster.etcd.{name} = {:?}: {why}", path.display().to_string()) }
}
