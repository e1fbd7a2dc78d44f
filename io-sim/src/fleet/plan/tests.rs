//! Plans are text and back, and what they call unit files are.

use super::*;
use fleet::unit::{PartitionPolicy, Requirements};

quickcheck::quickcheck! {
    fn a_plan_is_what_its_text_says(seed: u64) -> bool {
        let plan = FleetPlan::from_seed(seed);
        FleetPlan::parse(&plan.to_string()) == Ok(plan)
    }

    fn every_unit_is_one_that_fleet_takes(seed: u64) -> bool {
        FleetPlan::from_seed(seed).deeds.iter().all(|deed| match &deed.wish {
            Wish::Put(spec, _) => {
                let read = Requirements::read(&unit_name(spec.unit), &spec.file()).unwrap();
                read.global == spec.global
                    && read.partition == spec.policy
                    && read.conflicts.len() == spec.conflicts.len()
                    && read.machine_of.len() == usize::from(spec.beside.is_some())
                    && read.replaces.len() == usize::from(spec.replaces.is_some())
                    && read.machine_id.is_some() == spec.machine.is_some()
                    && read.metadata.len() == usize::from(spec.zone.is_some())
                    && (spec.policy != PartitionPolicy::Stop || read.stop_grace.as_secs() == spec.grace_s)
            }
            _ => true,
        })
    }
}

#[test]
fn mistakes_are_named() {
    let plan = |line: &str| {
        let text = format!("plan seed=1 members=3 clients=1 calm=9ms end=9ms\nfleet machines=3\n{line}\n");
        FleetPlan::parse(&text).unwrap_err()
    };
    assert_eq!(plan("mishap crash at=1ms on=4").line, 3);
    assert!(plan("mishap crash at=1ms on=4").text.contains("none of 1 to 3"));
    assert!(plan("mishap flood at=1ms on=1").text.contains("no mishap"));
    assert!(plan("deed put at=1ms unit=1 run=fast").text.contains("forever"));
    assert!(plan("deed put at=1ms unit=1 colour=red").text.contains("colour"));
}
