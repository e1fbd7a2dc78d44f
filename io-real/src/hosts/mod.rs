//! Real systemd hosts for tests: each is a set of namespaces whose PID 1 is this machine's own systemd, with a root directory
//! of its own over the machine's `/usr`, an address on a bridge, a machine id, a journal and a D-Bus. One takes some
//! 6 MiB and a few tenths of a second.
//!
//! ```text
//!   test process ──── keeper (takes all away when the test ends, in whatever way)
//!        │
//!        ├── lan: network namespace, br0 10.99.0.254
//!        │         │ p1      │ p2
//!        ├── h1: eth0 10.99.0.1    systemd, dbus, journald, units     DIR/h1/root, cgroup PREFIX-h1
//!        └── h2: eth0 10.99.0.2    …
//! ```
//!
//! Hosts are counted from zero: host 0 is `h1`, 10.99.0.1. What a host writes is under [`Hosts::path`], `/run` and its sockets
//! included, so a test speaks to its bus without entering it. Nothing is mounted or named in the machine's own namespaces; all that
//! is seen there are processes, one directory in the directory for temporary files, and cgroups. Tests may run at the same time.
//!
//! A network namespace ends with its host: after [`Hosts::crash`] and [`Hosts::boot`] it is empty but for `lo` and `eth0`, as
//! after a real reboot. The root directory stays, but for `/run` and `/tmp`.

mod host;

use host::Host;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Error};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

/// What must be installed, and in which package of Debian it is.
const TOOLS: [(&str, &str); 8] = [
    ("/usr/lib/systemd/systemd", "systemd"),
    ("/usr/bin/busctl", "systemd"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/bin/unshare", "util-linux"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/bin/ip", "iproute2"),
    ("/usr/bin/find", "findutils"),
    ("/bin/bash", "bash"),
];

/// Most hosts of one bridge.
pub const HOSTS_MOST: usize = 200;

/// What hosts are given before they boot.
#[derive(Clone, Debug, Default)]
pub struct HostsOptions {
    /// Files copied into each host: from a path of this machine to an absolute path of the host. Modes are kept.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Units written to each host's `/etc/systemd/system`, and started at each boot: name and text.
    pub services: Vec<(String, String)>,
}

/// Some hosts on one bridge. Dropping it takes everything away.
pub struct Hosts {
    directory: PathBuf,
    lan: u32,
    hosts: Vec<Mutex<Host>>,
    keeper: Child,
}

impl Hosts {
    /// Whether hosts can be made here, and if not, why.
    pub fn available() -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("real hosts need root".to_string());
        }
        for (path, package) in TOOLS {
            if !Path::new(path).exists() {
                return Err(format!("{path} is missing: apt-get install {package}"));
            }
        }
        let cgroups = cgroups().ok_or("no cgroup2 hierarchy at /sys/fs/cgroup or /sys/fs/cgroup/unified")?;
        static TRIED: AtomicU32 = AtomicU32::new(0);
        let number = TRIED.fetch_add(1, Ordering::Relaxed);
        let tried = cgroups.join(format!("orlop-hosts-{}-tried-{number}", std::process::id()));
        fs::create_dir(&tried).map_err(|error| format!("{}: {error}", tried.display()))?;
        fs::remove_dir(&tried).map_err(|error| format!("{}: {error}", tried.display()))?;
        let tried = Command::new("unshare")
            .args(["--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork", "true"])
            .output()
            .map_err(|error| format!("unshare: {error}"))?;
        match tried.status.success() {
            true => Ok(()),
            false => Err(format!("no namespaces: {}", String::from_utf8_lossy(&tried.stderr).trim())),
        }
    }

    /// Whether a test that needs hosts is to be skipped. Says why; where the environment has `ORLOP_SKIP_IS_FAILURE`, fails.
    pub fn skip() -> bool {
        let Err(why) = Hosts::available() else {
            return false;
        };
        crate::skip::skipped(&why);
        true
    }

    /// Boots `count` hosts, at the same time, and waits until each is up.
    pub fn up(count: usize, options: &HostsOptions) -> io::Result<Hosts> {
        assert!((1..=HOSTS_MOST).contains(&count), "1 to {HOSTS_MOST} hosts, not {count}");
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("orlop-hosts-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&prefix);
        let cgroups = cgroups().ok_or_else(|| Error::other("no cgroup2 hierarchy"))?;
        fs::create_dir(&directory)?;
        let mut keeper = script(include_str!("keeper.sh"), "keeper");
        keeper.arg(&cgroups).arg(&prefix).arg(&directory);
        let keeper = keeper.stdin(Stdio::piped()).process_group(0).spawn()?;
        // From here on, whatever goes wrong, the keeper clears it when this value is dropped.
        let mut made = Hosts { directory, lan: 0, hosts: Vec::new(), keeper };
        made.lan = start_lan(&cgroups.join(format!("{prefix}-lan")))?;
        for index in 0..count {
            let name = format!("h{}", index + 1);
            let cgroup = cgroups.join(format!("{prefix}-{name}"));
            made.hosts.push(Mutex::new(Host::new(&made.directory, cgroup, index)));
        }
        let outcomes = std::thread::scope(|scope| {
            let made = &made;
            let boots: Vec<_> =
                (0..count).map(|host| scope.spawn(move || made.make(host, options))).collect();
            boots.into_iter().map(|boot| boot.join().expect("no panic")).collect::<Vec<_>>()
        });
        outcomes.into_iter().collect::<io::Result<Vec<()>>>()?;
        Ok(made)
    }

    fn make(&self, index: usize, options: &HostsOptions) -> io::Result<()> {
        let mut host = self.host(index);
        host.make_root(options)?;
        host.boot(self.lan)
    }

    fn host(&self, index: usize) -> MutexGuard<'_, Host> {
        self.hosts[index].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many hosts there are, running or not.
    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    /// Whether the host runs: booted, and not crashed or powered off since.
    pub fn is_on(&self, host: usize) -> bool {
        self.host(host).is_on()
    }

    /// The host's address on the bridge: `10.99.0.N`.
    pub fn address(&self, host: usize) -> String {
        self.host(host).address()
    }

    /// The host's machine id.
    pub fn machine_id(&self, host: usize) -> String {
        self.host(host).machine_id()
    }

    /// Where this machine finds the host's `inside`, an absolute path.
    pub fn path(&self, host: usize, inside: impl AsRef<Path>) -> PathBuf {
        self.host(host).path(inside.as_ref())
    }

    /// The D-Bus address of the host's bus, for a process of this machine.
    pub fn bus_address(&self, host: usize) -> String {
        format!("unix:path={}", self.path(host, "/run/dbus/system_bus_socket").display())
    }

    /// A command that will run inside the host, as root and with nothing of this process's environment. It is not of the host's
    /// systemd's making: it ends with the host, but not with any unit.
    pub fn command(&self, host: usize, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.host(host).leader().to_string()).arg("--all").arg("--");
        command.arg(program).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs a command inside the host and waits for it. Errors: it could not be started, or did not end with status 0; then the
    /// text has what it printed.
    pub fn exec(&self, host: usize, argv: &[&str]) -> io::Result<String> {
        let [program, arguments @ ..] = argv else {
            return Err(Error::other("no program"));
        };
        succeeded(argv, self.command(host, program).args(arguments).output()?)
    }

    /// Runs a command on the bridge between the hosts, at 10.99.0.254. Errors as for [`Hosts::exec`].
    pub fn exec_on_bridge(&self, argv: &[&str]) -> io::Result<String> {
        let output = in_network(self.lan, argv).output()?;
        succeeded(argv, output)
    }

    /// Cuts the power: everything on the host dies at once. Unwritten files are not lost; the machine's kernel has them.
    pub fn crash(&self, host: usize) -> io::Result<()> {
        self.host(host).crash()
    }

    /// Shuts the host down in good order, and waits until it is off.
    pub fn poweroff(&self, host: usize) -> io::Result<()> {
        self.host(host).poweroff()
    }

    /// Boots a host that is off, and waits until it is up.
    pub fn boot(&self, host: usize) -> io::Result<()> {
        self.host(host).boot(self.lan)
    }

    /// Takes the host off the bridge. Its link stays up: it hears nothing and is not told why.
    pub fn cut(&self, host: usize) -> io::Result<()> {
        let port = self.host(host).port();
        self.exec_on_bridge(&["ip", "link", "set", &port, "nomaster"]).map(drop)
    }

    /// Puts the host back on the bridge.
    pub fn heal(&self, host: usize) -> io::Result<()> {
        let port = self.host(host).port();
        self.exec_on_bridge(&["ip", "link", "set", &port, "master", "br0"]).map(drop)
    }

    /// What the host's journal has, of `unit` or of all, for the message of a test that failed.
    pub fn journal(&self, host: usize, unit: Option<&str>) -> String {
        let mut command = Command::new("journalctl");
        command.arg("--no-pager").arg("--directory").arg(self.path(host, "/var/log/journal"));
        if let Some(unit) = unit {
            command.arg("--unit").arg(unit);
        }
        match command.output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("journalctl: {error}"),
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // Its input ends; the wait is for the machine to be as it was before.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        for host in &self.hosts {
            host.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).reap();
        }
    }
}

/// The cgroup2 hierarchy of this machine, alone or beside the old ones.
pub(crate) fn cgroups() -> Option<PathBuf> {
    let places = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    places
        .into_iter()
        .find(|place| place.join("cgroup.procs").exists() && place.join("cgroup.controllers").exists())
}

/// A shell that runs `text`.
pub(crate) fn script(text: &str, name: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg("-c").arg(text).arg(name).stdin(Stdio::null());
    command
}

/// A command in the network namespace of process `pid`, by absolute words.
fn in_network(pid: u32, argv: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{pid}/ns/net")).arg("--").args(argv).stdin(Stdio::null());
    command
}

/// Starts the process that holds the bridge; it ends with its cgroup.
fn start_lan(cgroup: &Path) -> io::Result<u32> {
    fs::create_dir(cgroup)?;
    let join = format!(
        "echo $$ > {}/cgroup.procs; exec unshare --net bash -c \"$1\" lan 10.99.0.254/24",
        cgroup.display()
    );
    let mut lan = script(&join, "lan");
    let mut lan = lan.arg(include_str!("lan.sh")).stdout(Stdio::piped()).process_group(0).spawn()?;
    expect_ready(&mut lan, "the bridge")?;
    Ok(lan.id())
}

/// Waits until a child says that it is ready.
pub(crate) fn expect_ready(child: &mut Child, what: &str) -> io::Result<()> {
    let stdout = child.stdout.take().ok_or_else(|| Error::other("no pipe"))?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    match line.trim() {
        "ready" => Ok(()),
        other => Err(Error::other(format!("{what} is not ready: {other:?}"))),
    }
}

pub(crate) fn succeeded(argv: &[&str], output: Output) -> io::Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{argv:?}: {}\n{stdout}{stderr}", output.status)))
}
