//! What fleetd learns from the machine it runs on: who it is, where it is, what it has, and that it is alone.

use crate::etcd::Refusal;
use fleet::model::{MachineId, Resources};
use std::fs::{self, File};
use std::io::Read;
use std::net::UdpSocket;
use std::path::Path;

/// Changes with every boot of the kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Bytes of an instance token.
const TOKEN_BYTES: usize = 16;

/// This machine's id. Without one there is nothing to call the machine by.
pub fn id(path: &Path) -> Result<MachineId, Refusal> {
    let shown = path.display();
    let remedy = "run systemd-machine-id-setup, and give each machine of the cluster its own";
    let text = fs::read_to_string(path).map_err(|error| {
        Refusal::start(format!("cannot read the machine's id from {shown}: {error}; {remedy}"))
    })?;
    let id = text.trim();
    if id.is_empty() || id.contains('/') || id.contains(char::is_whitespace) {
        return Err(Refusal::start(format!("{shown} holds no machine id ({id:?}): {remedy}")));
    }
    Ok(id.into())
}

/// The address from which this machine speaks to the world: that of the interface with the default route. Nothing is sent: a
/// datagram socket only asks the kernel for the way. Empty when there is no such route.
pub fn public_ip() -> String {
    let ask = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        // An address that belongs to nobody (RFC 5737).
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    };
    match ask() {
        Ok(address) if !address.ip().is_loopback() && !address.ip().is_unspecified() => {
            address.ip().to_string()
        }
        _ => String::new(),
    }
}

/// What the machine has: its processors and its memory. What cannot be read is zero, which means unknown.
pub fn resources() -> Resources {
    let cpu_millis = std::thread::available_parallelism().map_or(0, |count| count.get() as u64 * 1_000);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory.lines().find_map(|line| {
        let rest = line.strip_prefix("MemTotal:")?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    Resources { cpu_millis, memory_bytes: kibibytes.unwrap_or(0) * 1_024 }
}

/// The token of this boot: the same for every fleetd that is started before the machine boots again. By it a fleetd knows
/// its own presence in the cluster from that of another machine with the same id.
pub fn instance(directory: &Path) -> Result<String, Refusal> {
    let path = directory.join("instance");
    let wrong = |error: std::io::Error| Refusal::start(format!("{}: {error}", path.display()));
    let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
    let boot = boot.trim();
    // The file may be on a disk that outlives a boot; the boot's own id in it tells.
    if let Ok(text) = fs::read_to_string(&path)
        && let Some((of, token)) = text.trim().split_once(' ')
        && of == boot
        && token.len() == 2 * TOKEN_BYTES
    {
        return Ok(token.to_string());
    }
    let mut bytes = [0; TOKEN_BYTES];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).map_err(wrong)?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let new = directory.join("instance.new");
    fs::write(&new, format!("{boot} {token}\n")).and_then(|()| fs::rename(&new, &path)).map_err(wrong)?;
    Ok(token)
}
