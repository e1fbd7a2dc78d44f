//! What a rig for real processes needs from this machine beyond its programs: a network device whose other end is a file, in
//! any network namespace, and the power switch of a file system. Needs root.
//!
//! Only rigs use it (feature `rig`); no program that is shipped does.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{self, Error};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where devices come from.
const CLONE: &str = "/dev/net/tun";

/// `EXT4_IOC_SHUTDOWN`, which XFS and others share: `_IOR('X', 125, __u32)`.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;

/// Of the ways to shut down: at once, without the journal's last transaction.
const WITHOUT_THE_JOURNAL: u32 = 2;

/// Makes an Ethernet device called `name` in the network namespace at `namespace` (in this one if none is given) and returns
/// its other end: reading takes one frame that the namespace sends, writing hands it one. The device goes when it is closed.
///
/// Frames come whole and with finished checksums. Reads do not wait (`WouldBlock`).
pub fn ethernet(namespace: Option<&Path>, name: &str) -> io::Result<File> {
    let namespace = namespace.map(File::open).transpose()?;
    // On a thread of its own, because the way back may be closed to the one that went.
    let made = std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            if let Some(namespace) = &namespace {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            }
            let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
            let file = File::options().read(true).write(true).custom_flags(flags).open(CLONE)?;
            attach(&file, name).map(|()| file)
        });
        made.join()
    });
    made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Makes `file` the device `name`.
#[allow(unsafe_code)]
fn attach(file: &File, name: &str) -> io::Result<()> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
        return Err(Error::other(format!("{name:?}: a device's name has 1 to {} bytes", libc::IFNAMSIZ - 1)));
    }
    // SAFETY: ifreq is a plain C structure of integers and a pointer, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).expect("flags of a device are 16 bits");
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and TUNSETIFF reads and writes one ifreq, which `request` is.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0.. => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Cuts the power of the file system (ext4 or XFS) that is mounted at `mounted`: whatever was not synced is gone, every call
/// fails from now on, and it must be unmounted and mounted again.
#[allow(unsafe_code)]
pub fn cut_power(mounted: &Path) -> io::Result<()> {
    let directory = File::open(mounted)?;
    let how = WITHOUT_THE_JOURNAL;
    // SAFETY: the descriptor is open for as long as `directory` lives, and this call reads one 32-bit number, which `how` is.
    match unsafe { libc::ioctl(directory.as_raw_fd(), SHUTDOWN, &raw const how) } {
        0.. => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
