//! `orlop-chaos real` leaves nothing behind, in whatever way it ends: no process, no mounted disk, no device, no file.
//!
//! The members here are a script that sleeps, so the run waits for a leader until it is ended from outside. Needs root and the
//! tools of real runs; without them the tests say that they are skipped, and `ORLOP_SKIP_IS_FAILURE` makes that a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for something to begin, or to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

fn orlop_chaos() -> Command {
    Command::new(env!("CARGO_BIN_EXE_orlop-chaos"))
}

/// A program that starts, listens nowhere, and stays.
fn sleeper(folder: &Path) -> PathBuf {
    let path = folder.join("sleeper");
    fs::write(&path, "#!/bin/sh\nwhile :; do sleep 1; done\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a script");
    path
}

/// A real run of three members that sleep, once they do; `None` where real runs cannot be made.
fn running(folder: &Path) -> Option<Child> {
    let plan = folder.join("three.plan");
    fs::write(&plan, "plan seed=1 members=3 clients=1 calm=1000ms end=2000ms\n").expect("written");
    let mut run = orlop_chaos();
    run.args(["real", "--plan"]).arg(&plan).arg("--program").arg(sleeper(folder));
    // A group of its own, as a shell gives it, so that a signal can be sent to all of it.
    run.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = run.spawn().expect("it starts");
    let until = Instant::now() + PATIENCE;
    // Three members, each with a disk.
    while traces(folder, child.id()).len() < 6 {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            let mut why = String::new();
            let stderr = child.stderr.take().expect("piped");
            std::io::Read::read_to_string(&mut { stderr }, &mut why).expect("text");
            io_real::skip::skipped(&format!("{} ({status})", why.trim()));
            return None;
        }
        assert!(Instant::now() < until, "no members within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(child)
}

/// What there is of the run that process `root` started with the files in `folder`: disks of members that are in use, and members.
fn traces(folder: &Path, root: u32) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let backing =
        devices.filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    // The path is that of the run's own file system, which only its namespaces see.
    let mut found: Vec<String> = backing.filter(|path| path.contains(&format!("/run-{root}/"))).collect();
    let program = format!("{}\0", folder.join("sleeper").display());
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(&program) && line.contains("--data-dir=") && line.starts_with("/bin/sh") {
            found.push(line.replace('\0', " "));
        }
    }
    found
}

fn gone(folder: &Path, root: u32, what: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = traces(folder, root);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "after {what} there is still {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_is_left_of_a_run_that_was_killed_or_interrupted() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    // Killed or ended by its own number; and by Ctrl-C, which goes to the whole group.
    for (signal, group) in [("-KILL", ""), ("-TERM", ""), ("-INT", "-")] {
        let Some(mut child) = running(folder.path()) else { return };
        let to = format!("{group}{}", child.id());
        let sent = Command::new("kill").args([signal, "--", &to]).status();
        assert!(sent.expect("kill is a program").success(), "{signal}");
        let _ = child.wait();
        gone(folder.path(), child.id(), signal);
    }
    assert!(!folder.path().join("orlop-real").exists());
}

#[test]
fn what_cannot_be_run_is_told_with_the_remedy() {
    let refused = |args: &[&str]| {
        let output = orlop_chaos().arg("real").args(args).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["--seed", "1", "--program", "/no/such/orlop"]).contains("cargo build"));
    assert!(refused(&["--seed", "20..1"]).contains("1..20"));
    assert!(refused(&[]).contains("--seed"));
}
