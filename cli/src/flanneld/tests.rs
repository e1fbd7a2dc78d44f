//! Flags and their checks.

use super::config::FlanneldConfig;
use super::options::{Asked, FLAGS, Settings, help};
use std::net::SocketAddr;
use std::time::Duration;

fn settings(environment: &[(&str, &str)], args: &[&str]) -> Result<Settings, String> {
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    match Settings::read(&args, &environment).map_err(|refusal| refusal.message)? {
        Asked::Run(settings) => Ok(settings),
        other => panic!("{other:?} is not a command to run"),
    }
}

fn config(args: &[&str]) -> Result<FlanneldConfig, String> {
    FlanneldConfig::new(&settings(&[], args)?).map_err(|refusal| refusal.message)
}

#[test]
fn the_defaults_are_flannels() {
    let config = config(&[]).unwrap();
    assert_eq!(config.servers, ["http://127.0.0.1:4001", "http://127.0.0.1:2379"]);
    assert_eq!(config.prefix, "/coreos.com/network");
    assert_eq!(config.subnet_file.to_str(), Some("/run/flannel/subnet.env"));
    assert_eq!((config.renew_margin, config.resync), (Duration::from_secs(3600), Duration::from_secs(5)));
    assert!(!config.masquerade && config.random_fully && config.forward_rules && !config.blackhole);
    assert_eq!((config.health, config.public_ip), (None, None));
}

#[test]
fn flags_are_written_as_go_takes_them() {
    let lines: [&[&str]; 4] = [
        &["-iface", "eth0", "-ip-masq"],
        &["--iface=eth0", "--ip-masq=true"],
        &["-iface=eth0", "--ip-masq=T"],
        &["--ip-masq", "--iface", "eth0"],
    ];
    for line in lines {
        let config = config(line).unwrap();
        assert_eq!(config.interface.names, ["eth0"], "{line:?}");
        assert!(config.masquerade, "{line:?}");
    }
    let several = config(&["-iface", "eth0", "-iface=10.0.0.1", "-v", "2"]).unwrap();
    assert_eq!(several.interface.names, ["eth0", "10.0.0.1"]);
    let health = config(&["-healthz-ip=::1", "-healthz-port", "8471"]).unwrap().health;
    assert_eq!(health, Some("[::1]:8471".parse::<SocketAddr>().unwrap()));
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let environment =
        [("FLANNELD_ETCD_PREFIX", "/a"), ("FLANNELD_IP_MASQ", "true"), ("FLANNELD_IFACE", "eth1")];
    let settings = settings(&environment, &["--etcd-prefix=/b/", "--iface=eth2"]).unwrap();
    let config = FlanneldConfig::new(&settings).unwrap();
    assert_eq!((config.prefix.as_str(), config.masquerade), ("/b", true));
    assert_eq!(config.interface.names, ["eth2"]);
    assert_eq!(settings.notes, Vec::<String>::new());
}

#[test]
fn nothing_is_ignored_in_silence() {
    let notes = settings(&[("FLANNELD_NONSENSE", "1")], &["-vmodule=a=1"]).unwrap().notes.join("\n");
    assert!(notes.contains("FLANNELD_NONSENSE") && notes.contains("vmodule"), "{notes}");
    for flag in FLAGS {
        assert!(help().contains(&format!("--{} ", flag.name)), "{}", flag.name);
    }
}

#[test]
fn a_wrong_flag_is_told_by_its_name_and_value() {
    let cases: [(&[&str], &str); 13] = [
        (&["--kube-subnet-mgr"], "--kube-subnet-mgr=true"),
        (&["--net-config-path=/x"], "--net-config-path=/x"),
        (&["--etcd-username=x"], "--etcd-username=x"),
        (&["--etcd-password=x"], "--etcd-password"),
        (&["--etcd-endpoints="], "at least one server"),
        (&["--etcd-prefix=x"], "--etcd-prefix=x"),
        (&["--subnet-lease-renew-margin=1440"], "--subnet-lease-renew-margin=1440"),
        (&["--public-ip=::1"], "--public-ip=::1"),
        (&["--subnet-file=x"], "--subnet-file=x"),
        (&["--healthz-port=70000"], "--healthz-port=70000"),
        (&["--ip-masq=maybe"], "--ip-masq=maybe"),
        (&["--nonsense"], "--nonsense"),
        (&["--iface"], "--iface needs a value"),
    ];
    for (args, text) in cases {
        let told = config(args).expect_err("it is wrong");
        assert!(told.contains(text), "{args:?}: {told}");
    }
    // What says nothing new is no mistake.
    config(&["--kube-subnet-mgr=false", "--set-node-network-unavailable=1"]).unwrap();
}
