//! What becomes of a config that is changed while we run.
//!
//! What concerns only the future (SubnetMin, SubnetMax, SubnetLen) or can be changed in place (MTU, DirectRouting, EnableNFTables, a
//! Network that still holds our subnet) is taken over. Anything else would cut the peers off one after the other.

use super::{Backend, NetworkConfig, Prefix};
use crate::subnet::SubnetKey;
use std::fmt::Debug;

/// Whether `new` may take the place of `old` on a machine that holds `own`; if not, why a restart is needed, in one line.
pub fn judge(old: &NetworkConfig, new: &NetworkConfig, own: &SubnetKey) -> Result<(), String> {
    family("EnableIPv4", "Network", own.v4, new.v4.map(|range| range.network))?;
    family("EnableIPv6", "IPv6Network", own.v6, new.v6.map(|range| range.network))?;
    backend(&old.backend, &new.backend)
}

fn restart(field: &str, from: impl Debug, to: impl Debug) -> String {
    format!(
        "{field} was changed from {from:?} to {to:?}; that needs a restart of every machine's flanneld, until then the old value stays"
    )
}

fn family<N: Prefix>(enable: &str, field: &str, own: Option<N>, network: Option<N>) -> Result<(), String> {
    match (own, network) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(restart(enable, true, false)),
        (None, Some(_)) => Err(restart(enable, false, true)),
        (Some(own), Some(network)) => {
            let holds = network.first() <= own.first() && own.last() <= network.last();
            let why = || {
                format!(
                    "{field} is {network} now, which does not hold our subnet {own}; restart flanneld to get another"
                )
            };
            if holds { Ok(()) } else { Err(why()) }
        }
    }
}

/// Compares what cannot be changed in place.
fn backend(old: &Backend, new: &Backend) -> Result<(), String> {
    let same =
        |field: &str, from: u32, to: u32| if from == to { Ok(()) } else { Err(restart(field, from, to)) };
    let flag =
        |field: &str, from: bool, to: bool| if from == to { Ok(()) } else { Err(restart(field, from, to)) };
    match (old, new) {
        (
            Backend::Vxlan { vni, port, gbp, learning, .. },
            Backend::Vxlan { vni: new_vni, port: new_port, gbp: new_gbp, learning: new_learning, .. },
        ) => {
            same("VNI", *vni, *new_vni)?;
            same("Port", u32::from(*port), u32::from(*new_port))?;
            flag("GBP", *gbp, *new_gbp)?;
            flag("Learning", *learning, *new_learning)
        }
        (Backend::Udp { port }, Backend::Udp { port: new_port }) => {
            same("Port", u32::from(*port), u32::from(*new_port))
        }
        (Backend::Ipip { .. }, Backend::Ipip { .. }) => Ok(()),
        (Backend::Wireguard { .. }, Backend::Wireguard { .. })
        | (Backend::Extension { .. }, Backend::Extension { .. })
            if old != new =>
        {
            // Not its options: one of them is a secret.
            Err(format!(
                "the options of backend {} were changed; that needs a restart of every machine's flanneld, until then the old ones stay",
                old.name()
            ))
        }
        _ if old.name() == new.name() => Ok(()),
        _ => Err(restart("Backend.Type", old.name(), new.name())),
    }
}
