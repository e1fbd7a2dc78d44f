//! Splitting, joining, and one after the other.

use super::super::ipv4::Header;
use super::super::join::{Join, Joined, Joiner, MOST};
use super::super::split::Split;
use super::super::transport::{self, tcp};
use super::super::vnet::Kind;
use super::{all_right, payload, tcp_packet, udp_packet};
use quickcheck::{TestResult, quickcheck};

/// The packets that `packet` stands for.
fn split(packet: &[u8], kind: Kind) -> Vec<Vec<u8>> {
    let split = Split::new(packet, &Header::parse(packet).unwrap(), kind).unwrap();
    let one = |index| {
        let mut bytes = vec![0xee; split.length(index)];
        split.write(packet, index, &mut bytes);
        assert!(bytes.len() <= split.longest());
        bytes
    };
    (0..split.count()).map(one).collect()
}

/// The packets as a joiner would hand them over, with their kind.
fn join(packets: &[Vec<u8>], what: Join) -> Vec<(Vec<u8>, Kind)> {
    let (mut joiner, mut store, mut ats) = (Joiner::new(what), Vec::new(), Vec::new());
    for packet in packets {
        ats.push(store.len());
        store.extend(packet);
        store.extend([0xee; 3]);
    }
    for at in ats {
        let header = Header::parse(&store[at..]).unwrap();
        joiner.add(&store, at, &header);
    }
    let apart: Vec<Vec<u8>> = (0..joiner.count())
        .flat_map(|index| joiner.apart(index))
        .map(|range| store[range].to_vec())
        .collect();
    assert!(
        apart.len() == packets.len() && packets.iter().all(|packet| apart.contains(packet)),
        "a packet was lost"
    );
    let one = |index| {
        let mut bytes = Vec::new();
        match joiner.joined(&store, index, &mut bytes) {
            Joined::One(range) => (store[range].to_vec(), Kind::Plain),
            Joined::Many { vnet, first, more } => {
                bytes.extend(&store[first]);
                more.iter().for_each(|part| bytes.extend(*part));
                (bytes, vnet.kind)
            }
        }
    };
    (0..joiner.count()).map(one).collect()
}

quickcheck! {
    fn split_and_joined_is_the_same_packet(length: u16, size: u16, sequence: u32, push: bool, options: u8) -> TestResult {
        let (length, size) = (usize::from(length) % 60_000 + 1, size % 1_400 + 1);
        if length.div_ceil(usize::from(size)) > MOST {
            return TestResult::discard();
        }
        let flags = tcp::ACK | if push { tcp::PSH } else { 0 };
        let packet = tcp_packet(sequence, flags, &vec![1; usize::from(options) % 11 * 4], &payload(length));
        let parts = split(&packet, Kind::Tcp(size));
        let good = parts.iter().all(|part| all_right(part)) && parts.len() == length.div_ceil(usize::from(size));
        let joined = join(&parts, Join::TcpAndUdp);
        let whole = if parts.len() == 1 { &parts[0] } else { &packet };
        let kind = if parts.len() == 1 { Kind::Plain } else { Kind::Tcp(size) };
        TestResult::from_bool(good && joined == vec![(whole.clone(), kind)])
    }

    fn datagrams_too(length: u16, size: u16) -> TestResult {
        let (length, size) = (usize::from(length) % 60_000 + 1, size % 1_400 + 1);
        if !(2..=MOST).contains(&length.div_ceil(usize::from(size))) {
            return TestResult::discard();
        }
        let packet = udp_packet(&payload(length));
        let parts = split(&packet, Kind::Udp(size));
        let whole = join(&parts, Join::TcpAndUdp) == vec![(packet, Kind::Udp(size))];
        let single = join(&parts, Join::Tcp).iter().map(|(part, _)| part).eq(&parts);
        TestResult::from_bool(whole && single && parts.iter().all(|part| all_right(part)))
    }

    fn no_bytes_make_it_panic(packets: Vec<Vec<u8>>, size: u16) -> bool {
        let mut store = Vec::new();
        let mut joiner = Joiner::new(Join::TcpAndUdp);
        let mut ats = Vec::new();
        for mut packet in packets {
            packet.resize(packet.len().max(24), 0);
            packet[0] = 0x45;
            packet[9] = if packet[9] & 1 == 0 { 6 } else { 17 };
            let length = packet.len();
            super::ipv4::set_length_and_id(&mut packet, 20, length, 0);
            ats.push(store.len());
            store.extend(packet);
        }
        for at in ats {
            let header = Header::parse(&store[at..]).unwrap();
            joiner.add(&store, at, &header);
            for kind in [Kind::Tcp(size), Kind::Udp(size)] {
                if let Some(split) = Split::new(&store[at..], &header, kind) {
                    let mut room = vec![0; split.longest()];
                    (0..split.count())
                        .for_each(|index| split.write(&store[at..], index, &mut room[..split.length(index)]));
                }
            }
        }
        (0..joiner.count()).all(|index| joiner.packets(index) > 0)
    }
}

#[test]
fn flags_stay_where_they_belong() {
    let flags = tcp::ACK | tcp::CWR | tcp::PSH | tcp::FIN;
    let parts = split(&tcp_packet(u32::MAX - 50, flags, &[], &payload(250)), Kind::Tcp(100));
    let seen: Vec<(u32, u8)> = parts.iter().map(|part| (transport::sequence(part, 20), part[33])).collect();
    let first = u32::MAX - 50;
    assert_eq!(
        seen,
        [
            (first, tcp::ACK | tcp::CWR),
            (first.wrapping_add(100), tcp::ACK),
            (first.wrapping_add(200), tcp::ACK | tcp::PSH | tcp::FIN)
        ]
    );
}

/// Three segments of one flow, the second changed: how they are handed over.
fn changed(change: impl Fn(&mut Vec<u8>)) -> Vec<usize> {
    let mut parts = split(&tcp_packet(1, tcp::ACK, &[], &payload(300)), Kind::Tcp(100));
    change(&mut parts[1]);
    let length = parts[1].len();
    let id = super::ipv4::word(&parts[1], 4);
    super::ipv4::set_length_and_id(&mut parts[1], 20, length, id);
    join(&parts, Join::Tcp).iter().map(|(packet, _)| packet.len() - 40).collect()
}

#[test]
fn what_differs_is_not_joined() {
    assert_eq!(changed(|_| {}), [300]);
    assert_eq!(
        changed(|packet| packet[99] ^= 1),
        [100, 100, 100],
        "a wrong checksum stays wrong, and on its own"
    );
    assert_eq!(changed(|packet| packet[8] -= 1), [100, 100, 100], "time to live");
    assert_eq!(changed(|packet| packet[1] = 3), [100, 100, 100], "congestion mark");
    assert_eq!(changed(|packet| packet[33] |= tcp::FIN), [100, 100, 100], "flags");
    assert_eq!(changed(|packet| packet[35] += 1), [100, 100, 100], "window");
    assert_eq!(changed(|packet| packet[27] += 1), [100, 100, 100], "sequence");
    assert_eq!(changed(|packet| packet[20] += 1), [100, 100, 100], "ports");
}

#[test]
fn an_acknowledgement_in_between_keeps_its_place() {
    let parts = split(&tcp_packet(1, tcp::ACK, &[], &payload(200)), Kind::Tcp(100));
    let bare = split(&tcp_packet(101, tcp::ACK, &[], &[0]), Kind::Tcp(1)).remove(0);
    let mut bare = bare[..40].to_vec();
    super::ipv4::set_length_and_id(&mut bare, 20, 40, 9);
    let lengths: Vec<usize> = join(&[parts[0].clone(), bare, parts[1].clone()], Join::Tcp)
        .iter()
        .map(|(packet, _)| packet.len())
        .collect();
    assert_eq!(lengths, [140, 40, 140]);
}
