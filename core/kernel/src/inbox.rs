//! The one queue in front of an event loop.
//!
//! A loop owns its state and waits for a closed enum of events. Everything that happens to it goes through one inbox, so the
//! order of events is one order, the bound is one number, and no `select!` decides between sources by chance. Work from
//! outside enters by [`Inbox::try_push`], which refuses when the bound is reached; completions of work that the loop itself
//! started enter by [`Inbox::push`], whose number is bounded by what the loop has under way.

use crate::BoxFuture;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

/// The sending side; clones share the queue.
pub struct Inbox<T>(Arc<Shared<T>>);

/// The loop's side.
pub struct Outlet<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    bound: usize,
}

struct State<T> {
    queue: VecDeque<T>,
    waker: Option<Waker>,
    closed: bool,
}

/// Why an event was refused; it is given back.
#[derive(Debug)]
pub enum Refused<T> {
    /// The bound is reached: the loop is overloaded.
    Full(T),
    /// The loop has ended.
    Closed(T),
}

/// Why [`Outlet::wait`] returned.
#[derive(Debug, PartialEq, Eq)]
pub enum Woken {
    /// There are events.
    Events,
    /// The timer went off first.
    Timer,
    /// The inbox was closed and is empty.
    Closed,
}

/// A queue that takes at most `bound` events from outside at a time.
pub fn inbox<T>(bound: usize) -> (Inbox<T>, Outlet<T>) {
    let state = State { queue: VecDeque::new(), waker: None, closed: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), bound });
    (Inbox(shared.clone()), Outlet(shared))
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Inbox(self.0.clone())
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no holder panics")
    }
}

impl<T> Inbox<T> {
    /// Queues an event from outside, unless the bound is reached.
    pub fn try_push(&self, event: T) -> Result<(), Refused<T>> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(Refused::Closed(event));
        }
        if state.queue.len() >= self.0.bound {
            return Err(Refused::Full(event));
        }
        state.queue.push_back(event);
        wake(state);
        Ok(())
    }

    /// Queues the completion of something that the loop started. Dropped silently when the loop has ended.
    pub fn push(&self, event: T) {
        let mut state = self.0.lock();
        if !state.closed {
            state.queue.push_back(event);
            wake(state);
        }
    }

    /// Ends the queue: the loop takes what is there, then sees [`Woken::Closed`].
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        wake(state);
    }

    /// Events waiting now.
    pub fn len(&self) -> usize {
        self.0.lock().queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T> Outlet<T> {
    /// Moves up to `most` events to the end of `into`, oldest first; returns how many.
    pub fn take(&mut self, most: usize, into: &mut Vec<T>) -> usize {
        let mut state = self.0.lock();
        let taken = state.queue.len().min(most);
        into.extend(state.queue.drain(..taken));
        taken
    }

    /// Waits for an event, or for `timer`. Events win when both are there, so a loop that must not be late looks at its
    /// clock each turn as well.
    pub async fn wait(&mut self, timer: &mut BoxFuture<'static, ()>) -> Woken {
        poll_fn(|context| {
            let mut state = self.0.lock();
            if !state.queue.is_empty() {
                return Poll::Ready(Woken::Events);
            }
            if state.closed {
                return Poll::Ready(Woken::Closed);
            }
            state.waker = Some(context.waker().clone());
            drop(state);
            timer.as_mut().poll(context).map(|()| Woken::Timer)
        })
        .await
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn refuses_beyond_the_bound_and_keeps_the_order() {
        let (inbox, mut outlet) = inbox(2);
        inbox.try_push(1).unwrap();
        inbox.try_push(2).unwrap();
        assert!(matches!(inbox.try_push(3), Err(Refused::Full(3))));
        inbox.push(4);
        let mut taken = Vec::new();
        assert_eq!(outlet.take(10, &mut taken), 3);
        assert_eq!(taken, [1, 2, 4]);
    }

    #[test]
    fn closing_lets_the_rest_be_taken() {
        let (inbox, mut outlet) = inbox(2);
        inbox.push(1);
        inbox.close();
        assert!(matches!(inbox.try_push(2), Err(Refused::Closed(2))));
        let mut never: BoxFuture<'static, ()> = Box::pin(std::future::pending());
        assert_eq!(outlet.wait(&mut never).now_or_never(), Some(Woken::Events));
        assert_eq!(outlet.take(10, &mut Vec::new()), 1);
        assert_eq!(outlet.wait(&mut never).now_or_never(), Some(Woken::Closed));
    }
}
