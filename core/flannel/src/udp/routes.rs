//! Which peer has a destination: the longest prefix that fits.
//!
//! One sorted list for each length of prefix that occurs, the longest first. A cluster's subnets mostly have one length, so
//! that a look-up is one binary search; a new set of peers is a new table.

use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Peers by destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    lengths: Vec<Length>,
}

/// The prefixes of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Length {
    mask: u32,
    /// First address of each network, ascending.
    networks: Vec<u32>,
    /// The peer of the network in the same place.
    peers: Vec<SocketAddrV4>,
}

impl Routes {
    /// A table of these. Bits of a prefix beyond its length are ignored; of two that are the same then, the later counts.
    pub fn new(peers: &BTreeMap<Ipv4Net, SocketAddrV4>) -> Routes {
        let mut lengths: BTreeMap<u8, BTreeMap<u32, SocketAddrV4>> = BTreeMap::new();
        for (net, peer) in peers {
            lengths.entry(net.prefix_len()).or_default().insert(net.network().into(), *peer);
        }
        let lengths = lengths.into_iter().rev().map(|(length, entries)| Length {
            mask: u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0),
            networks: entries.keys().copied().collect(),
            peers: entries.into_values().collect(),
        });
        Routes { lengths: lengths.collect() }
    }

    /// The peer that has `destination`.
    pub fn find(&self, destination: Ipv4Addr) -> Option<SocketAddrV4> {
        let address = u32::from(destination);
        self.lengths.iter().find_map(|length| {
            debug_assert_eq!(length.networks.len(), length.peers.len());
            let place = length.networks.binary_search(&(address & length.mask)).ok()?;
            Some(length.peers[place])
        })
    }
}
