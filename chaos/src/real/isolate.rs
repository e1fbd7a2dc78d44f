//! A place of its own for a real run: mount, process and network namespaces that end with the process.
//!
//! The program starts itself again as the first process of new namespaces. The kernel ends every process in them when that one
//! ends, in whatever way, and takes their mounts and devices away; and it kills that one when the program that was started first
//! is gone, in whatever way again. Everything that a run writes lies in a file system in memory that only these namespaces see, over a
//! folder that is there anyway. So nothing is left behind, and nobody has to clean up.

use super::tool;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What must be installed, and in which package of Debian it is.
const TOOLS: [(&str, &str); 9] = [
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("strace", "strace"),
];
/// Devices that must be there.
const DEVICES: [&str; 2] = ["/dev/net/tun", "/dev/loop-control"];
/// Where `ip` keeps namespaces: the run's file system in memory goes over it.
const NAMESPACES: &str = "/run/netns";
/// How large that may become.
const MEMORY: &str = "size=1500m";

/// Why real runs cannot be made here, if so.
pub fn requirements() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("real runs need root: they make network namespaces, mount file systems and trace processes. Run it \
                    with sudo, or use `run`, which needs nothing"
            .to_string());
    }
    for (name, package) in TOOLS {
        if find(name).is_none() {
            return Err(format!("{name} is missing: apt-get install {package}"));
        }
    }
    for device in DEVICES {
        if !Path::new(device).exists() {
            return Err(format!("{device} is missing: real runs make network devices and mount files"));
        }
    }
    let probe = Command::new("unshare").args(["--mount", "--pid", "--net", "--fork", "true"]).output();
    let probe = probe.map_err(|error| format!("unshare: {error}"))?;
    match probe.status.success() {
        true => Ok(()),
        false => Err(format!("no namespaces can be made: {}", String::from_utf8_lossy(&probe.stderr).trim())),
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    // Root's own programs may be out of an inherited path.
    let folders = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.exists())
}

/// Runs this program again, with the same arguments and `more`, as the first process of namespaces of its own; its exit code.
pub fn run(more: &[&str]) -> Result<u8, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Ctrl-C reaches the process inside as well, which then ends in good order; this one waits for it.
    ctrlc::set_handler(|| ()).map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--propagation", "private"]).arg(program).args(arguments).args(more);
    let status = command.env("PATH", path).status().map_err(|error| format!("setpriv: {error}"))?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => Ok(code),
        None => Err(format!("the run was killed ({status}); nothing of it is left")),
    }
}

/// Inside: the folder for all that runs write. `outside` tells it from that of others, where the kernel shows it to all.
pub fn work(outside: u32) -> Result<PathBuf, String> {
    std::fs::create_dir_all(NAMESPACES).map_err(|error| format!("{NAMESPACES}: {error}"))?;
    tool(Command::new("mount").args(["-t", "tmpfs", "-o", MEMORY, "orlop-chaos", NAMESPACES]))?;
    Ok(PathBuf::from(NAMESPACES).join(format!("run-{outside}")))
}
