//! What the agent knows and holds, and what can happen to it.

use super::config::*;
use super::retry::Retry;
use super::status::Status;
use crate::config::NetworkConfig;
use crate::desired::{Desired, How, Macs};
use crate::holder::{Holder, Offer, Picture, Standing};
use crate::interface::External;
use crate::links::{Hint, Links, Secret};
use crate::local::Local;
use crate::rules::Means;
use crate::subnet::{Lease, SubnetKey};
use crate::tun::{Tun, TunDevice};
use futures_channel::oneshot;
use kernel::inbox::Inbox;
use kernel::{Clock, Planted, Probe, Spawn};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Everything that can happen to an agent.
#[derive(Debug)]
pub(super) enum Event {
    /// The holder has a new picture of the store.
    Store,
    /// Something in the kernel may be another now.
    Hint(Hint),
    /// A command for a peer has ended.
    Command(SubnetKey, Result<String, String>),
    /// End, and say so.
    Stop(oneshot::Sender<()>),
}

/// What the agent waits and acts by.
#[derive(Clone)]
pub(super) struct Ports {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) spawn: Arc<dyn Spawn>,
    pub(super) links: Arc<dyn Links>,
    pub(super) tun: Arc<dyn Tun>,
    pub(super) local: Arc<dyn Local>,
    pub(super) probe: Probe,
    pub(super) seed: u64,
}

/// The agent, seen from its own loop.
pub(super) struct Agent {
    pub(super) ports: Ports,
    pub(super) config: FlannelConfig,
    pub(super) events: Inbox<Event>,
    pub(super) planted: Planted,
    pub(super) log: Log,
    pub(super) shown: Arc<Mutex<Status>>,
    pub(super) status: Status,
    pub(super) holder: Holder,
    /// The store, as the holder showed it last.
    pub(super) picture: Picture,
    /// When this flanneld began.
    pub(super) began: Duration,
    /// The subnets of the last time.
    pub(super) previous: Option<SubnetKey>,
    /// What this machine is in the cluster; none before it is prepared.
    pub(super) place: Option<Place>,
    /// When to try again to prepare; none: when there is another config.
    pub(super) preparing: Option<Duration>,
    /// A config in the store that is not followed.
    pub(super) refused: Option<NetworkConfig>,
    /// What the extension's first command printed.
    pub(super) told: Option<String>,
    pub(super) table: Table,
    pub(super) tunnel: Option<Tunnel>,
    pub(super) commands: BTreeMap<SubnetKey, Peer>,
    /// The command after the lease was got: the subnet that it ran for.
    pub(super) started: Option<SubnetKey>,
    /// What subnet.env says.
    pub(super) env: Option<String>,
    /// When to tell what is waited for, if it is still waited for then.
    pub(super) waiting: Option<Duration>,
    /// What was told last of what is waited for.
    pub(super) told_waiting: Option<String>,
    /// The trouble told last, and when.
    pub(super) trouble: Option<(String, Duration)>,
    pub(super) stopping: Option<oneshot::Sender<()>>,
    /// Ends the listening to the kernel when it is dropped.
    pub(super) _listening: oneshot::Sender<()>,
}

/// What a machine is in the cluster.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The config in force.
    pub(super) config: NetworkConfig,
    pub(super) external: External,
    pub(super) macs: Macs,
    /// The private key of our WireGuard devices, if the backend has any.
    pub(super) secret: Option<Secret>,
    /// What the holder was offered.
    pub(super) offer: Offer,
}

/// The kernel's tables, as far as the agent remembers anything about them.
pub(super) struct Table {
    /// Since when they may be other than they should be.
    pub(super) dirty: Option<Duration>,
    /// Whether that is only a hint of the kernel, that waits for others.
    pub(super) hinted: bool,
    /// Looks one after the other that found nothing to do.
    pub(super) futile: u32,
    pub(super) looked: Option<Duration>,
    pub(super) retry: Retry,
    /// When to look at everything, whatever was heard.
    pub(super) full: Duration,
    /// Whether the next look is to be at everything, whenever it is.
    pub(super) all_next: bool,
    /// What was last wished.
    pub(super) last: Option<Desired>,
    /// Whether it was made so without a failure.
    pub(super) settled: bool,
    /// Whether no lease is held, so that devices are down or about to be.
    pub(super) quiet: bool,
    /// Whether the firewall has been asked how rules are to be made since it last may have changed.
    pub(super) how_known: bool,
    /// Whether packets to a public address need no gateway.
    pub(super) direct: BTreeMap<IpAddr, bool>,
    /// How rules are made in either family.
    pub(super) how: [How; 2],
}

/// An open TUN device.
pub(super) struct Tunnel {
    pub(super) device: Box<dyn TunDevice>,
    pub(super) address: Ipv4Addr,
    pub(super) mtu: u32,
}

/// A peer, as the extension's commands know it.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// What it should be; none: gone.
    pub(super) wish: Option<Lease>,
    /// What the commands were told last.
    pub(super) added: Option<Lease>,
    /// What a command tells just now.
    pub(super) running: Option<Option<Lease>>,
    pub(super) retry: Retry,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            dirty: None,
            hinted: false,
            futile: 0,
            looked: None,
            retry: Retry::default(),
            full: Duration::ZERO,
            all_next: false,
            last: None,
            settled: false,
            quiet: false,
            how_known: false,
            direct: BTreeMap::new(),
            how: [How { means: Means::Nftables, random_fully: true }; 2],
        }
    }

    /// They are not as they should be, as far as we know.
    pub(super) fn soil(&mut self, now: Duration) {
        self.dirty.get_or_insert(now);
        self.hinted = false;
    }

    /// They may be other than they should be.
    pub(super) fn hint(&mut self, now: Duration) {
        if self.dirty.is_none() {
            (self.dirty, self.hinted) = (Some(now), true);
        }
    }

    /// When to look next. What failed waits for its pause; news does not wait for that.
    pub(super) fn due(&self) -> Duration {
        let delay =
            if self.hinted { HINT_DELAY * (1 << self.futile.min(HINT_DOUBLINGS)) } else { Duration::ZERO };
        let wanted = [self.dirty.map(|dirty| dirty + delay), self.retry.until(), Some(self.full)];
        let soonest = wanted.into_iter().flatten().min().expect("a full look is always due at some time");
        let peers = self.last.as_ref().map_or(0, |last| last.served.len());
        let spacing = LOOK_SPACING + LOOK_SPACING_PEER * u32::try_from(peers.min(LOOK_PEERS)).unwrap_or(0);
        soonest.max(self.looked.map_or(Duration::ZERO, |looked| looked + spacing))
    }

    /// Addresses that need no gateway.
    pub(super) fn direct(&self) -> BTreeSet<IpAddr> {
        self.direct.iter().filter(|(_, direct)| **direct).map(|(address, _)| *address).collect()
    }
}

impl Agent {
    /// The lease, if it certainly is held now.
    pub(super) fn held(&self, now: Duration) -> Option<&Lease> {
        match &self.picture.standing {
            Standing::Held { lease, until } if now < *until => Some(lease),
            _ => None,
        }
    }

    /// Tells the operator what has happened.
    pub(super) fn say(&self, text: impl Into<String>) {
        (self.log)(Line { trouble: false, text: text.into() });
    }

    /// Tells the operator what is wrong: the same only once in a while.
    pub(super) fn trouble(&mut self, text: impl Into<String>, now: Duration) {
        let text = text.into();
        self.status.last_error = Some(text.clone());
        let told = |(last, when): &(String, Duration)| *last == text && now < *when + TROUBLE_PERIOD;
        if !self.trouble.as_ref().is_some_and(told) {
            self.trouble = Some((text.clone(), now));
            (self.log)(Line { trouble: true, text });
        }
    }
}
