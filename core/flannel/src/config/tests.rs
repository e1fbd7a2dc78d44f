//! What flannel reads, with its defaults; what it refuses; what may change while we run.

use super::change::judge;
use super::*;
use crate::subnet::SubnetKey;

fn parse(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    NetworkConfig::parse(text).expect_err(text).to_string()
}

fn v4(text: &str) -> (String, u8, String, String) {
    let range = parse(text).v4.unwrap();
    (range.network.to_string(), range.subnet_len, range.min.to_string(), range.max.to_string())
}

fn range(network: &str, len: u8, min: &str, max: &str) -> (String, u8, String, String) {
    (network.to_owned(), len, min.to_owned(), max.to_owned())
}

#[test]
fn the_defaults_are_those_of_flannel() {
    let usual = range("10.3.0.0/16", 24, "10.3.1.0/24", "10.3.255.0/24");
    assert_eq!(v4(r#"{"Network":"10.3.0.0/16"}"#), usual);
    assert_eq!(v4(r#"{"network":"10.3.7.9/16","SUBNETLEN":24,"Unknown":[1]}"#), usual);
    assert_eq!(v4(r#"{"Network":"10.3.0.0/16","SubnetMin":null,"SubnetMax":"0.0.0.0"}"#), usual);
    let small = range("10.3.0.0/28", 30, "10.3.0.4/30", "10.3.0.12/30");
    assert_eq!(v4(r#"{"Network":"10.3.0.0/28"}"#), small);
    assert_eq!(v4(r#"{"Network":"10.3.0.0/23"}"#).1, 25);
    assert_eq!(v4(r#"{"Network":"10.3.0.0/22"}"#).1, 24);
    let text = r#"{"Network":"10.0.0.0/8","SubnetLen":20,"SubnetMin":"10.10.0.0","SubnetMax":"10.99.0.0"}"#;
    assert_eq!(v4(text), range("10.0.0.0/8", 20, "10.10.0.0/20", "10.99.0.0/20"));
    let config = parse(r#"{"Network":"10.3.0.0/16"}"#);
    assert_eq!((config.v6, config.rules, config.backend), (None, None, Backend::Udp { port: 8285 }));
}

#[test]
fn ipv6_likewise() {
    let text =
        r#"{"EnableIPv4":false,"enableIPv6":true,"ipv6Network":"fc00::/48","Backend":{"type":"VXLAN"}}"#;
    let config = parse(text);
    assert_eq!(config.v4, None);
    let range = config.v6.unwrap();
    assert_eq!(range.subnet_len, 64);
    assert_eq!(range.min.to_string(), "fc00:0:0:1::/64");
    assert_eq!(range.max.to_string(), "fc00:0:0:ffff::/64");
    assert_eq!(range.count(), 65_535);
    let text = r#"{"EnableIPv6":true,"Network":"10.5.0.0/16","IPv6Network":"fc00::/124"}"#;
    assert_eq!(parse(text).v6.unwrap().subnet_len, 126);
    let all = r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"::/0","Backend":{"Type":"alloc"}}"#;
    assert_eq!(parse(all).v6.unwrap().max.to_string(), "ffff:ffff:ffff:ffff::/64");
}

#[test]
fn what_cannot_be_is_refused_with_field_value_and_remedy() {
    for (text, expected) in [
        ("[]", "the network config []: must be a JSON object, like {\"Name\": value}"),
        ("{}", "Network: is missing; write it as \"10.5.0.0/16\""),
        (r#"{"Network":"10.5.0.0"}"#, "Network \"10.5.0.0\": cannot be read; write it as \"10.5.0.0/16\""),
        (
            r#"{"Network":"10.5.0.0/29"}"#,
            "Network 10.5.0.0/29: is too small for four subnets; use a /28 or larger",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetLen":31}"#,
            "SubnetLen 31: must be 30 or less, so that a subnet has room for hosts",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetLen":17}"#,
            "SubnetLen 17: must be 18 or more: network 10.5.0.0/16 must hold at least four subnets",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetLen":"24"}"#,
            "SubnetLen \"24\": must be a whole number from 0 to 32, without quotation marks",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetMin":"10.6.1.0"}"#,
            "SubnetMin 10.6.1.0: is not in the network 10.5.0.0/16; use an address in 10.5.0.0/16, the first of a /24",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetMax":"10.5.1.7"}"#,
            "SubnetMax 10.5.1.7: is not the first address of a /24; the one before it is 10.5.1.0/24",
        ),
        (
            r#"{"Network":"10.5.0.0/16","SubnetMin":"10.5.9.0","SubnetMax":"10.5.1.0"}"#,
            "SubnetMax 10.5.1.0/24: is before SubnetMin 10.5.9.0/24; swap the two",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"aws-vpc"}}"#,
            "Backend.Type \"aws-vpc\": Orlop has no such backend, as it changes a cloud's route table and is gone from \
             flannel; use vxlan, or host-gw inside one network",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"foo"}}"#,
            "Backend.Type \"foo\": there is no such backend; use vxlan, host-gw, udp, wireguard, ipip, alloc or extension",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":16777216}}"#,
            "VNI 16777216: must be a whole number from 0 to 16777215, without quotation marks",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","MacPrefix":"0E2A"}}"#,
            "MacPrefix \"0E2A\": write it as \"0E-2A\"",
        ),
        (
            r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","MacPrefix":"0F-2A"}}"#,
            "MacPrefix \"0F-2A\": is of a group: the first octet must be even, as in \"0E-2A\"",
        ),
        (
            r#"{"EnableIPv4":false}"#,
            "EnableIPv4 false: without EnableIPv6 there is no network left; set one of the two to true",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    assert!(error("{").starts_with("the network config {: is not JSON: "));
}

#[test]
fn backends_have_their_options() {
    let backend = |text: &str| parse(&format!(r#"{{"Network":"10.5.0.0/16","Backend":{text}}}"#)).backend;
    let plain = Backend::Vxlan {
        vni: 1,
        port: 8472,
        mtu: 0,
        gbp: false,
        learning: false,
        direct_routing: false,
        mac_prefix: None,
    };
    assert_eq!(backend(r#"{"Type":"VXLAN","Port":0}"#), plain);
    let options =
        r#"{"type":"vxlan","vni":7,"port":4789,"MTU":1400,"directrouting":true,"MacPrefix":"0E-2A"}"#;
    let full = Backend::Vxlan {
        vni: 7,
        port: 4789,
        mtu: 1400,
        gbp: false,
        learning: false,
        direct_routing: true,
        mac_prefix: Some([0x0e, 0x2a]),
    };
    assert_eq!(backend(options), full);
    assert_eq!(backend("null"), Backend::Udp { port: 8285 });
    assert_eq!(backend("{}"), Backend::Udp { port: 8285 });
    assert_eq!(backend(r#"{"Type":"host-gw"}"#), Backend::HostGw);
    let wireguard =
        backend(r#"{"Type":"wireguard","PSK":"abc","PersistentKeepaliveInterval":25,"Mode":"auto"}"#);
    let Backend::Wireguard { port, port_v6, psk, keepalive, mode, .. } = wireguard else {
        panic!("{wireguard:?}")
    };
    assert_eq!(
        (port, port_v6, psk.as_deref(), keepalive, mode),
        (51820, 51821, Some("abc"), 25, WireguardMode::Auto)
    );
    for (name, leased) in
        [("udp", None), ("alloc", None), ("host-gw", Some("host-gw")), ("vxlan", Some("vxlan"))]
    {
        let backend = backend(&format!(r#"{{"Type":"{name}"}}"#));
        assert_eq!((backend.name(), backend.lease_type()), (name, leased));
    }
}

#[test]
fn only_what_would_cut_peers_off_needs_a_restart() {
    let own = SubnetKey::parse("10.5.7.0-24").unwrap();
    let base = r#""Backend":{"Type":"vxlan","VNI":1}"#;
    let old = parse(&format!(r#"{{"Network":"10.5.0.0/16",{base}}}"#));
    let judged = |text: &str| judge(&old, &parse(text), &own);
    for fine in [
        format!(r#"{{"Network":"10.5.0.0/16","SubnetMin":"10.5.9.0","EnableNFTables":true,{base}}}"#),
        format!(r#"{{"Network":"10.4.0.0/15","SubnetLen":26,{base}}}"#),
        r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":1,"MTU":1400,"DirectRouting":true}}"#
            .to_owned(),
    ] {
        assert_eq!(judged(&fine), Ok(()), "{fine}");
    }
    for (changed, named) in [
        (format!(r#"{{"Network":"10.6.0.0/16",{base}}}"#), "Network"),
        (r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":2}}"#.to_owned(), "VNI"),
        (r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","Port":4789}}"#.to_owned(), "Port"),
        (r#"{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}"#.to_owned(), "Backend.Type"),
        (
            format!(r#"{{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48",{base}}}"#),
            "EnableIPv6",
        ),
    ] {
        let why = judged(&changed).unwrap_err();
        assert!(why.starts_with(named) && why.contains("restart"), "{changed}: {why}");
    }
}

#[test]
fn a_secret_is_not_repeated_when_it_changes() {
    let own = SubnetKey::parse("10.5.7.0-24").unwrap();
    let with = |psk: &str| {
        parse(&format!(r#"{{"Network":"10.5.0.0/16","Backend":{{"Type":"wireguard","PSK":"{psk}"}}}}"#))
    };
    let why = judge(&with("secret-one"), &with("secret-two"), &own).unwrap_err();
    assert!(why.contains("wireguard") && !why.contains("secret"), "{why}");
}

quickcheck::quickcheck! {
    fn every_number_has_a_subnet_inside_the_range(network: u32, prefix: u8, index: u32) -> bool {
        let prefix = prefix % 29;
        let network = ipnet::Ipv4Net::new(network.into(), prefix).unwrap();
        let range = parse(&format!(r#"{{"Network":"{network}"}}"#)).v4.unwrap();
        let index = u128::from(index) % range.count();
        let subnet = range.nth(index);
        range.contains(&subnet)
            && range.network.contains(&subnet)
            && range.overlapped(&subnet) == Some((index, index))
            && range.overlapped(&range.network) == Some((0, range.count() - 1))
    }
}
