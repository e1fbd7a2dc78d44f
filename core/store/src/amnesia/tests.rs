use super::*;

fn answer(life: u64, term: u64, last_index: u64) -> PastAnswer {
    PastAnswer { life, term, last_index }
}

fn asking() -> Amnesia {
    Amnesia::new(7, [2, 3].into_iter(), true)
}

#[test]
fn a_new_cluster_has_nothing_to_make_up_for() {
    let mut amnesia = asking();
    amnesia.learn(2, answer(7, 1, 1));
    assert_eq!(amnesia.past(), None, "a quorum is not everybody");
    assert!(!amnesia.is_made_up_for(1, 1));
    amnesia.learn(3, answer(7, 1, 1));
    assert_eq!(amnesia.past(), Some((1, 1)));
    assert!(amnesia.is_made_up_for(1, 1));
}

#[test]
fn the_longest_log_and_the_highest_term_count() {
    let mut amnesia = asking();
    amnesia.learn(2, answer(7, 9, 40));
    amnesia.learn(3, answer(7, 4, 100));
    assert_eq!(amnesia.past(), Some((9, 100)));
    assert!(!amnesia.is_made_up_for(99, 9));
    assert!(amnesia.is_made_up_for(100, 4));
    assert!(amnesia.is_made_up_for(41, 10), "a later leader has all that was committed");
}

#[test]
fn answers_of_another_life_and_from_strangers_say_nothing() {
    let mut amnesia = asking();
    amnesia.learn(2, answer(6, 1, 1));
    amnesia.learn(4, answer(7, 50, 50));
    amnesia.learn(3, answer(7, u64::MAX, 1));
    assert_eq!(*amnesia.unheard(), BTreeSet::from([2, 3]));
    amnesia.learn(2, answer(7, 2, 2));
    amnesia.learn(2, answer(7, 60, 60));
    amnesia.learn(3, answer(7, 1, 1));
    assert_eq!(amnesia.past(), Some((2, 2)), "the first answer of a life counts");
}

#[test]
fn a_majority_that_knows_of_nothing_begins_when_it_has_waited() {
    let mut amnesia = asking();
    amnesia.patience_over = true;
    assert_eq!(amnesia.past(), None, "alone is no majority of three");
    amnesia.learn(2, answer(7, 1, 1));
    assert_eq!(amnesia.past(), Some((1, 1)));
    assert!(amnesia.is_made_up_for(1, 1));
    amnesia.learn(3, answer(7, 5, 9));
    assert_eq!(amnesia.past(), Some((5, 9)), "who comes in time is heard");
    assert!(!amnesia.is_made_up_for(1, 1));
}

#[test]
fn whoever_has_or_meets_a_past_waits_for_everybody() {
    let mut old = Amnesia::new(7, [2, 3].into_iter(), false);
    old.patience_over = true;
    old.learn(2, answer(7, 1, 1));
    assert_eq!(old.past(), None, "it has a past of its own");
    let mut warned = asking();
    warned.patience_over = true;
    warned.learn(2, answer(7, 2, 1));
    assert_eq!(warned.past(), None, "there was an election");
    let mut four = Amnesia::new(7, [2, 3, 4].into_iter(), true);
    four.patience_over = true;
    four.learn(2, answer(7, 1, 1));
    assert_eq!(four.past(), None, "two of four are no majority");
    four.learn(4, answer(7, 1, 1));
    assert_eq!(four.past(), Some((1, 1)));
}
