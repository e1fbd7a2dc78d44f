//! The text form says the whole plan, and says what is wrong with a bad one.

use super::*;
use std::collections::BTreeSet;

quickcheck::quickcheck! {
    fn a_plan_survives_its_text(seed: u64) -> bool {
        let plan = Plan::from_seed(seed);
        Plan::parse(&plan.to_string()) == Ok(plan)
    }

    fn any_part_of_a_plan_is_a_plan(seed: u64, keep: u64) -> bool {
        let mut plan = Plan::from_seed(seed);
        plan.faults.retain(|fault| (keep >> (fault.at_ms % 64)) & 1 == 1);
        plan.operations.retain(|operation| (keep >> (operation.tag % 64)) & 1 == 1);
        Plan::parse(&plan.to_string()) == Ok(plan)
    }

    fn a_seed_is_one_plan(seed: u64) -> bool {
        Plan::from_seed(seed) == Plan::from_seed(seed)
    }

    fn failing_disks_are_a_minority(seed: u64) -> bool {
        let plan = Plan::from_seed(seed);
        let failing = plan.faults.iter().filter(|fault| fault.class == Class::FailSync);
        let disks: BTreeSet<_> = failing.map(|fault| fault.target.to_string()).collect();
        disks.len() * 2 < usize::from(plan.members) && !disks.contains("leader")
    }

    fn tags_are_unique(seed: u64) -> bool {
        let plan = Plan::from_seed(seed);
        let tags: BTreeSet<_> = plan.operations.iter().map(|operation| operation.tag).collect();
        tags.len() == plan.operations.len() && !tags.contains(&0)
    }
}

#[test]
fn every_class_and_deed_is_drawn_by_some_seed() {
    let plans: Vec<_> = (0..600).map(Plan::from_seed).collect();
    let classes: BTreeSet<_> =
        plans.iter().flat_map(|plan| &plan.faults).map(|fault| fault.class.name()).collect();
    assert_eq!(classes, Class::NAMES.into_iter().collect());
    let deeds: BTreeSet<_> =
        plans.iter().flat_map(|plan| &plan.operations).map(|operation| operation.deed.name()).collect();
    assert_eq!(deeds.len(), 10);
}

#[test]
fn a_line_by_hand_is_read() {
    let text = "plan seed=1 members=3 clients=2 calm=3000ms end=6000ms # by hand\n\n\
                op 4 get at=100ms client=2 key=3 stale\n\
                fault partition at=200ms for=50ms on=1,3 way=out";
    let plan = Plan::parse(text).unwrap();
    assert_eq!(plan.operations[0].deed, Deed::Get { key: 3, last: 3, back: 0, limit: 0, stale: true });
    assert_eq!(plan.faults[0].target, Target::Members(vec![1, 3]));
}

#[test]
fn a_mistake_is_named_with_its_line() {
    let says =
        |line: &str| Plan::parse(&format!("plan seed=1 calm=1 end=2\n{line}")).unwrap_err().to_string();
    assert_eq!(says("op 1 put at=5 kee=3"), "line 2: 'key=' is missing");
    assert_eq!(says("op 1 put at=5 key=3 kee=3"), "line 2: 'kee' is not known here");
    assert_eq!(says("op 1 put at=5 key=300"), "line 2: 'key=300' is out of range");
    assert_eq!(
        says("fault flood at=5"),
        format!("line 2: 'flood' is no class of fault: {}", Class::NAMES.join(", "))
    );
    assert!(
        says("fault crash at=5 on=9")
            .starts_with("line 2: 'on=9' is neither 'leader' nor 'follower' nor a list")
    );
    assert!(Plan::parse("op 1 put").unwrap_err().to_string().contains("must start with 'plan'"));
}
