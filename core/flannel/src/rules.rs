//! The masquerade and forward rules, as values: what they say, not how the kernel spells them.

use ipnet::IpNet;

/// By what means rules are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// Tables `flannel-ipv4` and `flannel-ipv6`, by nftables messages.
    Nftables,
    /// Chains FLANNEL-POSTRTG and FLANNEL-FWD, by the iptables programs.
    Iptables,
}

/// All rules of one family of addresses, in their order. An empty list of rules means that there is no such chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleSet {
    /// Those of IPv6, not of IPv4.
    pub v6: bool,
    /// By what means.
    pub means: Means,
    /// Of the chain after routing, for packets that leave.
    pub postrouting: Vec<Rule>,
    /// Of the chain for packets that pass through.
    pub forward: Vec<Rule>,
}

/// A rule: if all that it names holds, its verdict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The packet carries the mark 0x4000.
    pub marked: bool,
    /// The source is in this network, or (`false`) is not.
    pub source: Option<(IpNet, bool)>,
    /// The destination is in this network, or (`false`) is not.
    pub destination: Option<(IpNet, bool)>,
    /// What then.
    pub verdict: Verdict,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No further rule of this chain.
    Return,
    /// Let it pass.
    Accept,
    /// Send it from the address of the link by which it leaves.
    Masquerade {
        /// With a port drawn at random.
        random_fully: bool,
    },
    /// Something that flannel does not make: so a rule that somebody put there is seen, and is taken away.
    Foreign,
}
