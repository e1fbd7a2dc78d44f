//! Everybody else who may change the kernel's tables: an operator, a network manager, another daemon.
//!
//! Each act is aimed at what flannel makes: its devices, and the routes of protocol `boot`. An act without anything to aim at does
//! nothing, so that any part of a plan is a plan.

use super::{BRIDGE, EXTERNAL, Kernel, SimLinks};
use crate::sched::Effect;
use flannel::links::*;
use flannel::rules::{Rule, Verdict};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// What somebody does to a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Deletes a device of flannel's.
    DeleteLink,
    /// Takes a device of flannel's down.
    Down,
    /// Gives a device of flannel's another MAC.
    ChangeMac,
    /// Changes the MTU of a device of flannel's.
    ChangeMtu,
    /// Deletes a route to a peer.
    DeleteRoute,
    /// Leads a route to a peer elsewhere.
    ChangeRoute,
    /// Deletes a neighbour.
    DeleteNeighbour,
    /// Gives a neighbour another MAC.
    ChangeNeighbour,
    /// Deletes a forwarding entry.
    DeleteForwarding,
    /// Leads a forwarding entry to another machine.
    ChangeForwarding,
    /// Adds a neighbour, a forwarding entry and a route of a peer that does not exist.
    AddStale,
    /// Deletes an address of a device of flannel's.
    DeleteAddress,
    /// Flushes the rules.
    DeleteRules,
    /// Adds a rule to flannel's.
    AddRule,
    /// The link to the other machines goes down and up again.
    Flap,
    /// The link to the other machines has another MTU.
    ExternalMtu,
}

impl Meddling {
    /// All, by the names in the text form of plans.
    pub const ALL: [(&str, Meddling); 16] = [
        ("delete-link", Meddling::DeleteLink),
        ("down", Meddling::Down),
        ("change-mac", Meddling::ChangeMac),
        ("change-mtu", Meddling::ChangeMtu),
        ("delete-route", Meddling::DeleteRoute),
        ("change-route", Meddling::ChangeRoute),
        ("delete-neighbour", Meddling::DeleteNeighbour),
        ("change-neighbour", Meddling::ChangeNeighbour),
        ("delete-forwarding", Meddling::DeleteForwarding),
        ("change-forwarding", Meddling::ChangeForwarding),
        ("add-stale", Meddling::AddStale),
        ("delete-address", Meddling::DeleteAddress),
        ("delete-rules", Meddling::DeleteRules),
        ("add-rule", Meddling::AddRule),
        ("flap", Meddling::Flap),
        ("external-mtu", Meddling::ExternalMtu),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let mut all = Meddling::ALL.into_iter();
        all.find(|(_, other)| *other == self).expect("all are listed").0
    }

    /// The point that a run has reached when it was really done.
    pub fn done(self) -> &'static str {
        match self {
            Meddling::DeleteLink => "kernel model: somebody deleted a link",
            Meddling::Down => "kernel model: somebody took a link down",
            Meddling::ChangeMac => "kernel model: somebody changed a MAC",
            Meddling::ChangeMtu => "kernel model: somebody changed the MTU of a link of flannel's",
            Meddling::DeleteRoute => "kernel model: somebody deleted a route",
            Meddling::ChangeRoute => "kernel model: somebody changed a route",
            Meddling::DeleteNeighbour => "kernel model: somebody deleted a neighbour",
            Meddling::ChangeNeighbour => "kernel model: somebody changed a neighbour",
            Meddling::DeleteForwarding => "kernel model: somebody deleted a forwarding entry",
            Meddling::ChangeForwarding => "kernel model: somebody changed a forwarding entry",
            Meddling::AddStale => "kernel model: somebody added entries of a peer that is none",
            Meddling::DeleteAddress => "kernel model: somebody deleted an address",
            Meddling::DeleteRules => "kernel model: somebody deleted rules",
            Meddling::AddRule => "kernel model: somebody added a rule",
            Meddling::Flap => "kernel model: the external interface flapped",
            Meddling::ExternalMtu => "kernel model: the MTU of the external interface changed",
        }
    }
}

/// What flannel has made here.
struct Made {
    links: Vec<Link>,
    tables: Tables,
}

fn made(kernel: &Kernel) -> Made {
    let links: Vec<Link> = kernel.links().filter(|link| link.name.starts_with("flannel")).cloned().collect();
    let names: BTreeSet<String> = links.iter().map(|link| link.name.clone()).collect();
    let networks = vec!["0.0.0.0/0".parse().expect("a network"), "::/0".parse().expect("a network")];
    let mut tables = kernel.tables(&Scope { links: names, networks, rules: true });
    tables.routes.retain(|route| route.protocol == flannel::plan::BOOT);
    Made { links, tables }
}

impl SimLinks {
    /// Somebody meddles, now.
    pub fn meddle(&self, meddling: Meddling) {
        let mut state = self.lock();
        let made = made(&state.kernel);
        let nth = state.draws.foreign.below(1 << 32);
        let mac = state.draws.mac();
        let external = state.kernel.link(EXTERNAL).cloned();
        let operations = self.acts(meddling, &made, nth as usize, mac, external);
        for operation in operations {
            // Where it has nothing to work on, it does nothing.
            if self.perform(&mut state, &operation).is_ok() {
                self.world.probe().sometimes(meddling.done());
                if meddling == Meddling::Flap {
                    // The store's links have a class of this name too, which is counted.
                    self.world.sched().effect(Effect::Flap);
                }
            }
        }
    }

    fn acts(
        &self,
        meddling: Meddling,
        made: &Made,
        nth: usize,
        mac: Mac,
        external: Option<Link>,
    ) -> Vec<Operation> {
        let link = nth_of(made.links.iter(), nth);
        let one = |operation: Option<Operation>| operation.into_iter().collect::<Vec<_>>();
        let tables = &made.tables;
        match meddling {
            Meddling::DeleteLink => one(link.map(|link| Operation::DeleteLink(link.name))),
            Meddling::Down => one(link.map(|link| Operation::SetLink(Link { up: false, ..link }))),
            Meddling::ChangeMac => {
                let link = link.filter(|link| link.mac.is_some());
                one(link.map(|link| Operation::SetLink(Link { mac: Some(mac), ..link })))
            }
            Meddling::ChangeMtu => one(link.map(|link| Operation::SetLink(Link { mtu: 1_280, ..link }))),
            Meddling::DeleteRoute => one(nth_of(tables.routes.iter(), nth).map(Operation::DeleteRoute)),
            Meddling::ChangeRoute => one(nth_of(tables.routes.iter(), nth).map(|route| {
                let way = Way::Out { link: BRIDGE.to_owned(), gateway: None, onlink: false };
                Operation::PutRoute(Route { way, ..route })
            })),
            Meddling::DeleteNeighbour => {
                one(nth_of(tables.neighbours.iter(), nth).map(Operation::DeleteNeighbour))
            }
            Meddling::ChangeNeighbour => one(nth_of(tables.neighbours.iter(), nth)
                .map(|entry| Operation::PutNeighbour(Neighbour { mac, ..entry }))),
            Meddling::DeleteForwarding => {
                one(nth_of(tables.forwardings.iter(), nth).map(Operation::DeleteForwarding))
            }
            Meddling::ChangeForwarding => one(nth_of(tables.forwardings.iter(), nth)
                .map(|entry| Operation::PutForwarding(Forwarding { machine: self.address.into(), ..entry }))),
            Meddling::AddStale => link.map_or_else(Vec::new, |link| stale(&link, tables, nth, mac)),
            Meddling::DeleteAddress => {
                one(nth_of(tables.addresses.iter(), nth).map(Operation::DeleteAddress))
            }
            Meddling::DeleteRules => tables.rules.iter().cloned().map(Operation::DeleteRules).collect(),
            Meddling::AddRule => one(nth_of(tables.rules.iter(), nth).map(|mut rules| {
                let verdict = Verdict::Return;
                rules.postrouting.push(Rule { marked: false, source: None, destination: None, verdict });
                Operation::PutRules(rules)
            })),
            Meddling::Flap => external.map_or_else(Vec::new, |link| {
                let down = Operation::SetLink(Link { up: false, ..link.clone() });
                let up = Operation::SetLink(Link { up: true, ..link });
                vec![down, up, self.default_route(false), self.default_route(true)]
            }),
            Meddling::ExternalMtu => {
                let mtu = [1_400, 9_000, 1_500][nth % 3];
                one(external.map(|link| Operation::SetLink(Link { mtu, ..link })))
            }
        }
    }
}

/// What a peer that has gone would have left behind: the entries beside one that exists, for an address of its own.
fn stale(link: &Link, tables: &Tables, nth: usize, mac: Mac) -> Vec<Operation> {
    let Some(like) = nth_of(tables.neighbours.iter(), nth) else { return Vec::new() };
    let IpAddr::V4(address) = like.address else { return Vec::new() };
    let address: IpAddr = Ipv4Addr::from(u32::from(address) ^ 0x0000_8000).into();
    let machine = IpAddr::V4([192, 168, 200, 1].into());
    let destination = ipnet::IpNet::new(address, 24).expect("a length of IPv4").trunc();
    let way = Way::Out { link: link.name.clone(), gateway: Some(address), onlink: true };
    vec![
        Operation::PutForwarding(Forwarding { link: link.name.clone(), mac, machine }),
        Operation::PutNeighbour(Neighbour { link: link.name.clone(), address, mac }),
        Operation::PutRoute(Route { destination, way, protocol: flannel::plan::BOOT }),
    ]
}

fn nth_of<'a, T: Clone + 'a>(all: impl ExactSizeIterator<Item = &'a T>, nth: usize) -> Option<T> {
    let count = all.len();
    let mut all = all;
    if count == 0 { None } else { all.nth(nth % count).cloned() }
}
