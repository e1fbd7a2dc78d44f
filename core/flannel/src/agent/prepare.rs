//! Before the lease: the config, the external interface, the MACs of our devices. And after it: a config that changes.
//!
//! The MAC of a device is the one that it has, if it fits; else the one that our own lease in the store names, so that a
//! reboot changes nothing for the peers; else it is drawn.

use super::config::*;
use super::state::{Agent, Place};
use crate::choose::{self, Me};
use crate::config::{Backend, NetworkConfig, change};
use crate::desired::{self, Macs};
use crate::holder::Offer;
use crate::interface::{self, External, Families, Ways};
use crate::links::{LinksError, LinksResult, Mac, Path, Scope};
use crate::local::Command;
use crate::subnet::Lease;
use futures_util::future::{Either, select};
use kernel::rng::Stream;
use std::collections::BTreeMap;
use std::net::IpAddr;

impl Agent {
    /// Finds out what this machine is in the cluster, and says so to the holder; what is in the way is told and tried again.
    pub(super) async fn prepare(&mut self) {
        let now = self.ports.clock.now();
        let Some(config) = self.picture.config.clone() else { return };
        if self.preparing.is_some_and(|at| now < at) && self.refused.as_ref() == Some(&config) {
            return;
        }
        match self.find_place(config.clone()).await {
            Ok(place) => {
                let External { link, mtu, .. } = &place.external;
                self.say(format!("backend {}, over {link} with MTU {mtu}", place.config.backend.name()));
                self.holder.offer(place.offer.clone());
                self.place = Some(place);
                (self.preparing, self.refused) = (None, None);
                (self.status.config_refused, self.status.last_error) = (None, None);
                self.table.soil(now);
            }
            Err(text) => {
                self.trouble(text, now);
                self.refused = Some(config);
                self.preparing = Some(self.ports.clock.now() + PREPARE_RETRY);
            }
        }
    }

    async fn find_place(&mut self, config: NetworkConfig) -> Result<Place, String> {
        let external = self.find_external(&config).await?;
        desired::check(&config, &external)?;
        let me = Me { public_ip: external.public_ip, public_ipv6: external.public_ipv6 };
        let macs = self.find_macs(&config, &external, &me).await?;
        let secret = match config.backend {
            Backend::Wireguard { .. } => {
                let key = self.ports.local.wireguard_key().await;
                Some(key.map_err(|error| format!("the private key: {error}"))?)
            }
            _ => None,
        };
        self.run_first_command(&config).await?;
        let value = desired::announce(&config, &external, &macs, secret.as_ref(), self.told.as_deref());
        let offer = Offer { config: config.clone(), me, value };
        Ok(Place { config, external, macs, secret, offer })
    }

    /// The external interface, as the kernel says now.
    pub(super) async fn find_external(&self, config: &NetworkConfig) -> Result<External, String> {
        let links = &self.ports.links;
        let families = Families { v4: config.v4.is_some(), v6: config.v6.is_some() };
        let asked = &self.config.asked;
        let text = |error: LinksError| format!("the external interface cannot be found: {error}");
        let interfaces = links.interfaces().await.map_err(text)?;
        let mut ways = Ways::default();
        if families.v4 {
            ways.v4 = maybe(links.default_path(false).await).map_err(text)?;
        }
        if families.v6 {
            ways.v6 = maybe(links.default_path(true).await).map_err(text)?;
        }
        if let Some(address) = asked.can_reach {
            ways.reach = maybe(links.path(address).await).map_err(text)?;
        }
        interface::choose(asked, families, &interfaces, &ways).map_err(|error| error.to_string())
    }

    async fn find_macs(&self, config: &NetworkConfig, external: &External, me: &Me) -> Result<Macs, String> {
        let mut macs = Macs::default();
        let Backend::Vxlan { mac_prefix, .. } = config.backend else { return Ok(macs) };
        let devices = desired::devices(config, external);
        let names = devices.iter().map(|(_, device)| device.name.clone()).collect();
        let scope = Scope { links: names, ..Scope::default() };
        let present = self.ports.links.tables(&scope).await;
        let present = present.map_err(|error| format!("the devices cannot be read: {error}"))?;
        let leases: Vec<&Lease> = self.picture.leases.values().map(AsRef::as_ref).collect();
        let own = choose::own(config, &leases, me, self.previous.as_ref());
        for (v6, device) in devices {
            let same = |link: &&crate::links::Link| link.name == device.name && link.kind == device.kind;
            let present = present.links.iter().find(same).and_then(|link| link.mac);
            let told = own.and_then(|lease| lease.value.vxlan(v6).ok()).map(|data| data.mac);
            let mac =
                present.or(told.filter(is_unicast)).unwrap_or_else(|| draw(self.ports.seed, v6, mac_prefix));
            macs.set(v6, mac);
        }
        Ok(macs)
    }

    /// The extension's first command, before the network is there: what it prints is told to the peers.
    async fn run_first_command(&mut self, config: &NetworkConfig) -> Result<(), String> {
        let Backend::Extension { pre_startup, .. } = &config.backend else { return Ok(()) };
        if pre_startup.is_empty() || self.told.is_some() {
            return Ok(());
        }
        let command = Command { line: pre_startup.clone(), env: BTreeMap::new(), stdin: String::new() };
        let late = self.ports.clock.sleep_until(self.ports.clock.now() + COMMAND_LIMIT);
        match select(self.ports.local.run(&command), late).await {
            Either::Left((Ok(told), _)) => {
                self.told = Some(told.trim_end().to_owned());
                Ok(())
            }
            Either::Left((Err(error), _)) => Err(format!("PreStartupCommand: {error}")),
            Either::Right(_) => {
                Err(format!("PreStartupCommand did not end within {} s", COMMAND_LIMIT.as_secs()))
            }
        }
    }

    /// Follows a config that changes, as far as that can be done without a restart.
    pub(super) fn tend_config(&mut self) {
        let now = self.ports.clock.now();
        let Some(new) = self.picture.config.clone() else { return };
        let Some(place) = self.place.clone().filter(|place| place.config != new) else {
            if self.place.is_some() && self.refused.take().is_some() {
                self.status.config_refused = None;
            }
            return;
        };
        if self.refused.as_ref() == Some(&new) {
            return;
        }
        // Without a lease nothing rests on the old config yet: begin anew with the new one.
        let Some(held) = self.held(now) else {
            self.ports.probe.sometimes("flannel: the config changed before there was a lease");
            self.place = None;
            self.table.soil(now);
            return;
        };
        let judged = change::judge(&place.config, &new, &held.key);
        match judged.and_then(|()| desired::check(&new, &place.external)) {
            Ok(()) => {
                self.ports.probe.sometimes("flannel: a config was taken over live");
                self.say("the network config was changed, and is followed");
                let config = new;
                self.place = Some(Place { config, ..place });
                (self.refused, self.status.config_refused) = (None, None);
                self.offer();
            }
            Err(why) => {
                self.ports.probe.sometimes("flannel: a config was refused");
                self.trouble(why.clone(), now);
                (self.refused, self.status.config_refused) = (Some(new), Some(why));
            }
        }
        self.table.soil(now);
        self.table.full = now;
    }

    /// Offers what this machine is now to the holder, if that is news.
    pub(super) fn offer(&mut self) {
        let Some(place) = &mut self.place else { return };
        let Place { config, external, macs, secret, .. } = &*place;
        let value = desired::announce(config, external, macs, secret.as_ref(), self.told.as_deref());
        let offer = Offer { config: place.config.clone(), me: place.offer.me, value };
        if offer != place.offer {
            place.offer = offer.clone();
            self.holder.offer(offer);
        }
    }

    /// Looks whether the external interface is still what it was. Another MTU is followed; another address would be another
    /// machine to the peers, which needs a restart.
    pub(super) async fn tend_external(&mut self) {
        let now = self.ports.clock.now();
        let Some(place) = self.place.clone() else { return };
        // While it is away nothing better is known.
        let Ok(found) = self.find_external(&place.config).await else { return };
        if found == place.external {
            return;
        }
        if (External { mtu: place.external.mtu, ..found.clone() }) == place.external {
            self.say(format!("the MTU of {} is {} now", found.link, found.mtu));
            self.place = Some(Place { external: found, ..place });
        } else {
            let address = |external: &External| {
                let v4 = external.v4.map(IpAddr::from).into_iter().chain(external.v6.map(IpAddr::from));
                v4.map(|address| address.to_string()).collect::<Vec<_>>().join(", ")
            };
            let text = format!(
                "the external interface is {} with {} now, and was {} with {}; restart flanneld to use it",
                found.link,
                address(&found),
                place.external.link,
                address(&place.external)
            );
            self.trouble(text, now);
        }
    }
}

/// No such way is an answer too.
fn maybe(path: LinksResult<Path>) -> LinksResult<Option<Path>> {
    match path {
        Ok(path) => Ok(Some(path)),
        Err(LinksError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a device can have this MAC.
fn is_unicast(mac: &Mac) -> bool {
    mac.0[0] & 1 == 0 && mac.0 != [0; 6]
}

/// A MAC that nobody was given: locally administered, unicast; or with the first two octets that the config names.
fn draw(seed: u64, v6: bool, prefix: Option<[u8; 2]>) -> Mac {
    let mut octets = [0; 6];
    let drawn = Stream::new(seed, "flannel: mac", u64::from(v6)).next_u64().to_be_bytes();
    octets.copy_from_slice(&drawn[..6]);
    octets[0] = octets[0] & 0xfe | 0x02;
    if let Some(prefix) = prefix {
        octets[..2].copy_from_slice(&prefix);
    }
    let mac = Mac(octets);
    assert!(is_unicast(&mac), "{mac} cannot be a device's");
    mac
}
