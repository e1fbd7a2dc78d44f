//! How an agent is, for whoever asks: health, metrics, and people.

use crate::tun::TunCounters;
use serde::Serialize;
use std::collections::BTreeMap;

/// How an agent is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Whether the machine holds a lease, its device and rules are in place, and subnet.env says so.
    pub ready: bool,
    /// In words: `held`, or what is waited for.
    pub state: String,
    /// The network and backend in force.
    pub config: Option<ConfigStatus>,
    /// Why a newer config in the store is not in force.
    pub config_refused: Option<String>,
    /// The interface by which peers are reached.
    pub external: Option<ExternalStatus>,
    /// The lease.
    pub lease: Option<LeaseStatus>,
    /// Our devices.
    pub devices: Vec<DeviceStatus>,
    /// Peers that are served.
    pub peers: usize,
    /// Peers that cannot be served, by the key of their subnet, and why.
    pub skipped: BTreeMap<String, String>,
    /// How rules are made: `nftables` or `iptables`; empty where none are wanted.
    pub rules: &'static str,
    /// Times that the kernel's tables were read.
    pub looks: u64,
    /// Operations that the kernel carried out.
    pub operations: u64,
    /// Those of them that mended what somebody else had changed.
    pub repairs: u64,
    /// Operations that failed.
    pub failures: u64,
    /// What went wrong last, until it goes well.
    pub last_error: Option<String>,
    /// The revision of the store that is followed.
    pub store_revision: i64,
    /// What became of the packets of the udp backend.
    pub tun: Option<TunCounters>,
}

/// The config in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigStatus {
    /// The cluster's networks: of IPv4, of IPv6, or both.
    pub networks: Vec<String>,
    /// The backend.
    pub backend: &'static str,
    /// Largest packet of a container, in bytes.
    pub mtu: u32,
}

/// The external interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExternalStatus {
    /// Its name.
    pub link: String,
    /// Its largest packet, in bytes.
    pub mtu: u32,
    /// Where packets to peers are sent from.
    pub addresses: Vec<String>,
    /// Where peers reach this machine.
    pub public: Vec<String>,
}

/// The lease that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeaseStatus {
    /// Its key: `10.5.1.0-24`.
    pub subnet: String,
    /// The store's lease, in hexadecimal; 0 for a reservation.
    pub id: String,
    /// Seconds for which it certainly is ours still, if it is not renewed; none for a reservation, which has no end.
    pub seconds_left: Option<u64>,
}

/// One of our devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceStatus {
    /// Its name.
    pub name: String,
    /// Its MAC, if it has one.
    pub mac: Option<String>,
    /// Its largest packet, in bytes.
    pub mtu: u32,
}
