//! Joins packets that follow each other in one flow into a super packet.
//!
//! Packets are joined only if cutting the result apart gives them again: the headers agree in all that [`super::split`] copies, the
//! numbers count on, all are of one length but the last, and each checksum was right, because nobody can see later that it was not.
//! The order inside a flow is kept: a packet that cannot be joined closes what its flow has, and begins anew behind it.
//!
//! Whoever takes the checksum of a packet has its bytes at hand, so its payload is copied on the way, behind the one before it: the kernel
//! copies one long piece then, instead of many short ones. What came stays as it was, in case that it has to be handed on apart.

use super::ipv4::{self, Header, LONGEST, protocol, put};
use super::transport::{self, tcp, udp};
use super::vnet::{Kind, Unfinished, Vnet};
use std::net::Ipv4Addr;
use std::ops::Range;

/// Most packets in one super packet: what the kernel takes of UDP.
pub const MOST: usize = 64;

/// Super packets looked back at for one of the same flow; one further back stays as it is.
const LOOK_BACK: usize = 16;

/// What is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Nothing.
    Nothing,
    /// Segments of TCP.
    Tcp,
    /// Those, and datagrams of UDP.
    TcpAndUdp,
}

/// Whose packet it is: addresses, ports and protocol.
type Flow = (Ipv4Addr, Ipv4Addr, [u8; 4], u8);

/// What joining needs to know of one packet.
struct Shape {
    flow: Flow,
    head: usize,
    payload: usize,
    /// Whether it may be part of a super packet at all.
    joinable: bool,
}

/// One packet, or several as one.
#[derive(Debug)]
struct Group {
    flow: Option<Flow>,
    /// Where the first packet is, and its header.
    at: usize,
    header: Header,
    head: usize,
    size: usize,
    /// The numbers that the next packet has to have.
    sequence: u32,
    id: u16,
    total: usize,
    push: bool,
    open: bool,
    /// Whether the first packet's checksum was looked at, and right.
    right: bool,
    /// Where the payloads after the first packet's came.
    more: Vec<Range<usize>>,
    /// The same payloads as they were copied: mostly one range.
    copied: Vec<Range<usize>>,
}

/// The packets of one batch, joined where that can be.
#[derive(Debug)]
pub struct Joiner {
    join: Join,
    groups: Vec<Group>,
    /// Payloads that were copied, up to `end`.
    copies: Vec<u8>,
    end: usize,
}

/// What the kernel is to be handed, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Joined<'a> {
    /// One packet as it came.
    One(Range<usize>),
    /// Several: the bytes before, the headers (added to the list given), then these payloads.
    Many {
        /// What goes before it.
        vnet: Vnet,
        /// Payload of the first packet.
        first: Range<usize>,
        /// Payloads of the others, one behind the other.
        more: Vec<&'a [u8]>,
    },
}

impl Joiner {
    /// One without packets.
    pub fn new(join: Join) -> Joiner {
        Joiner { join, groups: Vec::new(), copies: Vec::new(), end: 0 }
    }

    /// What is joined from now on.
    pub fn set(&mut self, join: Join) {
        self.join = join;
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.end = 0;
    }

    /// Number of packets as the kernel will see them.
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    /// Number of packets that came, in the group with this index.
    pub fn packets(&self, index: usize) -> usize {
        1 + self.groups[index].more.len()
    }

    /// Adds the packet that begins at `at` of `store` with `header`.
    pub fn add(&mut self, store: &[u8], at: usize, header: &Header) {
        let packet = &store[at..at + header.total];
        let shape = self.shape(packet, header);
        if let Some(shape) = &shape {
            let from = self.groups.len().saturating_sub(LOOK_BACK);
            let last = self.groups[from..].iter_mut().rfind(|group| group.flow == Some(shape.flow));
            if let Some(group) = last {
                let (begin, end) = (self.end, self.end + shape.payload);
                if self.copies.len() < end {
                    self.copies.resize(end, 0);
                }
                if group.takes(store, packet, header, shape, &mut self.copies[begin..end]) {
                    self.end = end;
                    return group.take(packet, at, header, shape, begin..end);
                }
                group.open = false;
            }
        }
        self.groups.push(Group::new(packet, at, header, shape));
    }

    fn shape(&self, packet: &[u8], header: &Header) -> Option<Shape> {
        if header.is_fragment() {
            return None;
        }
        let head = transport::head(packet, header)?;
        let at = header.length;
        let ports = [packet[at], packet[at + 1], packet[at + 2], packet[at + 3]];
        let payload = header.total - head;
        let fits = if header.protocol == protocol::TCP {
            self.join != Join::Nothing && packet[at + tcp::FLAGS] & !tcp::PSH == tcp::ACK
        } else {
            let length = usize::from(ipv4::word(packet, at + udp::LENGTH));
            let check = ipv4::word(packet, at + udp::CHECKSUM);
            self.join == Join::TcpAndUdp && length == header.total - at && check != 0
        };
        let joinable = fits && payload > 0 && at == ipv4::SHORTEST;
        let flow = (header.source, header.destination, ports, header.protocol);
        Some(Shape { flow, head, payload, joinable })
    }

    /// What the kernel is to be handed as number `index`. Headers of a super packet are added to `heads`.
    pub fn joined(&self, store: &[u8], index: usize, heads: &mut Vec<u8>) -> Joined<'_> {
        let group = &self.groups[index];
        let whole = group.at..group.at + group.header.total;
        if group.more.is_empty() {
            return Joined::One(whole);
        }
        let vnet = group.head(&store[whole.clone()], heads);
        let more = group.copied.iter().map(|range| &self.copies[range.clone()]).collect();
        Joined::Many { vnet, first: group.at + group.head..whole.end, more }
    }

    /// Where each packet of number `index` lies in the store, as it came.
    pub fn apart(&self, index: usize) -> impl Iterator<Item = Range<usize>> {
        let group = &self.groups[index];
        let first = group.at..group.at + group.header.total;
        std::iter::once(first).chain(group.more.iter().map(|payload| payload.start - group.head..payload.end))
    }
}

impl Group {
    fn new(packet: &[u8], at: usize, header: &Header, shape: Option<Shape>) -> Group {
        let flow = shape.as_ref().map(|shape| shape.flow);
        let (head, payload) = shape.as_ref().map_or((header.total, 0), |shape| (shape.head, shape.payload));
        let tcp = flow.is_some() && header.protocol == protocol::TCP;
        let push = tcp && packet[header.length + tcp::FLAGS] & tcp::PSH != 0;
        let sequence = if tcp { after(packet, header, payload) } else { 0 };
        Group {
            flow,
            at,
            header: *header,
            head,
            size: payload,
            sequence,
            id: header.id.wrapping_add(1),
            total: header.total,
            push,
            open: shape.is_some_and(|shape| shape.joinable) && !push,
            right: false,
            more: Vec::new(),
            copied: Vec::new(),
        }
    }

    /// Whether `packet` may be joined behind this. The cheap questions first; the checksums last. If so, its payload is in `copy`.
    fn takes(
        &mut self,
        store: &[u8],
        packet: &[u8],
        header: &Header,
        shape: &Shape,
        copy: &mut [u8],
    ) -> bool {
        let fits = self.open
            && shape.joinable
            && shape.head == self.head
            && shape.payload <= self.size
            && self.more.len() + 1 < MOST
            && self.total + shape.payload <= LONGEST;
        let first = &store[self.at..self.at + self.header.total];
        if !fits || !self.follows(first, packet, header) {
            return false;
        }
        self.right = self.right || transport::is_right(first, &self.header);
        self.right && transport::is_right_and_copied(packet, header, shape.head, copy)
    }

    /// Whether the headers of `packet` are what cutting would make of those of the `first`.
    fn follows(&self, first: &[u8], packet: &[u8], header: &Header) -> bool {
        let same = |range: Range<usize>| first[range.clone()] == packet[range];
        // Type of service, fragment field, time to live and protocol.
        let ip = same(1..2) && same(6..10) && (header.dont_fragment() || header.id == self.id);
        if !ip || header.protocol == protocol::UDP {
            return ip;
        }
        let at = header.length;
        let options = at + tcp::SHORTEST..self.head;
        transport::sequence(packet, at) == self.sequence
            && same(at + tcp::ACKNOWLEDGED..at + tcp::FLAGS)
            && same(at + tcp::WINDOW..at + tcp::CHECKSUM)
            && same(options)
    }

    fn take(&mut self, packet: &[u8], at: usize, header: &Header, shape: &Shape, copy: Range<usize>) {
        debug_assert!(self.open && self.total + shape.payload <= LONGEST);
        match self.copied.last_mut().filter(|last| last.end == copy.start) {
            Some(last) => last.end = copy.end,
            None => self.copied.push(copy),
        }
        self.more.push(at + shape.head..at + header.total);
        self.total += shape.payload;
        self.id = header.id.wrapping_add(1);
        if header.protocol == protocol::TCP {
            self.sequence = after(packet, header, shape.payload);
            self.push = packet[header.length + tcp::FLAGS] & tcp::PSH != 0;
        }
        self.open = shape.payload == self.size && !self.push;
    }

    /// Adds the super packet's headers to `heads`, and says what goes before them.
    fn head(&self, first: &[u8], heads: &mut Vec<u8>) -> Vnet {
        let begin = heads.len();
        heads.extend_from_slice(&first[..self.head]);
        let head = &mut heads[begin..];
        let (at, length) = (self.header.length, self.total - self.header.length);
        ipv4::set_length_and_id(head, at, self.total, self.header.id);
        let size = u16::try_from(self.size).expect("no longer than a packet");
        let kind = if self.header.protocol == protocol::TCP {
            head[at + tcp::FLAGS] |= if self.push { tcp::PSH } else { 0 };
            Kind::Tcp(size)
        } else {
            put(head, at + udp::LENGTH, u16::try_from(length).expect("no longer than a packet"));
            Kind::Udp(size)
        };
        let offset = transport::checksum_at(self.header.protocol);
        put(head, at + offset, transport::pseudo(&self.header, length));
        let head = u16::try_from(self.head).expect("no longer than a packet");
        Vnet { kind, unfinished: Some(Unfinished { start: at, offset }), head }
    }
}

/// The number of the byte after a segment.
fn after(packet: &[u8], header: &Header, payload: usize) -> u32 {
    let payload = u32::try_from(payload).expect("no longer than a packet");
    transport::sequence(packet, header.length).wrapping_add(payload)
}
