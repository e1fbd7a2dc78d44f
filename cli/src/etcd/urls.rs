//! URLs as etcd's flags take them: `http://host:port`, in lists separated by commas.

use std::fmt;

/// A URL of a listener or of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    /// `http` or `https`.
    pub scheme: String,
    /// The host: an address or a name, brackets around an IPv6 address kept.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Url {
    /// Reads one URL; the error is etcd's text.
    pub fn parse(text: &str) -> Result<Url, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(match text.contains(':') {
                true => format!("parse {text:?}: first path segment in URL cannot contain colon"),
                false => format!("URL scheme must be http, https, unix, or unixs: {text}"),
            });
        };
        match scheme {
            "http" | "https" => {}
            "unix" | "unixs" => {
                return Err(format!("{scheme} sockets are not offered yet, use http://host:port: {text}"));
            }
            _ => return Err(format!("URL scheme must be http, https, unix, or unixs: {text}")),
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err(format!("URL must not contain a path: {text}"));
        }
        let address =
            authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let parsed = address.and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
        let (host, port) =
            parsed.ok_or_else(|| format!("URL address does not have the form \"host:port\": {text}"))?;
        Ok(Url { scheme: scheme.to_string(), host, port })
    }

    /// Where to connect or to listen: `host:port`.
    pub fn address(&self) -> String {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        format!("{host}:{}", self.port)
    }

    /// Whether a socket can be bound to it: an address of this machine, not a name that may lead elsewhere.
    pub fn can_be_bound(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.is_empty() || host == "localhost" || host.parse::<std::net::IpAddr>().is_ok()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// A list of URLs, sorted as etcd sorts them. An empty text is an empty list.
pub fn parse_list(text: &str) -> Result<Vec<Url>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let mut urls = parts.map(Url::parse).collect::<Result<Vec<_>, _>>()?;
    urls.sort_by_key(Url::to_string);
    Ok(urls)
}
