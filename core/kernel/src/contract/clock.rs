//! What the Clock port promises.

use crate::{BoxFuture, Clock};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// A case of this suite.
pub type Case = (&'static str, fn(Arc<dyn Clock>) -> BoxFuture<'static, ()>);

/// Every case.
pub const CASES: &[Case] = &[
    ("monotonic time never goes back", |clock| Box::pin(monotonic(clock))),
    ("a sleep never ends early", |clock| Box::pin(sleeps_never_end_early(clock))),
    ("a sleep until the past is over at once", |clock| Box::pin(past_deadlines(clock))),
    ("sleeps end in the order of their deadlines", |clock| Box::pin(sleeps_end_in_order(clock))),
    ("a dropped sleep disturbs no other", |clock| Box::pin(dropped_sleeps(clock))),
    ("the wall clock moves with monotonic time", |clock| Box::pin(wall_moves(clock))),
];

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn monotonic(clock: Arc<dyn Clock>) {
    let mut last = clock.now();
    for _ in 0..20 {
        clock.sleep_until(last + ms(1)).await;
        let now = clock.now();
        assert!(now > last, "now() went from {last:?} to {now:?} over a sleep of 1 ms");
        last = now;
    }
}

async fn sleeps_never_end_early(clock: Arc<dyn Clock>) {
    for nanos in [1, 999, 1_000, 123_457, 1_000_000, 7_654_321, 20_000_000] {
        let deadline = clock.now() + Duration::from_nanos(nanos);
        clock.sleep_until(deadline).await;
        let now = clock.now();
        assert!(now >= deadline, "a sleep until {deadline:?} ended at {now:?}");
    }
}

async fn past_deadlines(clock: Arc<dyn Clock>) {
    let now = clock.now();
    clock.sleep_until(Duration::ZERO).await;
    clock.sleep_until(now).await;
    let waited = clock.now() - now;
    assert!(waited < ms(1000), "sleeps until the past took {waited:?}");
}

async fn sleeps_end_in_order(clock: Arc<dyn Clock>) {
    let start = clock.now();
    let sleeps = [30, 10, 20].map(|after| {
        let clock = clock.clone();
        async move {
            clock.sleep_until(start + ms(after)).await;
            (after, clock.now())
        }
    });
    let mut ends = join_all(sleeps).await;
    ends.sort();
    for pair in ends.windows(2) {
        assert!(pair[0].1 <= pair[1].1, "the sleep of {} ms ended after that of {} ms", pair[0].0, pair[1].0);
    }
}

async fn dropped_sleeps(clock: Arc<dyn Clock>) {
    let deadline = clock.now() + ms(10);
    let kept = clock.sleep_until(deadline);
    for after in 0..100 {
        drop(clock.sleep_until(clock.now() + ms(after)));
    }
    kept.await;
    assert!(clock.now() >= deadline, "a sleep ended early when others were dropped");
}

async fn wall_moves(clock: Arc<dyn Clock>) {
    let before = clock.wall();
    assert!(
        before > Duration::from_secs(1_600_000_000),
        "the wall clock shows a time before 2020: {before:?}"
    );
    clock.sleep_until(clock.now() + ms(20)).await;
    let moved = clock.wall().checked_sub(before).expect("nobody sets the wall clock back here");
    assert!(moved >= ms(10), "the wall clock moved by {moved:?} in 20 ms");
}
