//! TLS towards a fleet API: the authorities that are trusted, and who this client says it is.

use super::ClientError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The files of a TLS client. Certificate and key come together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities that the server's certificate is checked against; without it, those of the system.
    pub authorities: Option<PathBuf>,
    /// This client's certificate, its chain behind it.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

/// What rustls needs.
pub(super) fn config(files: &TlsFiles) -> Result<Arc<ClientConfig>, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Settings(format!("TLS: {error}")))?
        .with_root_certificates(roots(files.authorities.as_deref())?);
    let config = match (&files.certificate, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let wrong = |error| ClientError::Settings(format!("--cert-file and --key-file: {error}"));
            builder.with_client_auth_cert(chain("--cert-file", certificate)?, private(key)?).map_err(wrong)?
        }
        _ => {
            let text = "--cert-file and --key-file belong together: give both or neither";
            return Err(ClientError::Settings(text.to_string()));
        }
    };
    Ok(Arc::new(config))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, ClientError> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in chain("--ca-file", path)? {
                let wrong = |error| ClientError::Settings(format!("--ca-file {}: {error}", path.display()));
                store.add(certificate).map_err(wrong)?;
            }
        }
        None => {
            let found = SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists());
            let certificates = found.map(|path| chain("the system's authorities", path)).transpose()?;
            // Bundles of systems hold certificates that rustls does not take; the others count.
            store.add_parsable_certificates(certificates.unwrap_or_default());
        }
    }
    if store.is_empty() {
        let text = "no authority to check the server's certificate against: give --ca-file";
        return Err(ClientError::Settings(text.to_string()));
    }
    Ok(store)
}

fn chain(flag: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let wrong =
        |why: &dyn std::fmt::Display| ClientError::Settings(format!("{flag} {}: {why}", path.display()));
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?.collect();
    let certificates = certificates.map_err(|error| wrong(&error))?;
    if certificates.is_empty() {
        return Err(wrong(&"no certificate in PEM form in it"));
    }
    Ok(certificates)
}

fn private(path: &Path) -> Result<PrivateKeyDer<'static>, ClientError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| ClientError::Settings(format!("--key-file {}: {error}", path.display())))
}
