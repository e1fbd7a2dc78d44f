//! One client's stream of watchers: requests in, responses out.
//!
//! The stream does its own work when its reader asks for the next response: it reads history for watchers that lag, looks up
//! previous values, cuts large responses, keeps the timer of progress. So a slow or demanding client pays for itself, and
//! apply never does.

use super::catch_up::catch_up;
use super::hub::Hub;
use super::index::WatcherId;
use super::queue::{Found, Item, Queue};
use super::render::render;
use super::{HeaderOf, History};
use kernel::kv::KvResult;
use kernel::rng;
use kernel::watch::{WatchCreateRequest, WatchRequest, WatchRequestUnion, WatchResponse};
use kernel::{BoxFuture, Clock, KvError, WatchStream};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// In a response, the id of no watcher: the request was refused, or the whole stream is meant.
const NO_WATCHER: i64 = -1;

/// Progress is told at most this often, whatever the options say.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// What a stream is made of.
pub struct StreamConfig {
    /// The store's history.
    pub history: Arc<dyn History>,
    /// Time, for the progress of idle watchers.
    pub clock: Arc<dyn Clock>,
    /// Makes headers.
    pub header: HeaderOf,
    /// Whether [`Hub::cancel_leaderless`] ends it.
    pub require_leader: bool,
}

/// A stream of watchers; see [`WatchStream`].
pub struct Stream {
    hub: Hub,
    id: u64,
    queue: Arc<Queue>,
    config: StreamConfig,
    /// Rendered and not read yet: the parts of a large response.
    parts: VecDeque<WatchResponse>,
    /// Watchers made with `progress_notify`, and whether each was idle since the last tick.
    idle: BTreeMap<i64, bool>,
    /// The next tick and the future that waits for it, while `idle` is not empty.
    tick: Option<(Duration, BoxFuture<'static, ()>)>,
    jitter: rng::Stream,
}

impl Stream {
    pub(super) fn new(hub: Hub, id: u64, queue: Arc<Queue>, config: StreamConfig) -> Self {
        let jitter = rng::Stream::new(hub.options().seed, "watch progress", id);
        Stream { hub, id, queue, config, parts: VecDeque::new(), idle: BTreeMap::new(), tick: None, jitter }
    }

    /// Does what a request asks; the answer is queued. Errors: the stream has ended; *too many requests* when thousands of
    /// answers wait unread, and then nothing was done.
    pub fn submit(&mut self, request: WatchRequest) -> KvResult<()> {
        if let Some(reason) = self.queue.ended() {
            return Err(reason);
        }
        if self.queue.is_overrun() {
            return Err(KvError::too_many_requests());
        }
        match request.request_union {
            Some(WatchRequestUnion::CreateRequest(create)) => self.create(create),
            Some(WatchRequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            Some(WatchRequestUnion::ProgressRequest(_)) => self.request_progress(),
            // etcd ignores a message of no kind, so that newer clients may speak to older servers.
            None => {}
        }
        Ok(())
    }

    /// The next response, if there is one; otherwise the task is woken when there may be.
    pub fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<KvResult<WatchResponse>> {
        if let Some(part) = self.parts.pop_front() {
            return Poll::Ready(Ok(part));
        }
        self.poll_tick(context);
        if self.queue.wants_catch_up() {
            catch_up(&self.hub, self.id, &*self.config.history).map_err(|error| self.fail(error))?;
        }
        match self.queue.pop(context.waker()) {
            Found::Item(item) => Poll::Ready(self.render(item)),
            Found::Ended(reason) => Poll::Ready(Err(reason)),
            Found::Nothing => {
                if self.queue.wants_catch_up() {
                    // A batch without anything for us. Others get their turn before the next.
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }

    /// Ends the stream because of a failure of its own.
    fn fail(&self, error: KvError) -> KvError {
        self.hub.options().probe.sometimes("watch: history could not be read");
        self.queue.end(error.clone());
        error
    }

    fn render(&mut self, item: Item) -> KvResult<WatchResponse> {
        if let Item::Events(delivery) = &item {
            self.idle.entry(delivery.watch_id).and_modify(|idle| *idle = false);
        }
        if let Item::Answer { response, .. } = &item
            && response.canceled
        {
            self.forget_idle(response.watch_id);
        }
        let fragment_bytes = self.hub.options().fragment_bytes;
        let rendered = render(item, &self.config.header, &*self.config.history, fragment_bytes);
        self.parts.extend(rendered.map_err(|error| self.fail(error))?);
        Ok(self.parts.pop_front().expect("an item renders to at least one response"))
    }

    fn create(&mut self, request: WatchCreateRequest) {
        let mut state = self.hub.lock();
        let revision = state.revision;
        let outcome = state.create(self.id, &request);
        let response = match &outcome {
            Ok(watch_id) => WatchResponse { watch_id: *watch_id, created: true, ..Default::default() },
            Err(reason) => WatchResponse {
                watch_id: NO_WATCHER,
                created: true,
                canceled: true,
                cancel_reason: reason.clone(),
                ..Default::default()
            },
        };
        // Queued under the lock: no event may come before the answer.
        let mut waker = self.queue.answer(revision, response);
        if let Some(entry) = state.streams.get(&self.id) {
            waker = entry.note_lagging().or(waker);
        }
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        if let (Ok(watch_id), true) = (outcome, request.progress_notify) {
            self.idle.insert(watch_id, true);
            if self.tick.is_none() {
                self.arm();
            }
        }
    }

    /// Ends a watcher of ours; nothing is said about one that does not exist.
    fn cancel(&mut self, watch_id: i64) {
        let mut state = self.hub.lock();
        if !state.cancel(WatcherId { stream: self.id, watch: watch_id }) {
            return;
        }
        let response = WatchResponse { watch_id, canceled: true, ..Default::default() };
        let mut waker = self.queue.answer(state.revision, response);
        waker = state.streams[&self.id].note_lagging().or(waker);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        self.forget_idle(watch_id);
    }

    /// Queues the revision of the whole stream if every watcher is synced and there is one; otherwise there is no answer,
    /// and the client asks again.
    fn request_progress(&mut self) {
        let state = self.hub.lock();
        let Some(entry) = state.streams.get(&self.id) else { return };
        if entry.watchers.is_empty() {
            return;
        }
        let Some(revision) = state.complete(self.id, entry.watchers.keys()) else {
            self.hub.options().probe.sometimes("watch: progress was asked of a stream that lags");
            return;
        };
        let waker = self.queue.offer(Item::Progress { revision, watch_id: NO_WATCHER }).ok().flatten();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn forget_idle(&mut self, watch_id: i64) {
        self.idle.remove(&watch_id);
        if self.idle.is_empty() {
            self.tick = None;
        }
    }

    /// Sets the timer of progress anew.
    fn arm(&mut self) {
        let interval = self.hub.options().progress_interval.max(LEAST_INTERVAL);
        let spread = u64::try_from(interval.as_nanos() / 10).unwrap_or(u64::MAX).max(1);
        let deadline = self.config.clock.now() + interval + Duration::from_nanos(self.jitter.below(spread));
        self.tick = Some((deadline, self.config.clock.sleep_until(deadline)));
    }

    /// On a tick, tells each watcher that was idle since the last one how far it is complete.
    fn poll_tick(&mut self, context: &mut Context<'_>) {
        while let Some((deadline, sleep)) = &mut self.tick {
            // The clock is asked too: under load the timer's own wake-up may be late.
            let is_due = self.config.clock.now() >= *deadline;
            if !is_due && sleep.as_mut().poll(context).is_pending() {
                return;
            }
            let state = self.hub.lock();
            for (watch_id, idle) in &mut self.idle {
                let was_idle = std::mem::replace(idle, true);
                let revision =
                    if was_idle { state.complete(self.id, std::iter::once(watch_id)) } else { None };
                if let Some(revision) = revision {
                    // No room, no progress: the client has enough to read.
                    let _ = self.queue.offer(Item::Progress { revision, watch_id: *watch_id });
                }
            }
            drop(state);
            self.arm();
        }
    }
}

#[cfg(test)]
impl Stream {
    /// Whether polling on would read more history.
    pub(super) fn is_catching_up(&self) -> bool {
        self.queue.wants_catch_up()
    }
}

impl WatchStream for Stream {
    fn request(&mut self, request: WatchRequest) -> BoxFuture<'_, KvResult<()>> {
        let outcome = self.submit(request);
        Box::pin(std::future::ready(outcome))
    }

    fn next(&mut self) -> BoxFuture<'_, KvResult<WatchResponse>> {
        Box::pin(poll_fn(|context| self.poll_response(context)))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.close(self.id);
    }
}
