//! The Tun port: one device whose packets this daemon carries itself, each in a UDP datagram to the machine it belongs to.
//!
//! That is the `udp` backend, for networks where the kernel's own tunnels are not allowed. The device is made here; its MTU,
//! its address, its routes and whether it is up are set through [`crate::links`], as for every other device. The data path runs
//! beside the agent, on threads of its own: the agent tells it who the peers are, and reads its counters.

use ipnet::Ipv4Net;
use kernel::BoxFuture;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What a device is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunConfig {
    /// Its name; `%d` in it stands for the first number that is free: `flannel%d`.
    pub name: String,
    /// Largest packet that fits into a datagram to a peer, in bytes: what the path to the peers takes, less 28.
    pub mtu: u32,
    /// The UDP port here and at all peers.
    pub port: u16,
    /// Our address between machines: where datagrams are sent from and received at.
    pub local: Ipv4Addr,
    /// The device's own address, the first of our subnet: whom ICMP answers come from.
    pub address: Ipv4Addr,
}

/// Why a device could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunError {
    /// Not the right to make one.
    NotPermitted(String),
    /// This kernel has no such devices.
    Unsupported(String),
    /// The name, the address or the port is taken, or not to be had here.
    Taken(String),
    /// Anything else that the kernel said.
    Refused(String),
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunError::NotPermitted(text) => {
                write!(f, "{text}: not permitted; CAP_NET_ADMIN and /dev/net/tun are needed")
            }
            TunError::Unsupported(text) => {
                write!(f, "{text}: this kernel has no TUN devices; load the module tun")
            }
            TunError::Taken(text) => write!(f, "{text}: taken, or not of this machine"),
            TunError::Refused(text) => write!(f, "{text}: refused by the kernel"),
        }
    }
}

impl std::error::Error for TunError {}

/// What became of packets, counted from the opening of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TunCounters {
    /// Packets sent to peers.
    pub sent_packets: u64,
    /// Bytes in them, with their IP headers.
    pub sent_bytes: u64,
    /// Calls of the kernel that sent them: how far packets travel together.
    pub sent_batches: u64,
    /// Packets received from peers and handed to the kernel.
    pub received_packets: u64,
    /// Bytes in them.
    pub received_bytes: u64,
    /// Packets as the kernel was handed them, after packets of one flow were joined.
    pub received_joined: u64,
    /// ICMP answers given.
    pub answers: u64,
    /// Dropped: no peer has the destination.
    pub no_peer: u64,
    /// Dropped: their time to live ended here.
    pub expired: u64,
    /// Dropped: too long for a datagram.
    pub too_long: u64,
    /// Dropped: from the device, and no IPv4 packet, or one that contradicts itself.
    pub malformed_out: u64,
    /// Dropped: from a peer, and no IPv4 packet, or one that contradicts itself.
    pub malformed_in: u64,
    /// Dropped: the network or the device did not take them.
    pub refused: u64,
}

/// Makes devices.
pub trait Tun: Send + Sync {
    /// Makes a device and begins to carry packets. It has no peers yet.
    fn open<'a>(&'a self, config: &'a TunConfig) -> BoxFuture<'a, Result<Box<dyn TunDevice>, TunError>>;
}

/// A device that carries packets. Dropping it ends that, and the device with its routes is gone.
pub trait TunDevice: Send + Sync {
    /// Its name, with the number that the kernel chose.
    fn name(&self) -> &str;

    /// From now on, packets to each of these subnets go to the machine behind it: the longest prefix that fits. Takes the
    /// place of all that were told before, in one step.
    fn set_peers(&self, peers: BTreeMap<Ipv4Net, SocketAddrV4>);

    /// What became of packets until now.
    fn counters(&self) -> TunCounters;

    /// Why it carries packets no longer, if so: somebody removed the device. The remedy is to open another one.
    fn failure(&self) -> Option<String>;

    /// What its operator should read, each said once: an offload that the kernel refused, and what that costs.
    fn notes(&self) -> Vec<String>;
}
