//! The few futures that a loop waits for, each of which ends in an event.
//!
//! They are polled in the order in which they were added; one that is ready leaves the list and, if it goes on, is added at
//! its end. So no source starves another, and which event comes first is no matter of chance.

use kernel::BoxFuture;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Futures that end in a `T`.
pub(super) struct Waits<T>(Vec<BoxFuture<'static, T>>);

impl<T> Waits<T> {
    pub(super) fn new() -> Self {
        Waits(Vec::new())
    }

    pub(super) fn add(&mut self, future: impl Future<Output = T> + Send + 'static) {
        self.0.push(Box::pin(future));
    }

    /// The next event. Waits for ever if there is nothing to wait for.
    pub(super) async fn next(&mut self) -> T {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<T> {
        for index in 0..self.0.len() {
            if let Poll::Ready(event) = self.0[index].as_mut().poll(context) {
                drop(self.0.remove(index));
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}
