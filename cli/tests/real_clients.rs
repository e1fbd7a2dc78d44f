//! Unchanged etcd clients against a cluster of three `orlop etcd` processes: the same commands, on the same addresses, first
//! against real etcd 3.5.1 and then against orlop, must print the same and exit with the same code. What may differ is
//! replaced before comparing: drawn lease ids, terms, raft indexes, sizes, times, versions.

mod common;

use common::{Cluster, Server, reference, run};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One command of the script, and its standard input. `LEASE` stands for the lease that the last grant returned.
const SCRIPT: &[(&str, &str)] = &[
    ("put a 1", ""),
    ("put a 2 --prev-kv", ""),
    ("put ab 3", ""),
    ("put b 4", ""),
    ("put c valueoffifteen", ""),
    ("get a", ""),
    ("get a -w json", ""),
    ("get a -w fields", ""),
    ("get a --prefix", ""),
    ("get a c", ""),
    ("get a --from-key --limit 2", ""),
    ("get --prefix  --keys-only --from-key a", ""),
    ("get a z --sort-by=VALUE --order=DESCEND", ""),
    ("get a z --sort-by=MODIFY --order=DESCEND -w json", ""),
    ("get a z --count-only -w json", ""),
    ("get a z --print-value-only", ""),
    ("get a --rev 2", ""),
    ("get a --rev 999", ""),
    ("get a --consistency=s", ""),
    ("get nothing", ""),
    ("get a --hex", ""),
    ("del b --prev-kv", ""),
    ("del nothing", ""),
    ("del a --prefix -w json", ""),
    ("put empty --ignore-value", ""),
    ("txn", "mod(\"k\") > \"0\"\n\nput k yes\n\nput k no\nget k\n\n"),
    (
        "txn -w json",
        "value(\"k\") = \"no\"\nversion(\"k\") = \"1\"\n\nput k yes\nget k\ndel c\n\nput k never\n\n",
    ),
    ("txn", "\nput k x\nput k y\n\n\n"),
    ("get k -w json", ""),
    // Before the leases, whose drawn ids are part of what is hashed.
    ("endpoint hashkv", ""),
    ("lease grant 300", ""),
    ("put leased v --lease=LEASE", ""),
    ("lease timetolive LEASE --keys", ""),
    ("lease keep-alive --once LEASE", ""),
    ("lease list", ""),
    ("put leased w --ignore-lease", ""),
    ("get leased -w json", ""),
    ("lease revoke LEASE", ""),
    ("lease revoke LEASE", ""),
    ("lease timetolive LEASE", ""),
    ("lease keep-alive --once LEASE", ""),
    ("get leased", ""),
    ("put a 5 --lease=1234", ""),
    ("compaction 5", ""),
    ("compaction 5", ""),
    ("compaction 999", ""),
    ("get a --rev 3", ""),
    ("compaction 8 --physical", ""),
    ("member list", ""),
    ("member list -w table", ""),
    ("member list -w json", ""),
    ("endpoint health", ""),
    ("endpoint health -w json", ""),
    ("endpoint status -w json", ""),
    ("alarm list", ""),
    ("defrag", ""),
    ("put \"\" x", ""),
];

#[test]
fn etcdctl_prints_the_same_as_against_etcd() {
    let Some(etcd) = reference("ORLOP_TEST_ETCD") else { return };
    for client in ["ORLOP_TEST_ETCDCTL", "ORLOP_TEST_ETCDCTL_34"] {
        let Some(client) = reference(client) else { return };
        let expected = transcript(Server::Etcd(etcd.clone()), &client);
        let found = transcript(Server::Orlop, &client);
        let mut differences = String::new();
        for ((command, theirs), (_, ours)) in expected.iter().zip(&found) {
            if theirs != ours {
                differences += &format!("\n$ etcdctl {command}\n--- etcd\n{theirs}\n--- orlop\n{ours}\n");
            }
        }
        assert!(differences.is_empty(), "{} prints other than against etcd:{differences}", client.display());
    }
}

/// What the script's commands printed against a fresh cluster.
fn transcript(server: Server, client: &Path) -> Vec<(String, String)> {
    let cluster = Cluster::start(server, 3, 23_790);
    let endpoint = cluster.endpoint(0);
    let mut lease = String::new();
    let mut outputs = Vec::new();
    for (command, input) in SCRIPT {
        let words: Vec<String> =
            command.split_whitespace().map(|word| word.replace("LEASE", &lease)).collect();
        let mut args = vec!["--endpoints", &endpoint];
        args.extend(words.iter().map(|word| if word == "\"\"" { "" } else { word.as_str() }));
        let (code, out, err) = run(client, &args, &[("ETCDCTL_API", "3")], input);
        if command.starts_with("lease grant") {
            lease = out.split_whitespace().nth(1).unwrap_or_default().to_string();
        }
        outputs.push((command.to_string(), normal(&format!("exit {code}\n{out}{err}"), &lease)));
    }
    outputs.extend(watches(client, &endpoint));
    outputs
}

/// Watches end only when they are ended: each is started, given time, and compared by what it has printed by then.
fn watches(client: &Path, endpoint: &str) -> Vec<(String, String)> {
    let commands = [
        "watch k --rev 9 --prev-kv",
        "watch k --rev 3",
        "watch w --prefix --prev-kv",
        "watch w --prefix -w json",
        "watch w0 w3 --rev 10",
    ];
    let mut outputs = Vec::new();
    for command in commands {
        let mut args = vec!["--endpoints", endpoint];
        args.extend(command.split_whitespace());
        let mut watch = Command::new(client)
            .args(&args)
            .env("ETCDCTL_API", "3")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client starts");
        std::thread::sleep(Duration::from_millis(700));
        for (key, value) in [("w1", "one"), ("w2", "two"), ("w1", "three")] {
            run(client, &["--endpoints", endpoint, "put", key, value], &[("ETCDCTL_API", "3")], "");
        }
        run(client, &["--endpoints", endpoint, "del", "w1"], &[("ETCDCTL_API", "3")], "");
        std::thread::sleep(Duration::from_millis(500));
        let _ = watch.kill();
        let output = watch.wait_with_output().expect("the client ends");
        let printed =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        outputs.push((command.to_string(), normal(&printed, "")));
    }
    outputs
}

/// Replaces what may differ from run to run.
fn normal(text: &str, lease: &str) -> String {
    let mut text = text.to_string();
    if !lease.is_empty() {
        text = text.replace(lease, "LEASE");
        if let Ok(id) = i64::from_str_radix(lease, 16) {
            text = text.replace(&id.to_string(), "LEASE");
        }
    }
    for field in [
        "raft_term",
        "raftTerm",
        "raftIndex",
        "raftAppliedIndex",
        "dbSize",
        "dbSizeInUse",
        "leader",
        "took",
        "version",
    ] {
        text = blank_json(&text, field);
    }
    let lines = text.lines().map(|line| {
        let line = line.split(" took").next().unwrap_or(line);
        // Log lines of the client carry a time of day.
        if line.contains("\"level\"") || line.contains("\"RaftTerm\"") { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces the value of each `"field":value` by `_`.
fn blank_json(text: &str, field: &str) -> String {
    let name = format!("\"{field}\":");
    let mut parts = text.split(name.as_str());
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let end = part.find([',', '}']).unwrap_or(part.len());
        out += &format!("{name}_{}", &part[end..]);
    }
    out
}

#[test]
fn a_lease_expires_and_its_keys_go() {
    let Some(client) = reference("ORLOP_TEST_ETCDCTL") else { return };
    let cluster = Cluster::start(Server::Orlop, 3, 23_800);
    let endpoint = cluster.endpoint(1);
    let ctl = |args: &[&str]| {
        let mut all = vec!["--endpoints", endpoint.as_str()];
        all.extend(args);
        run(&client, &all, &[], "")
    };
    let (_, granted, _) = ctl(&["lease", "grant", "2"]);
    let lease = granted.split_whitespace().nth(1).expect("a lease id").to_string();
    let start = Instant::now();
    ctl(&["put", "short", "lived", "--lease", &lease]);
    assert_eq!(ctl(&["get", "short"]).1, "short\nlived\n");
    while !ctl(&["get", "short"]).1.is_empty() {
        assert!(start.elapsed() < Duration::from_secs(8), "the lease of 2 s has not expired");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(start.elapsed() >= Duration::from_secs(2), "the lease expired after {:?}", start.elapsed());
}
