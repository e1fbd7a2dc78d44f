//! Each pass, on a plan by hand.

use super::*;

const PLAN: &str = "plan seed=1 members=5 clients=2 calm=8000ms end=16000ms\n\
    knobs tick=50ms\n\
    fault crash at=1000ms for=3249ms on=2,5\n\
    op 1 put at=500ms client=2 key=3 prev\n\
    op 2 get at=9000ms key=3\n";

fn has(drafts: &[Draft], line: &str) -> bool {
    drafts.iter().any(|draft| draft.to_string().lines().any(|text| text == line))
}

#[test]
fn a_cut_takes_what_comes_later() {
    let text = cut_after(&Draft::new(PLAN), 999).to_string();
    assert_eq!(
        text,
        "plan seed=1 members=5 clients=2 calm=999ms end=999ms\nknobs tick=50ms\nop 1 put at=500ms client=2 key=3 prev\n"
    );
}

#[test]
fn an_earlier_calm_is_as_long() {
    let tails = tails(&Draft::new(PLAN));
    assert!(has(&tails, "plan seed=1 members=5 clients=2 calm=4000ms end=12000ms"));
    assert!(has(&tails, "plan seed=1 members=5 clients=2 calm=8000ms end=8000ms"));
}

#[test]
fn who_is_no_more_is_replaced_by_one_who_is() {
    let shapes = shapes(&Draft::new(PLAN));
    assert!(has(&shapes, "fault crash at=1000ms for=3249ms on=1,2"), "members 4: 5 is 1 again");
    assert!(has(&shapes, "op 1 put at=500ms client=1 key=3 prev"));
    assert_eq!(shapes.len(), 4 + 1);
}

#[test]
fn numbers_become_smaller_and_fields_go() {
    let numbers = numbers(&Draft::new(PLAN));
    for line in [
        "knobs",
        "fault crash at=1000ms on=2,5",
        "fault crash at=1000ms for=406ms on=2,5",
        "fault crash at=1000ms for=3200ms on=2,5",
        "fault crash at=1000ms for=3249ms on=2",
        "op 1 put at=500ms client=2 key=3",
    ] {
        assert!(has(&numbers, line), "{line}");
    }
    assert!(!has(&numbers, "plan members=5 clients=2 calm=8000ms end=16000ms"));
}

#[test]
fn idle_time_is_taken_away() {
    let sooner = sooner(&Draft::new(PLAN));
    assert!(has(&sooner, "op 2 get at=8000ms key=3"));
    assert!(has(&sooner, "plan seed=1 members=5 clients=2 calm=1000ms end=9000ms"));
}

#[test]
fn lines_go_together_by_class_client_and_key() {
    let groups = groups(&Draft::new(PLAN), Role::Operation);
    assert_eq!(groups, [vec![3, 4]], "both have the key 3");
}
