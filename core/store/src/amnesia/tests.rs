use super::*;

fn answer(life: u64, term: u64, last_index: u64) -> PastAnswer {
    PastAnswer { life, term, last_index }
}

fn asking() -> Amnesia {
    Amnesia::new(7, [2, 3].into_iter())
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
