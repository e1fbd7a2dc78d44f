//! Netlink sockets, and what happens when what comes in cannot be read.
//!
//! A socket belongs to one part of the kernel and to the network namespace of the thread that opens it. Requests go over a
//! connection of their own ([`super::connection`]); here is the socket that only listens. It has a bound: what the agent does
//! not take waits in the kernel's buffer, and when that is full the kernel says once that messages were lost.

use flannel::links::{LinksError, LinksResult};
use futures_util::StreamExt;
use rtnetlink::packet_core::{
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use rtnetlink::proto::{NetlinkCodec, NetlinkFramed, NetlinkMessageCodec};
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::fmt::Debug;
use std::io;

/// The socket's buffer for what it receives, in bytes.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Opens a socket that hears of these groups, counted from 1. Wants a runtime of tokio around it.
pub fn open(protocol: isize, groups: &[u32]) -> LinksResult<TokioSocket> {
    let lost = |what: &str, error: io::Error| match Errno::from_io_error(&error) {
        Some(Errno::PERM | Errno::ACCESS) => LinksError::NotPermitted(format!("netlink {what}")),
        Some(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT) => {
            LinksError::Unsupported(format!("netlink {what}"))
        }
        _ => LinksError::Lost(format!("netlink {what}: {error}")),
    };
    let mut socket = TokioSocket::new(protocol).map_err(|error| lost("socket", error))?;
    let inner = socket.socket_mut();
    // A smaller buffer works too; then less can be lost before it is noticed.
    if sockopt::set_socket_recv_buffer_size_force(&*inner, RECEIVE_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&*inner, RECEIVE_BUFFER);
    }
    // Short outcomes, the kernel's own words in them, and lists that hold only what is asked for. Kernels before 4.20 lack some.
    // They tell less then, and list more; what is asked for is picked out here too.
    let _ = inner.set_cap_ack(true);
    let _ = inner.set_ext_ack(true);
    let _ = inner.set_netlink_get_strict_chk(true);
    let bits = groups.iter().fold(0, |bits, group| bits | 1 << (group - 1));
    inner.bind(&SocketAddr::new(0, bits)).map_err(|error| lost("bind", error))?;
    Ok(socket)
}

/// What the kernel tells of itself, of one part.
pub struct Events<T>(NetlinkFramed<T, TokioSocket, Soft>);

impl<T: NetlinkDeserializable + Debug> Events<T> {
    /// Hears of these groups from now on.
    pub fn open(protocol: isize, groups: &[u32]) -> LinksResult<Events<T>> {
        Ok(Events(NetlinkFramed::new(open(protocol, groups)?)))
    }

    /// The next message. `Busy` if some before it were lost, or if it cannot be read. Cancel-safe.
    pub async fn next(&mut self) -> LinksResult<T> {
        loop {
            let Some((message, _)) = self.0.next().await else {
                return Err(LinksError::Lost("netlink receive".to_string()));
            };
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => return Ok(inner),
                NetlinkPayload::Overrun(_) => {
                    return Err(LinksError::Busy("netlink: messages were lost".to_string()));
                }
                // Outcomes and ends of lists, which nobody asked for.
                _ => {}
            }
        }
    }
}

/// The usual form of messages, but one that cannot be read stands as [`NetlinkPayload::Overrun`]: it may tell of a change, so it
/// is the same as if it were lost.
struct Soft;

impl NetlinkMessageCodec for Soft {
    fn decode<T>(datagram: &mut bytes::BytesMut) -> io::Result<Option<NetlinkMessage<T>>>
    where
        T: NetlinkDeserializable + Debug,
    {
        let Some(length) = datagram.first_chunk::<4>().map(|length| u32::from_ne_bytes(*length)) else {
            datagram.clear();
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(datagram.len()).max(4);
        let bytes = datagram.split_to(length);
        let padding = length.next_multiple_of(4) - length;
        let _ = datagram.split_to(padding.min(datagram.len()));
        Ok(Some(NetlinkMessage::deserialize(&bytes).unwrap_or_else(|_| {
            NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Overrun(Vec::new()))
        })))
    }

    fn encode<T>(message: NetlinkMessage<T>, datagram: &mut bytes::BytesMut) -> io::Result<()>
    where
        T: NetlinkSerializable + Debug,
    {
        NetlinkCodec::encode(message, datagram)
    }
}
