//! Holders on a store in memory, with a clock that goes on only when everybody waits.

mod crowd;
mod logic;
mod loss;
mod world;

use super::*;
use world::*;

#[test]
fn a_join_costs_four_requests_whatever_the_number_of_leases() {
    let world = World::new(WIDE);
    for n in 0..1_000 {
        world.foreign(&format!("10.5.{}.{}-27", n / 8, n % 8 * 32), 2);
    }
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    assert!(lease.key.v4.unwrap().prefix_len() == 24 && lease.lease != 0);
    // The fourth is the watch, which the line does not count.
    assert_eq!(machine.line.calls(), 3);
}

#[test]
fn the_time_counts_from_the_send_and_a_slack_is_kept() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let (_, until) = machine.held();
    assert_eq!(until, LEASE_TTL - EXPIRY_SLACK);
    world.pass(RENEW_PERIOD.as_secs());
    let (lease, until) = machine.held();
    assert_eq!(until, RENEW_PERIOD + LEASE_TTL - EXPIRY_SLACK);
    let calls = machine.line.calls();
    world.pass(10 * RENEW_PERIOD.as_secs());
    assert_eq!(
        machine.line.calls(),
        calls + 20,
        "a keep-alive and a look at the key an hour, and nothing else"
    );
    assert_eq!(machine.held().0, lease, "a renewal is no event");
}

#[test]
fn the_renewal_keeps_to_a_margin_that_is_sooner() {
    let world = World::new(WIDE);
    let config =
        HolderConfig { ttl: Duration::from_secs(100), margin: Duration::from_secs(40), previous: None };
    let machine = world.machine_with(1, config);
    world.pass(1);
    assert_eq!(machine.held().1, Duration::from_secs(90));
    world.pass(58);
    assert_eq!(machine.held().1, Duration::from_secs(90));
    world.pass(2);
    assert_eq!(machine.held().1, Duration::from_secs(60 + 90));
}

#[test]
fn an_old_lease_of_ours_is_gone_on_with_by_a_keep_alive_alone() {
    let world = World::new(WIDE);
    let first = world.machine(1);
    world.pass(1);
    let (lease, _) = first.held();
    first.die();
    let revision = world.kv.revision();
    world.pass(100);
    let second = world.machine(1);
    world.pass(1);
    let (again, until) = second.held();
    assert_eq!((again, until), (lease, Duration::from_secs(101) + LEASE_TTL - EXPIRY_SLACK));
    assert_eq!((second.line.calls(), world.kv.revision()), (2, revision));
}

#[test]
fn an_old_lease_gets_the_new_value_and_the_time_that_is_asked_for() {
    let world = World::new(WIDE);
    let old = world.foreign("10.5.7.0-24", 1);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    assert_eq!(lease.key, key("10.5.7.0-24"));
    assert_ne!(lease.lease, old, "a lease of another time is replaced");
    assert_eq!(world.value("10.5.7.0-24"), value(1).to_json());
    machine.offer(Offer { value: with_mac(1, "0a:00:00:00:00:01"), ..offer(1, WIDE) });
    world.pass(1);
    assert_eq!(world.value("10.5.7.0-24"), with_mac(1, "0a:00:00:00:00:01").to_json());
    assert_eq!(machine.held().0.value, with_mac(1, "0a:00:00:00:00:01"));
    assert_eq!(machine.notes(), [""; 0]);
}

/// Recorded from a cluster of real flannelds.
#[test]
fn the_lease_of_a_real_flanneld_is_taken_over() {
    let world = World::new(WIDE);
    let text = r#"{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0e:2a:ff:00:01:a0"}}"#;
    world.put_leased("10.5.75.0-24", text, LEASE_TTL.as_secs() as i64);
    let machine = world.machine_with(1, HolderConfig::default());
    machine.offer(Offer { value: LeaseValue::parse(text).unwrap(), ..offer(1, WIDE) });
    world.pass(1);
    assert_eq!(machine.held().0.key, key("10.5.75.0-24"));
    assert_eq!(world.value("10.5.75.0-24"), text);
}

#[test]
fn a_reservation_is_used_and_stays_one() {
    let world = World::new(WIDE);
    world.kv.set(&name("10.5.9.0-24"), r#"{"PublicIP":"192.0.2.1"}"#);
    world.kv.set(&name("10.5.1.0-24"), r#"{"PublicIP":"192.0.2.99"}"#);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, until) = machine.held();
    assert_eq!((lease.key, lease.lease, until), (key("10.5.9.0-24"), 0, Duration::MAX));
    assert_eq!(world.value("10.5.9.0-24"), value(1).to_json());
    let calls = machine.line.calls();
    world.pass(3 * 24 * 3_600);
    assert_eq!(machine.line.calls(), calls, "what has no end is not renewed");
    assert_eq!(machine.held().0, lease);
}

#[test]
fn a_lease_that_becomes_a_reservation_has_no_end_from_then_on() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    world.kv.set(&name(&lease.key.to_string()), r#"{"PublicIP":"192.0.2.1"}"#);
    world.pass(1);
    let (reserved, until) = machine.held();
    assert_eq!((reserved.lease, until), (0, Duration::MAX));
    assert_eq!(
        world.value(&lease.key.to_string()),
        value(1).to_json(),
        "what the operator left out is put in"
    );
    world.pass(2 * 24 * 3_600);
    assert_eq!(world.value(&lease.key.to_string()), value(1).to_json());
}

#[test]
fn a_config_that_cannot_be_read_is_said_and_the_old_one_stays() {
    let world = World::new("{");
    let machine = world.machine(1);
    world.pass(1);
    let picture = machine.picture();
    assert_eq!(picture.config, None);
    assert!(
        picture.notes[0].contains("is not JSON") && picture.notes[0].contains("nothing can begin"),
        "{picture:?}"
    );
    world.kv.set("/coreos.com/network/config", WIDE);
    world.pass(1);
    let picture = machine.picture();
    assert_eq!((picture.config, picture.notes.len()), (NetworkConfig::parse(WIDE).ok(), 0));
    world.kv.set("/coreos.com/network/config", "nonsense");
    world.pass(1);
    world.kv.unset("/coreos.com/network/config");
    world.pass(1);
    let picture = machine.picture();
    assert_eq!(picture.config, NetworkConfig::parse(WIDE).ok());
    assert_eq!(picture.notes.len(), 2);
}

#[test]
fn what_somebody_spoils_costs_no_peer() {
    let world = World::new(WIDE);
    world.foreign("10.5.7.0-24", 2);
    let machine = world.machine(1);
    world.pass(1);
    machine.notes();
    let good = machine.picture().leases[&key("10.5.7.0-24")].clone();
    world.kv.set(&name("10.5.7.0-24"), "{");
    world.kv.set(&name("what"), "{}");
    world.pass(1);
    let picture = machine.picture();
    assert_eq!(picture.leases[&key("10.5.7.0-24")], good);
    assert!(picture.notes[0].contains("10.5.7.0-24: the lease {: is not JSON"), "{:?}", picture.notes);
    assert!(picture.notes[1].contains("subnets/what"), "{:?}", picture.notes);
    world.compact(&machine);
    world.pass(10);
    let picture = machine.picture();
    assert_eq!(picture.leases[&key("10.5.7.0-24")], good, "not by reading anew either");
    assert!(!picture.notes.iter().any(|note| note.contains("10.5.7.0-24")), "{:?}", picture.notes);
}

#[test]
fn a_watch_that_lost_its_place_misses_nothing() {
    let world = World::new(WIDE);
    world.foreign("10.5.7.0-24", 2);
    let machine = world.machine(1);
    world.pass(1);
    machine.line.cut();
    world.kv.unset(&name("10.5.7.0-24"));
    world.foreign("10.5.8.0-24", 3);
    world.compact(&machine);
    machine.line.mend();
    world.pass(30);
    let leases = machine.picture().leases;
    assert!(
        !leases.contains_key(&key("10.5.7.0-24")) && leases.contains_key(&key("10.5.8.0-24")),
        "{leases:?}"
    );
    machine.held();
}

#[test]
fn a_lease_of_a_network_that_is_no_more_is_given_back() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    machine.held();
    machine.offer(offer(1, r#"{"Network":"10.8.0.0/16","Backend":{"Type":"vxlan"}}"#));
    world.pass(1);
    let (lease, _) = machine.held();
    assert!(lease.key.to_string().starts_with("10.8."), "{lease:?}");
    assert_eq!(world.kv.dump("/coreos.com/network/subnets/").len(), 1);
    assert!(machine.notes()[0].contains("is not one of 10.8.0.0/16; getting another"));
}
