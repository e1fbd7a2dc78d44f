//! Both directions over ends in memory.

use super::super::ends::{Bundle, Device, EndResult, Message, Refusal, SLOT, Step, Wire};
use super::super::inward::Inward;
use super::super::join::Join;
use super::super::outward::Outward;
use super::super::routes::Routes;
use super::super::shared::Shared;
use super::super::transport::{tcp, udp};
use super::super::vnet::{Kind, LENGTH, Unfinished, Vnet};
use super::{SHORTEST, all_right, payload, tcp_packet, udp_packet};
use crate::tun::TunCounters;
use quickcheck::quickcheck;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 8285);

/// Both ends in memory. What is sent can be received again.
#[derive(Default)]
struct Memory {
    unread: RefCell<VecDeque<Vec<u8>>>,
    written: RefCell<Vec<Vec<u8>>>,
    answers: RefCell<Vec<Vec<u8>>>,
    /// Messages, cut into datagrams.
    sent: RefCell<VecDeque<(SocketAddrV4, Vec<Vec<u8>>)>>,
    /// Refuses what was put together, for good or this time.
    alone: Cell<Option<bool>>,
    gone: Cell<bool>,
}

fn flat(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

impl Memory {
    fn refusal<T>(&self, together: bool) -> EndResult<T> {
        match self.alone.get() {
            Some(lasting) if together => Err(Refusal::NotTogether { lasting, why: "planned".to_string() }),
            _ => Err(Refusal::Gone("planned".to_string())),
        }
    }

    fn refuses(&self, together: bool) -> bool {
        self.gone.get() || together && self.alone.get().is_some()
    }
}

impl Device for Memory {
    fn read(&self, buffer: &mut [u8]) -> EndResult<usize> {
        let Some(packet) = self.unread.borrow_mut().pop_front() else { return Err(Refusal::Empty) };
        buffer[..packet.len()].copy_from_slice(&packet);
        Ok(packet.len())
    }

    fn write(&self, packet: &[IoSlice<'_>]) -> EndResult<()> {
        if self.refuses(packet.len() > 2) {
            return self.refusal(packet.len() > 2);
        }
        self.written.borrow_mut().push(flat(packet));
        Ok(())
    }

    fn answer(&self, packet: &[u8]) -> EndResult<()> {
        self.answers.borrow_mut().push(packet.to_vec());
        Ok(())
    }
}

impl Wire for Memory {
    fn send(&self, messages: &[Message<'_>]) -> EndResult<usize> {
        let first = &messages[0];
        if self.refuses(first.segment.is_some()) {
            return self.refusal(first.segment.is_some());
        }
        let bytes = flat(first.slices);
        let segment = first.segment.map_or(bytes.len(), usize::from);
        let datagrams: Vec<Vec<u8>> = bytes.chunks(segment).map(<[u8]>::to_vec).collect();
        assert!(datagrams.len() <= 64 && bytes.len() <= 65_507, "more than the kernel takes");
        self.sent.borrow_mut().push_back((first.to, datagrams));
        Ok(1)
    }

    fn receive(&self, slots: &mut [u8], bundles: &mut Vec<Bundle>) -> EndResult<()> {
        for slot in slots.chunks_mut(SLOT) {
            let Some((_, datagrams)) = self.sent.borrow_mut().pop_front() else { break };
            let bytes = datagrams.concat();
            slot[..bytes.len()].copy_from_slice(&bytes);
            bundles.push(Bundle { length: bytes.len(), segment: datagrams[0].len() });
        }
        if bundles.is_empty() { Err(Refusal::Empty) } else { Ok(()) }
    }
}

struct Path {
    memory: Memory,
    shared: Arc<Shared>,
    out: Outward,
    inward: Inward,
}

impl Path {
    fn new() -> Path {
        let shared = Arc::new(Shared::default());
        shared.set_routes(Routes::new(&BTreeMap::from([("10.5.2.0/24".parse().unwrap(), PEER)])));
        let out = Outward::new(shared.clone(), Ipv4Addr::new(10, 5, 1, 0), 1472, true);
        let inward = Inward::new(shared.clone(), Join::TcpAndUdp);
        Path { memory: Memory::default(), shared, out, inward }
    }

    /// Carries what the kernel has, as far as it goes.
    fn carry(&mut self, packets: &[(Vnet, Vec<u8>)]) {
        let with = |(vnet, packet): &(Vnet, Vec<u8>)| [&vnet.bytes()[..], packet].concat();
        self.memory.unread.borrow_mut().extend(packets.iter().map(with));
        while self.out.step(&self.memory, &self.memory, Duration::ZERO) == Step::Moved {}
        while self.inward.step(&self.memory, &self.memory) == Step::Moved {}
    }

    fn counters(&self) -> TunCounters {
        self.shared.counts.now()
    }
}

fn unfinished(kind: Kind, offset: usize) -> Vnet {
    Vnet { kind, unfinished: Some(Unfinished { start: SHORTEST, offset }), head: 0 }
}

/// A full super packet of TCP.
fn full() -> (Vnet, Vec<u8>) {
    (unfinished(Kind::Tcp(1400), tcp::CHECKSUM), tcp_packet(1, tcp::ACK | tcp::PSH, &[], &payload(60_000)))
}

#[test]
fn a_super_packet_crosses_as_one() {
    let mut path = Path::new();
    path.carry(&[full()]);
    let written = path.memory.written.borrow();
    let mut expected = full().1;
    super::super::ipv4::decrement_ttl(&mut expected);
    assert_eq!(written.len(), 1);
    assert_eq!(&written[0][LENGTH..], expected, "once less time to live, and nothing else");
    let counters = path.counters();
    assert_eq!((counters.sent_packets, counters.sent_batches, counters.received_joined), (43, 1, 1));
    assert_eq!((counters.sent_bytes, counters.received_packets), (counters.received_bytes, 43));
}

#[test]
fn refused_together_they_go_alone() {
    for lasting in [true, false] {
        let mut path = Path::new();
        path.memory.alone.set(Some(lasting));
        path.carry(&[full(), full()]);
        let counters = path.counters();
        assert_eq!((counters.sent_packets, counters.received_packets, counters.refused), (86, 86, 0));
        let written = path.memory.written.borrow();
        assert!(written.len() == 86 && written.iter().all(|packet| all_right(&packet[LENGTH..])));
        assert_eq!(path.shared.notes().len(), 2, "each end says it once: {:?}", path.shared.notes());
    }
}

#[test]
fn a_joined_packet_that_the_device_refuses_is_handed_over_apart() {
    let mut path = Path::new();
    path.memory.unread.borrow_mut().push_back([&full().0.bytes()[..], &full().1].concat());
    assert_eq!(path.out.step(&path.memory, &path.memory, Duration::ZERO), Step::Moved);
    path.memory.alone.set(Some(true));
    assert_eq!(path.inward.step(&path.memory, &path.memory), Step::Moved);
    let written = path.memory.written.borrow();
    assert!(written.len() == 43 && written.iter().all(|packet| all_right(&packet[LENGTH..])));
    assert!(path.shared.notes()[0].contains("no joined packets"));
}

#[test]
fn small_packets_of_one_length_leave_together() {
    let mut path = Path::new();
    let small = (unfinished(Kind::Plain, udp::CHECKSUM), udp_packet(&payload(100)));
    path.memory.unread.borrow_mut().extend((0..70).map(|_| [&small.0.bytes()[..], &small.1].concat()));
    assert_eq!(path.out.step(&path.memory, &path.memory, Duration::ZERO), Step::Moved);
    let sent = path.memory.sent.borrow();
    assert_eq!(sent.iter().map(|(_, datagrams)| datagrams.len()).collect::<Vec<_>>(), [64, 6]);
    assert!(
        sent.iter()
            .all(|(to, datagrams)| *to == PEER && datagrams.iter().all(|datagram| all_right(datagram)))
    );
}

#[test]
fn what_cannot_go_on_is_dropped_counted_and_answered() {
    let mut path = Path::new();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = udp_packet(&payload(2_000));
        change(&mut packet);
        super::super::ipv4::set_length_and_id(&mut packet, SHORTEST, 2_028, 1);
        (Vnet::PLAIN, packet)
    };
    let expired = with(&|packet| packet[8] = 1);
    let unknown = with(&|packet| packet[18] = 9);
    let long = with(&|packet| packet[6] = 0x40);
    let wrong = (Vnet::PLAIN, vec![0x60; 40]);
    let lying = (unfinished(Kind::Plain, 60_000), udp_packet(&[]));
    path.carry(&[expired, unknown, long, wrong, lying, (Vnet { head: 1, ..Vnet::PLAIN }, vec![])]);
    let counters = path.counters();
    assert_eq!((counters.expired, counters.no_peer, counters.too_long, counters.malformed_out), (1, 1, 1, 3));
    let kinds: Vec<[u8; 2]> =
        path.memory.answers.borrow().iter().map(|answer| [answer[20], answer[21]]).collect();
    assert_eq!((kinds, counters.answers), (vec![[11, 0], [3, 0], [3, 4]], 3));
    assert_eq!(counters.sent_packets, 0);
    path.carry(&[with(&|_| {})]);
    assert_eq!(path.counters().sent_packets, 1, "what may be cut goes on");
}

#[test]
fn answers_have_a_rate() {
    let mut path = Path::new();
    path.shared.set_routes(Routes::default());
    path.carry(&vec![(Vnet::PLAIN, udp_packet(&[1])); 1_000]);
    assert_eq!((path.counters().no_peer, path.counters().answers), (1_000, 50));
}

#[test]
fn an_end_that_is_gone_ends_the_step() {
    let mut path = Path::new();
    path.memory.unread.borrow_mut().push_back([&full().0.bytes()[..], &full().1].concat());
    path.memory.gone.set(true);
    let ended = Step::Ended("planned".to_string());
    assert_eq!(path.out.step(&path.memory, &path.memory, Duration::ZERO), ended);
    path.memory.sent.borrow_mut().push_back((PEER, vec![udp_packet(&[])]));
    assert_eq!(path.inward.step(&path.memory, &path.memory), ended);
}

quickcheck! {
    fn any_bytes_from_either_side_are_carried_or_counted(packets: Vec<Vec<u8>>) -> bool {
        let mut path = Path::new();
        path.memory.unread.borrow_mut().extend(packets.iter().cloned());
        while path.out.step(&path.memory, &path.memory, Duration::ZERO) == Step::Moved {}
        let datagrams = packets.iter().filter(|packet| !packet.is_empty());
        let count = datagrams.clone().count() as u64;
        path.memory.sent.borrow_mut().extend(datagrams.map(|packet| (PEER, vec![packet.clone()])));
        while path.inward.step(&path.memory, &path.memory) == Step::Moved {}
        let counters = path.counters();
        let out = counters.malformed_out + counters.sent_packets + counters.no_peer + counters.expired + counters.too_long;
        out == packets.len() as u64 && counters.malformed_in + counters.received_packets == count + counters.sent_packets
    }
}
