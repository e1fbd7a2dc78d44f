//! The file, to the byte.

use super::*;

fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text).unwrap()
}

#[test]
fn the_file_is_flannels_to_the_byte() {
    let v4 = config(r#"{"Network":"10.5.0.0/16"}"#);
    let own = SubnetKey::parse("10.5.72.0-24").unwrap();
    let env = SubnetEnv::new(&v4, &own, 1450, true);
    let expected =
        "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
    assert_eq!(env.render(), expected);

    let both = config(
        r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}"#,
    );
    let own = SubnetKey::parse("10.5.72.0-24&fd00:5:0:72::-64").unwrap();
    let expected = "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_IPV6_NETWORK=fd00:5::/48\n\
                    FLANNEL_IPV6_SUBNET=fd00:5:0:72::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n";
    assert_eq!(SubnetEnv::new(&both, &own, 1450, false).render(), expected);

    let v6 = config(
        r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}"#,
    );
    let own = SubnetKey::parse("0.0.0.0-0&fd00:5:0:72::-64").unwrap();
    let expected = "FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:72::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n";
    assert_eq!(SubnetEnv::new(&v6, &own, 1450, false).render(), expected);
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let text = "# a comment\nFLANNEL_NETWORK=10.5.0.0/16,fd00::/48\nFLANNEL_SUBNET=\"10.5.72.1/24\"\nFLANNEL_MTU=big\nFLANNEL_IPMASQ=true\nOTHER=1\n";
    let env = SubnetEnv::parse(text);
    assert_eq!(env.network, Some("10.5.0.0/16".parse().unwrap()));
    assert_eq!((env.mtu, env.ip_masq), (None, Some(true)));
    assert_eq!(env.previous(), SubnetKey::parse("10.5.72.0-24").ok());
    let two = SubnetEnv::parse("FLANNEL_SUBNET=10.5.72.1/24,10.5.73.1/24\n");
    assert_eq!(two.previous(), None);
    assert_eq!(SubnetEnv::parse(""), SubnetEnv::default());
}

quickcheck::quickcheck! {
    fn what_is_written_is_read(index: u32, mtu: u32, ip_masq: bool) -> bool {
        let config = config(r#"{"Network":"10.0.0.0/8","EnableIPv6":true,"IPv6Network":"fd00::/40","Backend":{"Type":"vxlan"}}"#);
        let (v4, v6) = (config.v4.unwrap(), config.v6.unwrap());
        let index = u128::from(index) % v4.count();
        let own = SubnetKey { v4: Some(v4.nth(index)), v6: Some(v6.nth(index)) };
        let env = SubnetEnv::new(&config, &own, mtu, ip_masq);
        SubnetEnv::parse(&env.render()) == env && env.previous() == Some(own)
    }
}
