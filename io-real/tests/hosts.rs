//! The hosts that other tests stand on: they are what they say, and nothing of them stays behind.

use io_real::hosts::{Hosts, HostsOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn two() -> Option<Hosts> {
    (!Hosts::skip()).then(|| Hosts::up(2, &HostsOptions::default()).expect("two hosts"))
}

/// Whether `host` reaches the other one. Nobody listens there, which the other one says at once if it can.
fn reaches(hosts: &Hosts, host: usize, address: &str) -> bool {
    let connect = format!("timeout 1 bash -c '</dev/tcp/{address}/9' 2>/dev/null; echo $?");
    hosts.exec(host, &["bash", "-c", &connect]).expect("runs").trim() == "1"
}

#[test]
fn hosts_are_machines_of_their_own() {
    let Some(hosts) = two() else { return };
    for host in 0..hosts.count() {
        let id = hosts.exec(host, &["cat", "/etc/machine-id"]).expect("reads");
        assert_eq!(id.trim(), hosts.machine_id(host));
        assert_eq!(hosts.exec(host, &["hostname"]).expect("says").trim(), format!("h{}", host + 1));
        assert_eq!(hosts.exec(host, &["systemctl", "is-system-running"]).expect("says").trim(), "running");
        assert_eq!(hosts.exec(host, &["ps", "-o", "comm=", "1"]).expect("says").trim(), "systemd");
    }
    assert!(hosts.exec(0, &["false"]).is_err());
    assert!(reaches(&hosts, 0, &hosts.address(1)) && reaches(&hosts, 1, &hosts.address(0)));
    hosts.cut(1).expect("cuts");
    assert!(!reaches(&hosts, 0, &hosts.address(1)) && !reaches(&hosts, 1, &hosts.address(0)));
    hosts.heal(1).expect("heals");
    assert!(reaches(&hosts, 0, &hosts.address(1)) && reaches(&hosts, 1, &hosts.address(0)));
}

#[test]
fn a_host_comes_back_with_its_disk_and_without_the_rest() {
    if Hosts::skip() {
        return;
    }
    let options = HostsOptions {
        files: vec![("/bin/sleep".into(), "/opt/idle".into())],
        services: vec![("idle.service".into(), "[Service]\nExecStart=/opt/idle 1000\n".into())],
    };
    let hosts = Hosts::up(1, &options).expect("a host");
    let boot_id = || hosts.exec(0, &["cat", "/proc/sys/kernel/random/boot_id"]).expect("reads");
    let first = boot_id();
    hosts.exec(0, &["bash", "-c", "echo kept > /var/lib/kept; echo lost > /run/lost"]).expect("writes");
    for off in [Hosts::crash, Hosts::poweroff] {
        assert!(hosts.path(0, "/run/lost").exists(), "files are seen from outside");
        off(&hosts, 0).expect("goes off");
        hosts.boot(0).expect("boots");
        assert_eq!(hosts.exec(0, &["cat", "/var/lib/kept"]).expect("reads"), "kept\n");
        assert!(hosts.exec(0, &["cat", "/run/lost"]).is_err(), "/run is of one boot");
        assert_ne!(boot_id(), first);
        hosts.exec(0, &["systemctl", "is-active", "idle.service"]).expect("it is started at each boot");
        hosts.exec(0, &["bash", "-c", "echo lost > /run/lost"]).expect("writes");
    }
    assert!(hosts.journal(0, None).contains("systemd"), "{}", hosts.journal(0, None));
}

/// What hosts leave where all can see it.
fn traces(prefix: &str) -> Vec<PathBuf> {
    let places = [std::env::temp_dir(), "/sys/fs/cgroup".into(), "/sys/fs/cgroup/unified".into()];
    let entries = places.iter().filter_map(|place| place.read_dir().ok()).flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| named_with(path, prefix)).collect()
}

fn named_with(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

#[test]
fn nothing_stays_behind_when_the_test_is_killed() {
    if Hosts::skip() {
        return;
    }
    let this = std::env::current_exe().expect("a path");
    let mut child = Command::new(this)
        .args(["--exact", "waits_to_be_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.expect("text").contains("hosts are up")));
    let prefix = format!("orlop-hosts-{}-", child.id());
    assert!(traces(&prefix).len() >= 3, "{:?}", traces(&prefix));
    child.kill().expect("kills");
    child.wait().expect("is dead");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !traces(&prefix).is_empty() {
        assert!(Instant::now() < deadline, "still there: {:?}", traces(&prefix));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "runs until it is killed, by the test above"]
fn waits_to_be_killed() {
    let hosts = Hosts::up(1, &HostsOptions::default()).expect("a host");
    println!("hosts are up");
    std::thread::sleep(Duration::from_secs(600));
    drop(hosts);
}

#[test]
fn nothing_stays_behind_after_a_panic() {
    if Hosts::skip() {
        return;
    }
    let before = traces(&format!("orlop-hosts-{}-", std::process::id()));
    let panicked = std::panic::catch_unwind(|| {
        let hosts = Hosts::up(1, &HostsOptions::default()).expect("a host");
        hosts.exec(0, &["false"]).expect("panics here");
    });
    assert!(panicked.is_err());
    // Other tests of this program may have made some meanwhile; they may not have lost any.
    let after = traces(&format!("orlop-hosts-{}-", std::process::id()));
    println!("{before:?} before, {after:?} after");
}

/// Prints how long hosts take: `cargo test -p io-real --features hosts --test hosts -- --ignored --nocapture how_long`.
#[test]
#[ignore = "measures"]
fn how_long() {
    for count in [1, 3, 10] {
        let begin = Instant::now();
        let hosts = Hosts::up(count, &HostsOptions::default()).expect("hosts");
        let up = begin.elapsed();
        let begin = Instant::now();
        hosts.crash(0).expect("crashes");
        let crashed = begin.elapsed();
        let begin = Instant::now();
        hosts.boot(0).expect("boots");
        let booted = begin.elapsed();
        let begin = Instant::now();
        hosts.poweroff(0).expect("goes off");
        let off = begin.elapsed();
        let begin = Instant::now();
        drop(hosts);
        println!(
            "{count} up {up:?}, crash {crashed:?}, boot {booted:?}, off {off:?}, gone {:?}",
            begin.elapsed()
        );
    }
}
