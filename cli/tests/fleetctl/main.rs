//! fleetctl as a program, against a fake fleet: what it prints, what it asks for, how it ends.

#[path = "../common/mod.rs"]
mod common;
mod fake;
mod store;

use fake::{Fake, MACHINES, ran, script};

const HELLO: &str = "[Unit]\nDescription=Says hello\n\n[Service]\nExecStart=/bin/sleep 1000\n";
const GLOBAL: &str = "[Service]\nExecStart=/bin/sleep 1000\n\n[X-Fleet]\nGlobal=true\n";

/// A fleet with hello.service and three instances of web@, launched.
fn some_units() -> Fake {
    let fake = Fake::start();
    fake.file("hello.service", HELLO);
    fake.file("web@.service", "[Service]\nExecStart=/bin/sleep %i\n");
    let ran = fake.run(&["start", "hello", "web@{1..3}"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    fake.calls();
    fake
}

#[test]
fn tables_are_fleets_to_the_tab() {
    let fake = some_units();
    let ran = fake.run(&["list-units"]);
    let (a, b) = ("113f16a7.../172.17.8.103", "c1d2e3f4.../172.17.8.104");
    assert_eq!(
        ran.out,
        format!(
            "UNIT\t\tMACHINE\t\t\t\tACTIVE\tSUB\n\
             hello.service\t{a}\tactive\trunning\n\
             web@1.service\t{b}\tactive\trunning\n\
             web@2.service\t{a}\tactive\trunning\n\
             web@3.service\t{b}\tactive\trunning\n"
        )
    );
    let ran =
        fake.run(&["list-unit-files", "--no-legend", "--fields", "unit,desc,global,dstate,state,target"]);
    let first = format!("hello.service\tSays hello\tfalse\tlaunched\tlaunched\t{a}\n");
    assert!(ran.out.starts_with(&first), "{}", ran.out);
    let ran = fake.run(&["list-machines"]);
    assert_eq!(
        ran.out,
        "MACHINE\t\tIP\t\tMETADATA\n\
         113f16a7...\t172.17.8.103\tdisk=ssd,region=us-east\n\
         c1d2e3f4...\t172.17.8.104\t-\n"
    );
    for full in ["-l", "--full", "--l", "--full=true"] {
        let ran = fake.run(&["list-machines", full, "--no-legend", "--fields=machine"]);
        assert_eq!(ran.out, format!("{}\n{}\n", MACHINES[0].0, MACHINES[1].0), "{full}");
    }
    let ran = fake.run(&["list-unit-files", "--fields", "hash,unit", "--no-legend"]);
    let hash = ran.out.split('\t').next().unwrap().to_string();
    let ran = fake.run(&["list-unit-files", "--fields", "hash,unit", "--no-legend", "--full"]);
    assert!(
        hash.len() == 7 && ran.out.starts_with(&hash) && ran.out.find('\t') == Some(40),
        "{hash} {}",
        ran.out
    );
}

#[test]
fn lists_are_json_when_that_is_wanted() {
    let fake = some_units();
    let ran = fake.run(&["list-units", "--output", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(4));
    assert_eq!(rows[0]["machineID"], MACHINES[0].0);
    assert!(rows[0].get("run").is_some(), "what this client does not know is shown too");
    let ran = fake.run(&["stop", "hello", "--output=json"]);
    let line: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((line["unit"].as_str(), line["state"].as_str()), (Some("hello.service"), Some("loaded")));
}

#[test]
fn a_unit_is_submitted_started_stopped_unloaded_destroyed() {
    let fake = Fake::start();
    fake.cluster.lock().unwrap().lag = 4;
    fake.file("units/hello.service", HELLO);
    let ran = fake.run(&["start", "units/hello"]);
    let on = "113f16a7.../172.17.8.103";
    let expected = format!("Unit hello.service inactive\nUnit hello.service launched on {on}\n");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, expected.as_str(), ""));
    assert_eq!(
        fake.calls(),
        ["PUT units/hello.service options inactive", "PUT units/hello.service launched"]
    );
    let again = fake.run(&["start", "hello.service"]);
    assert_eq!(
        (again.code, again.out.as_str(), fake.calls().len()),
        (0, "", 0),
        "a wish that stands is left alone"
    );

    let ran = fake.run(&["stop", "hello"]);
    assert_eq!((ran.code, ran.out), (0, format!("Unit hello.service loaded on {on}\n")));
    assert_eq!(ran.err, "Successfully stopped units [hello.service].\n");
    let ran = fake.run(&["unload", "hello"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "Unit hello.service inactive\n"));
    assert_eq!(ran.err, "Successfully unloaded units [hello.service].\n");
    let ran = fake.run(&["stop", "hello"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "Unable to stop unit hello.service in state inactive\n"));
    let ran = fake.run(&["cat", "hello"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, HELLO));
    let ran = fake.run(&["destroy", "hello"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "Destroyed hello.service\n"));
    assert!(fake.run(&["list-units", "--no-legend"]).out.is_empty(), "destroy has waited for the machine");
}

#[test]
fn other_contents_are_told_of_or_replaced() {
    let fake = some_units();
    fake.file("hello.service", &HELLO.replace("1000", "2000"));
    let ran = fake.run(&["start", "hello"]);
    assert!(ran.code == 0 && ran.err.contains("Add --replace"), "{ran:?}");
    assert_eq!(fake.calls().len(), 0);
    let ran = fake.run(&["submit", "--replace", "hello"]);
    assert!(ran.code == 0 && ran.err.contains("is launched"), "{ran:?}");
    assert_eq!(fake.calls().len(), 0, "submit takes no running unit down");
    let ran = fake.run(&["start", "--replace", "hello"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fake.calls(), ["PUT units/hello.service options launched"], "never taken down first");
    let ran = fake.run(&["start", "--replace", "hello"]);
    assert_eq!(ran.out, "Found same Unit(hello.service) in Registry, nothing to do\n");
}

#[test]
fn templates_ranges_and_globs() {
    let fake = some_units();
    let ran = fake.run(&["start", "--scale", "web@{2..4}"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.ends_with("Destroyed web@1.service\n"), "{}", ran.out);
    let calls = fake.calls();
    assert_eq!(calls.first().map(String::as_str), Some("PUT units/web@4.service options inactive"));
    assert_eq!(calls.last().map(String::as_str), Some("DELETE units/web@1.service"));
    let ran = fake.run(&["destroy", "web@*"]);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    let ran = fake.run(&["start", "db@1"]);
    assert!(ran.code == 1 && ran.err.contains("unable to find unit db@1.service"), "{ran:?}");
}

#[test]
fn restart_restarts_on_an_old_server_and_on_a_new_one() {
    let fake = some_units();
    fake.cluster.lock().unwrap().lag = 4;
    let ran = fake.run(&["restart", "hello"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let (stopped, started) = ("PUT units/hello.service loaded", "PUT units/hello.service launched");
    assert_eq!(fake.calls(), ["POST units/hello.service/restart", stopped, started]);
    assert!(ran.out.contains("Unit hello.service loaded on"), "the stop was waited for: {}", ran.out);
    fake.cluster.lock().unwrap().modern = true;
    let ran = fake.run(&["restart", "hello"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "Unit hello.service restarted\n"));
    assert_eq!(fake.calls(), ["POST units/hello.service/restart"]);
}

#[test]
fn a_unit_that_fails_is_not_waited_for_without_end() {
    let fake = Fake::start();
    fake.file("hello.service", HELLO);
    fake.cluster.lock().unwrap().active = "failed".into();
    let ran = fake.run(&["start", "hello"]);
    assert!(ran.code == 1 && ran.err.contains("failed on 113f16a7..."), "{ran:?}");
    let ran = fake.run(&["start", "hello"]);
    assert!(ran.code == 0 && ran.err.contains("fleetctl restart hello.service"), "{ran:?}");
    fake.cluster.lock().unwrap().active = "activating".into();
    fake.file("slow.service", HELLO);
    let ran = fake.run(&["start", "slow", "--block-attempts", "1"]);
    assert!(ran.code == 1 && ran.err.contains("timed out waiting for unit slow.service"), "{ran:?}");
    let ran = fake.run(&["start", "--no-block", "slow"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    fake.file("all.service", GLOBAL);
    let ran = fake.run(&["start", "all"]);
    assert!(ran.out.ends_with("Triggered global unit all.service start\n"), "{ran:?}");
}

#[test]
fn exit_codes() {
    let fake = some_units();
    fake.cluster.lock().unwrap().answers.insert("plan".into(), (200, r#"{"steps":[],"refused":[]}"#.into()));
    let code = |args: &[&str]| {
        let ran = fake.run(args);
        assert!(ran.code == 0 || args[0] == "plan" || !ran.err.is_empty(), "{args:?}: {ran:?}");
        ran.code
    };
    for (expected, args) in [
        (0, &["help"][..]),
        (0, &["--version"]),
        (0, &["destroy", "absent"]),
        (0, &["list-units", "--help"]),
        (0, &["plan", "hello"]),
        (2, &["plan", "absent"]),
        (2, &["plan"]),
        (2, &["--endpoint=unix:///nowhere/fleet.sock", "plan", "hello"]),
        (1, &["stop", "absent"]),
        (1, &["unload", "absent@*"]),
        (1, &["restart", "absent"]),
        (1, &["cat", "absent"]),
        (1, &["status", "absent"]),
        (1, &["start", "absent"]),
        (1, &["why", "hello"]),
        (1, &["drain", "ffff"]),
        (2, &["list-unitz"]),
        (2, &["list-units", "--fields", "nonsense"]),
        (2, &["list-units", "--nonsense"]),
        (2, &["start"]),
        (2, &["start", "--sign", "hello"]),
        (2, &["verify", "hello"]),
        (2, &["--endpoint", "nonsense", "list-units"]),
        (2, &["--driver", "nonsense", "list-units"]),
        (2, &["declare-gone", MACHINES[0].0]),
    ] {
        assert_eq!(code(args), expected, "{args:?}");
    }
    assert_eq!(fake.run(&[]).code, 0);
    let steps = r#"{"steps":[{"unit":"hello.service","action":"move","from":"113f16a7","machine":"m","reason":"r"}]}"#;
    fake.cluster.lock().unwrap().answers.insert("plan".into(), (200, steps.into()));
    let ran = fake.run(&["plan", "hello"]);
    assert!(ran.code == 1 && ran.out.contains("move from 113f16a7..."), "{ran:?}");
    let refused = r#"{"steps":[],"refused":[["hello.service",{"text":"2 machines: 2 lack ssd=true"}]]}"#;
    fake.cluster.lock().unwrap().answers.insert("plan".into(), (200, refused.into()));
    let ran = fake.run(&["plan", "hello"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (1, "hello.service would be nowhere: 2 machines: 2 lack ssd=true\n")
    );
}

#[test]
fn what_the_api_does_not_offer_goes_over_ssh() {
    let fake = some_units();
    let bin = script(fake.dir.path(), "ssh", r#"for word; do printf '[%s]' "$word"; done; echo; exit 3"#);
    let run = |args: &[&str]| {
        let path = format!("{}:/usr/bin:/bin", bin.display());
        ran(fake.command(args).env("PATH", path).output().expect("fleetctl runs"))
    };
    let home = fake.dir.path().display();
    let options = format!(
        "[-o][ConnectTimeout=10][-o][UserKnownHostsFile=\"{home}/.fleetctl/known_hosts\"][-o][StrictHostKeyChecking=ask]"
    );
    let ran = run(&["status", "hello", "--ssh-port=2222"]);
    let expected =
        format!("[-l][core][-p][2222]{options}[--][172.17.8.103][systemctl status -l hello.service]\n");
    assert_eq!((ran.code, ran.out), (3, expected));
    let ran = run(&["journal", "-f", "--lines", "5", "--output", "cat", "--sudo", "hello"]);
    let command = "sudo journalctl --unit hello.service --no-pager -n 5 --output cat -f";
    assert_eq!(ran.out, format!("[-l][core][-p][22]{options}[--][172.17.8.103][{command}]\n"));
    let ran =
        run(&["--strict-host-key-checking=false", "--ssh-username", "me", "ssh", "-A", "c1d2", "ls", "/"]);
    let loose = "[-o][ConnectTimeout=10][-o][UserKnownHostsFile=/dev/null][-o][StrictHostKeyChecking=no][-o][LogLevel=ERROR]";
    assert_eq!(ran.out, format!("[-l][me][-p][22]{loose}[-A][--][172.17.8.104][ls /]\n"));
    let ran = run(&["ssh", "hello.service"]);
    assert_eq!((ran.code, ran.out), (3, format!("[-l][core][-p][22]{options}[--][172.17.8.103]\n")));
    let nothing =
        fake.command(&["ssh", "hello"]).env("PATH", "/nonexistent").output().expect("fleetctl runs");
    let nothing = fake::ran(nothing);
    assert!(nothing.code == 1 && nothing.err.contains("ssh is not installed here"), "{nothing:?}");
}

#[test]
fn a_tunnel_ends_at_the_far_fleetctls_fd_forward() {
    let fake = some_units();
    // An ssh that leads to this machine: it runs the command that it was given last.
    script(
        fake.dir.path(),
        "ssh",
        r#"echo "$@" >> "$HOME/ssh.log"; for word; do :; done; exec sh -c "$word""#,
    );
    let bin = script(fake.dir.path(), "fleetctl", r#"exec "$ORLOP" fleetctl "$@""#);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let mut command =
        fake.command(&["list-units", "--no-legend", "--fields=unit", "--tunnel", "10.1.2.3:2022"]);
    let ran = ran(command
        .env("PATH", path)
        .env("ORLOP", env!("CARGO_BIN_EXE_orlop"))
        .output()
        .expect("fleetctl runs"));
    assert_eq!(ran.out, "hello.service\nweb@1.service\nweb@2.service\nweb@3.service\n", "{ran:?}");
    let log = std::fs::read_to_string(fake.dir.path().join("ssh.log")).expect("ssh was run");
    assert!(log.contains("-p 2022") && log.contains("10.1.2.3 fleetctl fd-forward /"), "{log}");
}

#[test]
fn the_line_wins_over_the_environment_and_an_empty_variable_is_none() {
    let fake = some_units();
    let mut command = fake.command(&["list-machines", "--no-legend"]);
    let away =
        ran(command.env("FLEETCTL_ENDPOINT", "unix:///nonexistent.sock").output().expect("fleetctl runs"));
    assert!(
        away.code == 1 && away.err.contains("cannot reach fleetd at unix:///nonexistent.sock"),
        "{away:?}"
    );
    let endpoint = fake.endpoint();
    let mut command = fake.command(&["--endpoint", &endpoint, "list-machines", "--no-legend"]);
    let there =
        ran(command.env("FLEETCTL_ENDPOINT", "unix:///nonexistent.sock").output().expect("fleetctl runs"));
    assert_eq!(there.code, 0, "{there:?}");
    let mut command = fake.command(&["list-machines", "--no-legend"]);
    assert_eq!(ran(command.env("FLEETCTL_SSH_TIMEOUT", "").output().expect("fleetctl runs")).code, 0);
    let mut command = fake.command(&["list-machines"]);
    let wrong = ran(command.env("FLEETCTL_SSH_TIMEOUT", "soon").output().expect("fleetctl runs"));
    assert!(wrong.code == 2 && wrong.err.contains("FLEETCTL_SSH_TIMEOUT"), "{wrong:?}");
}
