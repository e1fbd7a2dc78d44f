//! Disk faults of a running process, by injection into its system calls: strace takes the process, changes what the kernel
//! answers, and lets go of it again. What was injected is read from strace's own account of it.
//!
//! One tracer at a time can have a process, so all that is wrong with a member's disk at a moment goes into one, the gravest
//! first: a sync that fails, syncs that lie, a power cut after so many calls, slowness.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The calls that make data durable, and those that change a disk at all.
const SYNCS: &str = "fdatasync,fsync";
const WORK: &str = "fdatasync,fsync,pwrite64,ftruncate,rename";
/// Longest wait for a tracer to have, or to let go of, its process.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// The next sync fails.
    FailSync,
    /// Syncs promise and do nothing.
    LyingSync,
    /// The n-th write on one thread fails.
    FailWrite(u64),
    /// The n-th read on one thread fails.
    FailRead(u64),
    /// The process dies at its n-th call on one thread.
    DieAfter(u64),
    /// Each call takes so many milliseconds longer.
    Slow(u64),
}

impl Wrong {
    fn calls(self) -> &'static str {
        match self {
            Wrong::FailSync | Wrong::LyingSync => SYNCS,
            Wrong::FailWrite(_) => "pwrite64",
            Wrong::FailRead(_) => "pread64",
            Wrong::DieAfter(_) | Wrong::Slow(_) => WORK,
        }
    }

    /// In the notation of `strace -e`.
    fn injection(self) -> String {
        let calls = self.calls();
        match self {
            Wrong::FailSync => format!("inject={calls}:error=EIO:when=1"),
            Wrong::LyingSync => format!("inject={calls}:retval=0"),
            Wrong::FailWrite(nth) | Wrong::FailRead(nth) => {
                format!("inject={calls}:error=EIO:when={}", nth.max(1))
            }
            Wrong::DieAfter(operations) => {
                format!("inject={calls}:signal=SIGKILL:when={}", operations.max(1))
            }
            Wrong::Slow(by_ms) => format!("inject={calls}:delay_enter={}", by_ms * 1_000),
        }
    }
}

/// A strace that has a process.
pub struct Tracer {
    strace: Child,
}

impl Tracer {
    /// Makes `wrong` go wrong for the process `pid`, from now on; the account goes to the end of `account`. `None` when the
    /// process is gone.
    pub fn attach(pid: u32, wrong: Wrong, account: &Path) -> Result<Option<Tracer>, String> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-A", "-o"]).arg(account);
        strace.args(["-e", &format!("trace={}", wrong.calls()), "-e", &wrong.injection()]);
        strace
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let strace = strace.spawn().map_err(|error| format!("strace: {error}"))?;
        let mut tracer = Tracer { strace };
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if is_traced(pid) {
                return Ok(Some(tracer));
            }
            if !matches!(tracer.strace.try_wait(), Ok(None)) {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("strace does not get process {pid} within {PATIENCE:?}"))
    }
}

impl Drop for Tracer {
    /// Lets go of the process, if it still lives.
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.strace);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if !matches!(self.strace.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn is_traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
}

/// What tracers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Syncs that failed.
    pub failed: u64,
    /// Syncs that lied.
    pub lied: u64,
    /// Reads and writes that failed.
    pub errors: u64,
    /// Calls that were slowed down.
    pub slowed: u64,
}

impl Injected {
    /// Reads the account of a member's tracers.
    pub fn of(accounts: &[PathBuf]) -> Injected {
        accounts
            .iter()
            .fold(Injected::default(), |sum, path| sum.and(&fs::read_to_string(path).unwrap_or_default()))
    }

    fn and(mut self, account: &str) -> Injected {
        for line in account.lines() {
            let is_sync = line.contains("sync(") || line.contains("sync resumed");
            let injected = line.contains("(INJECTED)");
            self.failed += u64::from(is_sync && injected && line.contains("EIO"));
            self.lied += u64::from(is_sync && injected && line.contains("= 0"));
            self.errors += u64::from(!is_sync && injected && line.contains("EIO"));
            self.slowed += u64::from(line.contains("(DELAYED)"));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_strace_is_counted() {
        let account = "71 fdatasync(9) = -1 EIO (Input/output error) (INJECTED)\n\
                       71 fdatasync(9) = 0 (INJECTED)\n72 fsync(4)  = 0\n\
                       71 <... fdatasync resumed>)  = 0 (DELAYED)\n71 pwrite64(9, \"sync(\", 4, 0) = 4 (DELAYED)\n";
        assert_eq!(Injected::default().and(account), Injected { failed: 1, lied: 1, errors: 0, slowed: 2 });
    }

    #[test]
    fn the_gravest_comes_first() {
        let mut all = [Wrong::Slow(5), Wrong::DieAfter(3), Wrong::FailSync, Wrong::LyingSync];
        all.sort();
        assert_eq!(all[0], Wrong::FailSync);
        assert_eq!(
            Wrong::Slow(5).injection(),
            "inject=fdatasync,fsync,pwrite64,ftruncate,rename:delay_enter=5000"
        );
    }
}
