use super::*;
use netlink_packet_generic::GenlHeader;
use quickcheck::quickcheck;
use rtnetlink::packet_core::{Emitable, ParseableParametrized};
use std::collections::BTreeSet;

fn bytes(message: &WireguardMessage) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn peer() -> WireguardPeer {
    WireguardPeer {
        link: "wg".to_owned(),
        key: PublicKey([0x22; 32]),
        endpoint: Some("192.0.2.7:51820".parse().unwrap()),
        psk: None,
        keepalive: 25,
        allowed: ["10.5.2.0/24".parse().unwrap(), "fd00:5:0:2::/64".parse().unwrap()].into(),
    }
}

/// The bytes of the kernel's own interface (linux/wireguard.h), written down by hand: what `wg set` sends for the same.
#[test]
fn a_peer_is_said_in_the_kernels_words() {
    let said = bytes(&asked(&Operation::PutWireguardPeer(peer())));
    let zeros = "00".repeat(32);
    let key = "22".repeat(32);
    let expected = format!(
        "0700 0200 7767 0000
         bc00 0880
          b800 0080
           2400 0100 {key}
           0800 0300 02000000
           2400 0200 {zeros}
           0600 0500 1900 0000
           1400 0400 0200 ca6c c0000207 0000000000000000
           4800 0980
            1c00 0080  0600 0100 0200 0000  0800 0200 0a050200  0500 0300 18000000
            2800 0080  0600 0100 0a00 0000  1400 0200 fd000005000000020000000000000000  0500 0300 40000000"
    );
    assert_eq!(said, hex(&expected));
}

#[test]
fn a_key_and_a_port_are_said_and_a_peer_is_taken_away() {
    let device = WireguardDevice { link: "wg".to_owned(), secret: Secret([0x11; 32]), port: 51820 };
    let said = bytes(&asked(&Operation::SetWireguard(device)));
    let key = "11".repeat(32);
    assert_eq!(said, hex(&format!("0700 0200 7767 0000  2400 0300 {key}  0600 0600 6cca 0000")));
    let said = bytes(&asked(&Operation::DeleteWireguardPeer(peer())));
    let key = "22".repeat(32);
    let expected = format!("0700 0200 7767 0000  3400 0880  3000 0080  2400 0100 {key}  0800 0300 01000000");
    assert_eq!(said, hex(&expected));
}

/// As it travels: out as bytes, and in again as a kernel of a little-endian machine says it.
fn travelled(message: &WireguardMessage) -> WireguardMessage {
    let header = GenlHeader { cmd: message.cmd.into(), version: 1 };
    WireguardMessage::parse_with_param(&bytes(message), header).unwrap()
}

quickcheck! {
    /// What is told of a device is what it was given, in however many messages its peers come.
    fn what_was_given_is_read_back(keys: BTreeSet<u8>, port: u16, psk: bool) -> bool {
        let link = "wg";
        let device = WireguardDevice { link: link.to_owned(), secret: Secret([5; 32]), port };
        let peers: BTreeSet<WireguardPeer> = keys
            .iter()
            .map(|number| WireguardPeer {
                key: PublicKey([*number; 32]),
                psk: psk.then_some(Secret([9; 32])),
                keepalive: u16::from(*number),
                allowed: [format!("10.5.{number}.0/24").parse().unwrap()].into(),
                ..peer()
            })
            .collect();
        let mut told = vec![travelled(&message(WireguardCmd::GetDevice, link, set(&device)))];
        told.extend(peers.iter().map(|peer| travelled(&message(WireguardCmd::GetDevice, link, put(peer)))));
        let mut tables = Tables::default();
        understand(link, told.iter(), &mut tables);
        tables.wireguards == [device].into() && tables.wireguard_peers == peers
    }
}

/// The kernel splits a peer with many networks: what follows names the key again.
#[test]
fn a_peer_in_two_parts_is_one() {
    let first = peer();
    let more: BTreeSet<IpNet> = ["10.5.3.0/24".parse().unwrap()].into();
    let rest = Peer(vec![
        WireguardPeerAttribute::PublicKey(first.key.0),
        WireguardPeerAttribute::AllowedIps(vec![WireguardAllowedIp(vec![
            WireguardAllowedIpAttr::Family(WireguardAddressFamily::Ipv4),
            WireguardAllowedIpAttr::IpAddr("10.5.3.0".parse().unwrap()),
            WireguardAllowedIpAttr::Cidr(24),
        ])]),
    ]);
    let told = [
        message(WireguardCmd::GetDevice, "wg", put(&first)),
        message(WireguardCmd::GetDevice, "wg", vec![WireguardAttribute::Peers(vec![rest])]),
    ];
    let mut tables = Tables::default();
    understand("wg", told.iter(), &mut tables);
    let allowed = &first.allowed | &more;
    assert_eq!(tables.wireguard_peers, [WireguardPeer { allowed, ..first }].into());
    assert_eq!(tables.wireguards, [].into(), "a device without a key is none of ours yet");
}
