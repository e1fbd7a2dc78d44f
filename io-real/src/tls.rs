//! TLS of a client, towards a store or a fleet API: the authorities that are trusted, and who this client says it is.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the authorities that they trust.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// What the files are called where they are set, for errors that name the flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFlags {
    /// Of the authorities.
    pub authorities: &'static str,
    /// Of the certificate.
    pub certificate: &'static str,
    /// Of the key.
    pub key: &'static str,
}

/// The files of a TLS client. Certificate and key come together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities that the server's certificate is checked against; without it, those of the system.
    pub authorities: Option<PathBuf>,
    /// This client's certificate, its chain behind it.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// Takes any certificate of the server, so that the connection is encrypted, but to whom is not known.
    pub skip_verify: bool,
}

/// What rustls needs.
///
/// # Errors
/// A text that names the flag and the file.
pub fn client_config(files: &TlsFiles, flags: TlsFlags) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?;
    let builder = match files.skip_verify {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        false => builder.with_root_certificates(roots(files.authorities.as_deref(), flags.authorities)?),
    };
    let both = || format!("{} and {}", flags.certificate, flags.key);
    let config = match (&files.certificate, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = chain(flags.certificate, certificate)?;
            let key = private(flags.key, key)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| format!("{}: {error}", both()))?
        }
        _ => return Err(format!("{} belong together: give both or neither", both())),
    };
    Ok(Arc::new(config))
}

/// Believes whoever answers, as far as the signatures of the handshake are right.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn roots(file: Option<&Path>, flag: &str) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            for certificate in chain(flag, path)? {
                store.add(certificate).map_err(|error| format!("{flag} {}: {error}", path.display()))?;
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
        return Err(format!("no authority to check the server's certificate against: give {flag}"));
    }
    Ok(store)
}

fn chain(flag: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{flag} {}: {why}", path.display());
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?.collect();
    let certificates = certificates.map_err(|error| wrong(&error))?;
    if certificates.is_empty() {
        return Err(wrong(&"no certificate in PEM form in it"));
    }
    Ok(certificates)
}

fn private(flag: &str, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| format!("{flag} {}: {error}", path.display()))
}
