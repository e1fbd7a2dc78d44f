//! What each backend wishes, as text: one line an entry, in the words of the `ip` program.

use super::*;
use crate::links::{LinkKind, PublicKey, Way};
use crate::subnet::LeaseValue;

fn config(backend: &str, families: &str) -> NetworkConfig {
    NetworkConfig::parse(&format!(r#"{{{families}"Network":"10.5.0.0/16","Backend":{{"Type":{backend}}}}}"#))
        .unwrap()
}

const DUAL: &str = r#""EnableIPv6":true,"IPv6Network":"fd00:5::/48","#;

fn lease(key: &str, ip: &str, value: &str) -> Lease {
    let value =
        format!(r#"{{"PublicIP":"{ip}","PublicIPv6":"fd01::{}"{value}}}"#, ip.rsplit('.').next().unwrap());
    let value = LeaseValue::parse(&value).unwrap();
    Lease { key: key.parse().unwrap(), value, lease: 7, mod_revision: 5 }
}

fn vtep(last: u8) -> String {
    format!(
        r#","BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"02:00:00:00:00:{last:02x}"}},"BackendV6Data":{{"VtepMAC":"02:00:00:00:06:{last:02x}"}}"#
    )
}

fn external() -> External {
    let v4 = Some("192.168.0.1".parse().unwrap());
    let v6 = Some("fd01::1".parse().unwrap());
    External { link: "eth0".to_owned(), mtu: 1500, v4, v6, public_ip: v4, public_ipv6: v6 }
}

const HOW: How = How { means: Means::Nftables, random_fully: true };
const PLAIN: Options = Options { masquerade: false, forward: false, blackhole: false, v4: HOW, v6: HOW };

fn wished(config: &NetworkConfig, own: &str, peers: &[Lease], direct: &[&str], options: Options) -> Desired {
    let own = lease(own, "192.168.0.1", "");
    let external = external();
    let macs = Macs { v4: Some(Mac([2, 0, 0, 0, 0, 1])), v6: Some(Mac([2, 0, 0, 0, 6, 1])) };
    let peers = peers.iter().map(|lease| (lease.key, std::sync::Arc::new(lease.clone()))).collect();
    let direct = direct.iter().map(|address| address.parse().unwrap()).collect();
    let tun = Some("flannel0");
    desired(&Wish {
        config,
        own: &own,
        external: &external,
        macs,
        secret: Some(Secret([1; 32])),
        tun,
        peers: &peers,
        direct: &direct,
        options,
    })
}

/// The tables, one line an entry.
fn text(desired: &Desired) -> String {
    let tables = &desired.tables;
    let mut lines = vec![format!("mtu {}", desired.mtu)];
    for link in &tables.links {
        let kind = match &link.kind {
            LinkKind::Vxlan(vxlan) => format!(
                "vxlan id {} dev {} local {} dstport {}",
                vxlan.vni, vxlan.device, vxlan.local, vxlan.port
            ),
            LinkKind::Ipip { local } => format!("ipip local {local}"),
            kind => format!("{kind:?}"),
        };
        let mac = link.mac.map(|mac| format!(" address {mac}")).unwrap_or_default();
        lines.push(format!("link {}{mac} mtu {} {kind}", link.name, link.mtu));
    }
    lines.extend(tables.addresses.iter().map(|entry| format!("address {} dev {}", entry.net, entry.link)));
    for route in &tables.routes {
        assert_eq!(route.protocol, crate::plan::BOOT);
        lines.push(match &route.way {
            Way::Blackhole => format!("route blackhole {}", route.destination),
            Way::Out { link, gateway, onlink } => {
                let gateway = gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
                let onlink = if *onlink { " onlink" } else { "" };
                format!("route {}{gateway} dev {link}{onlink}", route.destination)
            }
        });
    }
    lines.extend(
        tables.neighbours.iter().map(|n| format!("neigh {} lladdr {} dev {}", n.address, n.mac, n.link)),
    );
    lines
        .extend(tables.forwardings.iter().map(|f| format!("fdb {} dst {} dev {}", f.mac, f.machine, f.link)));
    lines.extend(tables.wireguards.iter().map(|w| format!("wg {} port {}", w.link, w.port)));
    lines.extend(tables.wireguard_peers.iter().map(|peer| {
        let allowed: Vec<_> = peer.allowed.iter().map(ToString::to_string).collect();
        let (endpoint, psk) = (peer.endpoint.unwrap(), if peer.psk.is_some() { " psk" } else { "" });
        let (first, keepalive) = (peer.key.0[0], peer.keepalive);
        format!(
            "wg {} peer {first} endpoint {endpoint}{psk} keepalive {keepalive} allowed {}",
            peer.link,
            allowed.join(" ")
        )
    }));
    lines.extend(desired.tun_peers.iter().map(|(subnet, machine)| format!("tun {subnet} to {machine}")));
    lines.extend(desired.skipped.iter().map(|(key, why)| format!("skipped {key}: {why}")));
    lines.join("\n")
}

/// The captured tables of a flanneld on a machine with these leases are the first six lines.
#[test]
fn vxlan() {
    let peers =
        [lease("10.5.36.0-24", "192.168.0.2", &vtep(2)), lease("10.5.75.0-24", "192.168.0.1", &vtep(1))];
    let wished = wished(&config("\"vxlan\"", ""), "10.5.75.0-24", &peers, &["192.168.0.2"], PLAIN);
    assert_eq!(
        text(&wished),
        "mtu 1450
link flannel.1 address 02:00:00:00:00:01 mtu 1450 vxlan id 1 dev eth0 local 192.168.0.1 dstport 8472
address 10.5.75.0/32 dev flannel.1
route 10.5.36.0/24 via 10.5.36.0 dev flannel.1 onlink
neigh 10.5.36.0 lladdr 02:00:00:00:00:02 dev flannel.1
fdb 02:00:00:00:00:02 dst 192.168.0.2 dev flannel.1"
    );
    assert_eq!(wished.ours.links, BTreeSet::from(["flannel.1".to_owned()]));
    assert_eq!(wished.ours.own, ["10.5.75.0/24".parse().unwrap()]);
}

#[test]
fn vxlan_in_both_families_with_direct_routing() {
    let config = config(r#""vxlan","VNI":7,"Port":4789,"DirectRouting":true"#, DUAL);
    let peers = [
        lease("10.5.2.0-24&fd00:5:0:2::-64", "192.168.0.2", &vtep(2)),
        lease("10.5.3.0-24&fd00:5:0:3::-64", "192.168.0.3", &vtep(3)),
    ];
    let direct = ["192.168.0.3", "fd01::3"];
    assert_eq!(
        text(&wished(&config, "10.5.1.0-24&fd00:5:0:1::-64", &peers, &direct, PLAIN)),
        "mtu 1430
link flannel-v6.7 address 02:00:00:00:06:01 mtu 1430 vxlan id 7 dev eth0 local fd01::1 dstport 4789
link flannel.7 address 02:00:00:00:00:01 mtu 1450 vxlan id 7 dev eth0 local 192.168.0.1 dstport 4789
address fd00:5:0:1::/128 dev flannel-v6.7
address 10.5.1.0/32 dev flannel.7
route 10.5.2.0/24 via 10.5.2.0 dev flannel.7 onlink
route 10.5.3.0/24 via 192.168.0.3 dev eth0
route fd00:5:0:2::/64 via fd00:5:0:2:: dev flannel-v6.7 onlink
route fd00:5:0:3::/64 via fd01::3 dev eth0
neigh fd00:5:0:2:: lladdr 02:00:00:00:06:02 dev flannel-v6.7
neigh 10.5.2.0 lladdr 02:00:00:00:00:02 dev flannel.7
fdb 02:00:00:00:06:02 dst fd01::2 dev flannel-v6.7
fdb 02:00:00:00:00:02 dst 192.168.0.2 dev flannel.7"
    );
}

#[test]
fn what_cannot_be_served_is_named_and_keeps_nobody_else_from_it() {
    let peers = [
        lease("10.5.1.128-25", "192.168.0.2", &vtep(2)),
        lease("10.5.2.0-24", "192.168.0.2", r#","BackendType":"host-gw""#),
        lease("10.5.3.0-24", "192.168.0.2", ""),
        lease("10.5.4.0-24", "192.168.0.1", &vtep(2)),
        lease("10.5.5.0-24", "0.0.0.0", &vtep(2)),
        lease("10.5.6.0-24", "192.168.0.2", r#","BackendType":"vxlan""#),
        lease("10.5.7.0-24", "192.168.0.7", &vtep(1)),
        lease("10.5.8.0-24", "192.168.0.8", &vtep(8)),
        Lease { mod_revision: 9, ..lease("10.5.9.0-24", "192.168.0.9", &vtep(8)) },
        lease("10.6.0.0-24", "192.168.0.10", &vtep(10)),
        lease("0.0.0.0-0&fd00:5:0:1::-64", "192.168.0.11", &vtep(11)),
    ];
    let wished = wished(&config("\"vxlan\"", ""), "10.5.1.0-24", &peers, &[], PLAIN);
    let text = text(&wished);
    let (_, skipped) = text.split_once("\nskipped ").unwrap();
    assert_eq!(
        skipped,
        "0.0.0.0-0&fd00:5:0:1::-64: its subnets are of another family of addresses than ours
skipped 10.5.1.128-25: its subnet has addresses of ours, 10.5.1.0-24
skipped 10.5.2.0-24: its backend is host-gw, ours is vxlan
skipped 10.5.3.0-24: its backend is udp or alloc, ours is vxlan
skipped 10.5.4.0-24: it has our own public address 192.168.0.1; two machines must not share one
skipped 10.5.5.0-24: it says no public address for 10.5.5.0/24
skipped 10.5.6.0-24: BackendData: is missing in the lease
skipped 10.5.7.0-24: VtepMAC 02:00:00:00:00:01 is that of our own device; one of the two must change
skipped 10.5.8.0-24: VtepMAC 02:00:00:00:00:08 is also that of 10.5.9.0-24, whose lease is newer
skipped 10.6.0.0-24: its subnet is not inside the network 10.5.0.0/16"
    );
    assert_eq!(wished.served, BTreeSet::from(["10.5.9.0-24".parse().unwrap()]));
    assert_eq!(wished.tables.forwardings.len(), 1);
}

#[test]
fn host_gw_udp_ipip_and_alloc() {
    let peers = [lease("10.5.2.0-24", "192.168.0.2", r#","BackendType":"host-gw""#)];
    let host_gw = wished(&config("\"host-gw\"", ""), "10.5.1.0-24", &peers, &[], PLAIN);
    assert_eq!(text(&host_gw), "mtu 1500\nroute 10.5.2.0/24 via 192.168.0.2 dev eth0");
    assert_eq!(
        text(&wished(&config("\"udp\"", ""), "10.5.1.0-24", &peers, &[], PLAIN)),
        "mtu 1472
link flannel0 mtu 1472 Tun
address 10.5.1.0/32 dev flannel0
route 10.5.0.0/16 dev flannel0
tun 10.5.2.0/24 to 192.168.0.2:8285"
    );
    let ipip = |ip| lease(&format!("10.5.{ip}.0-24"), &format!("192.168.0.{ip}"), r#","BackendType":"ipip""#);
    let config1 = config(r#""ipip","DirectRouting":true"#, "");
    assert_eq!(
        text(&wished(&config1, "10.5.1.0-24", &[ipip(2), ipip(3)], &["192.168.0.3"], PLAIN)),
        "mtu 1480
link flannel.ipip mtu 1480 ipip local 192.168.0.1
address 10.5.1.0/32 dev flannel.ipip
route 10.5.2.0/24 via 192.168.0.2 dev flannel.ipip onlink
route 10.5.3.0/24 via 192.168.0.3 dev eth0"
    );
    let alloc = wished(&config("\"alloc\"", ""), "10.5.1.0-24", &peers, &[], PLAIN);
    assert_eq!(text(&alloc), "mtu 1500");
    assert_eq!(alloc.served.len(), 1);
}

#[test]
fn rules_and_the_blackhole_are_as_chosen() {
    let all = Options { masquerade: true, forward: true, blackhole: true, ..PLAIN };
    let wished = wished(&config("\"host-gw\"", DUAL), "10.5.1.0-24&fd00:5:0:1::-64", &[], &[], all);
    let said: Vec<String> = wished
        .tables
        .rules
        .iter()
        .flat_map(|set| set.postrouting.iter().chain(&set.forward))
        .map(|rule| {
            let side = |side: &Option<(ipnet::IpNet, bool)>| match side {
                None => String::from("*"),
                Some((net, true)) => net.to_string(),
                Some((net, false)) => format!("not {net}"),
            };
            let mark = if rule.marked { "marked " } else { "" };
            format!("{mark}{} to {} {:?}", side(&rule.source), side(&rule.destination), rule.verdict)
        })
        .collect();
    assert_eq!(
        said[..8],
        [
            "marked * to * Return",
            "10.5.1.0/24 to 10.5.0.0/16 Return",
            "10.5.0.0/16 to 10.5.1.0/24 Return",
            "not 10.5.0.0/16 to 10.5.1.0/24 Return",
            "10.5.0.0/16 to not 224.0.0.0/4 Masquerade { random_fully: true }",
            "not 10.5.0.0/16 to 10.5.0.0/16 Masquerade { random_fully: true }",
            "10.5.0.0/16 to * Accept",
            "* to 10.5.0.0/16 Accept",
        ]
    );
    assert_eq!(said.len(), 16);
    assert!(said[12].contains("ff00::/8"), "{}", said[12]);
    assert_eq!(text(&wished), "mtu 1500\nroute blackhole 10.5.1.0/24\nroute blackhole fd00:5:0:1::/64");
}

fn wg(key: u8) -> String {
    let key = PublicKey([key; 32]);
    let data = format!(r#"{{"PublicKey":"{key}","Port":4000}}"#);
    format!(r#","BackendType":"wireguard","BackendData":{data},"BackendV6Data":{data}"#)
}

#[test]
fn wireguard_has_a_device_a_family() {
    let psk = PublicKey([9; 32]);
    let options = format!(r#""wireguard","PSK":"{psk}","PersistentKeepaliveInterval":25"#);
    let own_key = Secret([1; 32]).public().to_string();
    let ours = format!(r#","BackendType":"wireguard","BackendData":{{"PublicKey":"{own_key}"}}"#);
    let peers = [
        lease("10.5.2.0-24&fd00:5:0:2::-64", "192.168.0.2", &wg(2)),
        // Of older flannel, which says no port.
        lease("10.5.3.0-24", "192.168.0.3", &wg(3).replace(r#","Port":4000"#, "")),
        lease("10.5.4.0-24", "192.168.0.4", &wg(3)),
        lease("10.5.5.0-24", "192.168.0.5", &ours),
        lease("10.5.6.0-24", "192.168.0.6", r#","BackendType":"wireguard","BackendData":{"PublicKey":"x"}"#),
    ];
    let mut wished = wished(&config(&options, DUAL), "10.5.1.0-24&fd00:5:0:1::-64", &peers, &[], PLAIN);
    let skipped = std::mem::take(&mut wished.skipped);
    let why: Vec<&str> = skipped.values().map(String::as_str).collect();
    assert!(why[0].contains("of a newer lease"), "{why:?}");
    assert!(why[1].contains("is ours; one of the two machines needs another key file"), "{why:?}");
    assert!(why[2].contains("\"x\" is not a public key"), "{why:?}");
    assert_eq!(
        text(&wished),
        "mtu 1420
link flannel-wg mtu 1420 Wireguard
link flannel-wg-v6 mtu 1420 Wireguard
address 10.5.1.0/32 dev flannel-wg
address fd00:5:0:1::/128 dev flannel-wg-v6
route 10.5.2.0/24 dev flannel-wg
route 10.5.3.0/24 dev flannel-wg
route fd00:5:0:2::/64 dev flannel-wg-v6
wg flannel-wg port 51820
wg flannel-wg-v6 port 51821
wg flannel-wg peer 2 endpoint 192.168.0.2:4000 psk keepalive 25 allowed 10.5.2.0/24
wg flannel-wg peer 3 endpoint 192.168.0.3:51820 psk keepalive 25 allowed 10.5.3.0/24
wg flannel-wg-v6 peer 2 endpoint [fd01::2]:4000 psk keepalive 25 allowed fd00:5:0:2::/64"
    );
}

#[test]
fn one_tunnel_of_wireguard_carries_both_families() {
    let peers = [lease("10.5.2.0-24&fd00:5:0:2::-64", "192.168.0.2", &wg(2))];
    let of = |mode: &str| {
        let options = format!(r#""wireguard","Mode":"{mode}""#);
        text(&wished(&config(&options, DUAL), "10.5.1.0-24&fd00:5:0:1::-64", &peers, &[], PLAIN))
    };
    assert_eq!(
        of("ipv6"),
        "mtu 1420
link flannel-wg mtu 1420 Wireguard
address 10.5.1.0/32 dev flannel-wg
address fd00:5:0:1::/128 dev flannel-wg
route 10.5.2.0/24 dev flannel-wg
route fd00:5:0:2::/64 dev flannel-wg
wg flannel-wg port 51820
wg flannel-wg peer 2 endpoint [fd01::2]:4000 keepalive 0 allowed 10.5.2.0/24 fd00:5:0:2::/64"
    );
    assert!(of("ipv4").contains("endpoint 192.168.0.2:4000"));
    // Both are private: then it is the one of IPv4.
    assert!(of("auto").contains("endpoint 192.168.0.2:4000"));
    let external = External { v6: None, public_ipv6: None, ..external() };
    let why = check(&config(r#""wireguard","Mode":"ipv6""#, ""), &external).unwrap_err();
    assert!(why.contains("Mode ipv6: eth0 has no such address"), "{why}");
    let why = check(&config(r#""wireguard","PSK":"hunter2""#, ""), &external).unwrap_err();
    assert!(why.contains("PSK") && why.contains("wg genkey") && !why.contains("hunter2"), "{why}");
}

#[test]
fn what_we_tell_our_peers_is_what_flannel_tells() {
    let macs = Macs { v4: Some(Mac([0xe, 0, 0, 0, 0, 1])), v6: None };
    let mut external = External { v6: None, public_ipv6: None, ..external() };
    let told = |backend: &str, external: &External, told| {
        announce(&config(backend, ""), external, &macs, Some(&Secret([1; 32])), told).to_json()
    };
    assert_eq!(
        told("\"vxlan\"", &external, None),
        r#"{"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0e:00:00:00:00:01"}}"#
    );
    assert_eq!(told("\"udp\"", &external, None), r#"{"PublicIP":"192.168.0.1","PublicIPv6":null}"#);
    assert_eq!(
        told("\"extension\"", &external, Some("a key")),
        r#"{"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"extension","BackendData":"a key"}"#
    );
    let key = Secret([1; 32]).public();
    assert_eq!(
        told(r#""wireguard","ListenPort":4000"#, &external, None),
        format!(
            r#"{{"PublicIP":"192.168.0.1","PublicIPv6":null,"BackendType":"wireguard","BackendData":{{"PublicKey":"{key}","Port":4000}}}}"#
        )
    );
    external.public_ip = Some("203.0.113.1".parse().unwrap());
    assert!(told("\"vxlan\"", &external, None).contains("203.0.113.1"));
    assert!(check(&config("\"host-gw\"", ""), &external).unwrap_err().contains("vxlan"));
    assert!(check(&config("\"vxlan\"", ""), &external).is_ok());
    assert!(check(&config("\"wireguard\"", ""), &external).is_ok());
}

#[test]
fn without_a_lease_devices_go_down_and_routes_away() {
    let peers = [lease("10.5.36.0-24", "192.168.0.2", &vtep(2))];
    let wished = wished(&config("\"vxlan\"", ""), "10.5.75.0-24", &peers, &[], PLAIN);
    let (tables, ours) = quiet(&wished.tables, &wished.ours);
    assert!(tables.links.iter().all(|link| !link.up) && tables.links.len() == 1);
    let plan = crate::plan::plan(&tables, &wished.tables, &ours);
    assert!(matches!(&plan[0], crate::links::Operation::SetLink(link) if !link.up));
    assert_eq!(plan.len(), 4, "and its route, neighbour and forwarding entry go");
}
