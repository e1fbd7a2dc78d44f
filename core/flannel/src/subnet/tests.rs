//! Keys and values, against texts that real flannelds have written.

use super::*;
use ipnet::Ipv4Net;
use serde_json::json;

fn key(text: &str) -> SubnetKey {
    SubnetKey::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn keys_are_flannels() {
    let both = key("10.5.1.0-24&fd00:1::-64");
    assert_eq!(both.v4, Some("10.5.1.0/24".parse().unwrap()));
    assert_eq!(both.v6, Some("fd00:1::/64".parse().unwrap()));
    assert_eq!(key("10.5.1.0-24").v6, None);
    assert_eq!(key("0.0.0.0-0&fd00:1::-64").v4, None);
    let wrong = [
        "",
        "config",
        "10.5.1.0",
        "10.5.1.0-32",
        "10.5.1.0-",
        "10.5.1-24",
        "10.5.1.7-24",
        "010.5.1.0-24",
        "0.0.0.0-0",
        "10.5.1.0-24&",
        "10.5.1.0-24&fd00::1-64",
        "10.5.1.0-24&FD00:1::-64",
        "10.5.1.0-24&fd00:1::-128",
        "10.5.1.0-+24",
        "fd00:1::-64",
        "x/10.5.1.0-24",
    ];
    for text in wrong {
        assert!(SubnetKey::parse(text).unwrap_err().contains(text), "{text}");
    }
}

/// The table of the reference's section on etcd's layout, and what was read from clusters of real flannelds.
#[test]
fn values_are_flannels_to_the_byte() {
    for text in [
        r#"{"PublicIP":"172.31.0.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:1b:2c:3d:4e:5f"}}"#,
        r#"{"PublicIP":"172.31.0.1","PublicIPv6":null,"BackendType":"host-gw"}"#,
        r#"{"PublicIP":"172.31.0.1","PublicIPv6":null}"#,
        r#"{"PublicIP":"172.31.0.1","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:1b:2c:3d:4e:5f"},"BackendV6Data":{"VNI":1,"VtepMAC":"0a:1b:2c:3d:4e:60"}}"#,
        r#"{"PublicIP":"172.31.0.1","PublicIPv6":null,"BackendType":"wireguard","BackendData":{"PublicKey":"DPjb0oD4ndRNz9ebk0Eeb6Mk2zIV8qe7cBGg+kJYZm8=","Port":51820}}"#,
        r#"{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"0a:1b:2c:3d:4e:60"}}"#,
        r#"{"PublicIP":"172.31.0.1","PublicIPv6":null,"BackendType":"extension","BackendData":"a \u0026 b \u003c c\n"}"#,
    ] {
        let value = LeaseValue::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.to_json(), text);
    }
}

#[test]
fn older_and_looser_values_are_read() {
    let old = LeaseValue::parse(
        r#"{"PublicIP":"172.31.0.1","BackendType":"vxlan","BackendData":{"VtepMAC":"0A:1B:2C:3D:4E:5F"}}"#,
    )
    .unwrap();
    assert_eq!(old.public_ip, Ipv4Addr::new(172, 31, 0, 1));
    assert_eq!(old.vxlan(false), Ok(VxlanData { vni: None, mac: "0a:1b:2c:3d:4e:5f".parse().unwrap() }));
    let loose = r#"{"publicip":"172.31.0.1","extra":{},"backenddata":{"vni":7,"vtepmac":"0a:1b:2c:3d:4e:5f","more":1}}"#;
    assert_eq!(LeaseValue::parse(loose).unwrap().vxlan(false).unwrap().vni, Some(7));
    assert_eq!(LeaseValue::parse("{}").unwrap().public_ip, Ipv4Addr::UNSPECIFIED);
    for wrong in [
        "",
        "null",
        "7",
        r#"{"PublicIP":7}"#,
        r#"{"PublicIP":"172.31.0"}"#,
        r#"{"PublicIP":"172.31.0.1","PublicIPv6":"x"}"#,
    ] {
        assert!(LeaseValue::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_a_backend_needs_and_lacks_is_named() {
    let plain = LeaseValue::parse(r#"{"PublicIP":"172.31.0.1"}"#).unwrap();
    assert_eq!(plain.vxlan(false).unwrap_err().to_string(), "BackendData: is missing in the lease");
    assert_eq!(
        plain.wireguard(true, 51821).unwrap_err().to_string(),
        "BackendV6Data: is missing in the lease"
    );
    let half = LeaseValue { data: Some(json!({"VNI": 1})), ..plain };
    assert_eq!(half.vxlan(false).unwrap_err().to_string(), "VtepMAC: is missing in the lease");
    let data = WireguardData { public_key: "k=".to_owned(), port: 51820 };
    let full = LeaseValue { data_v6: Some(data.to_value()), ..half };
    assert_eq!(full.wireguard(true, 51821), Ok(data));
}

fn subnet(address: u32, len: u8, v6: Option<(u128, u8)>) -> SubnetKey {
    let v4 = Ipv4Net::new(address.into(), 1 + len % 31).unwrap().trunc();
    let v6 = v6.map(|(address, len)| Ipv6Net::new(address.into(), 1 + len % 127).unwrap().trunc());
    SubnetKey { v4: Some(v4), v6 }
}

quickcheck::quickcheck! {
    fn keys_are_read_as_they_are_written(address: u32, len: u8, v6: Option<(u128, u8)>) -> bool {
        let key = subnet(address, len, v6);
        let alone = SubnetKey { v4: None, v6: key.v6 };
        SubnetKey::parse(&key.to_string()) == Ok(key)
            && (alone.v6.is_none() || SubnetKey::parse(&alone.to_string()) == Ok(alone))
    }

    fn any_text_for_a_key_is_read_or_refused(text: String) -> bool {
        SubnetKey::parse(&text).map_or(true, |key| key.to_string() == text)
    }

    fn values_are_read_as_they_are_written(ip: u32, v6: Option<u128>, backend: Option<String>, vni: u32, data: String) -> bool {
        let value = LeaseValue {
            public_ip: ip.into(),
            public_ipv6: v6.map(Ipv6Addr::from),
            backend_type: backend.filter(|backend| !backend.is_empty()),
            data: Some(json!({"VNI": vni, "Other": data.clone(), "PublicKey": true})),
            data_v6: Some(json!(data)),
        };
        LeaseValue::parse(&value.to_json()) == Ok(value)
    }

    fn overlapping_is_mutual_and_reflexive(a: u32, a_len: u8, b: u32, b_len: u8) -> bool {
        let (a, b) = (subnet(a, a_len, None), subnet(b, b_len, None));
        let shares = |a: &SubnetKey, b: &SubnetKey| a.contains(b.v4.unwrap().network().into());
        a.overlaps(&a) && a.overlaps(&b) == b.overlaps(&a) && a.overlaps(&b) == (shares(&a, &b) || shares(&b, &a))
    }
}
