//! Who listens, and what is on its way to them. A hint that waits already is not said again; a queue that runs over, or a loss that was
//! asked for, becomes one [`Hint::Resync`], as netlink tells of it.

use flannel::links::{Changes, Hint, LinksError, LinksResult};
use kernel::BoxFuture;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Poll, Waker};

/// Hints that may wait for a listener, as in the buffer of a netlink socket.
const BUFFER: usize = 512;

#[derive(Default)]
struct Queue {
    arrived: VecDeque<Hint>,
    broken: bool,
    waker: Option<Waker>,
}

/// The listener's end.
pub(super) struct Subscription(Arc<Mutex<Queue>>);

/// The kernel's end of every subscription that is still held.
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

    /// Whether nobody has ever listened since the boot.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn each(&self, act: impl Fn(&mut Queue)) {
        for queue in self.0.iter().filter_map(Weak::upgrade) {
            let mut queue = locked(&queue);
            act(&mut queue);
            let waker = queue.waker.take();
            drop(queue);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Hints arrive at everybody.
    pub fn say(&self, hints: &[Hint]) {
        self.each(|queue| {
            for hint in hints {
                if queue.arrived.len() >= BUFFER {
                    queue.arrived = VecDeque::from([Hint::Resync]);
                }
                if !queue.arrived.contains(hint) {
                    queue.arrived.push_back(hint.clone());
                }
            }
        });
    }

    /// What has arrived and was not taken is lost, and everybody hears that something was.
    pub fn lose(&self) {
        self.each(|queue| queue.arrived = VecDeque::from([Hint::Resync]));
    }

    /// Every stream ends with an error.
    pub fn sever(&self) {
        self.each(|queue| queue.broken = true);
    }
}

impl Changes for Subscription {
    fn next(&mut self) -> BoxFuture<'_, LinksResult<Hint>> {
        Box::pin(poll_fn(|context| {
            let mut queue = locked(&self.0);
            if queue.broken {
                return Poll::Ready(Err(LinksError::Lost("the stream of changes".to_owned())));
            }
            match queue.arrived.pop_front() {
                Some(hint) => Poll::Ready(Ok(hint)),
                None => {
                    queue.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}
