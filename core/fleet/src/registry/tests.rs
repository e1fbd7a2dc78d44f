use super::*;
use crate::model::{DesiredState, MachineId, Order, Report, SystemdState};
use crate::unit::{UnitFile, UnitHash, UnitName};
use futures_util::FutureExt;
use kernel::memory::MapKv;
use std::collections::BTreeSet;

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

fn machine(id: &str) -> MachineId {
    id.into()
}

fn file(exec: &str) -> (UnitHash, String) {
    let file = UnitFile::parse(&format!("[Service]\nExecStart={exec}\n")).unwrap();
    (file.hash(), file.text())
}

fn store() -> (MapKv, Registry) {
    let kv = MapKv::new();
    let registry = Registry::new(Arc::new(kv.client()), "/fleet");
    (kv, registry)
}

fn submit(registry: &Registry, name: &str, exec: &str) -> PutJob {
    let (hash, text) = file(exec);
    now(registry.put_job(&unit(name), hash, &text, Some(DesiredState::Launched))).unwrap()
}

fn presence(id: &str, instance: &str) -> Presence {
    Presence { id: machine(id), instance: instance.to_owned(), ..Default::default() }
}

fn arrive(registry: &Registry, id: &str) -> i64 {
    let (lease, _) = now(registry.grant(3)).unwrap();
    assert!(matches!(now(registry.announce(&presence(id, "one"), lease, &[])).unwrap(), Announced::Done(_)));
    lease
}

fn elect(registry: &Registry) -> Fence {
    let (lease, _) = now(registry.grant(3)).unwrap();
    let Written::Done(revision) = now(registry.lead(&machine("e"), lease)).unwrap() else {
        panic!("nobody leads yet")
    };
    Fence(revision)
}

fn order(exec: &str) -> Order {
    Order { hash: file(exec).0, state: DesiredState::Launched, run: 0 }
}

fn report(exec: &str) -> Report {
    let state = SystemdState::new("loaded", "active", "running");
    Report { state, hash: file(exec).0, launched: true, starting: false, run: 0, error: String::new() }
}

fn claim(registry: &Registry, lease: i64, name: &str, id: &str, order_revision: i64) -> usize {
    let claims = [Claim { unit: unit(name), order_revision, report: report("a") }];
    now(registry.claim(&machine(id), lease, &claims)).unwrap().len()
}

fn decide(registry: &Registry, fence: Fence, step: Step) -> Steps {
    now(registry.decide(fence, &[step])).unwrap()
}

fn assign(name: &str, id: &str) -> Step {
    Step::Assign { unit: unit(name), machine: machine(id), order: order("a") }
}

/// The life of a unit, as docs/decisions/0006-fleet.md numbers it.
#[test]
fn one_unit_one_machine() {
    let (kv, registry) = store();
    let fence = elect(&registry);
    let (a, b) = (arrive(&registry, "a"), arrive(&registry, "b"));
    assert_eq!(submit(&registry, "u.service", "a"), PutJob::Created);
    let Steps::Done(ordered) = decide(&registry, fence, assign("u.service", "a")) else {
        panic!("1. assign")
    };
    assert_eq!(decide(&registry, fence, assign("u.service", "b")), Steps::Moved, "it has a target");
    assert_eq!(claim(&registry, b, "u.service", "b", ordered), 0, "b has no order");
    assert_eq!(claim(&registry, a, "u.service", "a", ordered), 1, "2. claim");
    let told = (unit("u.service"), report("a"));
    assert!(
        now(registry.report(&machine("a"), a, std::slice::from_ref(&told))).unwrap().is_empty(),
        "3. report"
    );
    let (name, id) = (unit("u.service"), machine("a"));
    let unassign = Step::Unassign { unit: name.clone(), machine: id.clone(), order_revision: ordered };
    assert!(matches!(decide(&registry, fence, unassign), Steps::Done(_)), "4. unassign");
    let free = |lost| Step::Free { unit: name.clone(), machine: id.clone(), target_revision: ordered, lost };
    assert_eq!(decide(&registry, fence, free(false)), Steps::Moved, "the report blocks");
    assert_eq!(now(registry.release(&id, &name, false)).unwrap(), Released::Done, "5. release");
    assert_eq!(kv.dump("/fleet/job/u.service/target\0"), [], "and free");
    assert_eq!(now(registry.report(&id, a, &[told])).unwrap(), [name], "a claim that was released stays so");
    assert!(
        matches!(decide(&registry, fence, assign("u.service", "b")), Steps::Done(_)),
        "1. again, elsewhere"
    );
}

#[test]
fn a_unit_that_is_ordered_again_is_not_released() {
    let (_, registry) = store();
    let fence = elect(&registry);
    let a = arrive(&registry, "a");
    submit(&registry, "u.service", "a");
    let Steps::Done(ordered) = decide(&registry, fence, assign("u.service", "a")) else { panic!("assign") };
    assert_eq!(claim(&registry, a, "u.service", "a", ordered), 1);
    let (name, id) = (unit("u.service"), machine("a"));
    assert_eq!(now(registry.release(&id, &name, false)).unwrap(), Released::Ordered);
    assert_eq!(
        now(registry.release(&id, &name, true)).unwrap(),
        Released::Done,
        "a machine going down keeps nothing"
    );
    let snapshot = now(registry.load()).unwrap();
    assert!(snapshot.orders.is_empty() && snapshot.reports.is_empty());
    assert_eq!(snapshot.jobs[&name].target, None);
}

#[test]
fn a_deposed_engine_writes_nothing() {
    let (_, registry) = store();
    let fence = elect(&registry);
    arrive(&registry, "a");
    submit(&registry, "u.service", "a");
    assert!(matches!(now(registry.resign(fence)).unwrap(), Written::Done(_)));
    assert_eq!(decide(&registry, fence, assign("u.service", "a")), Steps::Deposed);
    let next = elect(&registry);
    assert_eq!(decide(&registry, fence, assign("u.service", "a")), Steps::Deposed);
    assert!(matches!(decide(&registry, next, assign("u.service", "a")), Steps::Done(_)));
}

#[test]
fn a_lost_machine_is_freed_only_while_it_is_away() {
    let (_, registry) = store();
    let fence = elect(&registry);
    let a = arrive(&registry, "a");
    submit(&registry, "u.service", "a");
    let Steps::Done(ordered) = decide(&registry, fence, assign("u.service", "a")) else { panic!("assign") };
    assert_eq!(claim(&registry, a, "u.service", "a", ordered), 1);
    now(registry.revoke(a)).unwrap();
    let free =
        Step::Free { unit: unit("u.service"), machine: machine("a"), target_revision: ordered, lost: true };
    let (lease, _) = now(registry.grant(3)).unwrap();
    let installed = [(unit("u.service"), report("a"))];
    assert!(matches!(
        now(registry.announce(&presence("a", "two"), lease, &installed)),
        Ok(Announced::Done(_))
    ));
    assert_eq!(decide(&registry, fence, free.clone()), Steps::Moved, "it is back, with what it has");
    now(registry.revoke(lease)).unwrap();
    assert!(matches!(decide(&registry, fence, free), Steps::Done(_)));
    assert!(now(registry.load()).unwrap().orders.is_empty());
}

#[test]
fn a_second_machine_with_the_same_id_is_told_of_the_first() {
    let (_, registry) = store();
    let lease = arrive(&registry, "a");
    let (other, _) = now(registry.grant(3)).unwrap();
    let installed: Vec<_> = (0..300).map(|n| (unit(&format!("u{n}.service")), report("a"))).collect();
    let taken = now(registry.announce(&presence("a", "two"), other, &installed)).unwrap();
    assert_eq!(taken, Announced::Taken { presence: Box::new(presence("a", "one")), lease });
    assert!(now(registry.load()).unwrap().reports.is_empty());
    now(registry.revoke(lease)).unwrap();
    assert!(matches!(
        now(registry.announce(&presence("a", "two"), other, &installed)),
        Ok(Announced::Done(_))
    ));
    assert_eq!(now(registry.load()).unwrap().reports.len(), 300);
    assert_eq!(now(registry.renew_presence(&presence("a", "one"), other)).unwrap(), Written::Moved);
    assert!(matches!(now(registry.renew_presence(&presence("a", "two"), other)), Ok(Written::Done(_))));
}

#[test]
fn replaces_and_rolls_back_texts() {
    let (_, registry) = store();
    let name = unit("u.service");
    assert_eq!(submit(&registry, "u.service", "a"), PutJob::Created);
    assert_eq!(submit(&registry, "u.service", "a"), PutJob::Same);
    assert_eq!(submit(&registry, "u.service", "b"), PutJob::Replaced { previous: file("a").0 });
    assert_eq!(now(registry.roll_back(&name)).unwrap(), Some(file("a").0));
    let job = now(registry.load()).unwrap().jobs[&name].clone();
    assert_eq!((job.hash, job.previous), (Some(file("a").0), Some(file("b").0)));
    assert!(matches!(now(registry.bump_run(&name)).unwrap(), Written::Done(_)));
    assert!(matches!(now(registry.bump_run(&name)).unwrap(), Written::Done(_)));
    assert_eq!(now(registry.load()).unwrap().jobs[&name].run, 2);
    assert!(matches!(now(registry.delete_job(&name)).unwrap(), Written::Done(_)));
    assert_eq!(now(registry.delete_job(&name)).unwrap(), Written::Moved);
    assert_eq!(now(registry.set_desired(&name, DesiredState::Loaded)).unwrap(), Written::Moved);
    assert_eq!(now(registry.bump_run(&name)).unwrap(), Written::Moved);
    assert!(now(registry.load()).unwrap().jobs.is_empty());
}

#[test]
fn notes_what_it_cannot_read() {
    let (kv, registry) = store();
    submit(&registry, "u.service", "a");
    let mut watch = registry.watch(kv.revision() + 1, &Scope::All);
    kv.set("/fleet/nonsense", "");
    kv.set("/fleet/job/u.service/target-state", "dancing");
    kv.set("/fleet/job/w/object", "{}");
    let loaded = now(registry.load()).unwrap();
    assert_eq!(loaded.notes.len(), 3, "{:?}", loaded.notes);
    assert_eq!(loaded.jobs[&unit("u.service")].desired, DesiredState::Inactive);
    let mut followed = now(Registry::new(Arc::new(kv.client()), "/fleet").load()).unwrap();
    followed.notes.clear();
    while let Some(Ok(Batch::Changes(changes))) = watch.next().now_or_never() {
        changes.into_iter().for_each(|change| followed.apply(change));
    }
    assert_eq!(followed.notes, loaded.notes);
}

/// Thousands of keys, more than a page: the view that was loaded first and then followed is the view loaded last.
#[test]
fn following_and_loading_agree() {
    let (_, registry) = store();
    let fence = elect(&registry);
    let a = arrive(&registry, "a");
    let names: Vec<String> = (0..700).map(|n| format!("u{n}.service")).collect();
    names.iter().for_each(|name| {
        submit(&registry, name, name);
    });
    let mut view = now(registry.load()).unwrap();
    assert_eq!(view.jobs.len(), 700);
    let mut watch = registry.watch(view.revision + 1, &Scope::All);
    for steps in names.chunks(STEPS_MOST) {
        let steps: Vec<Step> = steps.iter().map(|name| assign(name, "a")).collect();
        assert!(matches!(now(registry.decide(fence, &steps)).unwrap(), Steps::Done(_)));
    }
    let (_, orders) = now(registry.machine_orders(&machine("a"))).unwrap();
    let claims = orders.iter().map(|(unit, order)| Claim {
        unit: unit.clone(),
        order_revision: order.as_ref().expect("it can be read").revision,
        report: report("a"),
    });
    assert_eq!(now(registry.claim(&machine("a"), a, &claims.collect::<Vec<_>>())).unwrap().len(), 700);
    now(registry.put_metadata(&machine("a"), "disk", Some("ssd"))).unwrap();
    now(registry.set_admission(&machine("a"), crate::model::Admission::Drain)).unwrap();
    names[..300].iter().for_each(|name| drop(now(registry.delete_job(&unit(name)))));
    while let Some(Ok(Batch::Changes(changes))) = watch.next().now_or_never() {
        changes.into_iter().for_each(|change| view.apply(change));
    }
    let loaded = now(registry.load()).unwrap();
    assert_eq!(
        (view.revision, view.jobs.len()),
        (loaded.revision, 700),
        "destroyed units are still on their machine"
    );
    assert_eq!(
        (&view.jobs[&unit("u5.service")].target, view.machines),
        (&loaded.jobs[&unit("u5.service")].target, loaded.machines)
    );
    assert_eq!((view.orders, view.reports, view.files), (loaded.orders, loaded.reports, loaded.files));
    let texts: BTreeSet<UnitHash> = names.iter().map(|name| file(name).0).collect();
    assert_eq!(now(registry.texts(&texts)).unwrap().len(), 700);
    assert_eq!(
        now(registry.machine_reports(&machine("a"), &[unit("u1.service"), unit("x.service")])).unwrap().len(),
        1
    );
}

#[test]
fn a_watch_goes_on_where_its_stream_ended_and_tells_when_history_is_gone() {
    let kv = MapKv::new();
    let mine = kv.client();
    let registry = Registry::new(Arc::new(mine.clone()), "/fleet");
    let mut watch = registry.watch(kv.revision() + 1, &Scope::Machine(machine("a")));
    kv.set("/fleet/machines/a/gone", "1");
    kv.set("/fleet/machines/b/gone", "1");
    let gone = |watch: &mut Watch| match watch.next().now_or_never() {
        Some(Ok(Batch::Changes(changes))) => {
            changes.iter().filter(|c| matches!(c.event, Event::Gone { .. })).count()
        }
        _ => 0,
    };
    assert_eq!((gone(&mut watch), gone(&mut watch)), (1, 0));
    mine.cut();
    kv.unset("/fleet/machines/a/gone");
    assert!(now(watch.next()).is_err());
    assert!(now(watch.next()).is_err(), "still cut");
    mine.mend();
    assert_eq!((gone(&mut watch), gone(&mut watch)), (1, 0));
    mine.cut();
    mine.mend();
    let revision = kv.revision();
    kv.set("/fleet/other", "1");
    let compaction = kernel::types::CompactionRequest { revision: revision + 1, physical: false };
    now(kernel::Kv::compact(&kv, compaction)).unwrap();
    assert!(now(watch.next()).is_err());
    assert_eq!(now(watch.next()).unwrap(), Batch::Resync);
}
