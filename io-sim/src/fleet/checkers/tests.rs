//! The checkers against small stories by hand: each finds what it is there for, and excuses what it must.

use super::*;
use crate::checkers::Checked;
use crate::fleet::operator::Outcome;
use crate::fleet::plan::Wish;
use crate::systemd::{Began, Ended};
use fleet::model::{DesiredState, Order, Report};
use fleet::registry::{JobRecord, Seen as Read};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is seen when every deed was acknowledged and is in the registry; nothing is placed and nothing runs.
fn seen(lines: &str) -> Seen {
    let head = "plan seed=1 members=3 clients=1 calm=40000ms end=75000ms\nfleet machines=3 zones=3\n";
    let plan = FleetPlan::parse(&format!("{head}{lines}")).unwrap();
    let mut registry = Snapshot::default();
    let mut done = Vec::new();
    for deed in &plan.deeds {
        let at = Duration::from_millis(deed.at_ms);
        if let Wish::Put(spec, desired) = &deed.wish {
            let hash = Some(spec.file().hash());
            registry
                .jobs
                .insert(unit_name(spec.unit), JobRecord { hash, desired: *desired, ..Default::default() });
        }
        let outcome = Outcome::Acknowledged;
        done.push(Done { deed: deed.clone(), invoked: at, returned: at, outcome, in_doubt: false });
    }
    Seen {
        specs: plan.specs().into_iter().map(|(hash, spec)| (hash, spec.clone())).collect(),
        runs: plan.all_machines().map(|machine| (machine, Vec::new())).collect(),
        plan,
        registry,
        states: BTreeMap::new(),
        troubles: Vec::new(),
        store_troubles: Vec::new(),
        done,
        writes: Vec::new(),
        settled: s(65),
        end: s(75),
        index: Index::default(),
    }
    .indexed()
}

impl Seen {
    /// A unit has an order on a machine.
    fn order(mut self, unit: u16, machine: u16) -> Seen {
        let hash = self.registry.jobs[&unit_name(unit)].hash.unwrap();
        let value = Order { hash, state: DesiredState::Launched, run: 0 };
        self.registry.orders.insert((unit_name(unit), machine_id(machine)), Read { value, revision: 1 });
        self.indexed()
    }

    /// A unit's process runs on a machine, to the end when `until` is nothing.
    fn run(mut self, unit: u16, machine: u16, from: u64, until: Option<(u64, Ended)>) -> Seen {
        let spec = self.specs.values().find(|spec| spec.unit == unit).unwrap();
        let run = Run {
            unit: unit_name(unit).to_string(),
            hash: spec.file().hash(),
            from: s(from),
            began: Began::Job,
            until: until.map(|(at, why)| (s(at), why)),
        };
        self.runs.get_mut(&machine).unwrap().push(run);
        self.indexed()
    }

    fn trouble(mut self, machine: u16, kind: MishapKind, from: u64, until: u64) -> Seen {
        self.troubles.push(Trouble { machine, kind, from: s(from), until: Some(s(until)) });
        self
    }
}

fn broken(checked: Checked) -> &'static str {
    checked.err().map_or("", |failure| failure.invariant)
}

#[test]
fn a_second_copy_is_judged_by_its_policy() {
    let two = |policy: &str| {
        let seen = seen(&format!("deed put at=2000ms unit=1 {policy}\n"));
        seen.run(1, 1, 5, Some((30, Ended::Asked))).run(1, 2, 20, None)
    };
    for policy in ["policy=keep", "policy=stop grace=1s", "policy=hold"] {
        assert_eq!(broken(copies::check(&two(policy))), "one-copy", "{policy}");
    }
    let cut_off = |policy| two(policy).trouble(1, MishapKind::Partition, 10, 29);
    assert_eq!(copies::check(&cut_off("policy=keep")), Ok(()));
    assert_eq!(broken(copies::check(&cut_off("policy=stop"))), "one-copy");
    assert_eq!(broken(copies::check(&cut_off("policy=hold"))), "one-copy");
    assert_eq!(copies::check(&two("policy=stop").trouble(1, MishapKind::Crash, 10, 19)), Ok(()));
    assert_eq!(copies::check(&two("global")), Ok(()));
    let gone = "policy=hold\ndeed gone at=15000ms machine=1";
    assert_eq!(copies::check(&two(gone)), Ok(()));
}

#[test]
fn copies_that_do_not_meet_are_fine() {
    let seen = seen("deed put at=2000ms unit=1 policy=hold\n");
    let seen = seen.run(1, 1, 5, Some((20, Ended::Asked))).run(1, 2, 20, None);
    assert_eq!(copies::check(&seen), Ok(()));
}

#[test]
fn a_unit_left_out_is_found_unless_it_fits_nowhere() {
    assert_eq!(broken(placement::check(&seen("deed put at=2000ms unit=1\n"))), "placed-if-possible");
    assert_eq!(placement::check(&seen("deed put at=2000ms unit=1 zone=7\n")), Ok(()));
    assert_eq!(placement::check(&seen("deed put at=2000ms unit=1 beside=9\n")), Ok(()));
    let pair = "deed put at=2000ms unit=1 beside=2\ndeed put at=2000ms unit=2 beside=1\n";
    assert_eq!(broken(placement::check(&seen(pair))), "placed-if-possible");
    let leans =
        "deed put at=2000ms unit=1\ndeed put at=2000ms unit=2 beside=1\ndeed put at=2000ms unit=3 beside=2";
    let placed = |text: &str| seen(text).order(1, 2).run(1, 2, 5, None).order(2, 2).run(2, 2, 5, None);
    assert_eq!(broken(placement::check(&placed(&format!("{leans}\n")))), "placed-if-possible");
    assert_eq!(placement::check(&placed(&format!("{leans} replaces=1\n"))), Ok(()));
    let rivals = "deed put at=2000ms unit=1 machine=2\ndeed put at=2000ms unit=2 zone=2 conflicts=1\n";
    assert_eq!(placement::check(&seen(rivals).order(1, 2).run(1, 2, 5, None)), Ok(()));
    let rivals = rivals.replace("zone=2", "zone=1");
    assert_eq!(broken(placement::check(&seen(&rivals).order(1, 2).run(1, 2, 5, None))), "placed-if-possible");
}

#[test]
fn what_runs_is_what_is_wanted() {
    let placed = || seen("deed put at=2000ms unit=1\n").order(1, 1);
    assert_eq!(broken(placement::check(&placed())), "launched-runs");
    assert_eq!(placement::check(&placed().trouble(1, MishapKind::CrashUnit(0), 9, 9)), Ok(()));
    assert_eq!(placement::check(&placed().run(1, 1, 5, None)), Ok(()));
    assert_eq!(broken(placement::check(&placed().run(1, 1, 5, None).run(1, 2, 5, None))), "one-copy");
    let inactive = seen("deed put at=2000ms unit=1 state=inactive\n").run(1, 1, 5, None);
    assert_eq!(broken(placement::check(&inactive)), "unwanted-is-gone");
    let mut replaced = placed().run(1, 1, 5, None);
    replaced.registry.jobs.get_mut(&unit_name(1)).unwrap().hash = Some(fleet::unit::UnitHash([7; 20]));
    let other = UnitSpec { version: 2, ..UnitSpec::plain(1) };
    replaced.specs.insert(fleet::unit::UnitHash([7; 20]), other);
    assert_eq!(broken(placement::check(&replaced)), "wanted-text");
}

#[test]
fn a_global_unit_is_on_every_machine_that_fits() {
    let global = || seen("deed put at=2000ms unit=1 global\n");
    assert_eq!(broken(placement::check(&global())), "launched-runs");
    let all = (1..=3).fold(global(), |seen, machine| seen.order(1, machine).run(1, machine, 5, None));
    assert_eq!(placement::check(&all), Ok(()));
    let misplaced = seen("deed put at=2000ms unit=1 global zone=1\n").run(1, 1, 5, None).run(1, 2, 5, None);
    assert_eq!(broken(placement::check(&misplaced)), "global-fits");
}

#[test]
fn wishes_are_judged_by_what_runs() {
    let run = |lines: &str| {
        let seen = seen(lines).run(1, 1, 5, None);
        if lines.contains("unit=2") { seen.run(2, 1, 5, None) } else { seen }
    };
    assert_eq!(broken(wishes::check(&run("deed put at=2000ms unit=1 machine=2\n"))), "machine-id");
    assert_eq!(broken(wishes::check(&run("deed put at=2000ms unit=1 zone=2\n"))), "metadata");
    assert_eq!(broken(wishes::check(&run("deed put at=2000ms unit=1 beside=3\n"))), "machine-of");
    let with = |wish: &str| format!("deed put at=2000ms unit=1 {wish}\ndeed put at=2000ms unit=2\n");
    assert_eq!(broken(wishes::check(&run(&with("conflicts=2")))), "conflicts");
    assert_eq!(broken(wishes::check(&run(&with("replaces=2")))), "replaces");
    assert_eq!(wishes::check(&run(&with(""))), Ok(()));
}

#[test]
fn acknowledged_deeds_are_in_the_registry() {
    let lines = "deed put at=2000ms unit=1\n";
    assert_eq!(effects::check(&seen(lines)), Ok(()));
    let mut lost = seen(lines);
    lost.registry.jobs.clear();
    assert_eq!(broken(effects::check(&lost)), "acknowledged-is-there");
    lost.done[0].in_doubt = true;
    assert_eq!(effects::check(&lost), Ok(()));
    let mut refused = seen(lines);
    refused.done[0].outcome = Outcome::Refused("no".into());
    assert_eq!(broken(effects::check(&refused)), "good-requests-are-taken");
    assert_eq!(
        broken(effects::check(&seen("deed admission at=2000ms machine=1 to=drain\n"))),
        "acknowledged-is-there"
    );
}

#[test]
fn reports_are_compared_with_systemd() {
    let ordered = || seen("deed put at=2000ms unit=1\n").order(1, 1);
    assert_eq!(broken(reports::check(&ordered())), "report-is-true");
    let with = |active: &str, order: bool| {
        let mut seen = if order { ordered() } else { seen("deed put at=2000ms unit=1\n") };
        let hash = seen.registry.jobs[&unit_name(1)].hash.unwrap();
        let state = SystemdState::new("loaded", active, "");
        let value = Report { state, hash, launched: true, starting: false, run: 0, error: String::new() };
        seen.registry.reports.insert((unit_name(1), machine_id(1)), Read { value, revision: 1 });
        seen.states.insert((1, 1), SystemdState::new("loaded", "active", "running"));
        seen
    };
    assert_eq!(reports::check(&with("active", true)), Ok(()));
    assert_eq!(broken(reports::check(&with("failed", true))), "report-is-true");
    assert_eq!(broken(reports::check(&with("active", false))), "let-go");
}

#[test]
fn a_cluster_at_rest_does_nothing() {
    let calm = || seen("deed put at=2000ms unit=1\n");
    let long_after = calm().run(1, 1, 5, Some((50, Ended::Asked)));
    assert_eq!(broken(quiet::check(&long_after)), "stopped-for-a-reason");
    assert_eq!(quiet::check(&long_after.trouble(1, MishapKind::Crash, 30, 31)), Ok(()));
    let left_behind = || {
        let seen = calm().run(1, 1, 5, Some((64, Ended::Asked)));
        seen.trouble(2, MishapKind::Restart, 3, 20)
    };
    assert_eq!(broken(quiet::check(&left_behind())), "stopped-for-a-reason");
    assert_eq!(quiet::check(&left_behind().trouble(2, MishapKind::PowerLoss, 10, 15)), Ok(()));
    assert_eq!(
        broken(quiet::check(&left_behind().trouble(3, MishapKind::PowerLoss, 10, 15))),
        "stopped-for-a-reason"
    );
    assert_eq!(broken(quiet::check(&calm().run(1, 1, 66, None))), "rest-starts-nothing");
    let mut writing = calm();
    writing.writes = vec![s(64), s(66)];
    assert_eq!(broken(quiet::check(&writing)), "rest-writes-nothing");
}
