//! Following: the changes after a revision, batch by batch, over streams that come and go.
//!
//! A [`Watch`] remembers for each of its ranges up to where it has seen everything. When a stream ends it says so once,
//! so that the caller can pause, and the next call opens a new stream from there. If the store has dropped the history in
//! between, it says [`Batch::Resync`]: the caller loads anew.

use super::change::{Change, Event};
use super::keys::Key;
use super::{Registry, RegistryError};
use crate::model::MachineId;
use bytes::Bytes;
use kernel::watch::*;
use kernel::{Code, KvError, WatchStream};

/// What to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// The orders of one machine, and what is written about it.
    Machine(MachineId),
    /// Who leads.
    Leader,
}

/// News.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Changes in the order of the store, all of each revision that the batch touches (with [`Scope::Machine`]: all of one range).
    Changes(Vec<Change>),
    /// Changes were lost: load anew and watch from there. The watch is over.
    Resync,
}

/// A subscription. Dropping it ends it.
pub struct Watch {
    registry: Registry,
    ranges: Vec<Range>,
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
    pub fn watch(&self, from: i64, scope: &Scope) -> Watch {
        assert!(from > 0, "a watch starts after something that was read");
        let keys = &self.keys;
        let ranges = match scope {
            Scope::All => vec![keys.all()],
            Scope::Machine(machine) => vec![keys.orders(machine), keys.machine(machine)],
            Scope::Leader => vec![(keys.text(&Key::Leader), Bytes::new())],
        };
        let ranges = ranges.into_iter().map(|(first, end)| Range { first, end, next: from }).collect();
        Watch { registry: self.clone(), ranges, stream: None }
    }
}

impl Watch {
    /// The next changes. After an error the next call begins a new stream where the old one ended: pause before it.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Result<Batch, RegistryError> {
        loop {
            if self.stream.is_none() {
                self.stream = Some(open(&self.registry, &self.ranges).await?);
            }
            let stream = self.stream.as_mut().expect("opened above");
            let taken = match stream.next().await {
                Ok(response) => self.take(response),
                Err(error) => Err(error),
            };
            match taken {
                Ok(Some(batch)) => return Ok(batch),
                Ok(None) => {}
                Err(error) => {
                    self.stream = None;
                    return Err(error.into());
                }
            }
        }
    }

    fn take(&mut self, response: WatchResponse) -> Result<Option<Batch>, KvError> {
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
        let last =
            response.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
        // Without events it is progress: all up to the header's revision has been said.
        let seen = last.unwrap_or(response.header.unwrap_or_default().revision);
        // A stream that was opened anew may repeat the end of a revision; what was seen stays seen.
        let known = range.next;
        range.next = range.next.max(seen + 1);
        let mut changes = Vec::with_capacity(response.events.len());
        response.events.iter().for_each(|event| self.change(event, known, &mut changes));
        Ok((!changes.is_empty()).then_some(Batch::Changes(changes)))
    }

    fn change(&self, event: &kernel::watch::Event, known: i64, into: &mut Vec<Change>) {
        let Some(kv) = event.kv.as_ref().filter(|kv| kv.mod_revision >= known) else { return };
        match event.r#type() {
            EventType::Put => into.extend(Change::put(&self.registry.keys, kv)),
            EventType::Delete => into.extend(Change::deletion(&self.registry.keys, kv)),
        }
    }
}

/// Apart from [`Watch`], which a future that moves between threads cannot share while it waits.
async fn open(registry: &Registry, ranges: &[Range]) -> Result<Box<dyn WatchStream>, KvError> {
    let mut stream = registry.kv.watch().await?;
    for (range, watch_id) in ranges.iter().zip(1..) {
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

impl Change {
    /// Whether this says that somebody else, or nobody, leads than the leader whose key was created at `fence`.
    pub fn deposes(&self, fence: i64) -> bool {
        match &self.event {
            Event::Leader(leader) => leader.as_ref().is_none_or(|leader| leader.create_revision != fence),
            _ => false,
        }
    }
}
