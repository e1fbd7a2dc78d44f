//! From the kernel to peers.
//!
//! One step reads packets until there are no more or the batch is full, decides each one's fate, and sends what is left in one call: datagrams
//! of one length that go to one peer after each other are one message, whether a super packet was cut into them or they came so.

use super::bucket::Bucket;
use super::checksum;
use super::ends::{Device, Message, Refusal, Step, Wire};
use super::icmp::{self, Trouble};
use super::ipv4::{self, Header, LONGEST, protocol, put};
use super::routes::Routes;
use super::shared::Shared;
use super::split::Split;
use super::transport::udp;
use super::vnet::{self, Kind, Unfinished, Vnet};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

/// Bytes after which a batch is full: more would not stay in the processor's cache.
const FULL: usize = 65_536;

/// Packets after which a batch is full.
const PACKETS: usize = 256;

/// Most datagrams in one message: what every kernel takes that can do it at all.
const TOGETHER: usize = 64;

/// Most bytes in one message, which are those of one datagram: 65,535 less the headers of IP and UDP.
const MESSAGE: usize = 65_507;

/// ICMP answers at once, and then one each so often: 100 a second, however many packets ask for one.
const ANSWERS: u32 = 50;
const ANSWER_EACH: Duration = Duration::from_millis(10);

/// The bytes of a datagram.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// In what was made here; else in what was read.
    made: bool,
    at: usize,
    length: usize,
}

/// Datagrams that will leave together.
#[derive(Clone, Copy, Debug)]
struct Queued {
    to: SocketAddrV4,
    segment: usize,
    datagrams: usize,
    bytes: usize,
    /// The first datagram's piece, and the one after the last one's.
    pieces: (usize, usize),
    /// Whether another datagram may be added.
    open: bool,
}

/// The way out.
pub struct Outward {
    shared: Arc<Shared>,
    address: Ipv4Addr,
    mtu: usize,
    together: usize,
    bucket: Bucket,
    read: Vec<u8>,
    /// Segments of super packets, one behind the other, up to `made_end`. Longer only where a super packet has unusually short segments.
    made: Vec<u8>,
    made_end: usize,
    pieces: Vec<Piece>,
    queue: Vec<Queued>,
}

impl Outward {
    /// A way out for the device with this `address`, whose datagrams to peers may hold `mtu` bytes. `together` says whether the wire
    /// takes several datagrams as one message.
    pub fn new(shared: Arc<Shared>, address: Ipv4Addr, mtu: u32, together: bool) -> Outward {
        Outward {
            shared,
            address,
            mtu: mtu.try_into().unwrap_or(LONGEST),
            together: if together { TOGETHER } else { 1 },
            bucket: Bucket::new(ANSWERS, ANSWER_EACH),
            read: vec![0; FULL + vnet::LENGTH + LONGEST],
            made: vec![0; 2 * FULL],
            made_end: 0,
            pieces: Vec::new(),
            queue: Vec::new(),
        }
    }

    /// Moves one batch from `device` to `wire`. `now` is monotonic.
    pub fn step(&mut self, device: &impl Device, wire: &impl Wire, now: Duration) -> Step {
        self.made_end = 0;
        self.pieces.clear();
        self.queue.clear();
        let routes = self.shared.routes();
        let (mut at, mut end) = (0, Step::Moved);
        for count in 0..PACKETS {
            if at >= FULL {
                break;
            }
            match device.read(&mut self.read[at..]) {
                Ok(length) => {
                    self.take(device, &routes, at, length, now);
                    at += length;
                }
                Err(Refusal::Empty) if count == 0 => return Step::Idle,
                Err(Refusal::Empty) => break,
                Err(Refusal::Gone(why)) => {
                    end = Step::Ended(why);
                    break;
                }
                Err(_) => {
                    self.shared.counts.refused.one();
                    break;
                }
            }
        }
        match self.flush(wire) {
            Some(why) => Step::Ended(why),
            None => end,
        }
    }

    /// Decides the fate of the `length` bytes read at `at`.
    fn take(&mut self, device: &impl Device, routes: &Routes, at: usize, length: usize, now: Duration) {
        let bytes = &self.read[at..at + length];
        let vnet = bytes.first_chunk().and_then(Vnet::parse);
        let header = bytes.get(vnet::LENGTH..).and_then(Header::parse);
        let (Some(vnet), Some(header)) = (vnet, header) else {
            return self.shared.counts.malformed_out.one();
        };
        let (at, counts) = (at + vnet::LENGTH, &self.shared.counts);
        let peer = routes.find(header.destination);
        let trouble = match peer {
            None => {
                counts.no_peer.one();
                Trouble::NoPeer
            }
            Some(_) if header.ttl <= 1 => {
                counts.expired.one();
                Trouble::Expired
            }
            Some(peer) => match self.forward(vnet, &header, at, peer) {
                Some(trouble) => trouble,
                None => return,
            },
        };
        self.answer(device, trouble, at, &header, now);
    }

    /// Queues a packet to `peer`. Returns what its sender is to be told, if it cannot go.
    fn forward(&mut self, vnet: Vnet, header: &Header, at: usize, peer: SocketAddrV4) -> Option<Trouble> {
        let counts = &self.shared.counts;
        let packet = &mut self.read[at..at + header.total];
        let split = Split::new(packet, header, vnet.kind);
        let whole = vnet.kind == Kind::Plain;
        if !whole && split.is_none() || whole && !finish(packet, header, vnet.unfinished) {
            counts.malformed_out.one();
            return None;
        }
        let longest = split.map_or(header.total, |split| split.longest());
        if longest > self.mtu && header.dont_fragment() || longest > MESSAGE {
            counts.too_long.one();
            let mtu = u16::try_from(self.mtu).unwrap_or(u16::MAX);
            return header.dont_fragment().then_some(Trouble::TooLong(mtu));
        }
        ipv4::decrement_ttl(packet);
        match split {
            None => self.queue_whole(at, header.total, peer),
            Some(split) => self.queue_split(&split, at, header.total, peer),
        }
        None
    }

    fn queue_whole(&mut self, at: usize, length: usize, to: SocketAddrV4) {
        self.enqueue(to, Piece { made: false, at, length });
    }

    fn queue_split(&mut self, split: &Split, at: usize, total: usize, to: SocketAddrV4) {
        for index in 0..split.count() {
            let (begin, length) = (self.made_end, split.length(index));
            self.made_end += length;
            if self.made.len() < self.made_end {
                self.made.resize(self.made_end, 0);
            }
            split.write(&self.read[at..at + total], index, &mut self.made[begin..self.made_end]);
            self.enqueue(to, Piece { made: true, at: begin, length });
        }
    }

    /// Queues a datagram: behind the last one if the two may leave together.
    fn enqueue(&mut self, to: SocketAddrV4, piece: Piece) {
        let (place, length) = (self.pieces.len(), piece.length);
        self.pieces.push(piece);
        if let Some(last) = self.queue.last_mut() {
            let fits = last.open && last.to == to && length <= last.segment;
            if fits && last.datagrams < self.together && last.bytes + length <= MESSAGE {
                debug_assert_eq!(last.pieces.1, place, "pieces of a message are neighbours");
                last.datagrams += 1;
                last.bytes += length;
                last.pieces.1 = place + 1;
                last.open = length == last.segment;
                return;
            }
        }
        // Datagrams that the network has to cut go alone.
        let (open, pieces) = (length <= self.mtu, (place, place + 1));
        self.queue.push(Queued { to, segment: length, datagrams: 1, bytes: length, pieces, open });
    }

    /// Tells the sender, unless too many were told already.
    fn answer(&mut self, device: &impl Device, trouble: Trouble, at: usize, header: &Header, now: Duration) {
        let Some(answer) = icmp::answer(trouble, &self.read[at..], header, self.address) else { return };
        if self.bucket.take(now) && device.answer(&answer).is_ok() {
            self.shared.counts.answers.one();
        }
    }

    /// Sends the queue. Returns why the wire is gone, if it is.
    fn flush(&mut self, wire: &impl Wire) -> Option<String> {
        if self.queue.is_empty() {
            return None;
        }
        match self.send(wire, &self.queue) {
            Ok(apart) => {
                self.together = if apart { 1 } else { self.together };
                None
            }
            Err(why) => Some(why),
        }
    }

    /// The bytes of pieces; neighbours in one buffer are one slice.
    fn slices(&self, pieces: &[Piece]) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(pieces.len().min(4));
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            let follows =
                |pair: &[Piece]| pair[0].made == pair[1].made && pair[0].at + pair[0].length == pair[1].at;
            let count = 1 + rest.windows(2).take_while(|pair| follows(pair)).count();
            let last = &rest[count - 1];
            let from = if first.made { &self.made } else { &self.read };
            slices.push(IoSlice::new(&from[first.at..last.at + last.length]));
            rest = &rest[count..];
        }
        slices
    }

    /// Sends `queue`. Returns whether datagrams have to go alone from now on, or why the wire is gone.
    fn send(&self, wire: &impl Wire, queue: &[Queued]) -> Result<bool, String> {
        let slices: Vec<Vec<IoSlice<'_>>> =
            queue.iter().map(|queued| self.slices(&self.pieces[queued.pieces.0..queued.pieces.1])).collect();
        let messages: Vec<Message<'_>> =
            queue.iter().zip(&slices).map(|(queued, slices)| queued.message(slices)).collect();
        let (mut done, mut alone) = (0, false);
        while done < messages.len() {
            match wire.send(&messages[done..]) {
                Ok(count) => {
                    assert!(count > 0 && done + count <= messages.len(), "{count} messages were sent");
                    self.count(&queue[done..done + count]);
                    done += count;
                    continue;
                }
                Err(Refusal::Gone(why)) => return Err(why),
                Err(Refusal::NotTogether { lasting, why }) if queue[done].datagrams > 1 => {
                    self.shared.note(format!(
                        "datagrams cannot leave together ({why}): one by one instead, which is slower"
                    ));
                    self.send(wire, &self.apart(&queue[done]))?;
                    alone |= lasting;
                }
                Err(refusal) => self.refused(&queue[done], refusal),
            }
            done += 1;
        }
        Ok(alone)
    }

    fn count(&self, sent: &[Queued]) {
        let counts = &self.shared.counts;
        counts.sent_batches.one();
        counts.sent_packets.add(sent.iter().map(|queued| queued.datagrams as u64).sum());
        counts.sent_bytes.add(sent.iter().map(|queued| queued.bytes as u64).sum());
    }

    fn refused(&self, queued: &Queued, refusal: Refusal) {
        let counts = &self.shared.counts;
        let count = if refusal == Refusal::TooLong { &counts.too_long } else { &counts.refused };
        count.add(queued.datagrams as u64);
    }

    /// The datagrams of a message, each on its own.
    fn apart(&self, queued: &Queued) -> Vec<Queued> {
        let (first, end) = queued.pieces;
        assert_eq!(end - first, queued.datagrams, "a message has a piece for each datagram");
        let one = |place: usize| {
            let length = self.pieces[place].length;
            let pieces = (place, place + 1);
            Queued { segment: length, datagrams: 1, bytes: length, pieces, open: false, ..*queued }
        };
        (first..end).map(one).collect()
    }
}

impl Queued {
    fn message<'a>(&self, slices: &'a [IoSlice<'a>]) -> Message<'a> {
        let segment =
            (self.datagrams > 1).then(|| u16::try_from(self.segment).expect("no longer than a message"));
        Message { to: self.to, segment, slices }
    }
}

/// Finishes the checksum that the kernel left to us. False if it is not inside of the packet.
fn finish(packet: &mut [u8], header: &Header, unfinished: Option<Unfinished>) -> bool {
    let Some(Unfinished { start, offset }) = unfinished else { return true };
    if start < header.length || start + offset + 2 > packet.len() {
        return false;
    }
    // The field holds the sum of the pseudo header, which so is counted too.
    let sum = !checksum::sum(&packet[start..]);
    let is_udp = header.protocol == protocol::UDP && offset == udp::CHECKSUM;
    put(packet, start + offset, if is_udp && sum == 0 { 0xffff } else { sum });
    true
}
