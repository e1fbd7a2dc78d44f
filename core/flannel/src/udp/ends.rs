//! The two ends between which packets are moved: the kernel's side of the machine, and the network's.
//!
//! Both are for batches, and neither copies: what is handed over is a list of slices. Real ones are a TUN device and a UDP socket; the
//! simulator has its own.

use std::io::IoSlice;
use std::net::SocketAddrV4;

/// Room for one bundle of received datagrams, in bytes: the most that the kernel joins.
pub const SLOT: usize = 65_536;

/// Why an end did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing to be had, or no room, at the moment.
    Empty,
    /// Not several packets as one. `lasting` tells that it will be no better next time.
    NotTogether {
        /// Never again on this end.
        lasting: bool,
        /// What the kernel said.
        why: String,
    },
    /// The packet is too long for the way that it has to go.
    TooLong,
    /// This packet, for a reason of its own.
    Packet(String),
    /// The end is gone for good.
    Gone(String),
}

/// What an end's verbs come to.
pub type EndResult<T> = Result<T, Refusal>;

/// Datagrams that leave together.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// To whom.
    pub to: SocketAddrV4,
    /// Length of each datagram in bytes, the last one perhaps shorter; none if it is one datagram.
    pub segment: Option<u16>,
    /// Their bytes.
    pub slices: &'a [IoSlice<'a>],
}

/// Datagrams that arrived together, in the slot with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Bytes in the slot.
    pub length: usize,
    /// Length of each datagram, the last one perhaps shorter.
    pub segment: usize,
}

/// The machine's side: the kernel's packets. Nothing here waits.
pub trait Device {
    /// Reads the next packet, with the bytes of [`super::vnet`] before it, and returns its length with them.
    fn read(&self, buffer: &mut [u8]) -> EndResult<usize>;

    /// Hands the kernel one packet, with the bytes of [`super::vnet`] before it.
    fn write(&self, packet: &[IoSlice<'_>]) -> EndResult<()>;

    /// Sends `packet` as if this machine had written it itself, without those bytes: it may come from an address of ours.
    fn answer(&self, packet: &[u8]) -> EndResult<()>;
}

/// The network's side: datagrams to and from peers.
pub trait Wire {
    /// Sends these, in order; may wait for room. Returns how many of them were taken, at least one: the refusal is of the first.
    fn send(&self, messages: &[Message<'_>]) -> EndResult<usize>;

    /// Takes what has arrived, without waiting: into one slot of [`SLOT`] bytes after the other. One bundle for each slot used.
    fn receive(&self, slots: &mut [u8], bundles: &mut Vec<Bundle>) -> EndResult<()>;
}

/// What one step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was moved; there may be more.
    Moved,
    /// Nothing was there: wait until something is.
    Idle,
    /// An end is gone, for this reason.
    Ended(String),
}
