//! Subscriptions: signals under way to one listener each. A signal for a unit that has one waiting already is merged with it.

use fleet::systemd::{Change, Changes};
use kernel::BoxFuture;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Poll, Waker};

#[derive(Default)]
struct Queue {
    arrived: VecDeque<Change>,
    waker: Option<Waker>,
}

/// The listener's end.
pub(super) struct Subscription(Arc<Mutex<Queue>>);

/// systemd's end of every subscription that is still held.
#[derive(Default)]
pub(super) struct Subscribers(Vec<Weak<Mutex<Queue>>>);

fn locked(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().expect("no holder panics")
}

impl Subscribers {
    /// A new subscription.
    pub fn add(&mut self) -> Subscription {
        self.0.retain(|queue| queue.strong_count() > 0);
        let queue = Arc::default();
        self.0.push(Arc::downgrade(&queue));
        Subscription(queue)
    }

    /// A signal arrives at everybody.
    pub fn say(&self, change: &Change) {
        for queue in self.0.iter().filter_map(Weak::upgrade) {
            let mut queue = locked(&queue);
            if *change == Change::Resync {
                queue.arrived.clear();
            }
            if !queue.arrived.contains(change) {
                queue.arrived.push_back(change.clone());
            }
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }

    /// What has arrived and was not taken is lost.
    pub fn lose(&self) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|queue| locked(&queue).arrived.clear());
    }
}

impl Changes for Subscription {
    fn next(&mut self) -> BoxFuture<'_, Change> {
        Box::pin(poll_fn(|context| {
            let mut queue = locked(&self.0);
            match queue.arrived.pop_front() {
                Some(change) => Poll::Ready(change),
                None => {
                    queue.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}
