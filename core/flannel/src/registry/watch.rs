//! Following what changes, over streams that come and go.
//!
//! A [`Watch`] remembers for the config and for the leases up to where it has seen everything. When a stream ends it says so
//! once, so that the caller can pause, and the next call opens another from there. If the store has dropped the history in between
//! it says [`Batch::Resync`]: the caller loads anew.

use super::{Registry, Spoilt};
use crate::subnet::{Lease, SubnetKey};
use bytes::Bytes;
use kernel::watch::*;
use kernel::{Code, KvError, WatchStream};

/// The watcher of the config, by its place in [`Watch::ranges`] counted from 1.
const CONFIG: i64 = 1;

/// News.
#[derive(Clone, Debug, PartialEq)]
pub enum Batch {
    /// What changed, in the store's order, and the revision up to which the leases are complete with it.
    Events(i64, Vec<Event>),
    /// Changes were lost: load anew and watch from there. This watch is over.
    Resync,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The network config is this text now; none: the key was deleted.
    Config(Option<String>),
    /// A lease came, was renewed by a flanneld, or changed.
    Put(Lease),
    /// A lease was deleted or has expired.
    Gone(SubnetKey),
    /// Something was written that cannot be read.
    Spoilt(Spoilt),
    /// A key that could not be read is gone.
    Cleared(String),
}

/// A subscription. Dropping it ends it.
pub struct Watch {
    registry: Registry,
    ranges: [Range; 2],
    stream: Option<Box<dyn WatchStream>>,
}

struct Range {
    first: Bytes,
    end: Bytes,
    /// Everything before this revision has been seen.
    next: i64,
}

impl Registry {
    /// Follows the changes of revision `from` and later. Nothing is asked of the store before [`Watch::next`].
    pub fn watch(&self, from: i64) -> Watch {
        assert!(from > 0, "a watch starts after something that was read");
        let (first, end) = self.leases();
        let config = Range { first: self.config_key().into(), end: Bytes::new(), next: from };
        let ranges = [config, Range { first, end, next: from }];
        Watch { registry: self.clone(), ranges, stream: None }
    }
}

impl Watch {
    /// The next changes. After an error the next call begins a new stream where the old one ended: pause before it.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Result<Batch, KvError> {
        loop {
            if self.stream.is_none() {
                self.stream = Some(open(&self.registry, &self.ranges).await?);
            }
            let stream = self.stream.as_mut().expect("opened above");
            let taken = match stream.next().await {
                Ok(response) => self.take(&response),
                Err(error) => Err(error),
            };
            match taken {
                Ok(Some(batch)) => return Ok(batch),
                Ok(None) => {}
                Err(error) => {
                    self.stream = None;
                    return Err(error);
                }
            }
        }
    }

    fn take(&mut self, response: &WatchResponse) -> Result<Option<Batch>, KvError> {
        if response.compact_revision > 0 {
            return Ok(Some(Batch::Resync));
        }
        if response.canceled {
            return Err(KvError::new(Code::Unavailable, format!("watch ended: {}", response.cancel_reason)));
        }
        let index = usize::try_from(response.watch_id - 1).ok();
        let Some(range) = index.and_then(|index| self.ranges.get_mut(index)).filter(|_| !response.created)
        else {
            return Ok(None);
        };
        let changed = response.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision);
        // Without events it is progress: all up to the header's revision has been said.
        let seen = changed.max().unwrap_or(response.header.unwrap_or_default().revision);
        // A stream that was opened anew may repeat the end of a revision; what was seen stays seen.
        let known = range.next;
        range.next = range.next.max(seen + 1);
        assert!(range.next >= known, "a watch never goes back");
        let fresh = response.events.iter().filter(|event| is_fresh(event, known));
        let events: Vec<Event> = fresh.filter_map(|event| self.event(event, response.watch_id)).collect();
        Ok((!events.is_empty()).then(|| Batch::Events(self.ranges[1].next - 1, events)))
    }

    fn event(&self, event: &kernel::watch::Event, watch_id: i64) -> Option<Event> {
        let kv = event.kv.as_ref()?;
        let is_put = event.r#type() == EventType::Put;
        if watch_id == CONFIG {
            return Some(Event::Config(is_put.then(|| String::from_utf8_lossy(&kv.value).into_owned())));
        }
        Some(match is_put {
            true => self.registry.read(kv).map_or_else(Event::Spoilt, Event::Put),
            false => match self.registry.subnet(&kv.key) {
                Ok(key) => Event::Gone(key),
                Err(_) => Event::Cleared(String::from_utf8_lossy(&kv.key).into_owned()),
            },
        })
    }
}

fn is_fresh(event: &kernel::watch::Event, known: i64) -> bool {
    event.kv.as_ref().is_some_and(|kv| kv.mod_revision >= known)
}

/// Apart from [`Watch`], which a future that moves between threads cannot share while it waits.
async fn open(registry: &Registry, ranges: &[Range; 2]) -> Result<Box<dyn WatchStream>, KvError> {
    let mut stream = registry.kv.watch().await?;
    for (range, watch_id) in ranges.iter().zip(CONFIG..) {
        let create = WatchCreateRequest {
            key: range.first.clone(),
            range_end: range.end.clone(),
            start_revision: range.next,
            progress_notify: true,
            watch_id,
            ..Default::default()
        };
        let request_union = Some(WatchRequestUnion::CreateRequest(create));
        stream.request(WatchRequest { request_union }).await?;
    }
    Ok(stream)
}
