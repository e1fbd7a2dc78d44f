//! Many daemons at once on a pool that is just large enough, and on one that is not.

use crate::stage::{PREFIX, Stage};
use std::collections::BTreeSet;
use std::time::Duration;

const COUNT: usize = 32;

fn config(subnets: usize) -> String {
    format!(
        r#"{{"Network":"10.5.0.0/16","EnableNFTables":true,"SubnetMin":"10.5.1.0","SubnetMax":"10.5.{subnets}.0","Backend":{{"Type":"vxlan"}}}}"#
    )
}

/// The keys of all leases.
fn leases(stage: &Stage) -> BTreeSet<String> {
    let prefix = format!("{PREFIX}/subnets/");
    let keys = stage.etcdctl(&["get", "--prefix", "--keys-only", &prefix]).expect("the store answers");
    keys.lines().filter(|line| !line.is_empty()).map(str::to_string).collect()
}

/// Machines with a subnet of their own.
fn served(stage: &Stage) -> BTreeSet<usize> {
    let has = |machine: &usize| stage.net.exec(*machine, &["test", "-s", "/run/flannel/subnet.env"]).is_ok();
    (0..COUNT).filter(has).collect()
}

#[test]
fn thirty_two_machines_share_thirty_two_subnets() {
    let Some(mut stage) = Stage::up(COUNT, &config(COUNT)) else { return };
    let began = std::time::Instant::now();
    stage.start_all(&["--iface=eth0"]);
    println!("{COUNT} daemons hold a subnet each after {:?}", began.elapsed());
    let subnets: BTreeSet<String> = (0..COUNT).map(|machine| stage.subnet(machine)).collect();
    assert_eq!((subnets.len(), leases(&stage).len()), (COUNT, COUNT));
    let routes =
        |machine: usize| stage.list(machine, &["ip", "-j", "route", "show", "dev", "flannel.1"]).len();
    stage
        .until("every machine serves every other", || (0..COUNT).all(|machine| routes(machine) == COUNT - 1));
    println!("all pairs after {:?}; {} (a debug build)", began.elapsed(), stage.resident(0));
    [0, COUNT - 1].iter().for_each(|machine| stage.container(*machine));
    stage.until("the first reaches the last", || stage.reaches(0, COUNT - 1));
}

#[test]
fn the_thirty_second_waits_for_what_becomes_free() {
    let Some(mut stage) = Stage::up(COUNT, &config(COUNT - 1)) else { return };
    (0..COUNT).for_each(|machine| stage.start(machine, &["--iface=eth0"]));
    stage.until("all subnets are taken", || served(&stage).len() == COUNT - 1);
    std::thread::sleep(Duration::from_millis(500));
    let served_now = served(&stage);
    assert_eq!((served_now.len(), leases(&stage).len()), (COUNT - 1, COUNT - 1));
    let waiting = (0..COUNT).find(|machine| !served_now.contains(machine)).expect("one is left");
    // It may be in the pause after a race that it has lost.
    stage.until("the one that waits says so", || stage.log(waiting).contains("free"));

    // A machine goes for good: its daemon ends, its lease is deleted, and the one that waits takes it.
    let leaving = *served_now.iter().find(|machine| **machine != 0).expect("one that is not the store's");
    let subnet = stage.subnet(leaving);
    stage.stop(leaving);
    stage.etcdctl(&["del", &format!("{PREFIX}/subnets/{subnet}.0-24")]).expect("a delete");
    assert_eq!(stage.subnet(waiting), subnet);
}
