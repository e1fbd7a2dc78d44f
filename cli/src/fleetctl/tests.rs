//! The parts of fleetctl that need no server: the line, ranges and globs, ssh's addresses, what a look means.

use super::args::{Line, command};
use super::resolve::{expand, select};
use super::ssh::{Ssh, host_and_port, shell_quote};
use super::wait::{Patience, Seen, running};
use io_real::fleet_client::Endpoint;
use io_real::fleet_client::schema::{Unit, UnitState};
use std::collections::BTreeMap;
use std::time::Duration;

/// Parses a line and looks at it, without an environment.
fn with_line<T>(words: &[&str], look: impl FnOnce(&str, &Line) -> T) -> T {
    let matches = command().try_get_matches_from(["fleetctl"].iter().chain(words)).expect("a good line");
    let (name, inner) = matches.subcommand().expect("a command");
    look(name, &Line::new(inner, &|_| None))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

#[test]
fn clap_agrees_with_the_tables() {
    command().debug_assert();
}

#[test]
fn beginnings_mean_what_they_meant() {
    for (beginning, name) in [
        ("c", "cat"),
        ("d", "destroy"),
        ("de", "destroy"),
        ("dr", "drain"),
        ("r", "restart"),
        ("re", "restart"),
        ("reb", "rebalance"),
        ("u", "unload"),
        ("un", "unload"),
        ("unc", "uncordon"),
        ("list-m", "list-machines"),
        ("list-unit-", "list-unit-files"),
        ("vers", "version"),
        ("sto", "stop"),
        ("w", "why"),
    ] {
        assert_eq!(with_line(&[beginning], |name, _| name.to_string()), name, "{beginning}");
    }
    for beginning in ["s", "st", "sta", "l", "list", "ver", "x"] {
        assert!(command().try_get_matches_from(["fleetctl", beginning]).is_err(), "{beginning}");
    }
}

#[test]
fn flags_stand_anywhere_and_the_last_one_counts() {
    let line = ["--tunnel=a", "start", "x", "--no-block", "--tunnel", "b", "y", "--no-block=false"];
    with_line(&line, |_, line| {
        assert_eq!((line.args(), line.text("tunnel")), (words(&["x", "y"]), "b".to_string()));
        assert_eq!(line.switch("no-block"), Ok(false));
    });
    let old = ["list-units", "--etcd-cafile", "ca", "--experimental-api"];
    assert_eq!(with_line(&old, |_, line| line.text("ca-file")), "ca");
    let negative = ["start", "--block-attempts", "-1", "x"];
    assert_eq!(with_line(&negative, |_, line| Patience::read(line)), Ok(Patience::Forever));
    let three = ["stop", "--block-attempts=3", "x"];
    assert_eq!(with_line(&three, |_, line| Patience::read(line)), Ok(Patience::For(Duration::from_secs(6))));
    let wrong =
        with_line(&["stop", "--block-attempts=many", "x"], |_, line| Patience::read(line).unwrap_err());
    assert!(wrong.code == 2 && wrong.message.contains("--block-attempts"), "{wrong:?}");
}

#[test]
fn ranges_are_written_out() {
    let expanded = |word: &str| expand(&words(&[word]));
    assert_eq!(
        expanded("units/web@{8..10}.service").unwrap(),
        words(&["units/web@8.service", "units/web@9.service", "units/web@10.service"])
    );
    assert_eq!(expanded("web@1").unwrap(), words(&["web@1"]));
    for wrong in ["web@{3..1}", "web@{1..2", "web@{a..b}", "web@{1,2}", "web@{1..99999999999}"] {
        let failure = expanded(wrong).unwrap_err();
        assert!(failure.code == 2 && failure.message.contains("{1..3}"), "{failure:?}");
    }
}

#[test]
fn globs_choose_among_the_units_that_are_there() {
    let names = ["a.service", "web@1.service", "web@2.service"];
    let all: BTreeMap<String, Unit> = names
        .iter()
        .map(|name| (name.to_string(), Unit { name: name.to_string(), ..Unit::default() }))
        .collect();
    let (units, missing) = select(&words(&["web@2.service", "web@*.service", "b*.service"]), &all).unwrap();
    let found: Vec<String> = units.into_iter().map(|unit| unit.name).collect();
    assert_eq!((found, missing), (words(&["web@2.service", "web@1.service"]), words(&["b*.service"])));
    assert_eq!(select(&words(&["web@[1.service"]), &all).unwrap_err().code, 2);
}

#[test]
fn addresses_of_ssh() {
    let address = |host: &str, port| Some((host.to_string(), port));
    assert_eq!(host_and_port("10.0.0.1"), address("10.0.0.1", 22));
    assert_eq!(host_and_port("bastion:2222"), address("bastion", 2222));
    assert_eq!(host_and_port("fd00::1"), address("fd00::1", 22));
    assert_eq!(host_and_port("[fd00::1]:2222"), address("fd00::1", 2222));
    for wrong in ["", ":22", "host:port", "[fd00::1", "[::1]22"] {
        assert_eq!(host_and_port(wrong), None, "{wrong}");
    }
}

#[test]
fn the_tunnel_keeps_its_options_on_both_hops() {
    let line =
        ["ssh", "m", "--tunnel", "bastion:2222", "--strict-host-key-checking=false", "--ssh-port", "23"];
    let ssh = with_line(&line, |_, line| Ssh::new(line).expect("good flags"));
    let command = ssh.command("10.0.0.1", Some("uptime"));
    assert_eq!(command[..5], words(&["ssh", "-l", "core", "-p", "23"]));
    let proxy = command.iter().find(|word| word.starts_with("ProxyCommand=")).expect("a tunnel");
    assert_eq!(
        proxy,
        "ProxyCommand=ssh -l core -p 2222 -o ConnectTimeout=10 -o UserKnownHostsFile=/dev/null \
         -o StrictHostKeyChecking=no -o LogLevel=ERROR -W [%h]:%p bastion"
    );
    assert_eq!(command[command.len() - 3..], words(&["--", "10.0.0.1", "uptime"]));
    let api = ssh.tunnel_to(&Endpoint::parse("http://10.0.0.9:49153").unwrap()).unwrap().expect("a tunnel");
    assert_eq!(api[api.len() - 3..], words(&["-W", "10.0.0.9:49153", "bastion"]));
}

#[test]
fn quoted_words_are_one_word_for_a_shell() {
    fn holds(word: String) -> bool {
        let word = word.replace('\0', "");
        let script = format!("printf %s {}", shell_quote(&word));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
        output.stdout == word.as_bytes()
    }
    assert!(holds("it's $HOME `ls`; \"x\" \\ *".into()) && holds(String::new()));
    quickcheck::QuickCheck::new().tests(30).quickcheck(holds as fn(String) -> bool);
}

#[test]
fn a_start_is_done_when_the_new_contents_run() {
    let state = |hash: &str, active: &str, sub: &str| UnitState {
        name: "a.service".into(),
        hash: hash.into(),
        systemd_load_state: "loaded".into(),
        systemd_active_state: active.into(),
        systemd_sub_state: sub.into(),
        ..UnitState::default()
    };
    let look = |states: &[UnitState], oneshot| running("a.service", states, "new", oneshot);
    assert_eq!(look(&[], false), Seen::NotYet);
    assert_eq!(look(&[state("old", "active", "running")], false), Seen::NotYet);
    assert_eq!(look(&[state("old", "failed", "failed")], false), Seen::NotYet);
    assert_eq!(look(&[state("new", "activating", "auto-restart")], false), Seen::NotYet);
    assert_eq!(look(&[state("new", "active", "running")], false), Seen::Done);
    assert_eq!(
        look(&[state("", "active", "running")], false),
        Seen::Done,
        "fleet 1.0 may leave the hash out"
    );
    assert_eq!(look(&[state("new", "inactive", "dead")], false), Seen::NotYet);
    assert_eq!(look(&[state("new", "inactive", "dead")], true), Seen::Done);
    assert!(
        matches!(look(&[state("new", "failed", "failed")], true), Seen::Failed(text) if text.contains("a.service"))
    );
}
