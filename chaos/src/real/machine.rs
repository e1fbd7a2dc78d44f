//! A member as a machine: a process with a disk of its own in a network namespace of its own, and its power switch.
//!
//! When the power goes the line goes dark first, so that no other machine is told that connections have ended; then the process
//! is killed and the disk forgets what was not synced. A machine that starts has its line back, and monotonic clocks that began
//! at another time than those of the others (a time namespace), as machines have that were switched on at different times.

use super::disk::Disk;
use super::lan::{self, CLIENT_PORT, Lan, PEER_PORT};
use super::tracer::{Tracer, Wrong};
use io_sim::plan::Plan;
use kernel::rng::Stream;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// The most that a machine's monotonic clock is ahead of another's, in seconds: it runs for 30 years.
const MAX_SHIFT_SECONDS: u64 = 1_000_000_000;

/// A member's machine.
pub struct Machine {
    /// Its number, counted from 1.
    pub member: u8,
    folder: PathBuf,
    program: PathBuf,
    /// The disk.
    pub disk: Disk,
    process: Option<Child>,
    /// Whether it was asked to end.
    leaving: bool,
    /// Faults that pause it.
    pauses: u32,
    /// What is wrong with the disk, by the number of the fault.
    wrong: BTreeMap<usize, Wrong>,
    tracer: Option<Tracer>,
    shifts: Stream,
    /// Starts so far, and those with a shifted clock.
    pub starts: u64,
    /// Starts with clocks that were shifted.
    pub shifted: u64,
}

impl Machine {
    /// A machine with an empty disk, switched off, whose files lie below `work`.
    pub fn new(member: u8, seed: u64, work: &Path, program: &Path) -> Result<Machine, String> {
        let folder = work.join(format!("m{member}"));
        Ok(Machine {
            member,
            disk: Disk::new(&folder)?,
            folder,
            program: program.to_path_buf(),
            process: None,
            leaving: false,
            pauses: 0,
            wrong: BTreeMap::new(),
            tracer: None,
            shifts: Stream::new(seed, "uptime", member.into()),
            starts: 0,
            shifted: 0,
        })
    }

    /// The file with what it was observed to do.
    pub fn observations(&self) -> PathBuf {
        self.folder.join("observations")
    }

    /// The file with what it printed.
    pub fn printed(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The file with what was injected into its system calls.
    pub fn account(&self) -> PathBuf {
        self.folder.join("strace")
    }

    /// Whether its process runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Switches it on, unless it runs.
    pub fn start(&mut self, plan: &Plan, lan: &Lan) -> Result<(), String> {
        if self.is_up() {
            return Ok(());
        }
        self.disk.mount()?;
        lan.line(self.member).set(|weather| weather.dark = false);
        let log = File::options().create(true).append(true).open(self.printed());
        let log = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = log.map_err(|error| format!("{}: {error}", self.printed().display()))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", lan::namespace(self.member).display()));
        let shift = self.shifts.below(MAX_SHIFT_SECONDS);
        // One start in four has the machine's own clocks.
        if self.shifts.chance(3, 4) {
            let shift = shift.to_string();
            command.args(["unshare", "--time", "--monotonic", &shift, "--boottime", &shift]);
            self.shifted += 1;
        }
        command.arg(&self.program).args(self.flags(plan));
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child = command.spawn().map_err(|error| format!("nsenter: {error}"))?;
        self.leaving = false;
        self.process = Some(child);
        self.starts += 1;
        if self.pauses > 0 {
            self.signal(Signal::STOP);
        }
        self.trace()
    }

    fn flags(&self, plan: &Plan) -> Vec<String> {
        let peer = |member: u8| format!("http://{}:{PEER_PORT}", lan::address(member));
        let client = format!("http://{}:{CLIENT_PORT}", lan::address(self.member));
        let all = (1..=plan.members).map(|member| format!("m{member}={}", peer(member)));
        let knobs = &plan.knobs;
        let mut flags = vec!["etcd".to_string()];
        let mut add = |name: &str, value: String| flags.push(format!("--{name}={value}"));
        add("name", format!("m{}", self.member));
        add("data-dir", self.disk.path().join("data").display().to_string());
        add("listen-peer-urls", peer(self.member));
        add("initial-advertise-peer-urls", peer(self.member));
        add("listen-client-urls", client.clone());
        add("advertise-client-urls", client);
        add("initial-cluster", all.collect::<Vec<_>>().join(","));
        add("heartbeat-interval", knobs.tick_ms.to_string());
        add("election-timeout", (knobs.tick_ms * knobs.election_ticks).to_string());
        add("snapshot-catchup-entries", knobs.catch_up_entries.to_string());
        add("wal-segment-bytes", knobs.wal_segment_bytes.to_string());
        add("checkpoint-bytes", knobs.checkpoint_bytes.to_string());
        add("overlay-bytes", knobs.overlay_bytes.to_string());
        add("watch-progress-notify-interval", "3s".to_string());
        add("observations-file", self.observations().display().to_string());
        flags
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            let _ = kill_process(Pid::from_child(process), signal);
        }
    }

    /// Kills the process; whether there was one.
    pub fn kill(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return false };
        let _ = process.kill();
        let _ = process.wait();
        self.tracer = None;
        true
    }

    /// Takes the power away; whether there was a process.
    pub fn cut_power(&mut self, lan: &Lan) -> Result<bool, String> {
        lan.line(self.member).set(|weather| weather.dark = true);
        let ran = self.kill();
        self.disk.cut_power()?;
        Ok(ran)
    }

    /// How the process ended by itself, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().ok()??;
        self.process = None;
        self.tracer = None;
        Some(status)
    }

    /// Asks the process to end in good order.
    pub fn leave(&mut self) {
        self.leaving = self.is_up();
        self.signal(Signal::TERM);
    }

    /// Whether it was asked to end before it did.
    pub fn has_left(&self) -> bool {
        self.leaving
    }

    /// Stops the process from running; as many [`Machine::resume`] as pauses let it go on.
    pub fn pause(&mut self) {
        self.pauses += 1;
        self.signal(Signal::STOP);
    }

    /// Takes one pause back.
    pub fn resume(&mut self) {
        self.pauses = self.pauses.saturating_sub(1);
        if self.pauses == 0 {
            self.signal(Signal::CONT);
        }
    }

    /// Makes something go wrong with the disk, by fault `number`.
    pub fn go_wrong(&mut self, number: usize, wrong: Wrong) -> Result<(), String> {
        self.wrong.insert(number, wrong);
        self.trace()
    }

    /// Ends what fault `number` does to the disk.
    pub fn mend(&mut self, number: usize) -> Result<(), String> {
        match self.wrong.remove(&number) {
            Some(_) => self.trace(),
            None => Ok(()),
        }
    }

    /// Whether `what` is wrong with the disk by any fault.
    pub fn has(&self, what: impl Fn(Wrong) -> bool) -> bool {
        self.wrong.values().any(|wrong| what(*wrong))
    }

    /// Forgets what happens once only: it has happened, or ended with the process that it was meant for.
    pub fn has_happened(&mut self) {
        self.wrong.retain(|_, wrong| matches!(wrong, Wrong::LyingSync | Wrong::Slow(_)));
    }

    /// Gives the process the tracer that it should have.
    fn trace(&mut self) -> Result<(), String> {
        self.tracer = None;
        let (Some(process), Some(wrong)) = (&self.process, self.wrong.values().min()) else { return Ok(()) };
        self.tracer = Tracer::attach(process.id(), *wrong, &self.account())?;
        Ok(())
    }

    /// The last lines that it printed.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(self.printed()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(3)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}
