//! The network of a run: a namespace for each member, each at the end of a [`Relay`], and a bridge between them.
//!
//! ```text
//!   this namespace:  br0 10.99.0.254 ── p1 ═ relay ═ eth0 10.99.0.1   namespace m1
//!   (the clients)                    └─ p2 ═ relay ═ eth0 10.99.0.2   namespace m2
//! ```
//!
//! Cuts are rules of nftables on the bridge, from one port to another, so each direction is cut by itself; clients are never cut
//! off. Everything is in a network and a mount namespace of the process (see [`isolate`](super::isolate)) and ends with it.

use super::relay::Relay;
use super::tool;
use kernel::rng::Stream;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Where members speak with each other.
pub const PEER_PORT: u16 = 2380;
/// Where members serve clients.
pub const CLIENT_PORT: u16 = 2379;

/// Pairs of ports between which nothing passes.
const CUTS: &str = "table bridge chaos {
  set cuts { type ifname . ifname; }
  chain forward { type filter hook forward priority 0; iifname . oifname @cuts counter drop; }
}";

/// The network.
pub struct Lan {
    relays: Vec<Relay>,
    /// How many faults cut each pair, from and to.
    cuts: BTreeMap<(u8, u8), u32>,
}

/// The address of `member`, counted from 1.
pub fn address(member: u8) -> String {
    format!("10.99.0.{member}")
}

/// The file of a member's network namespace.
pub fn namespace(member: u8) -> PathBuf {
    PathBuf::from(format!("/run/netns/m{member}"))
}

impl Lan {
    /// Makes the network of `members` members.
    pub fn up(members: u8, seed: u64) -> Result<Lan, String> {
        let ip = |line: &str| tool(Command::new("ip").args(line.split(' ')));
        ip("link set lo up")?;
        ip("link add br0 type bridge")?;
        ip("addr add 10.99.0.254/24 dev br0")?;
        ip("link set br0 up")?;
        tool(Command::new("nft").arg(CUTS))?;
        let mut lan = Lan { relays: Vec::new(), cuts: BTreeMap::new() };
        for member in 1..=members {
            ip(&format!("netns add m{member}"))?;
            let draw = Stream::new(seed, "relay", member.into());
            let port = format!("p{member}");
            let relay = Relay::start(&namespace(member), &port, PEER_PORT, draw);
            lan.relays.push(relay.map_err(|error| format!("the line of member {member}: {error}"))?);
            ip(&format!("link set {port} master br0 up"))?;
            ip(&format!("-n m{member} link set lo up"))?;
            ip(&format!("-n m{member} link set eth0 address 02:00:00:00:00:{member:02x} up"))?;
            ip(&format!("-n m{member} addr add {}/24 dev eth0", address(member)))?;
        }
        Ok(lan)
    }

    /// The line of `member`.
    pub fn line(&self, member: u8) -> &Relay {
        &self.relays[usize::from(member) - 1]
    }

    /// All lines.
    pub fn lines(&self) -> &[Relay] {
        &self.relays
    }

    /// Lets nothing pass from the first to the second of each pair.
    pub fn cut(&mut self, pairs: &[(u8, u8)]) -> Result<(), String> {
        let new = pairs.iter().copied().filter(|pair| {
            let cuts = self.cuts.entry(*pair).or_default();
            *cuts += 1;
            *cuts == 1
        });
        change("add", new.collect())
    }

    /// Takes one cut of each pair back.
    pub fn heal(&mut self, pairs: &[(u8, u8)]) -> Result<(), String> {
        let free = pairs.iter().copied().filter(|pair| match self.cuts.get_mut(pair) {
            Some(cuts) if *cuts > 0 => {
                *cuts -= 1;
                *cuts == 0
            }
            _ => false,
        });
        change("delete", free.collect())
    }

    /// Frames that met a cut.
    pub fn stopped(&self) -> Result<u64, String> {
        let listed = tool(Command::new("nft").args(["list", "chain", "bridge", "chaos", "forward"]))?;
        let count = listed.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        count.ok_or_else(|| format!("nft shows no counter: {listed}"))
    }
}

fn change(what: &str, pairs: Vec<(u8, u8)>) -> Result<(), String> {
    if pairs.is_empty() {
        return Ok(());
    }
    let pairs = pairs.iter().map(|(from, to)| format!("\"p{from}\" . \"p{to}\"")).collect::<Vec<_>>();
    let line = format!("{what} element bridge chaos cuts {{ {} }}", pairs.join(", "));
    tool(Command::new("nft").arg(line)).map(drop)
}

impl Drop for Lan {
    fn drop(&mut self) {
        // The process's end would do it too; this is for the next run of the same process.
        let count = self.relays.len();
        self.relays.clear();
        for member in 1..=count {
            let _ = tool(Command::new("ip").args(["netns", "del", &format!("m{member}")]));
        }
        let _ = tool(Command::new("ip").args(["link", "del", "br0"]));
        let _ = tool(Command::new("nft").arg("delete table bridge chaos"));
    }
}
