//! A unit of a plan: what its process does and what its `[X-Fleet]` section asks for, as data that a checker can judge
//! without fleet's own reading of it.

use fleet::unit::{PartitionPolicy, UnitFile, UnitName};
use std::fmt::Write;
use std::time::Duration;

/// A unit's text, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSpec {
    /// Its number, which makes its name.
    pub unit: u16,
    /// Tells texts of one unit apart.
    pub version: u16,
    /// What its process does.
    pub run: RunKind,
    /// `MachineMetadata=zone=z…`.
    pub zone: Option<u16>,
    /// `MachineID` of this machine.
    pub machine: Option<u16>,
    /// `Conflicts` with these units.
    pub conflicts: Vec<u16>,
    /// `MachineOf` this unit.
    pub beside: Option<u16>,
    /// `Global`.
    pub global: bool,
    /// `Replaces` this unit.
    pub replaces: Option<u16>,
    /// `Partition`.
    pub policy: PartitionPolicy,
    /// `StopGrace` in seconds, with `Partition=stop`.
    pub grace_s: u64,
}

/// What a unit's process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// It runs until it is stopped.
    Forever,
    /// It runs until it is stopped, and systemd starts it again when it crashes.
    Restarted,
    /// It runs until it is killed: it does not heed SIGTERM.
    Stubborn,
    /// It ends well after so many seconds.
    Ends(u64),
    /// It fails after so many seconds.
    Fails(u64),
    /// A oneshot that is done after so many seconds.
    Oneshot(u64),
}

/// How long systemd waits for a stubborn process.
pub const STUBBORN_FOR: Duration = Duration::from_secs(4);

/// The name of unit number `unit`.
pub fn unit_name(unit: u16) -> UnitName {
    UnitName::parse(&format!("u{unit}.service")).expect("a plan's unit names are good ones")
}

impl UnitSpec {
    /// A unit that runs for ever and asks for nothing.
    pub fn plain(unit: u16) -> UnitSpec {
        UnitSpec {
            unit,
            version: 1,
            run: RunKind::Forever,
            zone: None,
            machine: None,
            conflicts: Vec::new(),
            beside: None,
            global: false,
            replaces: None,
            policy: PartitionPolicy::Keep,
            grace_s: 0,
        }
    }

    /// Whether its process runs until somebody stops it.
    pub fn is_lasting(&self) -> bool {
        matches!(self.run, RunKind::Forever | RunKind::Restarted | RunKind::Stubborn)
    }

    /// The unit file.
    pub fn file(&self) -> UnitFile {
        UnitFile::parse(&self.text()).expect("a plan's unit files are good ones")
    }

    fn text(&self) -> String {
        let mut text =
            format!("[Unit]\nDescription=unit {} version {}\n\n[Service]\n", self.unit, self.version);
        let service = match self.run {
            RunKind::Forever => "ExecStart=/bin/sleep infinity\n".to_string(),
            RunKind::Restarted => "Restart=always\nExecStart=/bin/sleep infinity\n".to_string(),
            RunKind::Stubborn => format!(
                "TimeoutStopSec={}\nExecStart=/bin/sh -c \"trap '' TERM; sleep infinity\"\n",
                STUBBORN_FOR.as_secs()
            ),
            RunKind::Ends(seconds) => format!("ExecStart=/bin/sleep {seconds}\n"),
            RunKind::Fails(seconds) => format!("ExecStart=/bin/sh -c 'sleep {seconds}; exit 3'\n"),
            RunKind::Oneshot(seconds) => format!("Type=oneshot\nExecStart=/bin/sleep {seconds}\n"),
        };
        text.push_str(&service);
        let wishes = self.wishes();
        if !wishes.is_empty() {
            text.push_str("\n[X-Fleet]\n");
            text.push_str(&wishes);
        }
        text
    }

    fn wishes(&self) -> String {
        let mut text = String::new();
        let mut say = |name: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{name}={value}").expect("a string takes every text");
        };
        self.zone.iter().for_each(|zone| say("MachineMetadata", &format!("zone=z{zone}")));
        self.machine.iter().for_each(|machine| say("MachineID", &super::machine_id(*machine)));
        self.conflicts.iter().for_each(|other| say("Conflicts", &unit_name(*other)));
        self.beside.iter().for_each(|other| say("MachineOf", &unit_name(*other)));
        self.replaces.iter().for_each(|other| say("Replaces", &unit_name(*other)));
        if self.global {
            say("Global", &"true");
        }
        match self.policy {
            PartitionPolicy::Keep => {}
            PartitionPolicy::Hold => say("Partition", &"hold"),
            PartitionPolicy::Stop => {
                say("Partition", &"stop");
                say("StopGrace", &format!("{}s", self.grace_s));
            }
        }
        text
    }
}
