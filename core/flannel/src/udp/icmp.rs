//! What the sender of a packet is told when it goes no further.

use super::checksum;
use super::ipv4::{self, Header, protocol, put};
use std::net::Ipv4Addr;

/// Bytes of the packet's payload that are quoted: enough for ports and TCP's number.
const QUOTED: usize = 8;

/// Length of the header of a control message.
const HEAD: usize = 8;

/// Time to live of an answer.
const TTL: u8 = 64;

/// Kinds of control messages that report an error: about those nobody is told anything, or there would be no end.
const ERRORS: [u8; 5] = [UNREACHABLE, 4, 5, EXPIRED, 12];

const UNREACHABLE: u8 = 3;
const EXPIRED: u8 = 11;

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No peer has the destination: network unreachable.
    NoPeer,
    /// Its time to live ended here.
    Expired,
    /// It is longer than this, and may not be cut.
    TooLong(u16),
}

impl Trouble {
    /// Type, code and the value in the header's last word.
    fn codes(self) -> (u8, u8, u16) {
        match self {
            Trouble::NoPeer => (UNREACHABLE, 0, 0),
            Trouble::Expired => (EXPIRED, 0, 0),
            Trouble::TooLong(mtu) => (UNREACHABLE, 4, mtu),
        }
    }
}

/// The answer to the sender of `packet`, which begins with `header`, in the name of `from`. None where nobody may be told: errors
/// about errors, later fragments, and packets that were not from one to one.
pub fn answer(trouble: Trouble, packet: &[u8], header: &Header, from: Ipv4Addr) -> Option<Vec<u8>> {
    let nobody =
        |address: Ipv4Addr| address.is_broadcast() || address.is_multicast() || address.is_unspecified();
    if header.is_later_fragment()
        || nobody(header.source)
        || nobody(header.destination)
        || header.source.is_loopback()
    {
        return None;
    }
    if header.protocol == protocol::ICMP
        && packet[..header.total].get(header.length).is_none_or(|kind| ERRORS.contains(kind))
    {
        return None;
    }
    let quoted = &packet[..header.total.min(header.length + QUOTED)];
    let total = ipv4::SHORTEST + HEAD + quoted.len();
    let mut answer = vec![0; ipv4::SHORTEST + HEAD];
    answer.extend_from_slice(quoted);
    let (kind, code, value) = trouble.codes();
    let message = &mut answer[ipv4::SHORTEST..];
    message[..2].copy_from_slice(&[kind, code]);
    put(message, 6, value);
    let check = !checksum::sum(message);
    put(message, 2, check);
    answer[0] = 0x45;
    // Precedence of control messages, as routers set it.
    answer[1] = 0xc0;
    answer[8] = TTL;
    answer[9] = protocol::ICMP;
    answer[12..16].copy_from_slice(&from.octets());
    answer[16..20].copy_from_slice(&header.source.octets());
    ipv4::set_length_and_id(&mut answer, ipv4::SHORTEST, total, 0);
    Some(answer)
}
