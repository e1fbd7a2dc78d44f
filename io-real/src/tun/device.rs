//! The TUN device: the end where the kernel's packets are.
//!
//! It is opened with the ten bytes of virtio before each packet, and tells the kernel that it takes packets with unfinished checksums and super
//! packets of TCP and UDP. Where a kernel does not know one of those, it goes on with less and says so.

use super::refused;
use flannel::tun::TunError;
use flannel::udp::ends::{Device, EndResult, Refusal};
use flannel::udp::join::Join;
use flannel::udp::shared::Shared;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Where devices come from.
const CLONE: &str = "/dev/net/tun";

/// What the kernel may leave to us, from the most to the least, and what that lets it take from us.
const OFFLOADS: [(libc::c_uint, Join); 3] = [
    (libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_USO4 | libc::TUN_F_USO6, Join::TcpAndUdp),
    (libc::TUN_F_CSUM | libc::TUN_F_TSO4, Join::Tcp),
    (0, Join::Nothing),
];

/// An open device.
pub struct TunEnd {
    file: File,
    name: String,
    join: Join,
    /// For answers in our own name: packets from an address of this machine that arrive by a device are dropped.
    raw: Option<OwnedFd>,
}

impl TunEnd {
    /// Makes a device by this name, in which `%d` stands for the first free number.
    pub fn open(name: &str, shared: &Shared) -> Result<TunEnd, TunError> {
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = File::options().read(true).write(true).custom_flags(flags).open(CLONE);
        let file = file.map_err(|error| refused(CLONE, error))?;
        let name = attach(&file, name).map_err(|error| refused(&format!("device {name:?}"), error))?;
        let taken = OFFLOADS.iter().find(|(offload, _)| set_offload(&file, *offload).is_ok());
        let join = taken.map_or(Join::Nothing, |(_, join)| *join);
        if join != Join::TcpAndUdp {
            shared.note(format!(
                "device {name}: this kernel joins only {join:?}; packets are carried one by one otherwise"
            ));
        }
        let raw = socket_with(
            AddressFamily::INET,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(ipproto::RAW),
        );
        if let Err(error) = &raw {
            shared.note(format!(
                "device {name}: no raw socket ({error}): senders are not told about packets that cannot go on"
            ));
        }
        Ok(TunEnd { file, name, join, raw: raw.ok() })
    }

    /// The name that the kernel chose.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the kernel takes as one packet.
    pub fn joins(&self) -> Join {
        self.join
    }
}

impl AsFd for TunEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Device for TunEnd {
    fn read(&self, buffer: &mut [u8]) -> EndResult<usize> {
        (&self.file).read(buffer).map_err(|error| refusal(&self.name, &error))
    }

    fn write(&self, packet: &[IoSlice<'_>]) -> EndResult<()> {
        let length: usize = packet.iter().map(|slice| slice.len()).sum();
        match (&self.file).write_vectored(packet) {
            Ok(written) if written == length => Ok(()),
            Ok(written) => Err(Refusal::Packet(format!("{written} of {length} bytes were taken"))),
            // The packet cannot be meant: its header was checked. Some kernels refuse what they said they take.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Err(Refusal::NotTogether { lasting: true, why: error.to_string() })
            }
            Err(error) => Err(refusal(&self.name, &error)),
        }
    }

    fn answer(&self, packet: &[u8]) -> EndResult<()> {
        let Some(raw) = &self.raw else { return Err(Refusal::Packet("no raw socket".to_string())) };
        let octets = packet.get(16..20).and_then(|bytes| bytes.first_chunk::<4>());
        let to = Ipv4Addr::from(*octets.expect("an answer has a whole header"));
        let sent = sendto(raw, packet, SendFlags::empty(), &SocketAddrV4::new(to, 0));
        sent.map(|_| ()).map_err(|error| Refusal::Packet(error.to_string()))
    }
}

/// What it means that the device did not.
fn refusal(name: &str, error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Refusal::Empty,
        // The device was removed, by somebody else or with its namespace.
        Some(libc::EBADFD | libc::EFAULT | libc::ENODEV) => {
            Refusal::Gone(format!("device {name} was removed"))
        }
        _ => Refusal::Packet(error.to_string()),
    }
}

/// Makes `file` the device `name`, and returns the name that the kernel gave it.
#[allow(unsafe_code)]
fn attach(file: &File, name: &str) -> io::Result<String> {
    if name.len() >= libc::IFNAMSIZ || name.contains('\0') {
        return Err(io::Error::other(format!("a name has at most {} bytes", libc::IFNAMSIZ - 1)));
    }
    // SAFETY: ifreq is a plain C structure of integers and a pointer, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).expect("flags of a device are 16 bits");
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and TUNSETIFF reads and writes one ifreq, which `request` is.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes: Vec<u8> =
        request.ifr_name.iter().map(|c| c.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// Tells the kernel what it may leave to us.
#[allow(unsafe_code)]
fn set_offload(file: &File, offload: libc::c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and TUNSETOFFLOAD takes its argument by value.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offload)) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
