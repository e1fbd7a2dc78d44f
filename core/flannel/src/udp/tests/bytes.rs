//! Sums, tables, buckets and headers, against the slow and simple way.

use super::super::bucket::Bucket;
use super::super::ipv4::{self, Header};
use super::super::routes::Routes;
use super::super::{checksum, icmp, vnet::Vnet};
use super::{DESTINATION, SOURCE, payload, slow_sum, udp_packet};
use ipnet::Ipv4Net;
use quickcheck::quickcheck;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

quickcheck! {
    fn the_fast_sum_is_the_slow_one(bytes: Vec<u8>, more: u8) -> bool {
        let bytes = bytes.repeat(usize::from(more) + 1);
        let mut copy = vec![0xee; bytes.len()];
        checksum::sum(&bytes) == slow_sum(&bytes)
            && checksum::copy(&bytes, &mut copy) == slow_sum(&bytes)
            && copy == bytes
    }

    fn a_replaced_word_leaves_the_checksum_right(words: Vec<u16>, at: usize, new: u16) -> bool {
        let mut words: Vec<u16> = words.into_iter().chain([0x4500, 0x0011]).collect();
        let sum = |words: &[u16]| slow_sum(&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>());
        let (check, at) = (!sum(&words), at % words.len());
        let replaced = checksum::replaced(check, words[at], new);
        words[at] = new;
        // Both zeros of ones' complement are right.
        checksum::add(replaced, sum(&words)) == 0xffff
    }

    fn the_longest_prefix_is_found(entries: Vec<(u32, u8)>, asked: Vec<u32>) -> bool {
        let net = |(address, length): &(u32, u8)| Ipv4Net::new(Ipv4Addr::from(*address), length % 33).unwrap().trunc();
        let peers: BTreeMap<Ipv4Net, SocketAddrV4> =
            entries.iter().zip(1..).map(|(entry, port)| (net(entry), SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))).collect();
        let routes = Routes::new(&peers);
        let near = entries.iter().map(|(address, _)| address ^ 1);
        asked.iter().copied().chain(near).all(|address| {
            let address = Ipv4Addr::from(address);
            let fits = peers.iter().filter(|(net, _)| net.contains(&address));
            routes.find(address) == fits.max_by_key(|(net, _)| net.prefix_len()).map(|(_, peer)| *peer)
        })
    }

    fn a_bucket_gives_no_more_than_its_rate(pauses: Vec<u16>) -> bool {
        let (burst, interval) = (5, Duration::from_millis(10));
        let (mut bucket, mut now, mut taken) = (Bucket::new(burst, interval), Duration::from_secs(9), 0);
        pauses.iter().all(|pause| {
            now += Duration::from_micros(u64::from(*pause));
            taken += u128::from(bucket.take(now));
            taken <= u128::from(burst) + (now - Duration::from_secs(9)).as_millis() / 10
        })
    }

    fn any_bytes_are_a_header_or_none(bytes: Vec<u8>, vnet: (u8, u8, u64)) -> bool {
        let mut ten = [0; 10];
        ten[0] = vnet.0;
        ten[1] = vnet.1;
        ten[2..].copy_from_slice(&vnet.2.to_ne_bytes());
        let again = Vnet::parse(&ten).is_none_or(|read| Vnet::parse(&read.bytes()) == Some(read));
        let header = Header::parse(&bytes);
        again && header.is_none_or(|header| header.total <= bytes.len() && header.length <= header.total)
    }
}

#[test]
fn a_header_that_contradicts_itself_is_none() {
    let good = udp_packet(&payload(100));
    assert!(Header::parse(&good).is_some_and(|header| header.total == good.len() && header.source == SOURCE));
    assert!(Header::parse(&[&good[..], &[0; 9]].concat()).is_some(), "bytes behind the end are no fault");
    assert_eq!(Header::parse(&good[..good.len() - 1]), None, "truncated");
    for (at, value, what) in [
        (0, 0x65, "IPv6"),
        (0, 0x44, "a short header"),
        (8, 63, "a wrong checksum"),
        (3, 10, "a short total"),
    ] {
        let mut wrong = good.clone();
        wrong[at] = value;
        assert_eq!(Header::parse(&wrong), None, "{what}");
    }
}

#[test]
fn a_step_of_the_time_to_live_keeps_the_checksum() {
    let mut packet = udp_packet(&[]);
    for ttl in (0..64).rev() {
        ipv4::decrement_ttl(&mut packet);
        assert_eq!((packet[8], slow_sum(&packet[..20])), (ttl, 0xffff));
    }
}

#[test]
fn an_answer_quotes_the_packet_and_is_right() {
    let packet = udp_packet(&payload(100));
    let header = Header::parse(&packet).unwrap();
    let from = Ipv4Addr::new(10, 5, 1, 0);
    let kinds = [
        (icmp::Trouble::NoPeer, [3, 0], 0),
        (icmp::Trouble::Expired, [11, 0], 0),
        (icmp::Trouble::TooLong(1400), [3, 4], 1400),
    ];
    for (trouble, kind, value) in kinds {
        let answer = icmp::answer(trouble, &packet, &header, from).unwrap();
        let read = Header::parse(&answer).unwrap();
        assert_eq!((read.source, read.destination, read.total), (from, SOURCE, answer.len()));
        assert_eq!(
            (&answer[20..22], ipv4::word(&answer, 26), slow_sum(&answer[20..])),
            (&kind[..], value, 0xffff)
        );
        assert_eq!(&answer[28..], &packet[..28]);
    }
}

#[test]
fn nobody_is_told_about_errors_fragments_and_crowds() {
    let answer = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = udp_packet(&payload(20));
        change(&mut packet);
        ipv4::set_length_and_id(&mut packet, 20, 48, 1);
        let header = Header::parse(&packet).unwrap();
        icmp::answer(icmp::Trouble::NoPeer, &packet, &header, DESTINATION)
    };
    let error = |kind: u8| {
        move |packet: &mut Vec<u8>| {
            packet[9] = 1;
            packet[20] = kind;
        }
    };
    assert!(answer(&error(8)).is_some(), "an echo is no error");
    for kind in [3, 4, 5, 11, 12] {
        assert_eq!(answer(&error(kind)), None, "kind {kind}");
    }
    assert_eq!(answer(&|packet| packet[7] = 4), None, "a later fragment");
    assert!(answer(&|packet| packet[6] = 0x20).is_some(), "the first fragment");
    assert_eq!(answer(&|packet| packet[16] = 224), None, "to a group");
    assert_eq!(answer(&|packet| packet[12..16].fill(0)), None, "from nobody");
    assert_eq!(answer(&|packet| packet[12] = 127), None, "from the loopback");
}
