//! The kernel's tables: look, compare with what should be, and make it so.
//!
//! There is one way for everything: a start, a peer that comes, an entry that somebody took away, a device that vanished, a lost
//! lease. What is heard only says that it is time to look.

use super::config::*;
use super::state::{Agent, Place};
use crate::config::{Backend, change};
use crate::desired::{self, Desired, How, Options, Wish, public};
use crate::env::SubnetEnv;
use crate::holder::Standing;
use crate::links::{Hint, Link, LinksError, LinksResult, Operation, Tables, Way, WireguardPeer};
use crate::plan::{Ours, plan, plan_with};
use crate::rules::Means;
use crate::subnet::Lease;
use kernel::Bug;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// What the tables are to be made like.
enum Goal {
    /// As our lease says.
    Serve(Lease),
    /// Without traffic.
    Quiet,
    /// As they are: it is not known yet whether the lease of the last time is still ours.
    Leave,
}

impl Agent {
    /// The kernel hints at a change. What concerns nothing of ours is not worth a look.
    pub(super) fn hinted(&mut self, hint: &Hint, now: Duration) {
        let Some(ours) = self.table.last.as_ref().map(|last| &last.ours) else {
            // It may be about anything, the external interface too.
            self.table.full = now;
            return self.table.hint(now);
        };
        let external = self.place.as_ref().map(|place| place.external.link.as_str());
        let concerns = match hint {
            Hint::Link(name) => ours.links.contains(name) || external == Some(name),
            // Routes to single containers here come and go, and are not ours.
            Hint::Route(to) if ours.own.iter().any(|own| own.contains(to) && own != to) => false,
            Hint::Route(to) => ours.networks.iter().any(|network| network.contains(to)),
            Hint::Rules => {
                self.table.how_known = false;
                ours.rules
            }
            Hint::Resync => {
                self.table.how_known = false;
                self.ports.probe.sometimes("flannel: hints of the kernel were lost");
                let heard = !self.planted.is(Bug::HintLossIgnored);
                // What was lost may have been about the external interface.
                self.table.all_next |= heard;
                heard
            }
        };
        if matches!(hint, Hint::Link(name) if external == Some(name)) {
            self.table.full = now;
        }
        if concerns {
            self.table.hint(now);
        }
    }

    /// Looks at the tables if it is time, and makes them what they should be.
    pub(super) async fn tend_tables(&mut self) {
        let now = self.ports.clock.now();
        let goal = self.goal(now);
        let quiet = matches!(goal, Goal::Quiet);
        if quiet != self.table.quiet {
            // Silence cannot wait for anything.
            self.table.soil(now);
            (self.table.quiet, self.table.looked, self.table.settled) = (quiet, None, false);
        }
        if self.place.is_none() || self.table.due() > now {
            return;
        }
        if matches!(goal, Goal::Leave) {
            (self.table.dirty, self.table.full) = (None, self.table.full.max(now + PREPARE_RETRY));
            return;
        }
        let full = self.table.full <= now || self.table.all_next;
        self.table.all_next = false;
        if full {
            self.tend_external().await;
            self.table.direct.clear();
            (self.env, self.table.how_known) = (None, false);
        }
        let hinted = self.table.dirty.take().is_some() && self.table.hinted;
        if self.table.looked.is_some_and(|looked| now > looked + HINT_CALM) {
            self.table.futile = 0;
        }
        self.table.looked = Some(now);
        self.status.looks += 1;
        let outcome = match goal {
            Goal::Serve(lease) => self.serve(&lease).await,
            _ => self.silence().await,
        };
        let now = self.ports.clock.now();
        if full {
            self.table.full = now + self.resync();
        }
        match outcome {
            Ok(done) => {
                self.table.retry.succeed();
                self.status.last_error = None;
                self.table.futile = if done > 0 || !hinted { 0 } else { self.table.futile.saturating_add(1) };
            }
            Err(text) => {
                self.trouble(text, now);
                self.table.retry.fail(now);
            }
        }
    }

    fn goal(&self, now: Duration) -> Goal {
        let Some(place) = self.place.as_ref().filter(|_| self.picture.revision > 0) else {
            return Goal::Leave;
        };
        // A lease may have been got for a config that was replaced meanwhile; the holder gets another.
        let fits = |lease: &&Lease| change::judge(&place.config, &place.config, &lease.key).is_ok();
        if let Some(lease) = self.held(now).filter(fits) {
            return Goal::Serve(lease.clone());
        }
        let own = || {
            let leases: Vec<&Lease> = self.picture.leases.values().map(AsRef::as_ref).collect();
            let own = crate::choose::own(&place.config, &leases, &place.offer.me, self.previous.as_ref());
            own.is_some()
        };
        match self.picture.standing {
            // It is about to be taken up again; packets go on meanwhile, but not when it must have ended.
            Standing::Waiting(_) if own() && now < self.began + self.config.ttl => Goal::Leave,
            _ => Goal::Quiet,
        }
    }

    /// Time between full looks.
    fn resync(&self) -> Duration {
        let iptables = self.table.how.iter().any(|how| how.means == Means::Iptables);
        if iptables { self.config.resync.clamp(PREPARE_RETRY, RESYNC) } else { RESYNC }
    }

    /// Decides how rules are made.
    async fn tend_means(&mut self) {
        let Some(place) = self.place.as_ref().filter(|_| !self.table.how_known) else { return };
        for (index, v6) in [false, true].into_iter().enumerate() {
            // Where the firewall cannot be asked it is as it was.
            let Ok(firewall) = self.ports.links.firewall(v6).await else { continue };
            let iptables =
                place.config.rules == Some(false) || (self.config.forward && firewall.forward_drops);
            let means = if iptables { Means::Iptables } else { Means::Nftables };
            let can = !iptables || firewall.random_fully;
            self.table.how[index] = How { means, random_fully: self.config.random_fully && can };
        }
        self.table.how_known = true;
    }

    /// Makes the tables what our lease says; how many operations that took.
    async fn serve(&mut self, lease: &Lease) -> Result<usize, String> {
        self.tend_means().await;
        self.tend_direct().await;
        self.tend_tunnel(lease).await?;
        let mut desired = self.wish(lease);
        let scope = desired.ours.scope();
        let present = self.ports.links.tables(&scope).await.map_err(|error| error.to_string())?;
        let present = self.accept_moves(present, &desired);
        if self.adopt_macs(&present) {
            self.ports.probe.sometimes("flannel: a device has another MAC than its lease");
            self.offer();
            desired = self.wish(lease);
        }
        if self.has_run_out(lease) {
            return Ok(0);
        }
        let operations = plan_with(self.planted, &desired.tables, &present, &desired.ours);
        let mended = self.table.settled && self.table.last.as_ref() == Some(&desired);
        if mended && !operations.is_empty() {
            self.ports.probe.sometimes("flannel: mended what somebody else had changed");
            self.say(format!(
                "{} mended, beginning with: {}",
                entries(operations.len()),
                name(&operations[0])
            ));
        }
        let failures = self.carry_out(&operations, mended).await;
        self.show_peers(&desired);
        let (mtu, peers) = (desired.mtu, desired.served.len());
        (self.table.settled, self.table.last) = (failures.is_empty(), Some(desired));
        if failures.iter().any(|(operation, _)| is_essential(operation)) {
            self.status.ready = false;
            return Err(explain(&failures));
        }
        if self.has_run_out(lease) {
            return Ok(0);
        }
        self.write_env(lease, mtu).await?;
        if !std::mem::replace(&mut self.status.ready, true) {
            self.say(format!("ready: {} with {peers} peers", lease.key));
        }
        if failures.is_empty() { Ok(operations.len()) } else { Err(explain(&failures)) }
    }

    /// Whether the lease's time is over, though it was not when this look began: a machine may have stood still meanwhile. The
    /// next turn comes at once, and stops the traffic.
    fn has_run_out(&mut self, lease: &Lease) -> bool {
        let now = self.ports.clock.now();
        if self.held(now).is_some_and(|held| held.key == lease.key) {
            return false;
        }
        self.ports.probe.sometimes("flannel: the lease ran out in the middle of a look");
        self.table.soil(now);
        true
    }

    /// Takes our devices down and routes to peers away.
    async fn silence(&mut self) -> Result<usize, String> {
        self.status.ready = false;
        self.tunnel = None;
        let Some(place) = &self.place else { return Ok(0) };
        let ours = match &self.table.last {
            Some(last) => last.ours.clone(),
            None => leftovers(place, self.previous.as_ref()),
        };
        let present = self.ports.links.tables(&Ours { rules: false, ..ours.clone() }.scope()).await;
        let present = present.map_err(|error| error.to_string())?;
        let (tables, ours) = desired::quiet(&present, &ours);
        let operations = plan(&tables, &present, &ours);
        if !operations.is_empty() {
            self.ports.probe.sometimes("flannel: stopped traffic for want of a lease");
        }
        let failures = self.carry_out(&operations, false).await;
        if !failures.is_empty() {
            return Err(explain(&failures));
        }
        Ok(operations.len())
    }

    /// Asks the kernel to which peers packets need no gateway, of those that were not asked about yet.
    async fn tend_direct(&mut self) {
        let Some(place) = &self.place else { return };
        let wanted = matches!(
            place.config.backend,
            Backend::Vxlan { direct_routing: true, .. } | Backend::Ipip { direct_routing: true }
        );
        if !wanted {
            return self.table.direct.clear();
        }
        let leases = self.picture.leases.values();
        let addresses: BTreeSet<IpAddr> =
            leases.flat_map(|lease| [public(lease, false), public(lease, true)]).flatten().collect();
        for address in addresses {
            if self.table.direct.contains_key(&address) {
                continue;
            }
            // A path that cannot be asked for now is asked for at the next look.
            let Ok(path) = self.ports.links.path(address).await else { continue };
            let direct = path.gateway.is_none() && path.link == place.external.link;
            self.table.direct.insert(address, direct);
        }
    }

    pub(super) fn wish(&self, lease: &Lease) -> Desired {
        let place = self.place.as_ref().expect("who serves has a place");
        let [v4, v6] = self.table.how;
        let options = Options {
            masquerade: self.config.masquerade,
            forward: self.config.forward,
            blackhole: self.config.blackhole,
            v4,
            v6,
        };
        desired::desired(&Wish {
            config: &place.config,
            own: lease,
            external: &place.external,
            macs: place.macs,
            secret: place.secret,
            tun: self.tunnel.as_ref().map(|tunnel| tunnel.device.name()),
            peers: &self.picture.leases,
            direct: &self.table.direct(),
            options,
        })
    }

    /// A device that has another MAC than it should is right: true if there is one.
    fn adopt_macs(&mut self, present: &Tables) -> bool {
        let Some(place) = &mut self.place else { return false };
        let mut other = false;
        for (v6, device) in desired::devices(&place.config, &place.external) {
            let same = |link: &&Link| link.name == device.name && link.kind == device.kind;
            let Some(mac) = present.links.iter().find(same).and_then(|link| link.mac) else { continue };
            if place.macs.of(v6).is_some_and(|known| known != mac) {
                place.macs.set(v6, mac);
                other = true;
            }
        }
        other
    }

    /// WireGuard follows a machine that is heard of from elsewhere, behind address translation mostly, and is right. So the
    /// address of a peer counts as wished, unless what its lease says became another since we last looked.
    fn accept_moves(&self, mut present: Tables, desired: &Desired) -> Tables {
        let Some(last) = &self.table.last else { return present };
        let told = |tables: &Tables, peer: &WireguardPeer| {
            let same = |other: &&WireguardPeer| (&other.link, other.key) == (&peer.link, peer.key);
            tables.wireguard_peers.iter().find(same).and_then(|peer| peer.endpoint)
        };
        let accept = |peer: WireguardPeer| match (told(&last.tables, &peer), told(&desired.tables, &peer)) {
            (old, new) if old == new && new.is_some() => WireguardPeer { endpoint: new, ..peer },
            _ => peer,
        };
        present.wireguard_peers = present.wireguard_peers.into_iter().map(accept).collect();
        present
    }

    /// Does the operations; those that failed, and why.
    async fn carry_out(&mut self, operations: &[Operation], mended: bool) -> Vec<(Operation, LinksError)> {
        if operations.is_empty() {
            return Vec::new();
        }
        let outcomes = self.ports.links.apply(operations).await;
        assert_eq!(outcomes.len(), operations.len(), "one outcome for each operation");
        let failures: Vec<(Operation, LinksError)> = operations
            .iter()
            .zip(outcomes)
            .filter_map(|(operation, outcome)| Some((operation.clone(), failure(operation, outcome)?)))
            .collect();
        let done = (operations.len() - failures.len()) as u64;
        self.status.operations += done;
        self.status.failures += failures.len() as u64;
        self.status.repairs += if mended { done } else { 0 };
        failures
    }

    /// Tells the rest of the machine of the lease, if the file does not say it already.
    async fn write_env(&mut self, lease: &Lease, mtu: u32) -> Result<(), String> {
        let place = self.place.as_ref().expect("who holds a lease has a place");
        let text = SubnetEnv::new(&place.config, &lease.key, mtu, self.config.masquerade).render();
        if self.env.is_none() {
            // An error is met once more when it is written.
            self.env = self.ports.local.read_env().await.ok().flatten();
        }
        if self.env.as_ref() != Some(&text) {
            self.ports.local.write_env(&text).await.map_err(|error| error.to_string())?;
            self.env = Some(text);
        }
        Ok(())
    }
}

/// What an earlier life may have left here.
fn leftovers(place: &Place, previous: Option<&crate::subnet::SubnetKey>) -> Ours {
    let devices = desired::devices(&place.config, &place.external);
    let v4 = place.config.v4.map(|range| range.network.into());
    let v6 = place.config.v6.map(|range| range.network.into());
    let own = previous.map(|key| [key.v4.map(Into::into), key.v6.map(Into::into)]);
    Ours {
        links: devices.into_iter().map(|(_, device)| device.name).collect(),
        networks: v4.into_iter().chain(v6).collect(),
        own: own.into_iter().flatten().flatten().collect(),
        rules: false,
    }
}

/// Why an operation failed; not if what it wanted is so already.
fn failure(operation: &Operation, outcome: LinksResult<()>) -> Option<LinksError> {
    let error = outcome.err()?;
    let so_already = match operation {
        Operation::DeleteLink(_)
        | Operation::DeleteAddress(_)
        | Operation::DeleteRoute(_)
        | Operation::DeleteNeighbour(_)
        | Operation::DeleteForwarding(_)
        | Operation::DeleteWireguardPeer(_)
        | Operation::DeleteRules(_) => matches!(error, LinksError::NotFound(_)),
        Operation::AddAddress(_) => matches!(error, LinksError::Exists(_)),
        _ => false,
    };
    (!so_already).then_some(error)
}

/// Whether the machine cannot be ready without it. What concerns one peer is no reason for the others to wait.
fn is_essential(operation: &Operation) -> bool {
    match operation {
        Operation::AddLink(_) | Operation::SetLink(_) | Operation::SetWireguard(_) => true,
        Operation::AddAddress(_) | Operation::PutRules(_) => true,
        Operation::PutRoute(route) => {
            let to_one = route.destination.prefix_len() == route.destination.max_prefix_len();
            !to_one && !matches!(route.way, Way::Out { gateway: Some(_), .. })
        }
        _ => false,
    }
}

fn explain(failures: &[(Operation, LinksError)]) -> String {
    let Some((operation, error)) = failures.first() else { return String::new() };
    let more = failures.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more failed)") };
    format!("{}: {error}{more}", name(operation))
}

fn entries(count: usize) -> String {
    if count == 1 { "one entry was".to_owned() } else { format!("{count} entries were") }
}

/// An operation in words.
fn name(operation: &Operation) -> String {
    match operation {
        Operation::AddLink(link) => format!("add link {}", link.name),
        Operation::DeleteLink(name) => format!("delete link {name}"),
        Operation::SetLink(link) => {
            format!("set link {} mtu {} {}", link.name, link.mtu, if link.up { "up" } else { "down" })
        }
        Operation::AddAddress(entry) => format!("add address {} dev {}", entry.net, entry.link),
        Operation::DeleteAddress(entry) => format!("delete address {} dev {}", entry.net, entry.link),
        Operation::PutRoute(route) => format!("put route {}", route.destination),
        Operation::DeleteRoute(route) => format!("delete route {}", route.destination),
        Operation::PutNeighbour(entry) => format!("put neighbour {} dev {}", entry.address, entry.link),
        Operation::DeleteNeighbour(entry) => format!("delete neighbour {} dev {}", entry.address, entry.link),
        Operation::PutForwarding(entry) => format!("put forwarding entry {} dev {}", entry.mac, entry.link),
        Operation::DeleteForwarding(entry) => {
            format!("delete forwarding entry {} dev {}", entry.mac, entry.link)
        }
        Operation::SetWireguard(device) => format!("set the key and port of {}", device.link),
        Operation::PutWireguardPeer(peer) => format!("put peer {} dev {}", peer.key, peer.link),
        Operation::DeleteWireguardPeer(peer) => format!("delete peer {} dev {}", peer.key, peer.link),
        Operation::PutRules(set) => format!("put {:?} rules", set.means),
        Operation::DeleteRules(set) => format!("delete {:?} rules", set.means),
    }
}
