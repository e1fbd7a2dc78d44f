//! Whatever the failure is made of, what remains still fails, and nothing can be taken from it.

use super::*;
use kernel::rng::mix;

/// A failure that needs all of one of some sets of things: with one set it is monotone, with more it has several causes.
fn fails(list: &[usize], causes: &[Vec<usize>]) -> bool {
    causes.iter().any(|cause| cause.iter().all(|thing| list.contains(thing)))
}

fn reduce(count: usize, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    ddmin(count, usize::MAX, |parts| parts.iter().position(|part| fails(part)))
}

fn is_1_minimal(list: &[usize], fails: impl Fn(&[usize]) -> bool) -> bool {
    (0..list.len()).all(|gone| {
        let less: Vec<usize> =
            list.iter().copied().enumerate().filter(|(at, _)| *at != gone).map(|(_, t)| t).collect();
        !fails(&less)
    })
}

quickcheck::quickcheck! {
    fn what_remains_fails_and_is_1_minimal(count: u8, causes: Vec<Vec<u8>>) -> bool {
        let count = usize::from(count) % 60 + 1;
        let mut causes: Vec<Vec<usize>> = causes
            .iter()
            .map(|cause| cause.iter().take(6).map(|thing| usize::from(*thing) % count).collect())
            .collect();
        causes.push((0..count).collect());
        let least = reduce(count, |list| fails(list, &causes));
        fails(&least, &causes) && is_1_minimal(&least, |list| fails(list, &causes))
    }

    fn a_failure_of_chance_is_1_minimal_too(count: u8, seed: u64) -> bool {
        let count = usize::from(count) % 40 + 1;
        // Any part fails or not, without rhyme; the whole does.
        let chance = |list: &[usize]| {
            list.len() == count || list.iter().fold(seed, |hash, thing| mix(hash ^ *thing as u64)) % 3 == 0
        };
        let least = reduce(count, chance);
        chance(&least) && is_1_minimal(&least, chance)
    }

    fn one_cause_is_found_itself(count: u8, cause: Vec<u8>) -> bool {
        let count = usize::from(count) + 1;
        let mut cause: Vec<usize> = cause.iter().map(|thing| usize::from(*thing) % count).collect();
        cause.sort_unstable();
        cause.dedup();
        reduce(count, |list| fails(list, std::slice::from_ref(&cause))) == cause
    }

    fn one_that_is_told_to_stop_keeps_what_fails(count: u8, cause: u8, tests: u8) -> bool {
        let count = usize::from(count) + 1;
        let cause = vec![vec![usize::from(cause) % count, 0]];
        let mut left = tests;
        let best = ddmin(count, usize::MAX, |parts| {
            parts.iter().position(|part| {
                left = left.saturating_sub(1);
                left > 0 && fails(part, &cause)
            })
        });
        fails(&best, &cause)
    }
}

#[test]
fn few_pieces_leave_the_bulk_behind_in_few_tests() {
    let mut tests = 0;
    let causes = [vec![70, 77, 400]];
    let left = ddmin(512, 16, |parts| {
        parts.iter().position(|part| {
            tests += 1;
            fails(part, &causes)
        })
    });
    assert!(fails(&left, &causes));
    assert!(left.len() <= 16 && tests < 200, "{} of 512 are left after {tests} tests", left.len());
}

#[test]
fn few_tests_are_needed_for_few_things() {
    let mut tests = 0;
    let least = reduce(512, |list| {
        tests += 1;
        fails(list, &[vec![77, 400]])
    });
    assert_eq!(least, [77, 400]);
    assert!(tests < 150, "{tests} tests");
}
