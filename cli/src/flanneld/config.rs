//! From settings to what flanneld needs: every contradiction is found here, before anything is touched, and told with the flag,
//! its value and what to do.

use super::options::Settings;
use crate::etcd::Refusal;
use crate::golang::parse_bool;
use crate::log::{Format, Level, LogConfig};
use crate::security::{Names, Security};
use flannel::agent::FlannelConfig;
use flannel::interface::Asked;
use io_real::tls::TlsFlags;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The margins that can be kept, in minutes: a lease lives a day.
const MARGIN_MINUTES: std::ops::RangeInclusive<u64> = 1..=1439;

/// Everything that flanneld needs to start, but what the machine itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlanneldConfig {
    /// The store's servers: `host:port`, `http://host:port` or `https://host:port`.
    pub servers: Vec<String>,
    /// How this flanneld shows itself to them.
    pub security: Security,
    /// Where the keys are, without a slash at the end.
    pub prefix: String,
    /// Which interface packets between machines use.
    pub interface: InterfaceSettings,
    /// Address by which others reach this machine, if it was said.
    pub public_ip: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub public_ipv6: Option<Ipv6Addr>,
    /// Where subnet.env is.
    pub subnet_file: PathBuf,
    /// Time before its end at which the lease is renewed.
    pub renew_margin: Duration,
    /// Whether what leaves the network is masqueraded.
    pub masquerade: bool,
    /// Whether with random ports.
    pub random_fully: bool,
    /// Time between looks at the rules of the iptables programs.
    pub resync: Duration,
    /// Whether the network's packets are let through the forward chain.
    pub forward_rules: bool,
    /// Whether packets for containers of the own subnet that do not exist are dropped.
    pub blackhole: bool,
    /// Where health, metrics and status are served; none if nowhere.
    pub health: Option<SocketAddr>,
    /// What is logged.
    pub log: LogConfig,
}

/// How the external interface is chosen; none of them is the interface of the default route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceSettings {
    /// Names or addresses, in the order of trying.
    pub names: Vec<String>,
    /// Regular expressions over addresses and names, after the names.
    pub patterns: Vec<String>,
    /// The one by which this address is reached.
    pub can_reach: Option<IpAddr>,
}

impl FlanneldConfig {
    /// Checks the settings.
    pub fn new(settings: &Settings) -> Result<FlanneldConfig, Refusal> {
        Ok(FlanneldConfig {
            servers: servers(settings)?,
            security: security(settings)?,
            prefix: prefix(settings)?,
            interface: InterfaceSettings {
                names: settings.list("iface"),
                patterns: settings.list("iface-regex"),
                can_reach: address(settings, "iface-can-reach", "an IP address")?,
            },
            public_ip: address(settings, "public-ip", "an IPv4 address")?,
            public_ipv6: address(settings, "public-ipv6", "an IPv6 address")?,
            subnet_file: absolute(settings, "subnet-file")?,
            renew_margin: margin(settings)?,
            masquerade: switch(settings, "ip-masq")?,
            random_fully: !switch(settings, "ip-masq-fully-random-disable")?,
            resync: resync(settings)?,
            forward_rules: switch(settings, "iptables-forward-rules")?,
            blackhole: switch(settings, "ip-blackhole-route")?,
            health: health(settings)?,
            log: log(settings)?,
        })
    }

    /// The agent's part of it.
    pub fn agent(&self) -> FlannelConfig {
        FlannelConfig {
            prefix: self.prefix.clone(),
            asked: Asked {
                names: self.interface.names.clone(),
                patterns: self.interface.patterns.clone(),
                can_reach: self.interface.can_reach,
                public_ip: self.public_ip,
                public_ipv6: self.public_ipv6,
            },
            margin: self.renew_margin,
            masquerade: self.masquerade,
            random_fully: self.random_fully,
            forward: self.forward_rules,
            blackhole: self.blackhole,
            resync: self.resync,
            ..FlannelConfig::default()
        }
    }
}

fn wrong(settings: &Settings, name: &str, expected: &str) -> Refusal {
    Refusal::start(format!("--{name}={}: expected {expected}", settings.text(name)))
}

fn security(settings: &Settings) -> Result<Security, Refusal> {
    let names = Names {
        files: TlsFlags { authorities: "etcd-cafile", certificate: "etcd-certfile", key: "etcd-keyfile" },
        username: "etcd-username",
        password: "etcd-password",
    };
    let some = |name: &str| Some(settings.text(name)).filter(|text| !text.is_empty()).map(str::to_string);
    Security::read(names, some).map_err(|why| Refusal::start(format!("--{why}")))
}

fn servers(settings: &Settings) -> Result<Vec<String>, Refusal> {
    let parts = settings.text("etcd-endpoints").split(',').map(|part| part.trim().to_string());
    let servers: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    if servers.is_empty() {
        return Err(wrong(settings, "etcd-endpoints", "at least one server: http://127.0.0.1:2379"));
    }
    Ok(servers)
}

fn prefix(settings: &Settings) -> Result<String, Refusal> {
    let prefix = settings.text("etcd-prefix").trim_end_matches('/');
    if !prefix.starts_with('/') {
        return Err(wrong(settings, "etcd-prefix", "a path such as /coreos.com/network"));
    }
    Ok(prefix.to_string())
}

fn address<T: std::str::FromStr>(
    settings: &Settings,
    name: &str,
    expected: &str,
) -> Result<Option<T>, Refusal> {
    match settings.text(name) {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(settings, name, expected)),
    }
}

fn absolute(settings: &Settings, name: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(settings.text(name));
    let fits = path.is_absolute() && path.file_name().is_some();
    if fits { Ok(path) } else { Err(wrong(settings, name, "an absolute path of a file")) }
}

fn margin(settings: &Settings) -> Result<Duration, Refusal> {
    let name = "subnet-lease-renew-margin";
    let minutes = settings.text(name).parse().ok().filter(|minutes| MARGIN_MINUTES.contains(minutes));
    let minutes = minutes.ok_or_else(|| wrong(settings, name, "minutes, 1 to 1439"))?;
    Ok(Duration::from_secs(60 * minutes))
}

fn resync(settings: &Settings) -> Result<Duration, Refusal> {
    let name = "iptables-resync";
    let seconds = settings.text(name).parse().ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| wrong(settings, name, "seconds, at least 1"))
}

fn health(settings: &Settings) -> Result<Option<SocketAddr>, Refusal> {
    let port: u16 = settings
        .text("healthz-port")
        .parse()
        .map_err(|_| wrong(settings, "healthz-port", "a port, 0 to 65535"))?;
    let ip: IpAddr =
        settings.text("healthz-ip").parse().map_err(|_| wrong(settings, "healthz-ip", "an IP address"))?;
    Ok((port > 0).then_some(SocketAddr::new(ip, port)))
}

fn switch(settings: &Settings, name: &str) -> Result<bool, Refusal> {
    parse_bool(settings.text(name)).ok_or_else(|| wrong(settings, name, "true or false"))
}

fn log(settings: &Settings) -> Result<LogConfig, Refusal> {
    let verbosity: i64 = settings.text("v").parse().map_err(|_| wrong(settings, "v", "a number"))?;
    let level = if verbosity > 0 { Level::Debug } else { Level::Info };
    let format = match settings.text("log-format") {
        "json" => Format::Json,
        "console" => Format::Console,
        _ => return Err(wrong(settings, "log-format", "json or console")),
    };
    Ok(LogConfig { level, format, outputs: vec!["stderr".into()] })
}
