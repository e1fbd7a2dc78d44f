//! The choice, by examples from flannel's documentation.

use super::*;
use crate::links::{Link, LinkKind};

fn link(name: &str, mtu: u32, addresses: &[(&str, Fitness)]) -> Interface {
    let kind = LinkKind::Other(String::new());
    let link = Link { name: name.to_owned(), kind, mac: None, mtu, up: true };
    let addresses = addresses.iter().map(|(net, fitness)| (net.parse().unwrap(), *fitness)).collect();
    Interface { link, addresses }
}

const GOOD: Fitness = Fitness { global: true, permanent: true, lasting: true };
const LOCAL: Fitness = Fitness { global: false, ..GOOD };
const FLEETING: Fitness = Fitness { lasting: false, ..GOOD };
const DYNAMIC: Fitness = Fitness { permanent: false, ..GOOD };
const V4: Families = Families { v4: true, v6: false };
const V6: Families = Families { v4: false, v6: true };
const BOTH: Families = Families { v4: true, v6: true };

fn machine() -> Vec<Interface> {
    vec![
        link("lo", 65536, &[("127.0.0.1/8", LOCAL), ("::1/128", LOCAL)]),
        link("eth0", 1500, &[("192.168.0.1/24", DYNAMIC), ("192.168.0.7/24", GOOD), ("fe80::1/64", LOCAL)]),
        link("eth1", 9000, &[("10.1.0.1/16", GOOD), ("fd01::5/64", FLEETING), ("fd01::1/64", GOOD)]),
        link("wlan0", 0, &[("172.16.0.1/16", GOOD)]),
    ]
}

fn way(link: &str, source: Option<&str>) -> Option<Path> {
    let source = source.map(|source| source.parse().unwrap());
    Some(Path { link: link.to_owned(), source, gateway: None })
}

fn chosen(asked: &Asked, families: Families, ways: &Ways) -> Result<(String, String), String> {
    let external = choose(asked, families, &machine(), ways).map_err(|error| error.to_string())?;
    let address = external.public_ip.map(|ip| ip.to_string());
    Ok((external.link, address.unwrap_or_else(|| external.public_ipv6.unwrap().to_string())))
}

fn is(link: &str, address: &str) -> Result<(String, String), String> {
    Ok((link.to_owned(), address.to_owned()))
}

#[test]
fn the_default_route_says_which_where_nothing_is_asked_for() {
    let ways = Ways { v4: way("eth0", None), v6: way("eth1", None), reach: None };
    let asked = Asked::default();
    assert_eq!(chosen(&asked, V4, &ways), is("eth0", "192.168.0.7"));
    assert_eq!(chosen(&asked, V6, &ways), is("eth1", "fd01::1"));
    assert!(chosen(&asked, BOTH, &ways).unwrap_err().contains("eth0 and eth1"));
    let ways = Ways { v4: way("eth1", None), ..ways };
    let external = choose(&asked, BOTH, &machine(), &ways).unwrap();
    assert_eq!((external.mtu, external.v6), (9000, Some("fd01::1".parse().unwrap())));
    assert!(chosen(&asked, V4, &Ways::default()).unwrap_err().contains("-iface"));
}

#[test]
fn a_public_address_finds_its_interface_or_leaves_it_to_the_default_route() {
    let ways = Ways { v4: way("eth0", None), ..Ways::default() };
    let asked = |ip: &str| Asked { public_ip: Some(ip.parse().unwrap()), ..Asked::default() };
    assert_eq!(chosen(&asked("10.1.0.1"), V4, &ways), is("eth1", "10.1.0.1"));
    // Behind address translation: sent from eth0's own address, reached at the other.
    let external = choose(&asked("203.0.113.9"), V4, &machine(), &ways).unwrap();
    assert_eq!((external.link.as_str(), external.v4), ("eth0", Some("192.168.0.7".parse().unwrap())));
    assert_eq!(external.public_ip, Some("203.0.113.9".parse().unwrap()));
    assert!(external.is_own("203.0.113.9".parse().unwrap()) && !external.is_own("10.1.0.1".parse().unwrap()));
}

#[test]
fn names_go_before_patterns_and_patterns_before_reach() {
    let ways = Ways { reach: way("eth1", Some("10.1.0.1")), ..Ways::default() };
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let mut asked = Asked { can_reach: Some("10.9.9.9".parse().unwrap()), ..Asked::default() };
    assert_eq!(chosen(&asked, V4, &ways), is("eth1", "10.1.0.1"));
    asked.patterns = list(&["nothing", r"^192\.168\.0\.\d$"]);
    assert_eq!(chosen(&asked, V4, &ways), is("eth0", "192.168.0.1"));
    asked.names = list(&["eth9", "10.1.0.1"]);
    assert_eq!(chosen(&asked, V4, &ways), is("eth1", "10.1.0.1"));
    asked.names = list(&["eth0"]);
    assert_eq!(chosen(&asked, V4, &ways), is("eth0", "192.168.0.7"));
}

#[test]
fn a_pattern_is_held_against_addresses_first_and_then_against_names() {
    let asked = |pattern: &str| Asked { patterns: vec![pattern.to_owned()], ..Asked::default() };
    assert_eq!(chosen(&asked("eth[1-9]"), V4, &Ways::default()), is("eth1", "10.1.0.1"));
    assert_eq!(chosen(&asked("^10"), V4, &Ways::default()), is("eth1", "10.1.0.1"));
    assert!(chosen(&asked("["), V4, &Ways::default()).unwrap_err().contains("-iface-regex"));
}

#[test]
fn what_cannot_be_used_is_refused_with_what_there_is() {
    let asked = |name: &str| Asked { names: vec![name.to_owned()], ..Asked::default() };
    let error = chosen(&asked("eth9"), V4, &Ways::default()).unwrap_err();
    assert!(error.contains("-iface eth9") && error.contains("lo, eth0, eth1, wlan0"), "{error}");
    assert!(chosen(&asked("wlan0"), V4, &Ways::default()).is_err(), "an interface without an MTU");
    assert_eq!(chosen(&asked("eth0"), V6, &Ways::default()), is("eth0", "fe80::1"));
}
