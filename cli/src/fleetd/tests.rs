//! Options and their checks; what is asked of the machine.

use super::config::FleetdConfig;
use super::machine;
use super::options::{Asked, CommandLine, OPTIONS, Settings, help};
use crate::lock;
use std::time::Duration;

fn line(args: &[&str]) -> CommandLine {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    match CommandLine::read(&args).unwrap() {
        Asked::Run(line) => line,
        other => panic!("{other:?} is not a command to run"),
    }
}

fn settings(file: &str, environment: &[(&str, &str)], args: &[&str]) -> Settings {
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Settings::assemble(file, &environment, &line(args)).unwrap()
}

fn config(args: &[&str]) -> Result<FleetdConfig, String> {
    FleetdConfig::new(&settings("", &[], args)).map_err(|refusal| refusal.message)
}

#[test]
fn the_defaults_are_fleets_but_for_the_leases() {
    let config = config(&[]).unwrap();
    assert_eq!(config.servers, ["http://127.0.0.1:2379", "http://127.0.0.1:4001"]);
    assert_eq!(
        (config.prefix.as_str(), config.token_limit, config.engine),
        ("/_coreos.com/fleet/", 100, true)
    );
    assert_eq!((config.agent_ttl, config.request_timeout), (Duration::from_secs(3), Duration::from_secs(1)));
    assert_eq!(config.units_directory.to_str(), Some("/run/fleet/units/"));
    assert_eq!(config.api.socket.to_str(), Some("/var/run/fleet.sock"));
    assert!(config.api.listen.is_empty() && config.public_ip.is_none() && config.metadata.is_empty());
}

#[test]
fn later_sources_win() {
    let file =
        "# a comment\n; another\npublic_ip = \"10.0.0.1\"\nagent_ttl=10s\nmetadata=\"region=eu,disk=ssd\"\n";
    let settings =
        settings(file, &[("FLEET_AGENT_TTL", "20s"), ("FLEET_TOKEN_LIMIT", "7")], &["--agent-ttl=30s"]);
    assert_eq!(settings.text("public_ip"), "10.0.0.1");
    assert_eq!((settings.text("agent_ttl"), settings.text("token_limit")), ("30s", "7"));
    assert_eq!(settings.notes, Vec::<String>::new());
    let config = FleetdConfig::new(&settings).unwrap();
    assert_eq!(config.metadata.len(), 2);
    assert_eq!(config.metadata["disk"], "ssd");
}

#[test]
fn nothing_is_ignored_in_silence() {
    let file = "unknown=1\nverify_units=true\n[section]\nagent_ttl=99s\n";
    let settings = settings(file, &[("FLEET_NONSENSE", "1"), ("OTHER", "1")], &["-enable_grpc"]);
    let notes = settings.notes.join("\n");
    for word in ["unknown", "verify_units", "[section]", "FLEET_NONSENSE", "enable_grpc"] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    assert_eq!((settings.notes.len(), settings.text("agent_ttl")), (5, "3s"));
    let wrong = Settings::assemble("public_ip\n", &[], &CommandLine::default()).unwrap_err();
    assert!(wrong.message.contains("line 1"), "{}", wrong.message);
    for args in [["--nonsense=1"], ["word"], ["--agent_ttl"]] {
        assert_eq!(CommandLine::read(&args.map(String::from)).unwrap_err().code, 2, "{args:?}");
    }
    assert_eq!(CommandLine::read(&["--version".into()]), Ok(Asked::Version));
    assert!(OPTIONS.iter().all(|option| help().contains(&format!("--{} ", option.name))));
}

#[test]
fn lists_and_metadata_are_read_as_fleet_reads_them() {
    let servers = |text: &str| config(&[&format!("--etcd_servers={text}")]).unwrap().servers;
    assert_eq!(servers("http://a:1, http://b:2"), ["http://a:1", "http://b:2"]);
    assert_eq!(servers(r#"["http://a:1","http://b:2"]"#), ["http://a:1", "http://b:2"]);
    let metadata = config(&["--metadata= a=b , c = d=e ,dropped,a=z"]).unwrap().metadata;
    assert_eq!(
        metadata.into_iter().collect::<Vec<_>>(),
        [("a".into(), "z".into()), ("c".into(), "d=e".into())]
    );
}

#[test]
fn contradictions_are_told_with_option_value_and_remedy() {
    for (args, words) in [
        (vec!["--agent_ttl=500ms"], ["agent_ttl=500ms", "at least 1s"]),
        (vec!["--agent_ttl=soon"], ["agent_ttl=soon", "3s"]),
        (vec!["--etcd_servers="], ["etcd_servers=", "http://"]),
        (vec!["--etcd_username=root"], ["etcd_password", "etcd_username=root"]),
        (vec!["--public_ip=host"], ["public_ip=host", "IP address"]),
        (vec!["--token_limit=0"], ["token_limit=0", "1 to 65535"]),
        (vec!["--units_directory=run"], ["units_directory=run", "absolute"]),
        (vec!["--api_listen=49153"], ["api_listen=49153", "10.0.0.1:49153"]),
        (vec!["--api_cert_file=/c"], ["api_cert_file", "api_key_file"]),
        (vec!["--api_advertise=host"], ["api_advertise=host", "http://HOST:PORT"]),
        (vec!["--capacity_memory=much"], ["capacity_memory=much", "512M"]),
        (vec!["--disable_engine=perhaps"], ["disable_engine=perhaps", "true or false"]),
    ] {
        let message = config(&args).unwrap_err();
        assert!(words.iter().all(|word| message.contains(word)), "{args:?}: {message}");
    }
}

#[test]
fn the_cluster_is_not_open_to_everybody_by_accident() {
    let open = config(&["--api_listen=0.0.0.0:49153,127.0.0.1:49154"]).unwrap().api;
    let refused = open.check_exposure(open.listen[0]).unwrap_err().message;
    assert!(refused.contains("0.0.0.0:49153") && refused.contains("api_tokens_file"), "{refused}");
    assert_eq!(open.check_exposure(open.listen[1]), Ok(()));
    let guarded = config(&["--api_listen=0.0.0.0:49153", "--api_tokens_file=/t"]).unwrap().api;
    assert_eq!(guarded.check_exposure(guarded.listen[0]), Ok(()));
    let insecure = config(&["--api_insecure"]).unwrap().api;
    assert_eq!(insecure.check_exposure(open.listen[0]), Ok(()));
}

#[test]
fn the_advertised_url_is_one_that_others_can_use() {
    let url = |args: &[&str], ip: &str| config(args).unwrap().api.url(ip);
    assert_eq!(url(&[], "10.0.0.1"), None);
    assert_eq!(url(&["--api_listen=127.0.0.1:1"], "10.0.0.1"), None);
    assert_eq!(url(&["--api_listen=0.0.0.0:1"], "10.0.0.1").as_deref(), Some("http://10.0.0.1:1"));
    assert_eq!(url(&["--api_listen=[::]:1"], "fd00::1").as_deref(), Some("http://[fd00::1]:1"));
    assert_eq!(url(&["--api_listen=0.0.0.0:1"], ""), None);
    let tls = ["--api_listen=10.0.0.2:1", "--api_cert_file=/c", "--api_key_file=/k"];
    assert_eq!(url(&tls, "10.0.0.1").as_deref(), Some("https://10.0.0.2:1"));
    assert_eq!(url(&["--api_advertise=https://me:1"], "").as_deref(), Some("https://me:1"));
}

#[test]
fn a_machine_has_an_id_or_fleetd_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine-id");
    assert!(machine::id(&path).unwrap_err().message.contains("systemd-machine-id-setup"));
    for wrong in ["", "\n", "a/b\n", "two words"] {
        std::fs::write(&path, wrong).unwrap();
        assert!(machine::id(&path).unwrap_err().message.contains("holds no machine id"), "{wrong:?}");
    }
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    assert_eq!(machine::id(&path).unwrap().as_str(), "0123456789abcdef0123456789abcdef");
}

#[test]
fn an_instance_lasts_as_long_as_a_boot() {
    let folder = tempfile::tempdir().unwrap();
    let first = machine::instance(folder.path()).unwrap();
    assert_eq!((first.len(), machine::instance(folder.path()).unwrap()), (32, first.clone()));
    let path = folder.path().join("instance");
    std::fs::write(&path, format!("another-boot {first}\n")).unwrap();
    assert_ne!(machine::instance(folder.path()).unwrap(), first);
}

#[test]
fn one_fleetd_a_machine() {
    let folder = tempfile::tempdir().unwrap();
    let held = lock::take("fleetd", "state_directory", &folder.path().join("run")).unwrap();
    let refused = lock::take("fleetd", "state_directory", &folder.path().join("run")).unwrap_err().message;
    assert!(
        refused.contains("another fleetd") && refused.contains(&std::process::id().to_string()),
        "{refused}"
    );
    drop(held);
    assert!(lock::take("fleetd", "state_directory", &folder.path().join("run")).is_ok());
}

#[test]
fn this_machine_has_processors_and_memory() {
    let found = machine::resources();
    assert!(found.cpu_millis >= 1_000 && found.memory_bytes > 1 << 20, "{found:?}");
}
