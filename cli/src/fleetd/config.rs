//! From settings to what fleetd needs: every contradiction is found here, before anything is touched, and told with the
//! option, its value and what to do.

use super::options::Settings;
use crate::etcd::Refusal;
use crate::golang::{parse_bool, parse_duration};
use crate::log::{Format, Level, LogConfig};
use crate::security::{Names, Security};
use fleet::model::Resources;
use fleet::unit::amount;
use io_real::fleet::TlsFiles;
use io_real::tls::TlsFlags;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The shortest agent_ttl: a store of three members counts leases in seconds, and an election takes one.
const TTL_MIN: Duration = Duration::from_secs(1);

/// Everything that fleetd needs to start, but what the machine itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetdConfig {
    /// The store's servers: `host:port`, `http://host:port` or `https://host:port`.
    pub servers: Vec<String>,
    /// How this fleetd shows itself to them.
    pub security: Security,
    /// Longest wait for an answer of the store.
    pub request_timeout: Duration,
    /// Where the keys are.
    pub prefix: String,
    /// Address for people; none to find it.
    pub public_ip: Option<String>,
    /// This machine's metadata.
    pub metadata: BTreeMap<String, String>,
    /// TTL of the presence.
    pub agent_ttl: Duration,
    /// TTL of the engine's leadership.
    pub engine_ttl: Duration,
    /// Rows on a page.
    pub token_limit: u16,
    /// Whether it may lead.
    pub engine: bool,
    /// Where unit files are.
    pub units_directory: PathBuf,
    /// The user's systemd rather than the system's.
    pub systemd_user: bool,
    /// Address of the bus.
    pub systemd_bus: Option<String>,
    /// Thousandths of a core; none to look.
    pub cpu_millis: Option<u64>,
    /// Bytes; none to look.
    pub memory_bytes: Option<u64>,
    /// How the API is served.
    pub api: ApiSettings,
    /// Where lock and token are.
    pub state_directory: PathBuf,
    /// Where the machine's id is.
    pub machine_id_file: PathBuf,
    /// What is logged.
    pub log: LogConfig,
}

/// How the API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// The unit socket's path, unless systemd passes sockets.
    pub socket: PathBuf,
    /// TCP addresses.
    pub listen: Vec<SocketAddr>,
    /// How others reach it, if it was said.
    pub advertise: Option<String>,
    /// TLS of the TCP sockets.
    pub tls: Option<TlsFiles>,
    /// Authority of other machines' certificates.
    pub authority: Option<PathBuf>,
    /// The file of tokens.
    pub tokens: Option<PathBuf>,
    /// Whether TCP may be open to everybody.
    pub insecure: bool,
}

impl FleetdConfig {
    /// Checks the settings.
    pub fn new(settings: &Settings) -> Result<FleetdConfig, Refusal> {
        let token_limit = number::<u16>(settings, "token_limit", "a number from 1 to 65535")?;
        if token_limit == 0 {
            return Err(wrong(settings, "token_limit", "a number from 1 to 65535"));
        }
        let prefix = settings.text("etcd_key_prefix");
        if !prefix.starts_with('/') || prefix.trim_matches('/').is_empty() {
            return Err(wrong(settings, "etcd_key_prefix", "a path such as /_coreos.com/fleet/"));
        }
        Ok(FleetdConfig {
            servers: servers(settings)?,
            security: security(settings)?,
            request_timeout: seconds(settings, "etcd_request_timeout")?,
            prefix: prefix.into(),
            public_ip: public_ip(settings)?,
            metadata: metadata(settings.text("metadata")),
            agent_ttl: ttl(settings, "agent_ttl")?,
            engine_ttl: ttl(settings, "engine_ttl")?,
            token_limit,
            engine: !switch(settings, "disable_engine")?,
            units_directory: absolute(settings, "units_directory")?,
            systemd_user: switch(settings, "systemd_user")?,
            systemd_bus: some(settings, "systemd_bus"),
            cpu_millis: capacity(settings, "capacity_cpu", amount::cpu)?,
            memory_bytes: capacity(settings, "capacity_memory", amount::memory)?,
            api: ApiSettings::new(settings)?,
            state_directory: absolute(settings, "state_directory")?,
            machine_id_file: absolute(settings, "machine_id_file")?,
            log: log(settings)?,
        })
    }

    /// What the machine has for units, as far as it was said.
    pub fn capacity(&self, found: Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.unwrap_or(found.cpu_millis),
            memory_bytes: self.memory_bytes.unwrap_or(found.memory_bytes),
        }
    }
}

impl ApiSettings {
    fn new(settings: &Settings) -> Result<ApiSettings, Refusal> {
        let address = |text: &String| {
            text.parse()
                .map_err(|_| wrong(settings, "api_listen", "addresses such as 10.0.0.1:49153 or [::]:49153"))
        };
        let listen = list(settings.text("api_listen")).iter().map(address).collect::<Result<Vec<_>, _>>()?;
        let path = |name| some(settings, name).map(PathBuf::from);
        let client_authority = path("api_client_ca_file");
        let tls = match (path("api_cert_file"), path("api_key_file")) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, client_authority }),
            (None, None) if client_authority.is_none() => None,
            _ => {
                let text =
                    "api_cert_file and api_key_file belong together, and api_client_ca_file needs both";
                return Err(Refusal::start(text));
            }
        };
        let advertise = some(settings, "api_advertise");
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if !advertise.as_ref().is_none_or(is_url) {
            return Err(wrong(settings, "api_advertise", "a URL: http://HOST:PORT or https://HOST:PORT"));
        }
        Ok(ApiSettings {
            socket: absolute(settings, "api_socket")?,
            listen,
            advertise,
            tls,
            authority: path("api_ca_file"),
            tokens: path("api_tokens_file"),
            insecure: switch(settings, "api_insecure")?,
        })
    }

    /// Refuses to serve the cluster to whoever comes from elsewhere.
    pub fn check_exposure(&self, address: SocketAddr) -> Result<(), Refusal> {
        let guarded =
            self.tokens.is_some() || self.tls.as_ref().is_some_and(|tls| tls.client_authority.is_some());
        if guarded || self.insecure || address.ip().is_loopback() {
            return Ok(());
        }
        Err(Refusal::start(format!(
            "the API would be open to everybody at {address}, and who reaches it is root on the cluster: set api_tokens_file or \
             api_client_ca_file, listen on 127.0.0.1, or say api_insecure=true"
        )))
    }

    /// How others reach this API.
    pub fn url(&self, public_ip: &str) -> Option<String> {
        if self.advertise.is_some() {
            return self.advertise.clone();
        }
        let address = self.listen.iter().find(|address| !address.ip().is_loopback())?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match address.ip().is_unspecified() {
            true if public_ip.is_empty() => None,
            true if public_ip.contains(':') => Some(format!("{scheme}://[{public_ip}]:{}", address.port())),
            true => Some(format!("{scheme}://{public_ip}:{}", address.port())),
            false => Some(format!("{scheme}://{address}")),
        }
    }
}

fn wrong(settings: &Settings, name: &str, expected: &str) -> Refusal {
    Refusal::start(format!("{name}={}: expected {expected}", settings.text(name)))
}

fn security(settings: &Settings) -> Result<Security, Refusal> {
    let names = Names {
        files: TlsFlags { authorities: "etcd_cafile", certificate: "etcd_certfile", key: "etcd_keyfile" },
        username: "etcd_username",
        password: "etcd_password",
    };
    Security::read(names, |name| some(settings, name)).map_err(Refusal::start)
}

/// A list as fleet takes it: `a,b` or `["a","b"]`.
fn list(text: &str) -> Vec<String> {
    let text = text.trim();
    let inner = text.strip_prefix("[\"").and_then(|inner| inner.strip_suffix("\"]")).unwrap_or(text);
    let parts = inner.split(',').map(|part| part.trim().trim_matches('"').to_string());
    parts.filter(|part| !part.is_empty()).collect()
}

fn servers(settings: &Settings) -> Result<Vec<String>, Refusal> {
    let servers = list(settings.text("etcd_servers"));
    if servers.is_empty() {
        return Err(wrong(settings, "etcd_servers", "at least one server: http://127.0.0.1:2379"));
    }
    Ok(servers)
}

fn public_ip(settings: &Settings) -> Result<Option<String>, Refusal> {
    let Some(text) = some(settings, "public_ip") else { return Ok(None) };
    text.parse::<std::net::IpAddr>().map_err(|_| wrong(settings, "public_ip", "an IP address"))?;
    Ok(Some(text))
}

/// `k=v,k=v`: trimmed, a later one wins, pairs without `=` are dropped, as in fleet.
fn metadata(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.trim().split_once('='));
    pairs.map(|(key, value)| (key.trim().to_string(), value.trim().to_string())).collect()
}

fn ttl(settings: &Settings, name: &str) -> Result<Duration, Refusal> {
    let text = "a duration of whole seconds, at least 1s: 3s, 30s, 1m";
    let ttl = parse_duration(settings.text(name)).map_err(|_| wrong(settings, name, text))?;
    if ttl < TTL_MIN || ttl.subsec_nanos() != 0 { Err(wrong(settings, name, text)) } else { Ok(ttl) }
}

fn seconds(settings: &Settings, name: &str) -> Result<Duration, Refusal> {
    let value = number::<f64>(settings, name, "seconds: 1.0")?;
    let duration = Duration::try_from_secs_f64(value).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| wrong(settings, name, "seconds, more than 0: 1.0"))
}

fn number<T: std::str::FromStr>(settings: &Settings, name: &str, expected: &str) -> Result<T, Refusal> {
    settings.text(name).trim().parse().map_err(|_| wrong(settings, name, expected))
}

fn capacity(
    settings: &Settings,
    name: &str,
    read: fn(&str) -> Result<u64, String>,
) -> Result<Option<u64>, Refusal> {
    match settings.text(name) {
        "" => Ok(None),
        "0" => Ok(Some(0)),
        text => read(text).map(Some).map_err(|remedy| wrong(settings, name, &format!("0, or {remedy}"))),
    }
}

fn switch(settings: &Settings, name: &str) -> Result<bool, Refusal> {
    parse_bool(settings.text(name)).ok_or_else(|| wrong(settings, name, "true or false"))
}

fn some(settings: &Settings, name: &str) -> Option<String> {
    Some(settings.text(name)).filter(|text| !text.is_empty()).map(str::to_string)
}

fn absolute(settings: &Settings, name: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(settings.text(name));
    if path.is_absolute() { Ok(path) } else { Err(wrong(settings, name, "an absolute path")) }
}

fn log(settings: &Settings) -> Result<LogConfig, Refusal> {
    let verbosity: i64 = number(settings, "verbosity", "a number")?;
    let level = if verbosity > 0 { Level::Debug } else { Level::Info };
    let format = match settings.text("log_format") {
        "json" => Format::Json,
        "console" => Format::Console,
        _ => return Err(wrong(settings, "log_format", "json or console")),
    };
    Ok(LogConfig { level, format, outputs: vec!["stderr".into()] })
}
