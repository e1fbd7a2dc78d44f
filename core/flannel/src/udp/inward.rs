//! From peers to the kernel.
//!
//! One step takes what has arrived, drops what is no IPv4 packet, joins what belongs together and hands it to the kernel. Who sent a
//! datagram is not asked, as in flannel: its peers are behind addresses that the lease need not name.

use super::ends::{Bundle, Device, Refusal, SLOT, Step, Wire};
use super::ipv4::Header;
use super::join::{Join, Joined, Joiner};
use super::shared::Shared;
use super::vnet::Vnet;
use std::io::IoSlice;
use std::sync::Arc;

/// Bundles taken in one step. Few, so that what was received is still in the processor's cache when it is handed on.
pub const SLOTS: usize = 8;

/// The way in.
pub struct Inward {
    shared: Arc<Shared>,
    slots: Vec<u8>,
    bundles: Vec<Bundle>,
    joiner: Joiner,
    heads: Vec<u8>,
}

impl Inward {
    /// A way in that joins what `join` says.
    pub fn new(shared: Arc<Shared>, join: Join) -> Inward {
        let joiner = Joiner::new(join);
        Inward {
            shared,
            slots: vec![0; SLOTS * SLOT],
            bundles: Vec::with_capacity(SLOTS),
            joiner,
            heads: Vec::new(),
        }
    }

    /// Moves one batch from `wire` to `device`.
    pub fn step(&mut self, wire: &impl Wire, device: &impl Device) -> Step {
        self.bundles.clear();
        match wire.receive(&mut self.slots, &mut self.bundles) {
            Ok(()) => {}
            Err(Refusal::Empty) => return Step::Idle,
            Err(Refusal::Gone(why)) => return Step::Ended(why),
            Err(_) => {
                self.shared.counts.refused.one();
                return Step::Moved;
            }
        }
        assert!(self.bundles.len() <= SLOTS, "{} bundles in {SLOTS} slots", self.bundles.len());
        self.sort();
        for index in 0..self.joiner.count() {
            if let Some(why) = self.hand_over(device, index) {
                return Step::Ended(why);
            }
        }
        Step::Moved
    }

    /// Finds the packets in what was received, and joins them.
    fn sort(&mut self) {
        self.joiner.clear();
        let counts = &self.shared.counts;
        let (mut packets, mut bytes) = (0, 0);
        for (slot, bundle) in self.bundles.iter().enumerate() {
            assert!(bundle.length <= SLOT, "{} bytes in a slot", bundle.length);
            let end = slot * SLOT + bundle.length;
            for at in (slot * SLOT..end).step_by(bundle.segment.max(1)) {
                let datagram = &self.slots[at..end.min(at + bundle.segment)];
                let Some(header) = Header::parse(datagram) else {
                    counts.malformed_in.one();
                    continue;
                };
                packets += 1;
                bytes += header.total as u64;
                self.joiner.add(&self.slots, at, &header);
            }
        }
        counts.received_packets.add(packets);
        counts.received_bytes.add(bytes);
    }

    /// Hands number `index` to the kernel. Returns why the device is gone, if it is.
    fn hand_over(&mut self, device: &impl Device, index: usize) -> Option<String> {
        self.heads.clear();
        let outcome = match self.joiner.joined(&self.slots, index, &mut self.heads) {
            Joined::One(range) => write(device, &self.slots[range]),
            Joined::Many { vnet, first, more } => {
                let vnet = vnet.bytes();
                let head = [&vnet[..], &self.heads, &self.slots[first]];
                let slices: Vec<_> = head.into_iter().chain(more).map(IoSlice::new).collect();
                device.write(&slices)
            }
        };
        match outcome {
            Ok(()) => self.shared.counts.received_joined.one(),
            Err(Refusal::Gone(why)) => return Some(why),
            Err(Refusal::NotTogether { lasting, why }) if self.joiner.packets(index) > 1 => {
                return self.hand_over_apart(device, index, lasting, why);
            }
            Err(_) => self.shared.counts.refused.add(self.joiner.packets(index) as u64),
        }
        None
    }

    /// The same packets one by one, because the kernel does not take them joined.
    fn hand_over_apart(
        &mut self,
        device: &impl Device,
        index: usize,
        lasting: bool,
        why: String,
    ) -> Option<String> {
        if lasting {
            self.joiner.set(Join::Nothing);
        }
        self.shared
            .note(format!("the device takes no joined packets ({why}): one by one instead, which is slower"));
        for range in self.joiner.apart(index) {
            match write(device, &self.slots[range]) {
                Ok(()) => self.shared.counts.received_joined.one(),
                Err(Refusal::Gone(why)) => return Some(why),
                Err(_) => self.shared.counts.refused.one(),
            }
        }
        None
    }
}

/// Hands over one packet as it came.
fn write(device: &impl Device, packet: &[u8]) -> Result<(), Refusal> {
    device.write(&[IoSlice::new(&Vnet::PLAIN.bytes()), IoSlice::new(packet)])
}
