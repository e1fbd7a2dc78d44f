//! What the model understands of a unit file: the few options of `[Unit]` and `[Service]` that decide when a process runs.
//!
//! `ExecStart` is read by a small vocabulary, with or without a path and a shell around it: `sleep N`, `true`, `false`,
//! `exit N`, `trap '' TERM` (the process ignores SIGTERM), and these in a row with `;` or `&&`. `sleep infinity` and a loop
//! run for ever. Any other command ends at once with 0, as `echo` does.

use fleet::unit::{UnitFile, UnitHash};
use std::time::Duration;

/// systemd's default for `RestartSec`.
const RESTART_SEC: Duration = Duration::from_millis(100);
/// systemd's defaults for `StartLimitIntervalSec` and `StartLimitBurst`.
const START_LIMIT: (Duration, usize) = (Duration::from_secs(10), 5);
/// systemd's default for `TimeoutStopSec`.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// A unit as systemd has loaded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Hash of the text.
    pub hash: UnitHash,
    /// What being active means for it.
    pub kind: Kind,
    /// What its process does.
    pub program: Program,
    /// `Restart`.
    pub restart: Restart,
    /// `RestartSec`.
    pub restart_after: Duration,
    /// `StartLimitIntervalSec` and `StartLimitBurst`; no limit when either is zero.
    pub start_limit: (Duration, usize),
    /// `TimeoutStopSec`: from SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
    /// `Requires` that are in `After` as well: started first, and it is not started when one of them fails.
    pub requires: Vec<String>,
}

/// What being active means for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A service that is up as soon as its process runs.
    Simple,
    /// A service that is up when its process has ended well.
    Oneshot,
    /// A unit without a process; the word is its sub state when it is active.
    Other(&'static str),
}

/// A process, as far as anybody can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// How long it runs by itself; for ever if `None`.
    pub runs_for: Option<Duration>,
    /// Its exit code.
    pub exit: i32,
    /// It ignores SIGTERM.
    pub stubborn: bool,
    /// `RemainAfterExit`: the unit stays active when the process has ended well.
    pub remains: bool,
}

/// When systemd starts a process again that has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    No,
    /// When it ended well.
    OnSuccess,
    /// When it did not end well.
    OnFailure,
    /// Always.
    Always,
}

impl Restart {
    /// Whether a process that ended so is started again.
    pub fn after(self, ended_well: bool) -> bool {
        match self {
            Restart::No => false,
            Restart::OnSuccess => ended_well,
            Restart::OnFailure => !ended_well,
            Restart::Always => true,
        }
    }
}

impl Definition {
    /// Reads a unit file as systemd would; the error is why its load state is `bad-setting`.
    pub fn read(name: &str, text: &str) -> Result<Definition, String> {
        let file = UnitFile::parse(text).map_err(|error| format!("{name}: {error}"))?;
        let one = |section: &str, option: &str| file.get(section, option).last().copied().unwrap_or_default();
        let oneshot = one("Service", "Type") == "oneshot";
        let commands = file.get("Service", "ExecStart");
        let kind = match name.rsplit('.').next().unwrap_or_default() {
            "service" if oneshot => Kind::Oneshot,
            "service" => Kind::Simple,
            "timer" | "path" => Kind::Other("waiting"),
            "socket" => Kind::Other("listening"),
            "mount" => Kind::Other("mounted"),
            _ => Kind::Other("active"),
        };
        if kind == Kind::Simple && commands.is_empty() {
            return Err(format!(
                "{name}: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing."
            ));
        }
        if let Some(bad) = commands.iter().find(|command| !bare(command).starts_with('/')) {
            return Err(format!("{name}: Neither a valid executable name nor an absolute path: {bad}"));
        }
        let words = |option| -> Vec<&str> {
            file.get("Unit", option).into_iter().flat_map(str::split_whitespace).collect()
        };
        let after = words("After");
        let requires = words("Requires").into_iter().filter(|unit| after.contains(unit)).map(String::from);
        let (interval, burst) = (one("Unit", "StartLimitIntervalSec"), one("Unit", "StartLimitBurst"));
        Ok(Definition {
            hash: file.hash(),
            kind,
            program: Program { remains: is_yes(one("Service", "RemainAfterExit")), ..program(&commands) },
            restart: match one("Service", "Restart") {
                "always" => Restart::Always,
                "on-failure" | "on-abnormal" => Restart::OnFailure,
                "on-success" => Restart::OnSuccess,
                _ => Restart::No,
            },
            restart_after: span(one("Service", "RestartSec")).unwrap_or(RESTART_SEC),
            start_limit: (
                span(interval).unwrap_or(START_LIMIT.0),
                burst.parse().ok().unwrap_or(START_LIMIT.1),
            ),
            stop_timeout: span(one("Service", "TimeoutStopSec")).unwrap_or(STOP_TIMEOUT),
            requires: requires.collect(),
        })
    }
}

/// Why enabling the unit would fail: an alias must be of the unit's own kind.
pub(super) fn enable(name: &str, text: &str) -> Result<(), String> {
    let Ok(file) = UnitFile::parse(text) else { return Ok(()) };
    let kind = |name: &str| name.rsplit('.').next().map(str::to_string);
    match file.get("Install", "Alias").into_iter().find(|alias| kind(alias) != kind(name)) {
        Some(alias) => Err(format!("Cannot alias {name} as {alias}.")),
        None => Ok(()),
    }
}

/// Why systemd would not take this for the name of a unit.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let kinds =
        ["service", "socket", "timer", "path", "target", "mount", "automount", "device", "slice", "swap"];
    let known = name.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && kinds.contains(&kind));
    let letters = name.chars().all(|letter| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter));
    if known && letters { Ok(()) } else { Err(format!("Unit name {name} is not valid.")) }
}

fn is_yes(word: &str) -> bool {
    matches!(word, "yes" | "true" | "on" | "1")
}

/// A time span of systemd: seconds by default, or one number with a unit.
fn span(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits.trim().parse().ok()?;
    let seconds = match &text[digits.len()..] {
        "" | "s" | "sec" => number,
        "ms" => number / 1_000.0,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// What the commands do, one after the other, up to the first that does not end well.
fn program(commands: &[&str]) -> Program {
    let mut program = Program { runs_for: Some(Duration::ZERO), exit: 0, stubborn: false, remains: false };
    for command in commands {
        for step in inner(command).replace("&&", ";").split([';', '\n']) {
            if !take(&mut program, step.trim()) {
                return program;
            }
        }
    }
    program
}

/// A command without systemd's prefixes.
fn bare(command: &str) -> &str {
    command.trim_start_matches(['-', '+', '!', '@', ':'])
}

/// The text within `sh -c '…'`, or the command itself.
fn inner(command: &str) -> &str {
    let command = bare(command);
    let Some((shell, script)) = command.split_once(" -c ") else { return command };
    if !shell.trim().ends_with("sh") {
        return command;
    }
    script.trim().trim_matches(['\'', '"'])
}

/// Adds one command; whether the next is reached.
fn take(program: &mut Program, step: &str) -> bool {
    let step = step.strip_prefix("exec ").unwrap_or(step);
    let mut words = step.split_whitespace();
    let word = words.next().unwrap_or_default();
    let argument = words.next().unwrap_or_default();
    match word.rsplit('/').next().unwrap_or_default() {
        "sleep" => {
            let before = program.runs_for.unwrap_or_default();
            program.runs_for = span(argument).map(|span| before + span);
        }
        "while" => program.runs_for = None,
        "trap" => program.stubborn = true,
        "false" => program.exit = 1,
        "exit" => {
            program.exit = argument.parse().unwrap_or(0);
            return false;
        }
        _ => {}
    }
    program.runs_for.is_some() && program.exit == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &str) -> (Option<u64>, i32, bool) {
        let program = program(&[command]);
        (program.runs_for.map(|span| span.as_secs()), program.exit, program.stubborn)
    }

    #[test]
    fn the_vocabulary_is_read() {
        assert_eq!(of("/bin/sleep 30"), (Some(30), 0, false));
        assert_eq!(of("/usr/bin/sleep infinity"), (None, 0, false));
        assert_eq!(of("/bin/true"), (Some(0), 0, false));
        assert_eq!(of("/bin/false"), (Some(0), 1, false));
        assert_eq!(of("/bin/sh -c 'exit 3'"), (Some(0), 3, false));
        assert_eq!(of("/bin/sh -c 'sleep 1; exit 3'"), (Some(1), 3, false));
        assert_eq!(of("/bin/sh -c \"trap '' TERM; sleep 5m\""), (Some(300), 0, true));
        assert_eq!(of("/bin/bash -c 'while true; do echo hello; sleep 1; done'"), (None, 0, false));
        assert_eq!(of("/bin/echo hello"), (Some(0), 0, false));
    }

    #[test]
    fn defaults_are_systemds() {
        let unit = Definition::read("a.service", "[Service]\nExecStart=/bin/sleep 1\n").unwrap();
        assert_eq!((unit.kind, unit.restart), (Kind::Simple, Restart::No));
        assert_eq!(unit.start_limit, (Duration::from_secs(10), 5));
        let unit = Definition::read(
            "a.service",
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nRestart=on-failure\nRestartSec=2\nExecStart=/bin/true\n",
        );
        let unit = unit.unwrap();
        assert_eq!((unit.kind, unit.restart), (Kind::Oneshot, Restart::OnFailure));
        assert_eq!(unit.restart_after, Duration::from_secs(2));
        assert!(unit.program.remains);
        assert!(Definition::read("a.service", "[Service]\nType=simple\n").is_err());
        assert_eq!(Definition::read("a.timer", "[Timer]\n").unwrap().kind, Kind::Other("waiting"));
    }
}
