//! The first of many that answers, on several threads, with the same answer on any number of them.
//!
//! Workers take the items in order, and stop taking when one has answered. Whatever stands before the first answer was
//! taken before it, and is finished; so the lowest answer is the one that a single thread would have come to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The lowest of `0..count` for which `each` answers, and its answer; `None` if none does before `stop` says so.
/// `jobs` of them run at a time.
pub fn first<T: Send>(
    count: usize,
    jobs: usize,
    stop: impl Fn() -> bool + Sync,
    each: impl Fn(usize) -> Option<T> + Sync,
) -> Option<(usize, T)> {
    let (next, found) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let best: Mutex<Option<(usize, T)>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                while !stop() {
                    let item = next.fetch_add(1, Ordering::SeqCst);
                    if item >= count || item > found.load(Ordering::SeqCst) {
                        return;
                    }
                    let Some(answer) = each(item) else { continue };
                    found.fetch_min(item, Ordering::SeqCst);
                    let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
                    if best.as_ref().is_none_or(|(lowest, _)| item < *lowest) {
                        *best = Some((item, answer));
                    }
                }
            });
        }
    });
    best.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    quickcheck::quickcheck! {
        fn the_lowest_answers_on_any_number_of_threads(answers: Vec<bool>, jobs: u8) -> bool {
            let lowest = answers.iter().position(|answers| *answers);
            let jobs = usize::from(jobs) % 9;
            let found = first(answers.len(), jobs, || false, |item| answers[item].then_some(item));
            found.map(|(item, answer)| (item == answer).then_some(item)) == lowest.map(Some)
        }
    }

    #[test]
    fn one_that_is_stopped_asks_nobody() {
        assert_eq!(first(9, 2, || true, |item| -> Option<()> { panic!("item {item} was asked") }), None);
    }
}
