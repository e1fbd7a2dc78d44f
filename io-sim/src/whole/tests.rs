//! The text form says the whole plan; troubles of machines strike all that is on them.

use super::plan::{TroubleKind, WholePlan};
use super::runner;
use crate::plan::Class;

const PLAN: &str = "plan seed=3 members=3 clients=1 calm=12000ms end=80000ms
whole
fleet machines=4 zones=1
flannel machines=4 subnets=20 ttl=15s
deed put at=2000ms unit=1 version=1 run=forever
mishap crash at=6000ms for=300ms on=2
mishap crash at=7000ms for=300ms on=3 of=flanneld
mishap machine-power-loss at=9000ms for=1000ms on=1,4
op 1 put at=3000ms key=1 size=20
op 2 get at=50000ms key=1
";

#[test]
fn lines_go_where_they_belong() {
    let plan = WholePlan::parse(PLAN).unwrap();
    assert_eq!((plan.fleet.mishaps.len(), plan.flannel.mishaps.len(), plan.troubles.len()), (1, 1, 1));
    assert_eq!(plan.troubles[0].kind, TroubleKind::PowerLoss);
    let apart = plan.apart();
    assert_eq!((apart.fleet.mishaps.len(), apart.flannel.mishaps.len(), apart.troubles.len()), (2, 2, 0));
    assert_eq!(apart.store().faults[0].class, Class::PowerLoss);
    assert_eq!(apart.store().faults[0].target.to_string(), "1", "machine 4 has no member");
    assert_eq!(apart.flannel.store, apart.fleet.store);
    assert_eq!(WholePlan::parse(&plan.to_string()), Ok(plan));
}

#[test]
fn a_machine_loses_all_that_runs_on_it() {
    let report = runner::run(&WholePlan::parse(PLAN).unwrap());
    assert!(report.passed(), "{report}");
    // A member, two fleetd and two flanneld lose power; a fleetd and a flanneld crash.
    assert_eq!(report.happened.get("power-loss"), Some(&5), "{report}");
    assert_eq!(report.happened.get("crash"), Some(&2), "{report}");
    assert_eq!(report.operations.ok, 2, "{report}");
}

#[test]
fn a_bad_line_is_named() {
    let text = PLAN.replace("on=1,4", "on=1,9");
    let error = WholePlan::parse(&text).unwrap_err().to_string();
    assert_eq!(error, "line 8: 'on=1,9' is no list of machines, as in 'on=1,3'");
}
