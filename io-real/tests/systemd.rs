//! The Systemd port against real systemd, on hosts made for it. Needs root and the packages that `.ci/run` installs.

use fleet::contract::{CASES, Stage};
use io_real::hosts::{Hosts, HostsOptions};
use io_real::ports::RealClock;
use io_real::systemd::{Bus, BusConfig};
use std::sync::Arc;

/// The bus of a host, seen from outside.
fn config(hosts: &Hosts, host: usize) -> BusConfig {
    BusConfig {
        address: Some(hosts.bus_address(host)),
        user: false,
        units_directory: hosts.path(host, "/run/fleet/units"),
        units_seen_as: Some("/run/fleet/units".into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_systemd_keeps_the_contract() {
    if Hosts::skip() {
        return;
    }
    let hosts = Hosts::up(1, &HostsOptions::default()).expect("a host");
    let bus = Bus::connect(config(&hosts, 0)).await.expect("connects");
    let stage = Stage { systemd: Arc::new(bus), clock: Arc::new(RealClock::new()) };
    for (name, case) in CASES {
        println!("{name}");
        case(stage.clone()).await;
    }
}
