//! The data path of the `udp` backend: packets of the kernel into datagrams to peers, and back.
//!
//! On the wire it is flannel's format to the bit: one IPv4 packet in one UDP datagram, with nothing added. What makes it fast is
//! that nothing handles packets one by one. The kernel hands over what TCP wrote as one *super packet* of up to 64 KiB with one
//! header ([`vnet`]); [`split`] makes the headers of its segments, and all segments leave in one call of the kernel, which
//! is told their size and cuts them apart. The other end receives many datagrams in one call, and [`join`] makes of those that
//! follow each other in one flow a super packet again. The payload is never copied here: what is sent is a list of slices.
//!
//! ```text
//!   kernel ── super packet ──> Outward: check, route, TTL, split ── slices, size ──> socket
//!   kernel <── super packet ── Inward:  check, join              <── datagrams ───── socket
//! ```
//!
//! A crossing takes one from the time to live, on the way out, where the sender can still be told (flannel takes two, and tells
//! nobody). Everything here is pure: [`outward::Outward`] and [`inward::Inward`] move one batch a call between two [`ends`].

pub mod bucket;
pub mod checksum;
pub mod counts;
pub mod ends;
pub mod icmp;
pub mod inward;
pub mod ipv4;
pub mod join;
pub mod outward;
pub mod routes;
pub mod shared;
pub mod split;
pub mod transport;
pub mod vnet;

#[cfg(test)]
mod tests;
