//! TLS of the API's TCP port: the server's certificate, and the authority whose clients are let in.

use super::EdgeError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use tokio_rustls::TlsAcceptor;

/// The files of a TLS server, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those between it and the authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// With it, only clients with a certificate of this authority are let in.
    pub client_authority: Option<PathBuf>,
}

/// A TLS server. Clones share it, so that renewed files can be read while the server runs.
#[derive(Clone)]
pub struct TlsServer(Arc<RwLock<Arc<ServerConfig>>>);

impl TlsServer {
    /// Reads the files.
    pub fn read(files: &TlsFiles) -> Result<TlsServer, EdgeError> {
        Ok(TlsServer(Arc::new(RwLock::new(config(files)?))))
    }

    /// Reads the files again for connections to come; when that fails, what was in force stays.
    pub fn read_again(&self, files: &TlsFiles) -> Result<(), EdgeError> {
        *self.0.write().expect("no holder panics") = config(files)?;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.read().expect("no holder panics").clone())
    }
}

fn config(files: &TlsFiles) -> Result<Arc<ServerConfig>, EdgeError> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| EdgeError(format!("{}: {why}", path.display()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions");
    let builder = match &files.client_authority {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, &error))?;
    let mut config = builder
        .with_single_cert(certificates(&files.certificate)?, key)
        .map_err(|error| wrong(&files.certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EdgeError> {
    let wrong = |why: String| EdgeError(format!("{}: {why}", path.display()));
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
    match read.is_empty() {
        true => Err(wrong("no certificate in PEM form in it".into())),
        false => Ok(read),
    }
}
