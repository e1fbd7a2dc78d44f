//! Who this member is to the others, and how long it waits for them.

use crate::frame::{Body, Hello};
use crate::meter::Meter;
use bytes::Bytes;
use kernel::{BoxFuture, Io};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Who this member is, as it introduces itself.
#[derive(Clone)]
pub struct Identity {
    /// The hello that it sends, complete but for the addressee.
    pub hello: Hello,
    /// Address of each other member.
    pub peers: Arc<BTreeMap<u64, String>>,
    /// Counts what it sends and receives.
    pub meter: Arc<Meter>,
}

impl Identity {
    /// The hello to `peer`.
    pub fn hello_to(&self, peer: u64, snapshot: bool) -> Bytes {
        Body::Hello(Hello { to: peer, snapshot, ..self.hello.clone() }).into_frame()
    }
}

/// Waits for `future`, but not longer than `limit`; `None` then.
pub async fn timeout<T>(io: &Io, limit: Duration, mut future: BoxFuture<'_, T>) -> Option<T> {
    let mut timer = io.clock.sleep_until(io.clock.now() + limit);
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}
