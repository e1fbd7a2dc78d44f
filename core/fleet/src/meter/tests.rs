use super::*;
use crate::model::{DesiredState, Order};
use crate::registry::Registry;
use crate::unit::{UnitFile, UnitName};
use futures_util::FutureExt;
use kernel::memory::MapKv;

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

#[test]
fn calls_are_counted_by_what_they_are_and_how_they_end() {
    let room = crate::agent::tests::room::Room::default();
    let (kv, meter) = (MapKv::on(Arc::new(room.clone())), Meter::default());
    let line = kv.client();
    let metered = Metered::new(Arc::new(line.clone()), Arc::new(room), meter.clone());
    let registry = Registry::new(Arc::new(metered), "/fleet");
    let (name, file) = (UnitName::parse("u.service").unwrap(), UnitFile::parse("[Service]\nA=b\n").unwrap());
    now(registry.put_job(&name, file.hash(), &file.text(), Some(DesiredState::Launched))).unwrap();
    now(registry.load()).unwrap();
    now(registry.leader()).unwrap();
    now(registry.grant(5)).unwrap();
    line.cut();
    assert!(now(registry.leader()).is_err());
    let counts = meter.read().operations;
    assert!(
        counts["set"].done >= 1 && counts["get_all"].done >= 1 && counts["lease"].done == 1,
        "{counts:?}"
    );
    assert_eq!((counts["get"].failed, counts["set"].failed), (1, 0));
}

#[test]
fn what_an_engine_does_is_counted_by_kind() {
    let meter = Meter::default();
    let unit = UnitName::parse("u.service").unwrap();
    let hash = UnitFile::parse("[Service]\nA=b\n").unwrap().hash();
    let order = Order { hash, state: DesiredState::Launched, run: 0 };
    let assign = Step::Assign { unit: unit.clone(), machine: "m".into(), order };
    let free = Step::Free { unit, machine: "m".into(), target_revision: 1, lost: true };
    meter.leads(Some(Duration::from_secs(7)));
    meter.sent(&[assign.clone(), free]);
    meter.failed(&[task(&assign)]);
    meter.turned(Duration::from_millis(2), 3);
    meter.turned(Duration::from_millis(1), 2);
    meter.turned(Duration::from_millis(1), 4);
    let counts = meter.read();
    assert_eq!(counts.tasks, BTreeMap::from([("attemptscheduleunit", 1), ("unscheduleunit", 1)]));
    assert_eq!(counts.failed_tasks, BTreeMap::from([("attemptscheduleunit", 1)]));
    assert_eq!((counts.turns, counts.turn_time), (3, Duration::from_millis(4)));
    assert_eq!((counts.schedule_failures, counts.unplaced, counts.machine_away), (5, 4, 1));
    assert_eq!(counts.leads_since, Some(Duration::from_secs(7)));
}
