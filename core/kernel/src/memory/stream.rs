//! Watch streams of a [`MapKv`](super::MapKv): each has a queue of responses that grows until it is read.

use super::MapKv;
use crate::kv::{KvResult, WatchStream};
use crate::types::ResponseHeader;
use crate::watch::*;
use crate::{BoxFuture, KvError};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// All streams of a store.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<u64, Stream>,
    opened: u64,
}

#[derive(Default)]
struct Stream {
    watchers: BTreeMap<i64, Watched>,
    watcher_last: i64,
    queue: VecDeque<WatchResponse>,
    waker: Option<Waker>,
}

/// One watcher: the range it looks at, and from which revision.
pub(super) struct Watched {
    request: WatchCreateRequest,
    from: i64,
}

impl Watched {
    /// Whether `name` lies in the range `key..end`, by the API's rules for `end`.
    pub(super) fn covers(key: &Bytes, end: &Bytes, name: &Bytes) -> bool {
        match end.as_ref() {
            [] => name == key,
            [0] => name >= key,
            _ => name >= key && name < end,
        }
    }

    fn wants(&self, event: &Event) -> bool {
        let kv = event.kv.as_ref().expect("every event has its key");
        let filtered = match event.r#type() {
            EventType::Put => Filter::NoPut,
            EventType::Delete => Filter::NoDelete,
        };
        kv.mod_revision >= self.from
            && !self.request.filters.contains(&(filtered as i32))
            && Watched::covers(&self.request.key, &self.request.range_end, &kv.key)
    }

    fn response<'a>(
        &self,
        id: i64,
        header: ResponseHeader,
        events: impl Iterator<Item = &'a Event>,
    ) -> Option<WatchResponse> {
        let mut events: Vec<Event> = events.filter(|event| self.wants(event)).cloned().collect();
        if !self.request.prev_kv {
            events.iter_mut().for_each(|event| event.prev_kv = None);
        }
        (!events.is_empty()).then(|| WatchResponse {
            header: Some(header),
            watch_id: id,
            events,
            ..Default::default()
        })
    }
}

impl Stream {
    fn push(&mut self, response: WatchResponse) {
        self.queue.push_back(response);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Streams {
    /// Gives the events of one revision to all who want them.
    pub(super) fn publish(&mut self, header: ResponseHeader, events: &[Event]) {
        for stream in self.open.values_mut() {
            let responses = stream
                .watchers
                .iter()
                .filter_map(|(id, watched)| watched.response(*id, header, events.iter()));
            for response in responses.collect::<Vec<_>>() {
                stream.push(response);
            }
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.open.values_mut().filter_map(|stream| stream.waker.take()).for_each(Waker::wake);
    }
}

/// The port's end of one stream.
pub(super) struct MapStream {
    kv: MapKv,
    id: u64,
    /// How often the line had been cut when the stream was opened.
    cuts: u64,
}

impl MapStream {
    pub(super) fn open(kv: MapKv) -> MapStream {
        let mut state = kv.lock();
        state.streams.opened += 1;
        let id = state.streams.opened;
        state.streams.open.insert(id, Stream::default());
        drop(state);
        let cuts = kv.cuts();
        MapStream { kv, id, cuts }
    }

    fn has_ended(&self) -> bool {
        self.kv.cuts() != self.cuts
    }

    fn create(&self, request: WatchCreateRequest) {
        let mut state = self.kv.lock();
        let (header, compacted) = (state.header(), state.compacted());
        let from = if request.start_revision > 0 { request.start_revision } else { header.revision + 1 };
        let watched = Watched { request, from };
        let id = match watched.request.watch_id {
            0 => state.streams.open[&self.id].watcher_last + 1,
            wanted => wanted,
        };
        let history = watched.response(id, header, state.history(from));
        let stream = state.streams.open.get_mut(&self.id).expect("open until dropped");
        let plain = WatchResponse { header: Some(header), watch_id: id, ..Default::default() };
        stream.push(WatchResponse { created: true, ..plain.clone() });
        if from < compacted {
            let text = KvError::compacted().message;
            stream.push(WatchResponse {
                canceled: true,
                compact_revision: compacted,
                cancel_reason: text,
                ..plain
            });
            return;
        }
        history.into_iter().for_each(|response| stream.push(response));
        stream.watcher_last = stream.watcher_last.max(id);
        stream.watchers.insert(id, watched);
    }

    fn cancel(&self, id: i64) {
        let mut state = self.kv.lock();
        let header = Some(state.header());
        let stream = state.streams.open.get_mut(&self.id).expect("open until dropped");
        if stream.watchers.remove(&id).is_some() {
            stream.push(WatchResponse { header, watch_id: id, canceled: true, ..Default::default() });
        }
    }

    fn progress(&self) {
        let mut state = self.kv.lock();
        let header = Some(state.header());
        let stream = state.streams.open.get_mut(&self.id).expect("open until dropped");
        stream.push(WatchResponse { header, watch_id: -1, ..Default::default() });
    }

    fn poll_next(&self, context: &mut Context<'_>) -> Poll<KvResult<WatchResponse>> {
        let mut state = self.kv.lock();
        let stream = state.streams.open.get_mut(&self.id).expect("open until dropped");
        if self.has_ended() {
            return Poll::Ready(Err(KvError::timeout_connection_lost()));
        }
        if let Some(response) = stream.queue.pop_front() {
            return Poll::Ready(Ok(response));
        }
        stream.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl WatchStream for MapStream {
    fn request(&mut self, request: WatchRequest) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(async move {
            if self.has_ended() {
                return Err(KvError::timeout_connection_lost());
            }
            match request.request_union {
                Some(WatchRequestUnion::CreateRequest(create)) => self.create(create),
                Some(WatchRequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
                Some(WatchRequestUnion::ProgressRequest(_)) => self.progress(),
                None => {}
            }
            Ok(())
        })
    }

    fn next(&mut self) -> BoxFuture<'_, KvResult<WatchResponse>> {
        Box::pin(poll_fn(move |context| self.poll_next(context)))
    }
}

impl Drop for MapStream {
    fn drop(&mut self) {
        self.kv.lock().streams.open.remove(&self.id);
    }
}
