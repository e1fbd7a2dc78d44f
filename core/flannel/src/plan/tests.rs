//! Plans against a model of the kernel: a handful of links, addresses and MACs, in every state that they can be in.

use super::*;
use crate::rules::{Rule, Verdict};
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::net::{IpAddr, Ipv4Addr};
use std::slice;

const DEVICE: &str = "flannel.1";

fn ours() -> Ours {
    Ours {
        links: BTreeSet::from([DEVICE.to_owned()]),
        networks: vec!["10.5.0.0/16".parse().unwrap()],
        own: vec!["10.5.1.0/24".parse().unwrap()],
        rules: true,
    }
}

/// What the kernel does with an operation.
pub(crate) fn apply(tables: &mut Tables, operation: &Operation) -> LinksResult<()> {
    let refused = || Err(LinksError::Refused(format!("{operation:?}")));
    let has = |tables: &Tables, name: &str| tables.links.iter().any(|link| link.name == name);
    match operation.clone() {
        Operation::AddLink(link) => {
            if has(tables, &link.name) || link.kind == LinkKind::Tun {
                return refused();
            }
            tables.links.insert(link);
        }
        Operation::DeleteLink(name) => {
            if !has(tables, &name) {
                return refused();
            }
            tables.links.retain(|link| link.name != name);
            tables.addresses.retain(|entry| entry.link != name);
            tables.neighbours.retain(|entry| entry.link != name);
            tables.forwardings.retain(|entry| entry.link != name);
            tables.wireguards.retain(|device| device.link != name);
            tables.wireguard_peers.retain(|peer| peer.link != name);
            tables.routes.retain(|route| out(route) != Some(&name));
        }
        Operation::SetLink(wish) => {
            let Some(link) = tables.links.iter().find(|link| link.name == wish.name).cloned() else {
                return refused();
            };
            tables.links.remove(&link);
            tables.links.insert(Link { mac: wish.mac.or(link.mac), mtu: wish.mtu, up: wish.up, ..link });
        }
        Operation::AddAddress(address) if has(tables, &address.link) => {
            tables.addresses.insert(address);
        }
        Operation::DeleteAddress(address) if tables.addresses.remove(&address) => {}
        Operation::PutRoute(route) if out(&route).is_none_or(|link| link == "eth0" || has(tables, link)) => {
            tables.routes.retain(|other| place(other) != place(&route));
            tables.routes.insert(route);
        }
        Operation::DeleteRoute(route) if tables.routes.remove(&route) => {}
        Operation::PutNeighbour(entry) if has(tables, &entry.link) => {
            tables.neighbours.retain(|other| (&other.link, other.address) != (&entry.link, entry.address));
            tables.neighbours.insert(entry);
        }
        Operation::DeleteNeighbour(entry) if tables.neighbours.remove(&entry) => {}
        Operation::PutForwarding(entry) if has(tables, &entry.link) => {
            tables.forwardings.retain(|other| (&other.link, other.mac) != (&entry.link, entry.mac));
            tables.forwardings.insert(entry);
        }
        Operation::DeleteForwarding(entry) if tables.forwardings.remove(&entry) => {}
        Operation::SetWireguard(device) if has(tables, &device.link) => {
            tables.wireguards.retain(|other| other.link != device.link);
            tables.wireguards.insert(device);
        }
        Operation::PutWireguardPeer(peer) if has(tables, &peer.link) => put_peer(tables, peer),
        Operation::DeleteWireguardPeer(peer) if has(tables, &peer.link) => {
            tables.wireguard_peers.retain(|other| (&other.link, other.key) != (&peer.link, peer.key));
        }
        Operation::PutRules(set) => {
            tables.rules.retain(|other| (other.v6, other.means) != (set.v6, set.means));
            tables.rules.insert(set);
        }
        Operation::DeleteRules(set) if tables.rules.remove(&set) => {}
        _ => return refused(),
    }
    Ok(())
}

/// A network that is behind a machine is behind no other.
fn put_peer(tables: &mut Tables, peer: WireguardPeer) {
    let others = std::mem::take(&mut tables.wireguard_peers).into_iter();
    let others = others.filter(|other| (&other.link, other.key) != (&peer.link, peer.key));
    tables.wireguard_peers = others
        .map(|mut other| {
            if other.link == peer.link {
                other.allowed.retain(|net| !peer.allowed.contains(net));
            }
            other
        })
        .collect();
    tables.wireguard_peers.insert(peer);
}

fn pick<T: Clone>(g: &mut Gen, from: &[T]) -> T {
    g.choose(from).expect("there is something to pick").clone()
}

fn mac(g: &mut Gen) -> Mac {
    Mac([2, 0, 0, 0, 0, pick(g, &[1, 2, 3, 4])])
}

fn machine(g: &mut Gen) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 168, 0, pick(g, &[2, 3, 4])))
}

fn vxlan(vni: u32, mtu: u32, up: bool, mac: Option<Mac>) -> Link {
    let local = "192.168.0.1".parse().unwrap();
    let kind = Vxlan { vni, port: 8472, device: "eth0".to_owned(), local, learning: false, gbp: false };
    Link { name: DEVICE.to_owned(), kind: LinkKind::Vxlan(kind), mac, mtu, up }
}

fn base(third: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 5, third, 0))
}

fn subnet(third: u8) -> IpNet {
    IpNet::new(base(third), 24).unwrap()
}

fn routed(third: u8, link: &str, gateway: IpAddr) -> Route {
    let way = Way::Out { link: link.to_owned(), gateway: Some(gateway), onlink: link == DEVICE };
    Route { destination: subnet(third), way, protocol: BOOT }
}

fn rules(g: &mut Gen, means: Means) -> RuleSet {
    let rule = |verdict| Rule { marked: false, source: None, destination: None, verdict };
    let postrouting = vec![rule(pick(g, &[Verdict::Return, Verdict::Foreign]))];
    RuleSet { v6: false, means, postrouting, forward: Vec::new() }
}

/// A WireGuard device and some of its machines, each subnet behind one of them.
fn wireguard(g: &mut Gen, tables: &mut Tables) {
    let link = DEVICE.to_owned();
    let secret = Secret([pick(g, &[1, 2]); 32]);
    tables.wireguards.insert(WireguardDevice { link: link.clone(), secret, port: pick(g, &[51820, 51821]) });
    for third in 2..6 {
        if bool::arbitrary(g) {
            tables.wireguard_peers.insert(WireguardPeer {
                link: link.clone(),
                key: PublicKey([pick(g, &[third, third + 10]); 32]),
                endpoint: Some((machine(g), 51820).into()),
                psk: pick(g, &[None, Some(Secret([7; 32]))]),
                keepalive: pick(g, &[0, 25]),
                allowed: BTreeSet::from([subnet(third)]),
            });
        }
    }
}

/// Tables as an agent would wish them.
#[derive(Clone, Debug)]
struct Wish(Tables);

impl Arbitrary for Wish {
    fn arbitrary(g: &mut Gen) -> Wish {
        let mut tables = Tables::default();
        tables.links.insert(vxlan(1, 1450, true, Some(Mac([2, 0, 0, 0, 0, 9]))));
        tables.addresses.insert(Address { link: DEVICE.to_owned(), net: "10.5.1.0/32".parse().unwrap() });
        for third in 2..6 {
            match u8::arbitrary(g) % 3 {
                0 => {}
                1 => {
                    tables.routes.insert(routed(third, "eth0", machine(g)));
                }
                _ => {
                    let (mac, link) = (Mac([2, 0, 0, 0, third, u8::arbitrary(g) % 2]), DEVICE.to_owned());
                    tables.forwardings.insert(Forwarding { link: link.clone(), mac, machine: machine(g) });
                    tables.neighbours.insert(Neighbour { link, address: base(third), mac });
                    tables.routes.insert(routed(third, DEVICE, base(third)));
                }
            }
        }
        let means = pick(g, &[Means::Nftables, Means::Iptables]);
        tables.rules.insert(rules(g, means));
        wireguard(g, &mut tables);
        Wish(tables)
    }
}

/// Tables as a kernel may hold them, with somebody else's entries among them.
#[derive(Clone, Debug)]
struct Present(Tables);

impl Arbitrary for Present {
    fn arbitrary(g: &mut Gen) -> Present {
        let Wish(mut tables) = Wish::arbitrary(g);
        if u8::arbitrary(g) % 4 == 0 {
            tables = Tables::default();
        }
        match u8::arbitrary(g) % 6 {
            0 => drop(apply(&mut tables, &Operation::DeleteLink(DEVICE.to_owned()))),
            1 => {
                tables.links.clear();
                tables.links.insert(vxlan(7, 1450, true, None));
            }
            2 => {
                tables.links.clear();
                tables.links.insert(vxlan(1, 1400, bool::arbitrary(g), Some(mac(g))));
            }
            _ => {}
        }
        for _ in 0..u8::arbitrary(g) % 6 {
            let entry =
                Neighbour { link: DEVICE.to_owned(), address: base(u8::arbitrary(g) % 8), mac: mac(g) };
            let _ = apply(&mut tables, &Operation::PutNeighbour(entry));
            let entry = Forwarding { link: DEVICE.to_owned(), mac: mac(g), machine: machine(g) };
            let _ = apply(&mut tables, &Operation::PutForwarding(entry));
            let link = pick(g, &[DEVICE, "eth0"]);
            let _ = apply(&mut tables, &Operation::PutRoute(routed(u8::arbitrary(g) % 8, link, machine(g))));
        }
        for route in foreign() {
            let _ = apply(&mut tables, &Operation::PutRoute(route));
        }
        if bool::arbitrary(g) {
            let way = Way::Blackhole;
            tables.routes.insert(Route { destination: subnet(1), way, protocol: BOOT });
        }
        for means in [Means::Nftables, Means::Iptables] {
            if bool::arbitrary(g) {
                let _ = apply(&mut tables, &Operation::PutRules(rules(g, means)));
            }
        }
        Present(tables)
    }
}

/// Routes that are not flannel's, however much they look like it.
fn foreign() -> Vec<Route> {
    let way = |link: &str, gateway: Option<&str>| {
        let gateway = gateway.map(|gateway| gateway.parse().unwrap());
        Way::Out { link: link.to_owned(), gateway, onlink: false }
    };
    let route = |to: &str, way, protocol| Route { destination: to.parse().unwrap(), way, protocol };
    vec![
        route("10.5.1.7/32", way("eth0", None), BOOT),
        route("10.5.1.128/25", way("eth0", Some("10.5.1.9")), BOOT),
        route("10.5.9.0/24", way("eth0", Some("192.168.0.9")), 4),
        route("10.5.10.5/32", way("eth0", None), BOOT),
        route("10.5.0.0/16", way("eth0", Some("192.168.0.9")), BOOT),
        route("172.30.0.0/16", way("eth0", Some("192.168.0.9")), BOOT),
        Route { destination: "10.5.11.0/24".parse().unwrap(), way: Way::Blackhole, protocol: BOOT },
    ]
}

fn carried_out(present: &Tables, plan: &[Operation]) -> Tables {
    let mut tables = present.clone();
    for operation in plan {
        apply(&mut tables, operation)
            .unwrap_or_else(|error| panic!("{error} in {plan:#?} over {present:#?}"));
    }
    tables
}

/// Whether a packet to this subnet finds its way to a machine.
fn arrives(tables: &Tables, third: u8) -> bool {
    let route = tables.routes.iter().find(|route| route.destination == subnet(third));
    let Some(Way::Out { link, gateway: Some(gateway), .. }) = route.map(|route| &route.way) else {
        return false;
    };
    if link != DEVICE {
        return true;
    }
    let neighbour = tables.neighbours.iter().find(|entry| entry.address == *gateway);
    let up = tables.links.iter().any(|link| link.name == DEVICE && link.up);
    up && neighbour.is_some_and(|neighbour| tables.forwardings.iter().any(|entry| entry.mac == neighbour.mac))
}

quickcheck! {
    fn a_plan_makes_the_wish_true_and_then_there_is_nothing_to_do(present: Present, wish: Wish) -> bool {
        let first = plan(&wish.0, &present.0, &ours());
        let after = carried_out(&present.0, &first);
        let not_ours = |route: &&Route| !ours().route(route) && !wish.0.routes.contains(*route);
        let kept: BTreeSet<Route> = present.0.routes.iter().filter(not_ours).cloned().collect();
        let expected = Tables { routes: wish.0.routes.union(&kept).cloned().collect(), ..wish.0.clone() };
        assert_eq!(after, expected, "{first:#?}");
        plan(&wish.0, &after, &ours()).is_empty()
    }

    fn what_is_not_ours_stays(present: Present, wish: Wish) -> bool {
        let after = carried_out(&present.0, &plan(&wish.0, &present.0, &ours()));
        foreign().iter().all(|route| after.routes.contains(route))
    }

    fn a_peer_that_stays_is_reached_at_every_step(present: Present, wish: Wish) -> bool {
        let operations = plan(&wish.0, &present.0, &ours());
        let anew = operations.contains(&Operation::DeleteLink(DEVICE.to_owned()));
        let mut tables = present.0.clone();
        let steady: Vec<u8> = (2..6).filter(|third| arrives(&tables, *third) && arrives(&wish.0, *third)).collect();
        operations.iter().all(|operation| {
            apply(&mut tables, operation).unwrap();
            anew || steady.iter().all(|third| arrives(&tables, *third))
        })
    }
}

#[test]
fn a_peer_with_another_mac_is_turned_to_in_place() {
    let (old, new) = (Mac([2, 0, 0, 0, 0, 0xaa]), Mac([2, 0, 0, 0, 0, 0xbb]));
    let tables = |mac| Tables {
        links: BTreeSet::from([vxlan(1, 1450, true, None)]),
        routes: BTreeSet::from([routed(2, DEVICE, base(2))]),
        neighbours: BTreeSet::from([Neighbour { link: DEVICE.to_owned(), address: base(2), mac }]),
        forwardings: BTreeSet::from([Forwarding {
            link: DEVICE.to_owned(),
            mac,
            machine: "192.168.0.2".parse().unwrap(),
        }]),
        ..Tables::default()
    };
    let (present, desired) = (tables(old), tables(new));
    let plan = plan(&desired, &present, &ours());
    let entry = |tables: &Tables| tables.forwardings.first().unwrap().clone();
    assert_eq!(
        plan,
        [
            Operation::PutForwarding(entry(&desired)),
            Operation::PutNeighbour(desired.neighbours.first().unwrap().clone()),
            Operation::DeleteForwarding(entry(&present)),
        ]
    );
}

#[test]
fn without_a_tun_device_nothing_is_put_on_it() {
    let tun = Link { name: "flannel0".to_owned(), kind: LinkKind::Tun, mac: None, mtu: 1472, up: true };
    let way = Way::Out { link: tun.name.clone(), gateway: None, onlink: false };
    let desired = Tables {
        addresses: BTreeSet::from([Address { link: tun.name.clone(), net: "10.5.1.0/32".parse().unwrap() }]),
        routes: BTreeSet::from([Route { destination: "10.5.0.0/16".parse().unwrap(), way, protocol: BOOT }]),
        links: BTreeSet::from([tun.clone()]),
        ..Tables::default()
    };
    let ours = Ours { links: BTreeSet::from([tun.name.clone()]), ..ours() };
    assert_eq!(plan(&desired, &Tables::default(), &ours), []);
    let present =
        Tables { links: BTreeSet::from([Link { mtu: 1500, up: false, ..tun.clone() }]), ..Tables::default() };
    let plan = plan(&desired, &present, &ours);
    assert_eq!(plan.first(), Some(&Operation::SetLink(tun)));
    assert_eq!(carried_out(&present, &plan), desired);
}

#[test]
fn rules_that_are_not_asked_for_are_left_alone() {
    let set = RuleSet { v6: false, means: Means::Iptables, postrouting: Vec::new(), forward: Vec::new() };
    let present = Tables { rules: BTreeSet::from([set]), ..Tables::default() };
    let silent = Ours { rules: false, ..ours() };
    assert_eq!(plan(&Tables::default(), &present, &silent), []);
    assert_eq!(plan(&Tables::default(), &present, &ours()).len(), 1);
}

/// A peer of IPv6, by this link.
fn peer_v6(link: &str, gateway: &str) -> Route {
    let way = Way::Out { link: link.to_owned(), gateway: Some(gateway.parse().unwrap()), onlink: true };
    Route { destination: "fd00:5:0:2::/64".parse().unwrap(), way, protocol: BOOT }
}

#[test]
fn a_peer_of_ipv6_changes_its_link_without_a_gap() {
    let wish = peer_v6(DEVICE, "fd00:5:0:2::");
    let guide = Route {
        destination: "fd00:5:0:2::/128".parse().unwrap(),
        way: Way::Out { link: DEVICE.to_owned(), gateway: None, onlink: false },
        protocol: BOOT,
    };
    let link = Link { name: DEVICE.to_owned(), kind: LinkKind::Wireguard, mac: None, mtu: 1_430, up: true };
    let tables = |routes: &[Route]| Tables {
        links: BTreeSet::from([link.clone()]),
        routes: routes.iter().cloned().collect(),
        ..Tables::default()
    };
    let put = |present: &[Route]| plan(&tables(slice::from_ref(&wish)), &tables(present), &ours());
    let guided = [
        Operation::PutRoute(guide.clone()),
        Operation::PutRoute(wish.clone()),
        Operation::DeleteRoute(guide.clone()),
    ];
    let wide = Route { destination: "fd00::/16".parse().unwrap(), ..peer_v6("eth0", "fe80::1") };
    assert_eq!(put(&[peer_v6("eth0", "fd00:168::b")]), guided);
    assert_eq!(put(slice::from_ref(&wide)), guided, "a route of somebody else's around it");
    let default = Route { destination: "::/0".parse().unwrap(), ..peer_v6("eth0", "fe80::1") };
    // Somebody else's, to the very place: it stays.
    let way = Way::Out { link: "eth0".to_owned(), gateway: None, onlink: false };
    let theirs = Route { way, protocol: 4, ..guide.clone() };
    for unguided in [vec![], vec![default], vec![theirs], vec![wide, peer_v6(DEVICE, "fd00:5:0:2::7")]] {
        assert_eq!(put(&unguided), [Operation::PutRoute(wish.clone())], "{unguided:?}");
    }
    let left = put(&[wish.clone(), guide.clone()]);
    assert_eq!(left, [Operation::DeleteRoute(guide)], "what a crash left behind goes");
}
