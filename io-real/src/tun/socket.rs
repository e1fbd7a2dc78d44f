//! The UDP socket: the end where the peers are.
//!
//! A message of several datagrams goes to the kernel as one, with their length (`UDP_SEGMENT`): it is cut as late as can be, by the network card
//! where that can do it. Datagrams that the kernel joined on arrival come back the same way (`UDP_GRO`). Beyond that, one call
//! sends or receives several messages.

use super::refused;
use flannel::tun::TunError;
use flannel::udp::ends::{Bundle, EndResult, Message, Refusal, SLOT, Wire};
use flannel::udp::shared::Shared;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};
use std::io;
use std::mem::size_of;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Room for datagrams that wait, in bytes, in each direction: some milliseconds of a fast network.
const BUFFER: usize = 7 << 20;

/// Longest time that sending waits for room. It bounds how long ending the device takes.
const SEND_MOST: Duration = Duration::from_millis(100);

/// Messages in one call of the kernel: its own limit.
const MESSAGES: usize = 1024;

/// Room for the one control message, in words that are aligned as it has to be.
const CONTROL: usize = 4;

/// A bound socket.
pub struct SocketEnd {
    socket: OwnedFd,
    together: bool,
}

impl SocketEnd {
    /// Binds a socket to `local`.
    pub fn open(local: SocketAddrV4, shared: &Shared) -> Result<SocketEnd, TunError> {
        let wrong = |error: rustix::io::Errno| refused(&format!("UDP socket on {local}"), error.into());
        let socket =
            socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(ipproto::UDP));
        let socket = socket.map_err(wrong)?;
        bind(&socket, &local).map_err(wrong)?;
        sockopt::set_socket_timeout(&socket, Timeout::Send, Some(SEND_MOST)).map_err(wrong)?;
        // Beyond the system's limit if we may; up to it otherwise.
        if sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, BUFFER).map_err(wrong)?;
        }
        if sockopt::set_socket_send_buffer_size_force(&socket, BUFFER).is_err() {
            sockopt::set_socket_send_buffer_size(&socket, BUFFER).map_err(wrong)?;
        }
        if let Err(error) = set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1) {
            shared.note(format!("this kernel does not join datagrams on arrival ({error}), which is slower"));
        }
        // A length of zero is no change: it only asks whether the kernel knows the option.
        let known = set(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0);
        if let Err(error) = &known {
            shared.note(format!("this kernel sends datagrams one by one only ({error}), which is slower"));
        }
        Ok(SocketEnd { socket, together: known.is_ok() })
    }

    /// Whether several datagrams may leave as one message.
    pub fn sends_together(&self) -> bool {
        self.together
    }
}

impl AsFd for SocketEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Wire for SocketEnd {
    #[allow(unsafe_code)]
    fn send(&self, messages: &[Message<'_>]) -> EndResult<usize> {
        let messages = &messages[..messages.len().min(MESSAGES)];
        let mut names: Vec<libc::sockaddr_in> = messages.iter().map(|message| name(message.to)).collect();
        let mut controls: Vec<[u64; CONTROL]> = vec![[0; CONTROL]; messages.len()];
        let headers = messages.iter().zip(&mut names).zip(&mut controls);
        let mut headers: Vec<libc::mmsghdr> = headers
            .map(|((message, name), control)| {
                let mut header = empty();
                header.msg_hdr.msg_name = (&raw mut *name).cast();
                header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                // IoSlice has the layout of iovec, which the standard library promises; the kernel only reads through it.
                header.msg_hdr.msg_iov = message.slices.as_ptr().cast_mut().cast();
                header.msg_hdr.msg_iovlen = message.slices.len() as _;
                if let Some(segment) = message.segment {
                    put_segment(&mut header.msg_hdr, control, segment);
                }
                header
            })
            .collect();
        let length = libc::c_uint::try_from(headers.len()).expect("at most MESSAGES");
        // SAFETY: `headers` has `length` entries. What they point to (names, slices, control messages) is borrowed or owned here until after
        // the call, and each length beside a pointer is that of what it points to.
        let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), length, 0) };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => Ok(sent),
            _ => Err(unsent(&io::Error::last_os_error(), messages[0].segment.is_some())),
        }
    }

    #[allow(unsafe_code)]
    fn receive(&self, slots: &mut [u8], bundles: &mut Vec<Bundle>) -> EndResult<()> {
        let mut iovs: Vec<libc::iovec> = slots
            .chunks_exact_mut(SLOT)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
            .collect();
        let mut controls: Vec<[u64; CONTROL]> = vec![[0; CONTROL]; iovs.len()];
        let mut headers: Vec<libc::mmsghdr> = iovs
            .iter_mut()
            .map(|iov| {
                let mut header = empty();
                header.msg_hdr.msg_iov = &raw mut *iov;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        for (header, control) in headers.iter_mut().zip(&mut controls) {
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of::<[u64; CONTROL]>() as _;
        }
        let length = libc::c_uint::try_from(headers.len()).expect("few slots");
        let (socket, flags) = (self.socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: `headers` has `length` entries. Each points to one iovec, which describes one slot that is borrowed for us alone and does not
        // overlap the next, and to one control buffer of the length given; all outlive the call.
        let got =
            unsafe { libc::recvmmsg(socket, headers.as_mut_ptr(), length, flags, std::ptr::null_mut()) };
        let Ok(got) = usize::try_from(got) else { return Err(unreceived(&io::Error::last_os_error())) };
        for header in &headers[..got] {
            let length = header.msg_len as usize;
            bundles.push(Bundle { length, segment: segment(&header.msg_hdr).unwrap_or(length) });
        }
        Ok(())
    }
}

/// What it means that a message was not sent.
fn unsent(error: &io::Error, together: bool) -> Refusal {
    match error.raw_os_error() {
        // The card cannot finish checksums, or what has to leave by it cannot be cut: so it will be next time.
        Some(libc::EIO) if together => Refusal::NotTogether { lasting: true, why: error.to_string() },
        // The way to this peer is narrower than the datagrams: one by one the network may cut them.
        Some(libc::EINVAL | libc::EMSGSIZE) if together => {
            Refusal::NotTogether { lasting: false, why: error.to_string() }
        }
        Some(libc::EMSGSIZE) => Refusal::TooLong,
        Some(libc::EBADF) => Refusal::Gone(format!("the UDP socket: {error}")),
        _ => Refusal::Packet(error.to_string()),
    }
}

/// What it means that nothing was received.
fn unreceived(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Refusal::Empty,
        Some(libc::EBADF) => Refusal::Gone(format!("the UDP socket: {error}")),
        _ => Refusal::Packet(error.to_string()),
    }
}

/// The address as the kernel reads it.
fn name(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
        sin_zero: [0; 8],
    }
}

/// A message with nothing in it.
#[allow(unsafe_code)]
fn empty() -> libc::mmsghdr {
    // SAFETY: a plain C structure of integers and pointers, for all of which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// Puts the length of the datagrams into `control`, and that beside `header`.
#[allow(unsafe_code)]
fn put_segment(header: &mut libc::msghdr, control: &mut [u64; CONTROL], segment: u16) {
    // SAFETY: arithmetic only.
    let (space, length) = unsafe { (libc::CMSG_SPACE(2), libc::CMSG_LEN(2)) };
    assert!(space as usize <= size_of::<[u64; CONTROL]>(), "no room for a control message");
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = space as _;
    // SAFETY: `msg_control` points to room for one control message with two bytes of data, aligned as a word is, so the first header
    // is inside of it, and its data too. The data may be unaligned for its type.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = length as _;
        std::ptr::write_unaligned(libc::CMSG_DATA(message).cast::<u16>(), segment);
    }
}

/// The length of the datagrams that the kernel has joined into this message, if it has.
#[allow(unsafe_code)]
fn segment(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled `msg_control` with whole control messages and set its length to theirs, and the buffer is still there:
    // the two macros stay inside. The data of UDP_GRO is one int, which may be unaligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_UDP && (*message).cmsg_type == libc::UDP_GRO {
                let size = std::ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::c_int>());
                return usize::try_from(size).ok().filter(|size| *size > 0);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// Sets an option that is an int.
#[allow(unsafe_code)]
fn set(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (pointer, length) = ((&raw const value).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the descriptor is open, and `pointer` points to `length` bytes, which are only read.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
