//! Command lines and environments, and the member or the refusal that comes of them.

use super::config::EtcdConfig;
use super::flags::{Asked, FLAGS, Settings};
use super::*;
use std::time::Duration;

fn configure(line: &str, environment: &[(&str, &str)]) -> Result<EtcdConfig, Refusal> {
    let args: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    match Settings::read(&args, &environment)? {
        Asked::Run(settings) => EtcdConfig::new(&settings),
        other => panic!("{line} asks for {other:?}"),
    }
}

#[track_caller]
fn refused(line: &str, code: u8, parts: &[&str]) {
    let refusal = configure(line, &[]).err().unwrap_or_else(|| panic!("{line} is accepted"));
    assert_eq!(refusal.code, code, "{line}: {}", refusal.message);
    for part in parts {
        assert!(refusal.message.contains(part), "{line}: {part:?} is missing in {:?}", refusal.message);
    }
}

const LISTEN: &str = "--listen-client-urls http://127.0.0.1:25379 --advertise-client-urls http://127.0.0.1:25379 \
                      --listen-peer-urls http://127.0.0.1:25380";

#[test]
fn defaults_make_one_member() {
    let config = configure("", &[]).unwrap();
    assert_eq!(config.name, "default");
    assert_eq!(config.data_dir.to_str(), Some("default.etcd"));
    assert_eq!(config.member.member_id, 0x8e9e05c52164694d);
    assert_eq!(config.member.listen_peer, "localhost:2380");
    assert_eq!(config.listen_client[0].address(), "localhost:2379");
    assert_eq!(config.this().client_urls, ["http://localhost:2379"]);
    assert_eq!((config.member.tick, config.member.election_ticks), (Duration::from_millis(100), 10));
}

#[test]
fn scrubbing_has_a_rate_and_a_pause() {
    let member = |line: &str| configure(line, &[]).unwrap().member;
    let usual = member("");
    assert_eq!((usual.scrub_bytes, usual.scrub_pause), (4 << 20, Duration::from_secs(3_600)));
    let set = member("--scrub-bytes-per-second 0 --scrub-interval 10m");
    assert_eq!((set.scrub_bytes, set.scrub_pause), (0, Duration::from_secs(600)));
    let checks = member("--experimental-initial-corrupt-check --corrupt-check-time=30s");
    assert!(checks.initial_corrupt_check && checks.corrupt_check == Duration::from_secs(30));
    assert!(!usual.initial_corrupt_check && usual.corrupt_check.is_zero());
    refused("--scrub-bytes-per-second -1", 1, &["--scrub-bytes-per-second", ">=0", "-1"]);
}

#[test]
fn three_static_members_agree_on_ids() {
    let line = |n: usize| {
        format!(
            "--name n{n} --initial-advertise-peer-urls http://127.0.0.1:2441{n} -listen-peer-urls=http://127.0.0.1:2441{n} \
             --initial-cluster n1=http://127.0.0.1:24411,n2=http://127.0.0.1:24412,n3=http://127.0.0.1:24413 \
             --initial-cluster-state new --heartbeat-interval 50 --election-timeout 700"
        )
    };
    let configs = [1, 2, 3].map(|n| configure(&line(n), &[]).unwrap());
    assert_eq!(
        configs.each_ref().map(|config| config.member.member_id),
        [0xbdc54de886900cec, 0x727f8e6a0e54b9b4, 0xbf01cb0ce068413d]
    );
    assert!(configs.iter().all(|config| config.member.cluster_id == 0xfa42c3c5a49a2dce));
    assert!(configs.iter().all(|config| config.member.members.len() == 3));
    assert_eq!(configs[0].member.election_ticks, 14);
    let order = |config: &EtcdConfig| config.member.members.iter().map(|peer| peer.id).collect::<Vec<_>>();
    assert_eq!(order(&configs[0]), order(&configs[2]));
}

#[test]
fn the_environment_counts_where_no_flag_is_given() {
    let config =
        configure("--data-dir /tmp/x", &[("ETCD_NAME", "n7"), ("ETCD_MAX_TXN_OPS", "5"), ("HOME", "/")])
            .unwrap();
    assert_eq!((config.name.as_str(), config.member.max_txn_ops), ("n7", 5));
    let both = configure("--name n2", &[("ETCD_NAME", "n1")]).err().unwrap();
    assert_eq!(both.code, 1);
    assert!(
        both.message.contains("conflicting environment variable ETCD_NAME is shadowed"),
        "{}",
        both.message
    );
    let bad = configure("", &[("ETCD_ELECTION_TIMEOUT", "x")]).err().unwrap();
    assert_eq!(bad.message, "invalid value \"x\" for ETCD_ELECTION_TIMEOUT: must be a whole number");
    let Ok(Asked::Run(settings)) = Settings::read(&[], &[("ETCD_FOO".into(), "1".into())]) else { panic!() };
    assert_eq!(settings.unknown_variables, ["ETCD_FOO"]);
}

#[test]
fn a_wrong_line_is_a_usage_error() {
    refused("--bogus", 2, &["flag provided but not defined: -bogus"]);
    refused("--election-timeout x", 2, &["invalid value \"x\" for flag -election-timeout: parse error"]);
    refused(
        "-initial-election-tick-advance=x",
        2,
        &["invalid boolean value \"x\" for -initial-election-tick-advance"],
    );
    refused("--name", 2, &["flag needs an argument: -name"]);
    refused(
        "--listen-client-urls foo",
        2,
        &["-listen-client-urls: URL scheme must be http, https, unix, or unixs: foo"],
    );
    refused("--listen-client-urls 127.0.0.1:1", 2, &["first path segment in URL cannot contain colon"]);
    refused(
        "--listen-client-urls http://127.0.0.1",
        2,
        &["URL address does not have the form \"host:port\""],
    );
    refused("--initial-cluster-state foo", 2, &["\"foo\"", "-initial-cluster-state", "new or existing"]);
    refused("foo", 1, &["'foo' is not a valid flag"]);
}

#[test]
fn contradictions_name_flag_value_and_remedy() {
    refused(
        "--election-timeout 100 --heartbeat-interval 50",
        1,
        &["--election-timeout[100ms] should be at least as 5 times as --heartbeat-interval[50ms]"],
    );
    refused("--election-timeout 60000", 1, &["--election-timeout[60000ms] is too long"]);
    refused("--heartbeat-interval 0", 1, &["--heartbeat-interval must be >0 (set to 0ms)"]);
    refused("--listen-client-urls http://127.0.0.1:1", 1, &["--advertise-client-urls is required"]);
    refused(
        "--listen-peer-urls http://example.com:2380",
        1,
        &["--listen-peer-urls", "expected IP in URL for binding"],
    );
    refused(
        &format!("{LISTEN} --initial-cluster foo=http://127.0.0.1:1"),
        1,
        &["couldn't find local name \"default\"", "foo=http://127.0.0.1:1", "--name"],
    );
    refused(
        "--initial-advertise-peer-urls http://127.0.0.1:1 --initial-cluster default=http://127.0.0.1:2",
        1,
        &[
            "--initial-cluster has default=http://127.0.0.1:2 but missing from --initial-advertise-peer-urls=http://127.0.0.1:1",
        ],
    );
    refused("--initial-cluster bad", 1, &["\"bad\" has no name", "name=http://host:port"]);
    refused("--initial-cluster a=http://h:1,b=http://h:1", 1, &["repeats a URL of \"a\""]);
    refused("--max-txn-ops 0", 1, &["--max-txn-ops must be >0 (set to 0)"]);
    refused("--log-level loud", 1, &["--log-level=loud", "debug, info"]);
}

#[test]
fn later_features_are_refused_by_name() {
    refused("--cert-file x", 1, &["--cert-file=x is not offered yet", "leave it out"]);
    refused("--auto-compaction-retention 1h", 1, &["--auto-compaction-retention=1h is not offered yet"]);
    refused("--config-file /etc/etcd.yml", 1, &["--config-file=/etc/etcd.yml", "pass the settings as flags"]);
    refused("--unsafe-no-fsync", 1, &["--unsafe-no-fsync=true"]);
    refused("--pre-vote=false", 1, &["--pre-vote=false"]);
    refused(
        "--listen-peer-urls https://127.0.0.1:2380",
        1,
        &["--listen-peer-urls", "TLS is not offered yet"],
    );
}

#[test]
fn every_flag_is_accepted_at_its_default() {
    let args: Vec<String> = FLAGS.iter().map(|flag| format!("--{}={}", flag.name, flag.default)).collect();
    let Ok(Asked::Run(settings)) = Settings::read(&args, &[]) else { panic!("a default is refused") };
    assert!(EtcdConfig::new(&settings).is_ok());
    let mut names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FLAGS.len(), "a flag stands twice in the table");
}
