//! Keeps the status up to date.

use super::state::Agent;
use super::status::*;
use crate::desired::Desired;
use crate::holder::Standing;
use crate::rules::Means;
use std::net::IpAddr;

impl Agent {
    /// What the last look found out about peers and devices.
    pub(super) fn show_peers(&mut self, desired: &Desired) {
        let skipped = desired.skipped.iter().map(|(key, why)| (key.to_string(), why.clone())).collect();
        if self.status.skipped != skipped {
            for (key, why) in skipped.iter().filter(|(key, why)| self.status.skipped.get(*key) != Some(why)) {
                self.say(format!("peer {key} is left out: {why}"));
            }
            self.status.skipped = skipped;
        }
        self.status.peers = desired.served.len();
        self.status.rules = match desired.tables.rules.first().map(|set| set.means) {
            Some(Means::Nftables) => "nftables",
            Some(Means::Iptables) => "iptables",
            None => "",
        };
        let device = |link: &crate::links::Link| DeviceStatus {
            name: link.name.clone(),
            mac: link.mac.map(|mac| mac.to_string()),
            mtu: link.mtu,
        };
        self.status.devices = desired.tables.links.iter().map(device).collect();
        if let Some(place) = &self.place {
            let v4 = place.config.v4.map(|range| range.network.to_string());
            let networks = v4.into_iter().chain(place.config.v6.map(|range| range.network.to_string()));
            let backend = place.config.backend.name();
            self.status.config =
                Some(ConfigStatus { networks: networks.collect(), backend, mtu: desired.mtu });
        }
    }

    /// Shows how the agent is now.
    pub(super) fn show(&mut self) {
        let now = self.ports.clock.now();
        let missing = || "waits for a network config that can be used".to_owned();
        self.status.state = match &self.picture.standing {
            Standing::Held { .. } if self.held(now).is_none() => {
                "lost: the lease was not renewed in time".to_owned()
            }
            Standing::Held { .. } => "held".to_owned(),
            Standing::Lost(why) => format!("lost: {why}"),
            Standing::Waiting(_) if self.picture.revision > 0 && self.picture.config.is_none() => missing(),
            Standing::Waiting(why) => why.clone(),
        };
        self.status.lease = match &self.picture.standing {
            Standing::Held { lease, until } => Some(LeaseStatus {
                subnet: lease.key.to_string(),
                id: format!("{:x}", lease.lease),
                seconds_left: (!lease.is_reservation()).then(|| until.saturating_sub(now).as_secs()),
            }),
            _ => None,
        };
        self.status.external = self.place.as_ref().map(|place| {
            let external = &place.external;
            let both = |v4: Option<IpAddr>, v6: Option<IpAddr>| {
                v4.into_iter().chain(v6).map(|address| address.to_string()).collect()
            };
            ExternalStatus {
                link: external.link.clone(),
                mtu: external.mtu,
                addresses: both(external.v4.map(Into::into), external.v6.map(Into::into)),
                public: both(external.public_ip.map(Into::into), external.public_ipv6.map(Into::into)),
            }
        });
        self.status.store_revision = self.picture.revision;
        self.status.tun = self.tunnel.as_ref().map(|tunnel| tunnel.device.counters());
        *self.shown.lock().expect("no holder panics") = self.status.clone();
    }
}
