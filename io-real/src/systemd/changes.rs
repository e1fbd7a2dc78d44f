//! Hands changes to each subscriber. Nobody waits for a slow one: what it has not fetched yet is kept once for each unit, and
//! beyond [`MOST_PENDING`] units it is told to look at everything instead.

use fleet::systemd::{Change, Changes};
use kernel::BoxFuture;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use tokio::sync::Notify;

/// Units that one subscriber may be behind with.
const MOST_PENDING: usize = 10_000;

/// All subscribers.
#[derive(Default)]
pub struct Hub {
    subscribers: Mutex<Vec<Weak<Subscriber>>>,
}

#[derive(Default)]
struct Subscriber {
    pending: Mutex<Pending>,
    ready: Notify,
}

#[derive(Default)]
struct Pending {
    resync: bool,
    /// In the order of their first mention.
    queue: VecDeque<String>,
    queued: BTreeSet<String>,
}

impl Hub {
    /// A subscription from now on.
    pub fn subscribe(&self) -> Box<dyn Changes> {
        let subscriber = Arc::new(Subscriber::default());
        let mut subscribers = self.subscribers.lock().expect("no holder panics");
        subscribers.retain(|other| other.strong_count() > 0);
        subscribers.push(Arc::downgrade(&subscriber));
        Box::new(Subscription(subscriber))
    }

    /// Says to all that `change` happened.
    pub fn tell(&self, change: &Change) {
        for subscriber in self.subscribers.lock().expect("no holder panics").iter() {
            if let Some(subscriber) = subscriber.upgrade() {
                subscriber.lock().add(change);
                subscriber.ready.notify_one();
            }
        }
    }
}

impl Subscriber {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("no holder panics")
    }
}

impl Pending {
    fn add(&mut self, change: &Change) {
        match change {
            Change::Unit(name) if self.queue.len() < MOST_PENDING => {
                if self.queued.insert(name.clone()) {
                    self.queue.push_back(name.clone());
                }
            }
            // To look at everything includes what was waiting.
            Change::Unit(_) | Change::Resync => {
                *self = Pending { resync: true, ..Pending::default() };
            }
        }
    }

    fn take(&mut self) -> Option<Change> {
        if std::mem::take(&mut self.resync) {
            return Some(Change::Resync);
        }
        let name = self.queue.pop_front()?;
        self.queued.remove(&name);
        Some(Change::Unit(name))
    }
}

struct Subscription(Arc<Subscriber>);

impl Changes for Subscription {
    fn next(&mut self) -> BoxFuture<'_, Change> {
        Box::pin(async {
            loop {
                let pending = self.0.lock().take();
                if let Some(change) = pending {
                    return change;
                }
                self.0.ready.notified().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn unit(name: &str) -> Change {
        Change::Unit(name.to_string())
    }

    #[test]
    fn each_subscriber_hears_each_unit_once_in_order() {
        let hub = Hub::default();
        let (mut one, mut other) = (hub.subscribe(), hub.subscribe());
        for name in ["a", "b", "a"] {
            hub.tell(&unit(name));
        }
        assert_eq!(one.next().now_or_never(), Some(unit("a")));
        hub.tell(&unit("a"));
        for expected in ["b", "a"] {
            assert_eq!(
                one.next().now_or_never(),
                Some(unit(expected)),
                "fetched before, so it is news again"
            );
        }
        assert_eq!(one.next().now_or_never(), None);
        drop(one);
        hub.tell(&unit("c"));
        for expected in ["a", "b", "c"] {
            assert_eq!(other.next().now_or_never(), Some(unit(expected)));
        }
    }

    #[test]
    fn resync_takes_the_place_of_what_waited() {
        let hub = Hub::default();
        let mut changes = hub.subscribe();
        hub.tell(&unit("before"));
        hub.tell(&Change::Resync);
        hub.tell(&unit("after"));
        assert_eq!(changes.next().now_or_never(), Some(Change::Resync));
        assert_eq!(changes.next().now_or_never(), Some(unit("after")));
        for number in 0..=MOST_PENDING {
            hub.tell(&unit(&number.to_string()));
        }
        assert_eq!(changes.next().now_or_never(), Some(Change::Resync), "too far behind");
        assert_eq!(changes.next().now_or_never(), None);
    }
}
