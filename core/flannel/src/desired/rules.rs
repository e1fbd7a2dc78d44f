//! The masquerade and forward rules: what leaves the cluster's network takes the machine's address, what stays inside does not.
//!
//! P is our subnet, N the cluster's network:
//!
//! ```text
//! 1  marked by kube-proxy      return      5  from N, not to multicast   masquerade
//! 2  from P to N               return      6  not from N, to N           masquerade
//! 3  from N to P               return
//! 4  not from N, to P          return      and forward: from N accept, to N accept
//! ```
//!
//! Of flannel's two spellings this is the one for iptables, for nftables too. flannel's fourth rule for nftables reads
//! "not from P, to N: return", which lets rule 6 see no packet.

use super::Options;
use super::families::Family;
use crate::links::Tables;
use crate::rules::{Rule, RuleSet, Verdict};
use ipnet::IpNet;

/// The mark of packets that kube-proxy masquerades itself.
pub const MARK: u32 = 0x4000;

/// Adds the rules of one family; none if none are chosen.
pub(super) fn add(family: &Family, options: &Options, tables: &mut Tables) {
    let how = if family.v6 { options.v6 } else { options.v4 };
    let postrouting = if options.masquerade { masquerade(family, how.random_fully) } else { Vec::new() };
    let forward = if options.forward { forward(family.network) } else { Vec::new() };
    if !postrouting.is_empty() || !forward.is_empty() {
        tables.rules.insert(RuleSet { v6: family.v6, means: how.means, postrouting, forward });
    }
}

fn multicast(v6: bool) -> IpNet {
    let text = if v6 { "ff00::/8" } else { "224.0.0.0/4" };
    text.parse().expect("the literal is a network")
}

fn masquerade(family: &Family, random_fully: bool) -> Vec<Rule> {
    let (own, network) = (family.own, family.network);
    let rule = |source, destination, verdict| Rule { marked: false, source, destination, verdict };
    let masquerade = Verdict::Masquerade { random_fully };
    vec![
        Rule { marked: true, ..rule(None, None, Verdict::Return) },
        rule(Some((own, true)), Some((network, true)), Verdict::Return),
        rule(Some((network, true)), Some((own, true)), Verdict::Return),
        rule(Some((network, false)), Some((own, true)), Verdict::Return),
        rule(Some((network, true)), Some((multicast(family.v6), false)), masquerade),
        rule(Some((network, false)), Some((network, true)), masquerade),
    ]
}

fn forward(network: IpNet) -> Vec<Rule> {
    let rule = |source, destination| Rule { marked: false, source, destination, verdict: Verdict::Accept };
    vec![rule(Some((network, true)), None), rule(None, Some((network, true)))]
}
