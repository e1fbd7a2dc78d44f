//! The backend: how packets get from one machine to another, with flannel's names, options and defaults.

use super::ConfigError;
use crate::fields::Fields;
use serde_json::Value;

/// The port that Linux uses for VXLAN where none is given.
pub const VXLAN_PORT: u16 = 8472;
/// The largest VXLAN network identifier.
const VNI_MOST: u32 = (1 << 24) - 1;
/// Smaller packets than this are no IP network.
const MTU_LEAST: u32 = 576;
/// Types that flannel has or had, and why Orlop has not.
const REFUSED: [(&str, &str); 5] = [
    ("ipsec", "needs strongSwan; use wireguard"),
    ("tencent-vpc", "changes a cloud's route table; use vxlan, or host-gw inside one network"),
    (
        "aws-vpc",
        "changes a cloud's route table and is gone from flannel; use vxlan, or host-gw inside one network",
    ),
    (
        "gce",
        "changes a cloud's route table and is gone from flannel; use vxlan, or host-gw inside one network",
    ),
    (
        "ali-vpc",
        "changes a cloud's route table and is gone from flannel; use vxlan, or host-gw inside one network",
    ),
];
/// Types that there are, for errors.
const KNOWN: &str = "vxlan, host-gw, udp, wireguard, ipip, alloc or extension";

/// Which backend, and its options. An MTU of 0 means that of the external interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// VXLAN devices of the kernel.
    Vxlan {
        /// Network identifier.
        vni: u32,
        /// UDP port, never 0.
        port: u16,
        /// MTU of the external interface to reckon with.
        mtu: u32,
        /// Group based policy.
        gbp: bool,
        /// Whether the device learns from what it receives.
        learning: bool,
        /// Whether peers on the same link are reached by plain routes.
        direct_routing: bool,
        /// The first two octets of MACs that are drawn (in flannel only Windows machines use it).
        mac_prefix: Option<[u8; 2]>,
    },
    /// Plain routes between machines on one link.
    HostGw,
    /// A TUN device and UDP, in user space.
    Udp {
        /// UDP port.
        port: u16,
    },
    /// An IP in IP tunnel.
    Ipip {
        /// Whether peers on the same link are reached by plain routes.
        direct_routing: bool,
    },
    /// WireGuard devices of the kernel.
    Wireguard {
        /// UDP port, of IPv4 or of both.
        port: u16,
        /// UDP port of IPv6, where it is separate.
        port_v6: u16,
        /// MTU of the external interface to reckon with.
        mtu: u32,
        /// A key that all machines share, in base64.
        psk: Option<String>,
        /// Seconds between keep-alives; 0 for none.
        keepalive: u16,
        /// Which families the tunnels use.
        mode: WireguardMode,
    },
    /// A lease only, nothing is forwarded.
    Alloc,
    /// The user's own commands; an empty one is not run.
    Extension {
        /// Before the lease is taken; what it prints is told to the peers.
        pre_startup: String,
        /// After the lease is taken.
        post_startup: String,
        /// For each peer that comes.
        subnet_add: String,
        /// For each peer that goes.
        subnet_remove: String,
    },
}

/// Which families WireGuard's tunnels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireguardMode {
    /// One tunnel for each family.
    Separate,
    /// One tunnel, over IPv6 if both ends have it.
    Auto,
    /// One tunnel over IPv4.
    V4,
    /// One tunnel over IPv6.
    V6,
}

impl Backend {
    /// flannel's name for it, in lower case, as the config says it.
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Vxlan { .. } => "vxlan",
            Backend::HostGw => "host-gw",
            Backend::Udp { .. } => "udp",
            Backend::Ipip { .. } => "ipip",
            Backend::Wireguard { .. } => "wireguard",
            Backend::Alloc => "alloc",
            Backend::Extension { .. } => "extension",
        }
    }

    /// What a lease says as its BackendType: nothing for `udp` and `alloc`, whose peers take any lease.
    pub fn lease_type(&self) -> Option<&'static str> {
        (!matches!(self, Backend::Udp { .. } | Backend::Alloc)).then_some(self.name())
    }

    /// Reads the config's Backend object, if there is one.
    pub(super) fn read(value: Option<Value>) -> Result<Backend, ConfigError> {
        let fields = value.map(|value| Fields::of("Backend", value)).transpose()?.unwrap_or_default();
        let written = fields.text("Type")?.unwrap_or_default();
        let text = |name: &str| fields.text(name).map(|text| text.unwrap_or_default().to_owned());
        Ok(match written.to_ascii_lowercase().as_str() {
            "vxlan" => vxlan(&fields)?,
            "host-gw" => Backend::HostGw,
            "" | "udp" => Backend::Udp { port: used_port(&fields, "Port", 8285)? },
            "ipip" => Backend::Ipip { direct_routing: fields.flag("DirectRouting", false)? },
            "wireguard" => wireguard(&fields)?,
            "alloc" => Backend::Alloc,
            "extension" => Backend::Extension {
                pre_startup: text("PreStartupCommand")?,
                post_startup: text("PostStartupCommand")?,
                subnet_add: text("SubnetAddCommand")?,
                subnet_remove: text("SubnetRemoveCommand")?,
            },
            name => return Err(refused(written, name)),
        })
    }
}

fn refused(written: &str, name: &str) -> ConfigError {
    let message = match REFUSED.iter().find(|(refused, _)| *refused == name) {
        Some((_, why)) => format!("Orlop has no such backend, as it {why}"),
        None => format!("there is no such backend; use {KNOWN}"),
    };
    ConfigError::new("Backend.Type", format!("{written:?}"), message)
}

fn vxlan(fields: &Fields) -> Result<Backend, ConfigError> {
    Ok(Backend::Vxlan {
        vni: fields.number("VNI", 0, VNI_MOST, 1)?,
        port: match fields.port("Port", 0)? {
            0 => VXLAN_PORT,
            port => port,
        },
        mtu: mtu(fields)?,
        gbp: fields.flag("GBP", false)?,
        learning: fields.flag("Learning", false)?,
        direct_routing: fields.flag("DirectRouting", false)?,
        mac_prefix: fields.text("MacPrefix")?.map(mac_prefix).transpose()?,
    })
}

fn mac_prefix(text: &str) -> Result<[u8; 2], ConfigError> {
    let octet = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2);
    let octets = text.split_once('-').and_then(|(a, b)| Some([octet(a)?, octet(b)?]));
    let wrong = |message| ConfigError::new("MacPrefix", format!("{text:?}"), message);
    let octets = octets.ok_or_else(|| wrong("write it as \"0E-2A\""))?;
    if octets[0] & 1 == 0 {
        Ok(octets)
    } else {
        Err(wrong("is of a group: the first octet must be even, as in \"0E-2A\""))
    }
}

fn wireguard(fields: &Fields) -> Result<Backend, ConfigError> {
    let mode = match fields.text("Mode")?.unwrap_or_default() {
        "" | "separate" => WireguardMode::Separate,
        "auto" => WireguardMode::Auto,
        "ipv4" => WireguardMode::V4,
        "ipv6" => WireguardMode::V6,
        other => {
            let message = "there is no such mode; use separate, auto, ipv4 or ipv6";
            return Err(ConfigError::new("Mode", format!("{other:?}"), message));
        }
    };
    Ok(Backend::Wireguard {
        port: used_port(fields, "ListenPort", 51820)?,
        port_v6: used_port(fields, "ListenPortV6", 51821)?,
        mtu: mtu(fields)?,
        psk: fields.text("PSK")?.filter(|psk| !psk.is_empty()).map(str::to_owned),
        keepalive: fields.port("PersistentKeepaliveInterval", 0)?,
        mode,
    })
}

/// A port where 0 means the default.
fn used_port(fields: &Fields, name: &str, default: u16) -> Result<u16, ConfigError> {
    Ok(match fields.port(name, default)? {
        0 => default,
        port => port,
    })
}

fn mtu(fields: &Fields) -> Result<u32, ConfigError> {
    let mtu = fields.number("MTU", 0, u32::from(u16::MAX), 0)?;
    if mtu != 0 && mtu < MTU_LEAST {
        let message = format!("must be 0 (that of the external interface) or {MTU_LEAST} and more");
        return Err(ConfigError::new("MTU", mtu, message));
    }
    Ok(mtu)
}
