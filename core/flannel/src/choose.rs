//! Which subnet this machine takes. Pure: what is in the store, who we are and a seeded stream of numbers decide.
//!
//! In this order: a lease that is ours already and fits the config; the subnets of the last time, if they are free; a free
//! one, drawn uniformly from the whole range. Nothing lists the subnets of a range (a /8 of IPv6 has more than there is memory): leases
//! are turned into spans of subnet numbers, and the drawn number is counted along the gaps between them.
//!
//! In dual stack the IPv6 subnet has the number of the IPv4 one where that is free (10.5.7.0/24 goes with fd00:5:0:7::/64): easy to
//! read, and two machines that start at the same moment collide in both families or in none.

mod span;
#[cfg(test)]
mod tests;

use crate::config::{NetworkConfig, Prefix, Range};
use crate::subnet::{Lease, SubnetKey};
use kernel::rng::Stream;
use span::Spans;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Leases of ours that are given up in one step; a machine has one or two, and a transaction takes 128 operations.
const STALE_MOST: usize = 32;

/// Who we are, for the store: a lease with our public address is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Me {
    /// Our public IPv4 address; decides wherever the config has IPv4.
    pub public_ip: Option<Ipv4Addr>,
    /// Our public IPv6 address; decides where the config has IPv6 only.
    pub public_ipv6: Option<Ipv6Addr>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// This lease is ours and fits.
    Reuse(Lease),
    /// These subnets are free.
    Take {
        /// The subnets.
        key: SubnetKey,
        /// Leases of ours that do not fit the config: to be deleted. Never reservations, which are the operator's.
        stale: Vec<Lease>,
    },
    /// Nothing is free before these leases of ours, which do not fit the config, are deleted.
    Drop(Vec<Lease>),
    /// Nothing is free, and the text says so.
    Full(String),
}

impl Me {
    /// Whether the lease is ours under this config.
    pub fn owns(&self, config: &NetworkConfig, lease: &Lease) -> bool {
        match config.v4 {
            Some(_) => self.public_ip.is_some_and(|ip| !ip.is_unspecified() && ip == lease.value.public_ip),
            None => self.public_ipv6.is_some() && self.public_ipv6 == lease.value.public_ipv6,
        }
    }
}

/// Our own lease that can be used, if there is one: a reservation first, then the one of the last time, then the lowest. It must
/// fit the config, and no lease of somebody else may overlap it (ours came second in a race, and we died before we could delete it).
pub fn own<'a>(
    config: &NetworkConfig,
    leases: &[&'a Lease],
    me: &Me,
    previous: Option<&SubnetKey>,
) -> Option<&'a Lease> {
    let is_alone = |own: &Lease| {
        let mut others = leases.iter().filter(|other| other.key != own.key && !me.owns(config, other));
        !others.any(|other| other.key.overlaps(&own.key))
    };
    let ours = leases.iter().copied().filter(|lease| me.owns(config, lease) && fits(config, &lease.key));
    let ours = ours.filter(|lease| is_alone(lease));
    ours.min_by_key(|lease| (!lease.is_reservation(), Some(&lease.key) != previous, lease.key))
}

/// Chooses. `blocked` are subnets whose leases cannot be read: somebody's, and certainly not free.
pub fn choose(
    config: &NetworkConfig,
    leases: &[&Lease],
    blocked: &[SubnetKey],
    me: &Me,
    previous: Option<&SubnetKey>,
    rng: &mut Stream,
) -> Choice {
    if let Some(lease) = own(config, leases, me, previous) {
        return Choice::Reuse(lease.clone());
    }
    let is_stale = |lease: &&Lease| me.owns(config, lease) && !lease.is_reservation();
    let stale: Vec<Lease> = leases.iter().copied().filter(is_stale).take(STALE_MOST).cloned().collect();
    // What we are about to delete still counts as taken: its key would stand in the way of one that overlaps it.
    let taken: Vec<SubnetKey> = leases.iter().map(|lease| lease.key).chain(blocked.iter().copied()).collect();
    let is_free = |key: &&SubnetKey| fits(config, key) && !taken.iter().any(|other| other.overlaps(key));
    if let Some(key) = previous.filter(is_free) {
        return Choice::Take { key: *key, stale };
    }
    let v4 = config.v4.as_ref().map(|range| draw(range, taken.iter().filter_map(|key| key.v4), None, rng));
    let pair = v4.flatten().map(|(number, _)| number);
    let v6 = config.v6.as_ref().map(|range| draw(range, taken.iter().filter_map(|key| key.v6), pair, rng));
    match (v4, v6) {
        (Some(None), _) | (_, Some(None)) if !stale.is_empty() => Choice::Drop(stale),
        (Some(None), _) => Choice::Full(full(config.v4.as_ref().expect("a draw has a range"))),
        (_, Some(None)) => Choice::Full(full(config.v6.as_ref().expect("a draw has a range"))),
        (v4, v6) => {
            let key =
                SubnetKey { v4: v4.flatten().map(|(_, net)| net), v6: v6.flatten().map(|(_, net)| net) };
            assert!(fits(config, &key), "{key} was drawn and does not fit the config");
            assert!(!taken.iter().any(|other| other.overlaps(&key)), "{key} was drawn and is taken");
            Choice::Take { key, stale }
        }
    }
}

/// Whether the subnets are such as the config gives.
pub fn fits(config: &NetworkConfig, key: &SubnetKey) -> bool {
    let v4 = match (&config.v4, &key.v4) {
        (Some(range), Some(subnet)) => range.contains(subnet),
        (range, subnet) => range.is_none() && subnet.is_none(),
    };
    let v6 = match (&config.v6, &key.v6) {
        (Some(range), Some(subnet)) => range.contains(subnet),
        (range, subnet) => range.is_none() && subnet.is_none(),
    };
    v4 && v6
}

/// A free subnet and its number: the wanted one, else any, each with the same probability.
fn draw<N: Prefix>(
    range: &Range<N>,
    taken: impl Iterator<Item = N>,
    wanted: Option<u128>,
    rng: &mut Stream,
) -> Option<(u128, N)> {
    let spans = Spans::new(taken.filter_map(|subnet| range.overlapped(&subnet)));
    let free = range.count() - spans.covered();
    if free == 0 {
        return None;
    }
    let number = match wanted.filter(|number| *number < range.count() && !spans.covers(*number)) {
        Some(number) => number,
        None => spans.gap(below(rng, free)),
    };
    Some((number, range.nth(number)))
}

/// Uniform in `0..bound`.
fn below(rng: &mut Stream, bound: u128) -> u128 {
    if let Ok(bound) = u64::try_from(bound) {
        return rng.below(bound).into();
    }
    let mask = u128::MAX >> (bound - 1).leading_zeros();
    loop {
        // Half of all draws or more are below the bound.
        let drawn = (u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())) & mask;
        if drawn < bound {
            return drawn;
        }
    }
}

fn full<N: Prefix>(range: &Range<N>) -> String {
    format!(
        "no subnet is free: all {} from {} to {} are leased or reserved; delete the leases of machines that are gone, or \
         make {}Network larger",
        range.count(),
        range.min,
        range.max,
        N::FIELD_PREFIX
    )
}
