//! One host: its root directory, and its life from boot to crash.

use super::{HostsOptions, expect_ready, in_network, script, succeeded};
use std::fs;
use std::io::{self, Error, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a host may take to come up or to go down. Machines that run tests are busy.
const BOOT_MOST: Duration = Duration::from_secs(60);

/// Pause between two looks at a host that comes or goes.
const LOOK: Duration = Duration::from_millis(10);

/// One host, running or off.
pub struct Host {
    /// Counted from one.
    number: usize,
    directory: PathBuf,
    cgroup: PathBuf,
    running: Option<Running>,
}

struct Running {
    /// `unshare`, which waits for the host's PID 1.
    outer: Child,
    /// The host's PID 1, as this machine counts.
    leader: u32,
}

impl Host {
    pub fn new(directory: &Path, cgroup: PathBuf, index: usize) -> Host {
        let number = index + 1;
        Host { number, directory: directory.join(format!("h{number}")), cgroup, running: None }
    }

    pub fn address(&self) -> String {
        format!("10.99.0.{}", self.number)
    }

    pub fn machine_id(&self) -> String {
        // Short ids, as fleetctl prints them, differ too.
        format!("{:08x}{:024x}", 0x7000_0000 + self.number, self.number)
    }

    pub fn is_on(&self) -> bool {
        self.running.is_some()
    }

    pub fn port(&self) -> String {
        format!("p{}", self.number)
    }

    pub fn path(&self, inside: &Path) -> PathBuf {
        let root = self.directory.join("root");
        root.join(inside.strip_prefix("/").unwrap_or_else(|_| panic!("{} is not absolute", inside.display())))
    }

    pub fn leader(&self) -> u32 {
        self.running.as_ref().unwrap_or_else(|| panic!("host h{} is off", self.number)).leader
    }

    pub fn make_root(&self, options: &HostsOptions) -> io::Result<()> {
        fs::create_dir(&self.directory)?;
        let mut make = script(include_str!("root.sh"), "root");
        make.arg(self.path(Path::new("/"))).arg(format!("h{}", self.number)).arg(self.machine_id());
        succeeded(&["root.sh"], make.output()?)?;
        for (from, to) in &options.files {
            let to = self.path(to);
            fs::create_dir_all(to.parent().expect("a file is in a directory"))?;
            fs::copy(from, &to).map_err(|error| Error::other(format!("{}: {error}", from.display())))?;
        }
        let units = self.path(Path::new("/etc/systemd/system"));
        let wants = units.join("multi-user.target.wants");
        fs::create_dir_all(&wants)?;
        for (name, text) in &options.services {
            fs::write(units.join(name), text)?;
            std::os::unix::fs::symlink(Path::new("..").join(name), wants.join(name))?;
        }
        Ok(())
    }

    pub fn boot(&mut self, lan: u32) -> io::Result<()> {
        assert!(self.running.is_none(), "host h{} runs", self.number);
        let root = self.path(Path::new("/"));
        let run = root.join("run");
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        fs::create_dir(&run)?;
        let boot_id = self.directory.join("boot_id");
        fs::write(&boot_id, fs::read("/proc/sys/kernel/random/uuid")?)?;
        fs::create_dir_all(&self.cgroup)?;
        let join = "echo $$ > \"$1/cgroup.procs\"; shift; exec \"$@\"";
        let console = fs::File::create(self.console())?;
        let mut command = script(join, "host");
        command.arg(&self.cgroup);
        command.args(["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork"]);
        command.args(["--kill-child=SIGKILL", "bash", "-c", include_str!("inner.sh"), "inner"]);
        command.arg(&root).arg(format!("{}/24", self.address())).arg(&boot_id);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(console).process_group(0);
        let mut outer = command.spawn()?;
        let outcome = self.connect(&mut outer, lan);
        let leader = outcome.and_then(|()| first_child(outer.id()));
        // Kept even if it failed, so that it is reaped.
        self.running = Some(Running { outer, leader: *leader.as_ref().unwrap_or(&0) });
        leader.and_then(|_| self.wait_until_up()).map_err(|error| {
            let console = fs::read_to_string(self.console()).unwrap_or_default();
            Error::other(format!("host h{} does not come up: {error}\n{console}", self.number))
        })
    }

    /// Gives a host whose namespaces are there its link, and tells it so.
    fn connect(&self, outer: &mut Child, lan: u32) -> io::Result<()> {
        expect_ready(outer, "the host")?;
        let (port, pid) = (self.port(), outer.id().to_string());
        // The port of the life before ended with its other end, but perhaps not yet.
        let _ = in_network(lan, &["ip", "link", "delete", &port]).output()?;
        for argv in [
            &["ip", "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &pid][..],
            &["ip", "link", "set", &port, "master", "br0", "up"][..],
        ] {
            succeeded(argv, in_network(lan, argv).output()?)?;
        }
        let mut stdin = outer.stdin.take().ok_or_else(|| Error::other("no pipe"))?;
        stdin.write_all(b"go\n")
    }

    fn console(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    fn wait_until_up(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + BOOT_MOST;
        let socket = self.path(Path::new("/run/dbus/system_bus_socket"));
        let mut state = "without a bus".to_string();
        loop {
            if let Some(status) =
                self.running.as_mut().and_then(|running| running.outer.try_wait().transpose())
            {
                return Err(Error::other(format!("it ended: {}", status?)));
            }
            if socket.exists() {
                state = system_state(&socket)?;
                match state.as_str() {
                    "running" => return Ok(()),
                    "degraded" => return Err(Error::other("units failed while it booted; see its journal")),
                    _ => {}
                }
            }
            if Instant::now() > deadline {
                return Err(Error::other(format!("it is {state} after {BOOT_MOST:?}")));
            }
            std::thread::sleep(LOOK);
        }
    }

    pub fn crash(&mut self) -> io::Result<()> {
        fs::write(self.cgroup.join("cgroup.kill"), "1")?;
        self.wait_until_off()
    }

    pub fn poweroff(&mut self) -> io::Result<()> {
        // systemd's own signal for it: SIGRTMIN+4.
        let mut kill = script("kill -s RTMIN+4 \"$1\"", "poweroff");
        succeeded(&["kill"], kill.arg(self.leader().to_string()).output()?)?;
        self.wait_until_off()
    }

    /// Waits until nothing of the host is left but its root directory.
    fn wait_until_off(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + BOOT_MOST;
        let events = self.cgroup.join("cgroup.events");
        let off = |running: &mut Running| -> io::Result<bool> {
            Ok(running.outer.try_wait()?.is_some() && fs::read_to_string(&events)?.contains("populated 0"))
        };
        while let Some(running) = &mut self.running {
            if off(running)? {
                self.running = None;
            } else if Instant::now() > deadline {
                return Err(Error::other(format!(
                    "host h{} is still there after {BOOT_MOST:?}",
                    self.number
                )));
            } else {
                std::thread::sleep(LOOK);
            }
        }
        let mut clear = Command::new("find");
        clear.arg(&self.cgroup).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
        succeeded(&["rmdir"], clear.output()?).map(drop)
    }

    /// Takes the exit status of a host that was killed.
    pub fn reap(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.outer.wait();
        }
    }
}

/// The only child of `unshare --fork`: PID 1 of the new namespace.
fn first_child(pid: u32) -> io::Result<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let first = children.split_whitespace().next().and_then(|child| child.parse().ok());
    first.ok_or_else(|| Error::other(format!("unshare has no child: {children:?}")))
}

/// What systemd says of the host as a whole; "starting" while it cannot be asked.
fn system_state(socket: &Path) -> io::Result<String> {
    let output = Command::new("busctl")
        .arg(format!("--address=unix:path={}", socket.display()))
        .args(["get-property", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "SystemState"])
        .output()?;
    let answer = String::from_utf8_lossy(&output.stdout);
    // It answers: s "running"
    Ok(answer.split('"').nth(1).unwrap_or("starting").to_string())
}
