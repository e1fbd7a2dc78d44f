//! Machines as the network sees them, for tests: namespaces on one bridge, without a systemd and without a root directory.
//!
//! ```text
//!   test process ──── keeper (takes all away when the test ends, in whatever way)
//!        │
//!        ├── bridge: network namespace, br0 192.168.99.254
//!        │            │ p1          │ p2
//!        ├── machine 0: eth0 192.168.99.1, /run of its own
//!        └── machine 1: eth0 192.168.99.2, …
//! ```
//!
//! Machines are counted from zero: machine 0 is 192.168.99.1, and with [`Namespaces::up_dual`] fd99::1 too. Each has a default
//! route by the bridge, and forwards. Where [`crate::hosts`] has whole hosts, these take milliseconds; what runs in
//! them sees the files of this machine, `/run` excepted. All that is seen in the machine's own namespaces are processes, one
//! directory for temporary files, and cgroups. Tests may run at the same time.
//!
//! What runs in a machine does so in its cgroup. So the keeper ends it even when the test died by a signal.

use crate::hosts::{cgroups, expect_ready, script, succeeded};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Error};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What must be installed, and in which package of Debian it is.
const TOOLS: [(&str, &str); 3] =
    [("/usr/bin/unshare", "util-linux"), ("/bin/ip", "iproute2"), ("/bin/bash", "bash")];

/// Most machines on one bridge.
pub const MACHINES_MOST: usize = 200;

/// Some machines on one bridge. Dropping it takes everything away.
pub struct Namespaces {
    /// Where a test may leave its files; goes with the rest.
    directory: PathBuf,
    machines: Vec<Held>,
    bridge: Option<Held>,
    keeper: Child,
}

/// A process that holds namespaces, and the way into them.
struct Held {
    child: Child,
    /// Opened for writing: the list of processes of its cgroup.
    processes: Arc<File>,
    network: Arc<File>,
    mounts: Arc<File>,
}

impl Namespaces {
    /// Whether machines can be made here, and if not, why.
    pub fn available() -> Result<(), String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_string());
        }
        for (path, package) in TOOLS {
            if !Path::new(path).exists() {
                return Err(format!("{path} is missing: apt-get install {package}"));
            }
        }
        cgroups().ok_or("no cgroup2 hierarchy at /sys/fs/cgroup or /sys/fs/cgroup/unified")?;
        let tried = Command::new("unshare").args(["--mount", "--net", "true"]).output();
        let tried = tried.map_err(|error| format!("unshare: {error}"))?;
        match tried.status.success() {
            true => Ok(()),
            false => Err(format!("no namespaces: {}", String::from_utf8_lossy(&tried.stderr).trim())),
        }
    }

    /// Whether a test that needs machines is to be skipped. Says why; where the environment has `ORLOP_SKIP_IS_FAILURE`, fails.
    pub fn skip() -> bool {
        let Err(why) = Namespaces::available() else {
            return false;
        };
        crate::skip::skipped(&why);
        true
    }

    /// Makes `count` machines with an IPv4 address each.
    pub fn up(count: usize) -> io::Result<Namespaces> {
        Namespaces::make(count, "single")
    }

    /// Makes `count` machines with an IPv4 and an IPv6 address each.
    pub fn up_dual(count: usize) -> io::Result<Namespaces> {
        Namespaces::make(count, "dual")
    }

    fn make(count: usize, families: &str) -> io::Result<Namespaces> {
        assert!((1..=MACHINES_MOST).contains(&count), "1 to {MACHINES_MOST} machines, not {count}");
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("orlop-net-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&prefix);
        let cgroups = cgroups().ok_or_else(|| Error::other("no cgroup2 hierarchy"))?;
        fs::create_dir(&directory)?;
        let mut keeper = script(include_str!("../hosts/keeper.sh"), "keeper");
        keeper.arg(&cgroups).arg(&prefix).arg(&directory);
        let keeper = keeper.stdin(Stdio::piped()).process_group(0).spawn()?;
        // From here on, whatever goes wrong, the keeper clears it when this value is dropped.
        let mut made = Namespaces { directory, machines: Vec::new(), bridge: None, keeper };
        for number in 1..=count {
            let cgroup = cgroups.join(format!("{prefix}-m{number}"));
            made.machines.push(hold(&cgroup, include_str!("holder.sh"), &[])?);
        }
        let holders: Vec<_> = made.machines.iter().map(|held| held.child.id().to_string()).collect();
        let arguments = [&holders.join(" "), families];
        made.bridge =
            Some(hold(&cgroups.join(format!("{prefix}-lan")), include_str!("bridge.sh"), &arguments)?);
        for machine in 0..count {
            let mut address = made.command(machine, "bash");
            address.args(["-c", include_str!("address.sh"), "address", &(machine + 1).to_string(), families]);
            succeeded(&["address.sh"], address.output()?)?;
        }
        Ok(made)
    }

    /// How many machines there are.
    pub fn count(&self) -> usize {
        self.machines.len()
    }

    /// The machine's address on the bridge: `192.168.99.N`.
    pub fn address(&self, machine: usize) -> String {
        format!("192.168.99.{}", machine + 1)
    }

    /// Its address of IPv6, if there are any: `fd99::N`.
    pub fn address_v6(&self, machine: usize) -> String {
        format!("fd99::{:x}", machine + 1)
    }

    /// A directory of this machine, seen in all of them too, for what the test writes. It goes when the value is dropped.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command that will run in the machine: the child itself, so that a signal to it meets no go-between. It sees the
    /// machine's network, and a `/run` that is the machine's own; otherwise it inherits from this process as usual.
    pub fn command(&self, machine: usize, program: impl AsRef<OsStr>) -> Command {
        self.machines[machine].command(program)
    }

    /// Runs a command in the machine and waits for it. Errors: it could not be started, or did not end with status 0; then
    /// the text has what it printed.
    pub fn exec(&self, machine: usize, argv: &[&str]) -> io::Result<String> {
        exec(&self.machines[machine], argv)
    }

    /// Runs a command on the bridge between the machines, at 192.168.99.254. Errors as for [`Namespaces::exec`].
    pub fn exec_on_bridge(&self, argv: &[&str]) -> io::Result<String> {
        exec(self.bridge.as_ref().expect("made with the machines"), argv)
    }

    /// Runs `work` on a thread of its own in the machine's network (not in its `/run`), and waits. Sockets that it
    /// opens, and threads and processes that it starts, stay in that network. A panic of it goes on here.
    ///
    /// For asynchronous work, make a runtime of the kind `current_thread` in it.
    pub fn inside<T: Send>(&self, machine: usize, work: impl FnOnce() -> T + Send) -> T {
        let network = &self.machines[machine].network;
        let run = move || {
            enter(network, LinkNameSpaceType::Network).expect("a namespace that is held can be entered");
            work()
        };
        let outcome = std::thread::scope(|scope| scope.spawn(run).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Takes the machine off the bridge. Its link stays up: it hears nothing and is not told why.
    pub fn cut(&self, machine: usize) -> io::Result<()> {
        self.exec_on_bridge(&["ip", "link", "set", &format!("p{}", machine + 1), "nomaster"]).map(drop)
    }

    /// Puts the machine back on the bridge.
    pub fn heal(&self, machine: usize) -> io::Result<()> {
        self.exec_on_bridge(&["ip", "link", "set", &format!("p{}", machine + 1), "master", "br0"]).map(drop)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Its input ends; the wait is for everything to be as it was before.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        for held in self.machines.iter_mut().chain(&mut self.bridge) {
            let _ = held.child.wait();
        }
    }
}

impl Held {
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let (processes, network, mounts) =
            (self.processes.clone(), self.network.clone(), self.mounts.clone());
        let join = move || {
            // "0" is the process that writes. The keeper finds it there.
            rustix::io::write(&processes, b"0")?;
            enter(&network, LinkNameSpaceType::Network)?;
            enter(&mounts, LinkNameSpaceType::Mount)
        };
        let mut command = Command::new(program);
        // Sound: between fork and exec, `join` makes three system calls on descriptors that are open, and nothing else. It takes
        // no lock and no memory; its errors are numbers.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(join);
        }
        command
    }
}

/// Moves the calling thread.
fn enter(namespace: &File, kind: LinkNameSpaceType) -> io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(kind)).map_err(Error::from)
}

/// Starts a process in namespaces and a cgroup of its own, and waits until it says that it is ready.
fn hold(cgroup: &Path, text: &str, arguments: &[&str]) -> io::Result<Held> {
    fs::create_dir(cgroup)?;
    let join = "echo $$ > \"$1/cgroup.procs\"; shift; exec unshare --net --mount bash -c \"$@\"";
    let mut holder = script(join, "join");
    holder.arg(cgroup).arg(text).arg("holder").args(arguments);
    let mut child = holder.stdout(Stdio::piped()).process_group(0).spawn()?;
    expect_ready(&mut child, "a namespace")?;
    let namespaces = PathBuf::from(format!("/proc/{}/ns", child.id()));
    let processes = fs::OpenOptions::new().write(true).open(cgroup.join("cgroup.procs"))?;
    let network = File::open(namespaces.join("net"))?;
    let mounts = File::open(namespaces.join("mnt"))?;
    Ok(Held { child, processes: Arc::new(processes), network: Arc::new(network), mounts: Arc::new(mounts) })
}

fn exec(held: &Held, argv: &[&str]) -> io::Result<String> {
    let [program, arguments @ ..] = argv else {
        return Err(Error::other("no program"));
    };
    let output = held.command(program).args(arguments).stdin(Stdio::null()).output()?;
    succeeded(argv, output)
}
