//! Where a server listens, as fleetctl's `--endpoint` says it.

use super::ClientError;
use std::path::PathBuf;

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As it was written.
    pub text: String,
    /// What it means.
    pub place: Place,
}

/// What an address means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Whether TLS is spoken there.
        tls: bool,
    },
}

impl Endpoint {
    /// Reads `unix:///PATH`, `file:///PATH`, `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    pub fn parse(text: &str) -> Result<Endpoint, ClientError> {
        let wrong = |why: &str| {
            let forms = "unix:///PATH, http://HOST:PORT or https://HOST:PORT";
            ClientError::Settings(format!("--endpoint {text:?} {why}: give {forms}"))
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(|| wrong("has no scheme"))?;
        let place = match scheme {
            "unix" | "file" => unix(rest).ok_or_else(|| wrong("names no absolute path"))?,
            "http" | "https" => tcp(text, scheme == "https").ok_or_else(|| wrong("names no host"))?,
            _ => return Err(wrong("has an unknown scheme")),
        };
        Ok(Endpoint { text: text.to_string(), place })
    }

    /// The `Host` of requests.
    pub(super) fn authority(&self) -> String {
        match &self.place {
            Place::Unix(_) => "localhost".to_string(),
            Place::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }
}

/// `///run/fleet.sock` and `/run/fleet.sock` are paths; `//run/fleet.sock` has lost a slash and would name a host `run`.
fn unix(rest: &str) -> Option<Place> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return None,
        None => rest,
    };
    (path.starts_with('/') && path.len() > 1).then(|| Place::Unix(PathBuf::from(path)))
}

fn tcp(text: &str, tls: bool) -> Option<Place> {
    let uri: http::Uri = text.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
    Some(Place::Tcp { host, port, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Endpoint::parse(text).unwrap().place
    }

    #[test]
    fn addresses_are_read_as_fleetctl_reads_them() {
        for text in ["unix:///var/run/fleet.sock", "file:///var/run/fleet.sock", "unix:/var/run/fleet.sock"] {
            assert_eq!(place(text), Place::Unix("/var/run/fleet.sock".into()), "{text}");
        }
        let tcp = |host: &str, port, tls| Place::Tcp { host: host.into(), port, tls };
        assert_eq!(place("http://10.0.0.1:49153"), tcp("10.0.0.1", 49153, false));
        assert_eq!(place("https://fleet.example/"), tcp("fleet.example", 443, true));
        assert_eq!(place("http://[::1]:8080"), tcp("::1", 8080, false));
        assert_eq!(Endpoint::parse("http://[::1]:8080").unwrap().authority(), "[::1]:8080");
    }

    #[test]
    fn a_wrong_address_is_named_with_the_remedy() {
        for text in
            ["", "/run/fleet.sock", "unix://var/run/fleet.sock", "unix://", "ftp://h", "http://", "h:80"]
        {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("unix:///PATH"), "{error}");
        }
    }
}
