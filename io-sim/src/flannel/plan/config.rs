//! The network config of a run, and the others that somebody writes for a while.
//!
//! A change is over when the first config is written again. A flanneld that was started in between may follow the other one and refuse to
//! go back: it says that it needs a restart, and the operator gives it one (see `operator`).

use super::{Backend, Families, FlannelPlan};
use ipnet::IpNet;

/// Most subnets of the small network; of its 256 the first is left out, and the last few are for strangers.
const SMALL: u16 = 200;
/// Most subnets of a plan.
pub(super) const MOST_SUBNETS: u16 = 10_000;
/// How many more subnets there are for a while.
const MORE: u16 = 20;

/// Another network config, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retuning {
    /// Another MTU (vxlan): taken live.
    Mtu,
    /// DirectRouting the other way round (vxlan, ipip): taken live.
    Direct,
    /// More subnets: taken live.
    Subnets,
    /// Another VNI (vxlan): refused by whoever holds a lease.
    Vni,
    /// Another backend: refused.
    Type,
    /// Another network: refused.
    Network,
    /// A text that is no config: the old one stays.
    Garbage,
    /// Nothing, as the key is deleted: the old one stays.
    Deleted,
}

impl Retuning {
    /// All, by the names in the text form of plans.
    pub const ALL: [(&str, Retuning); 8] = [
        ("config-mtu", Retuning::Mtu),
        ("config-direct", Retuning::Direct),
        ("config-subnets", Retuning::Subnets),
        ("config-vni", Retuning::Vni),
        ("config-type", Retuning::Type),
        ("config-network", Retuning::Network),
        ("config-garbage", Retuning::Garbage),
        ("config-deleted", Retuning::Deleted),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Retuning::ALL.into_iter().find(|(_, other)| *other == self).expect("all are listed").0
    }

    /// Whether a machine that is started meanwhile may get another subnet by it.
    pub fn moves_subnets(self) -> bool {
        matches!(self, Retuning::Network | Retuning::Subnets)
    }

    /// Whether a machine that is started meanwhile has to wait for its end.
    pub fn blocks_starts(self) -> bool {
        matches!(self, Retuning::Garbage | Retuning::Deleted)
    }
}

/// What a config says.
struct Said {
    backend: Backend,
    direct: bool,
    subnets: u16,
    mtu: u32,
    vni: u32,
    /// Whether it is the network of the run.
    home: bool,
}

impl FlannelPlan {
    fn said(&self) -> Said {
        let FlannelPlan { backend, direct, subnets, .. } = *self;
        Said { backend, direct, subnets, mtu: 0, vni: 1, home: true }
    }

    /// The network config.
    pub fn config(&self) -> String {
        self.text(&self.said())
    }

    /// The one that is written for a while; none: the key is deleted.
    pub fn retuned(&self, retuning: Retuning) -> Option<String> {
        let said = self.said();
        let said = match retuning {
            Retuning::Mtu => Said { mtu: 1_400, ..said },
            Retuning::Direct => Said { direct: !said.direct, ..said },
            Retuning::Subnets => Said { subnets: said.subnets + MORE, ..said },
            Retuning::Vni => Said { vni: 2, ..said },
            Retuning::Type if said.backend == Backend::Vxlan => Said { backend: Backend::HostGw, ..said },
            Retuning::Type => Said { backend: Backend::Vxlan, ..said },
            Retuning::Network => Said { home: false, ..said },
            Retuning::Garbage => return Some("{\"Network\": \"10.5.0.0/16\"".to_owned()),
            Retuning::Deleted => return None,
        };
        Some(self.text(&said))
    }

    fn text(&self, said: &Said) -> String {
        let second = if said.home { 5 } else { 6 };
        let [high, low] = said.subnets.to_be_bytes();
        let small = self.subnets <= SMALL;
        let v4 = match small {
            true => format!(
                r#""Network":"10.{second}.0.0/16","SubnetLen":24,"SubnetMin":"10.{second}.1.0","SubnetMax":"10.{second}.{low}.0""#
            ),
            false => format!(
                r#""Network":"10.64.0.0/10","SubnetLen":24,"SubnetMin":"10.64.1.0","SubnetMax":"10.{}.{low}.0""#,
                64 + u16::from(high)
            ),
        };
        let v6 = format!(
            r#""EnableIPv6":true,"IPv6Network":"fd00:{second}::/48","IPv6SubnetLen":64,"IPv6SubnetMin":"fd00:{second}:0:1::","IPv6SubnetMax":"fd00:{second}:0:{:x}::""#,
            said.subnets
        );
        let families = match self.families {
            Families::V4 => v4,
            Families::V6 => format!(r#""EnableIPv4":false,{v6}"#),
            Families::Dual => format!("{v4},{v6}"),
        };
        let options = match said.backend {
            Backend::Vxlan => {
                let (vni, mtu, direct) = (said.vni, said.mtu, said.direct);
                format!(r#","VNI":{vni},"MTU":{mtu},"DirectRouting":{direct}"#)
            }
            Backend::Ipip => format!(r#","DirectRouting":{}"#, said.direct),
            Backend::HostGw | Backend::Udp | Backend::Wireguard => String::new(),
        };
        format!(r#"{{{families},"Backend":{{"Type":"{}"{options}}}}}"#, said.backend.name())
    }

    /// The cluster's networks, one a family.
    pub fn networks(&self) -> Vec<IpNet> {
        let v4 = if self.subnets <= SMALL { "10.5.0.0/16" } else { "10.64.0.0/10" };
        let (v4, v6) = (v4.parse().expect("a network"), "fd00:5::/48".parse().expect("a network"));
        match self.families {
            Families::V4 => vec![v4],
            Families::V6 => vec![v6],
            Families::Dual => vec![v4, v6],
        }
    }
}
