//! One stream's buffer: what was pushed for its watchers and not read yet.
//!
//! Events and progress are refused when the buffer is full; the watcher concerned then lags, or does without that progress.
//! Answers to requests are always taken: they are bounded by [`MAX_ANSWERS`], at which the stream refuses requests, and by
//! the watchers that exist. Everything of one stream goes through this one queue, so responses stand in the order of what
//! they tell.

use kernel::KvError;
use kernel::watch::{Event, WatchResponse};
use prost::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

/// Items in a buffer at which its stream refuses further requests.
pub(super) const MAX_ANSWERS: usize = 16_384;

/// Events that several streams may share.
pub(super) struct Batch {
    events: Vec<Event>,
    bytes: usize,
}

impl Batch {
    /// Takes events into a batch.
    pub(super) fn new(events: Vec<Event>) -> Arc<Batch> {
        let bytes = events.iter().map(Message::encoded_len).sum();
        Arc::new(Batch { events, bytes })
    }
}

/// How the events of a watcher are to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// With what was there before.
    pub(super) prev_kv: bool,
    /// In parts, when large.
    pub(super) fragment: bool,
}

/// One thing to be told.
pub(super) enum Item {
    /// An answer to a request, or the end of a watcher; its header is added when it is read.
    Answer {
        /// Revision of the header.
        revision: i64,
        /// The rest.
        response: WatchResponse,
    },
    /// A watcher, or with id -1 the whole stream, is complete up to a revision.
    Progress {
        /// Revision of the header.
        revision: i64,
        /// The watcher.
        watch_id: i64,
    },
    /// Events for a watcher.
    Events(Delivery),
}

/// Events for one watcher.
pub(super) struct Delivery {
    /// The watcher.
    pub(super) watch_id: i64,
    /// Revision of the header: the watcher is complete up to it.
    pub(super) revision: i64,
    /// The events, shared.
    pub(super) batch: Arc<Batch>,
    /// Positions of those of the batch that it wants; `None` for all.
    pub(super) picks: Option<Vec<usize>>,
    /// How they are to look.
    pub(super) shape: Shape,
}

impl Delivery {
    /// The events wanted, in order.
    pub(super) fn events(&self) -> Vec<Event> {
        match &self.picks {
            None => self.batch.events.clone(),
            Some(picks) => picks.iter().map(|position| self.batch.events[*position].clone()).collect(),
        }
    }
}

/// A bounded buffer; the hub pushes, one reader pops.
pub(super) struct Queue {
    state: Mutex<State>,
    most_items: usize,
    most_bytes: usize,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// Watchers of this stream that lag; the hub keeps it right.
    lagging: usize,
    ended: Option<KvError>,
    waker: Option<Waker>,
}

/// What a reader finds.
pub(super) enum Found {
    /// The oldest item.
    Item(Item),
    /// Nothing now; the waker is called when that changes.
    Nothing,
    /// The stream has ended.
    Ended(KvError),
}

impl Queue {
    /// An empty buffer.
    pub(super) fn new(most_items: usize, most_bytes: usize) -> Self {
        assert!(most_items > 0 && most_bytes > 0, "a buffer without room would never deliver");
        Queue { state: Mutex::default(), most_items, most_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn push(mut state: MutexGuard<'_, State>, item: Item) -> Option<Waker> {
        if state.ended.is_none() {
            if let Item::Events(delivery) = &item {
                state.bytes += delivery.batch.bytes;
            }
            state.items.push_back(item);
        }
        state.waker.take()
    }

    /// Queues an answer, whatever is there already. The caller wakes.
    pub(super) fn answer(&self, revision: i64, response: WatchResponse) -> Option<Waker> {
        Self::push(self.lock(), Item::Answer { revision, response })
    }

    /// Queues events or progress, or gives them back when the buffer is full. The caller wakes.
    pub(super) fn offer(&self, item: Item) -> Result<Option<Waker>, Item> {
        let state = self.lock();
        if state.items.len() >= self.most_items || state.bytes >= self.most_bytes {
            return Err(item);
        }
        Ok(Self::push(state, item))
    }

    /// Notes how many watchers of the stream lag. The caller wakes.
    pub(super) fn set_lagging(&self, lagging: usize) -> Option<Waker> {
        let mut state = self.lock();
        state.lagging = lagging;
        if lagging > 0 { state.waker.take() } else { None }
    }

    /// Ends the stream at once, dropping what is buffered. The caller wakes.
    pub(super) fn end(&self, reason: KvError) -> Option<Waker> {
        let mut state = self.lock();
        state.items.clear();
        state.bytes = 0;
        state.lagging = 0;
        state.ended.get_or_insert(reason);
        state.waker.take()
    }

    /// Why the stream has ended, if it has.
    pub(super) fn ended(&self) -> Option<KvError> {
        self.lock().ended.clone()
    }

    /// Whether so many answers wait that no further request is to be taken.
    pub(super) fn is_overrun(&self) -> bool {
        self.lock().items.len() >= MAX_ANSWERS
    }

    /// Whether a watcher lags and at least half of the buffer is free.
    pub(super) fn wants_catch_up(&self) -> bool {
        let state = self.lock();
        state.lagging > 0 && state.items.len() <= self.most_items / 2 && state.bytes <= self.most_bytes / 2
    }

    /// Takes the oldest item; leaves `waker` when there is none.
    pub(super) fn pop(&self, waker: &Waker) -> Found {
        let mut state = self.lock();
        if let Some(reason) = &state.ended {
            return Found::Ended(reason.clone());
        }
        match state.items.pop_front() {
            Some(item) => {
                if let Item::Events(delivery) = &item {
                    state.bytes -= delivery.batch.bytes;
                }
                Found::Item(item)
            }
            None => {
                state.waker = Some(waker.clone());
                Found::Nothing
            }
        }
    }
}
