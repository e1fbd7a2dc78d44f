//! Leases that are lost, overwritten, and stores that are away.

use super::*;

#[test]
fn a_lease_that_is_deleted_is_lost_and_got_again() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    machine.line.cut();
    world.pass(1);
    machine.line.mend();
    world.kv.unset(&name(&lease.key.to_string()));
    world.pass(5);
    let picture = machine.picture();
    let Standing::Held { lease: again, .. } = picture.standing else { panic!("{:?}", picture.standing) };
    assert_eq!(again.key, lease.key, "the same, as it is free");
    assert!(again.mod_revision > lease.mod_revision);
    let text = format!("the lease of {} was deleted, or has expired; getting another", lease.key);
    assert!(picture.notes.contains(&text), "{:?}", picture.notes);
}

#[test]
fn a_lease_that_was_given_to_another_is_left_to_it() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    world.foreign(&lease.key.to_string(), 7);
    world.pass(1);
    assert_ne!(machine.held().0.key, lease.key);
    assert!(world.value(&lease.key.to_string()).contains("192.0.2.7"));
    assert!(machine.notes()[0].contains("was given to 192.0.2.7; getting another"));
}

#[test]
fn while_the_store_is_away_the_lease_holds_to_its_end_less_a_slack() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    // Up to just before the first renewal.
    world.pass(RENEW_PERIOD.as_secs() - 1);
    let (lease, until) = machine.held();
    machine.line.cut();
    world.pass(23 * 3_600 - 60);
    assert_eq!(machine.held(), (lease.clone(), until), "for nearly a day the data path goes on");
    world.room.run(until - kernel::Clock::now(&world.room) - Duration::from_millis(1));
    assert!(machine.is_held());
    world.pass_millis(1);
    let picture = machine.picture();
    assert_eq!(
        picture.standing,
        Standing::Lost(format!("the lease of {} could not be renewed in time", lease.key))
    );
    // The store has not given it away before its own clock says so.
    assert!(!world.value(&lease.key.to_string()).is_empty());
    machine.line.mend();
    world.pass(60);
    assert_eq!(machine.held().0.key, lease.key);
}

#[test]
fn a_renewal_that_fails_is_tried_each_minute_and_said_once() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(RENEW_PERIOD.as_secs() - 1);
    machine.notes();
    machine.line.cut();
    let calls = machine.line.calls();
    world.pass(600);
    let tried = machine.line.calls() - calls;
    assert!((8..=11).contains(&tried), "{tried}");
    let notes = machine.notes();
    assert!(
        notes.len() <= 20 && notes.iter().any(|note| note.starts_with("renewing our lease failed")),
        "{notes:?}"
    );
    machine.line.mend();
    world.pass(61);
    assert!(machine.held().1 > Duration::from_secs(24 * 3_600));
}

#[test]
fn another_machine_with_our_address_is_told_of_once_and_ours_is_put_again() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    machine.notes();
    let (lease, _) = machine.held();
    let name_of = lease.key.to_string();
    for _ in 0..3 {
        world.put_leased(&name_of, &with_mac(1, "0a:00:00:00:00:99").to_json(), 100_000);
        world.pass(90);
        assert_eq!(world.value(&name_of), value(1).to_json());
    }
    let again = machine.held().0;
    assert_eq!((again.key, again.lease), (lease.key, lease.lease));
    let notes = machine.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("another machine uses our public address"), "{notes:?}");
    world.pass(25 * 3_600);
    assert_eq!(machine.held().0.key, lease.key, "it hangs on our lease again");
}

#[test]
fn two_machines_with_one_address_do_not_wear_the_store_out() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let twin = world.machine_with(1, HolderConfig::default());
    twin.offer(Offer { value: with_mac(1, "0a:00:00:00:00:02"), ..offer(1, WIDE) });
    world.pass(3_600);
    let revision = world.kv.revision();
    world.pass(3_600);
    let writes = world.kv.revision() - revision;
    assert!((60..=130).contains(&writes), "{writes} writes an hour");
    for one in [machine, twin] {
        let notes = one.notes();
        assert_eq!(notes.iter().filter(|note| note.contains("another machine uses")).count(), 1, "{notes:?}");
    }
}

#[test]
fn a_value_that_somebody_spoils_is_put_again() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    let revision = world.kv.revision();
    world.kv.set(&name(&lease.key.to_string()), "{");
    world.pass(10);
    assert_eq!(world.value(&lease.key.to_string()), value(1).to_json());
    assert_eq!(world.kv.revision(), revision + 2, "one put and no more");
    assert_eq!(machine.held().0.key, lease.key);
}

#[test]
fn an_answer_that_is_lost_leaves_no_second_lease() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    // The load is a transaction too; the grant; the create.
    machine.line.lose_answers(3);
    world.pass(60);
    let (lease, _) = machine.held();
    assert_eq!(world.kv.dump("/coreos.com/network/subnets/").len(), 1);
    assert_eq!(world.kv.dump("/coreos.com/network/subnets/")[0].0, name(&lease.key.to_string()));
}

#[test]
fn a_store_that_is_away_at_the_start_is_waited_for() {
    let world = World::new(WIDE);
    world.foreign("10.5.1.0-24", 3);
    let machine = world.machine(1);
    machine.line.cut();
    world.pass(600);
    assert_eq!(machine.standing(), Standing::Waiting("the store has not answered yet".to_owned()));
    assert!(machine.line.calls() < 100, "{}", machine.line.calls());
    machine.line.mend();
    world.pass(RETRY_MOST.as_secs());
    machine.held();
}

#[test]
fn the_agent_is_poked_once_for_each_picture_it_takes() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    assert_eq!(*machine.pokes.lock().unwrap(), 1);
    machine.picture();
    world.pass(1);
    assert_eq!(*machine.pokes.lock().unwrap(), 1, "nothing is new");
    world.foreign("10.5.1.0-24", 3);
    world.foreign("10.5.2.0-24", 4);
    world.pass(1);
    assert_eq!(*machine.pokes.lock().unwrap(), 2);
}

#[test]
fn a_lease_that_is_revoked_under_a_put_is_lost_at_once() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    // The key hangs on another lease when ours goes.
    world.put_leased(&lease.key.to_string(), &value(1).to_json(), 100_000);
    world.revoke(lease.lease);
    world.pass(5);
    let (again, _) = machine.held();
    assert_eq!(again.key, lease.key);
    assert_ne!(again.lease, lease.lease);
    assert!(machine.notes().iter().any(|note| note.contains("has ended: the store knows it no more")));
}

#[test]
fn a_new_address_of_ours_is_put_and_nothing_is_lost() {
    let world = World::new(WIDE);
    let machine = world.machine(1);
    world.pass(1);
    let (lease, _) = machine.held();
    machine.offer(offer(5, WIDE));
    world.pass(1);
    assert_eq!(machine.held().0.key, lease.key);
    assert_eq!(world.value(&lease.key.to_string()), value(5).to_json());
    assert_eq!(machine.notes(), [""; 0]);
}
