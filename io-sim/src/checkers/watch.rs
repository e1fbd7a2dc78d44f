//! Watchers see every event of their range, in order, once, whole.
//!
//! Verifies, for each stretch of each watcher against the replayed log: events come in the order of revisions and none
//! twice (ordered, unique); all events of a revision that match come in one response (atomic); no matching revision is
//! left out between the start and the last one delivered (no gap; with the next stretch starting one behind the last
//! event, this is resumability); an event is the one that the log says, with its previous value where that was asked
//! for; a response without events claims no more than was delivered (progress is true); a watcher is cancelled for
//! compaction only with a `compact_revision` that is true and that it had not passed; a watcher that was open at the
//! end has got everything older than a bound.
//!
//! Does not verify: fragments, and the ids of watchers on a shared stream: those are `mvcc::watch`'s own
//! tests.

use super::range::covers;
use super::replay::Replay;
use super::{Checked, Failure, ensure};
use crate::history::{WatchRecord, WatchSpan};
use crate::plan::Only;
use kernel::watch::{Event, EventType, WatchResponse};
use std::time::Duration;

const NAME: &str = "watch";

/// Checks every watcher. Those open at the end must have got all that was applied by `complete_by`.
pub fn check(watches: &[WatchRecord], replay: &Replay, complete_by: Duration) -> Checked {
    for watch in watches {
        let mut reached = None;
        for span in &watch.spans {
            let mut reader = Reader { watch, span, replay, cursor: None };
            reader.read().map_err(|failure| explain(failure, watch, span))?;
            reached = reader.cursor.or(reached);
        }
        if let (true, Some(span), Some(cursor)) = (watch.open, watch.spans.last(), reached) {
            complete(watch, replay, cursor, complete_by).map_err(|failure| explain(failure, watch, span))?;
        }
    }
    Ok(())
}

fn complete(watch: &WatchRecord, replay: &Replay, cursor: i64, complete_by: Duration) -> Checked {
    let missed = next_match(watch, replay, cursor);
    let late = missed.filter(|revision| replay.time_of(*revision).is_some_and(|born| born <= complete_by));
    ensure(late.is_none(), NAME, "arrives-in-the-end", || {
        format!("still open, delivered up to {cursor}, but revision {} never came", late.unwrap_or(0))
    })
}

fn matching<'a>(watch: &'a WatchRecord, events: &'a [Event]) -> impl Iterator<Item = &'a Event> {
    events.iter().filter(|event| {
        let key = event.kv.as_ref().map_or(&[][..], |kv| &kv.key);
        let wanted = match watch.only {
            Only::All => true,
            Only::Puts => event.r#type == EventType::Put as i32,
            Only::Deletes => event.r#type == EventType::Delete as i32,
        };
        wanted && covers(&watch.key, &watch.range_end, key)
    })
}

/// The first revision above `cursor` with an event for this watcher.
fn next_match(watch: &WatchRecord, replay: &Replay, cursor: i64) -> Option<i64> {
    let above = replay.model.changes().range(cursor.saturating_add(1)..);
    above.filter(|(_, events)| matching(watch, events).next().is_some()).map(|(revision, _)| *revision).next()
}

fn explain(mut failure: Failure, watch: &WatchRecord, span: &WatchSpan) -> Failure {
    failure.text = format!(
        "watcher {} of {:?} to {:?} on member {} from revision {} at {:?}: {}",
        watch.tag, watch.key, watch.range_end, span.member, span.start_revision, span.invoked, failure.text
    );
    failure
}

struct Reader<'a> {
    watch: &'a WatchRecord,
    span: &'a WatchSpan,
    replay: &'a Replay,
    /// Everything up to here has been delivered; `None` before the watcher was made.
    cursor: Option<i64>,
}

impl Reader<'_> {
    fn read(&mut self) -> Checked {
        if self.span.start_revision > 0 {
            self.cursor = Some(self.span.start_revision - 1);
        }
        for (at, response) in &self.span.responses {
            self.response(*at, response)?;
        }
        Ok(())
    }

    fn response(&mut self, at: Duration, response: &WatchResponse) -> Checked {
        let revision = response.header.map_or(0, |header| header.revision);
        let born = self.replay.time_of(revision);
        ensure(
            response.canceled || born.is_some_and(|born| born <= at),
            NAME,
            "not-from-the-future",
            || format!("a response at {at:?} has revision {revision}, which nobody had applied by then"),
        )?;
        if response.canceled {
            return self.canceled(at, response);
        }
        if response.created {
            self.cursor = self.cursor.or(Some(revision));
            return Ok(());
        }
        let mut events = response.events.as_slice();
        while let Some(first) = events.first() {
            let of = revision_of(first);
            let length = events.iter().take_while(|event| revision_of(event) == of).count();
            self.batch(of, &events[..length])?;
            events = &events[length..];
        }
        if response.events.is_empty() {
            self.progress(revision)?;
        }
        ensure(
            self.cursor.is_none_or(|cursor| response.events.is_empty() || revision >= cursor),
            NAME,
            "header",
            || format!("a response with events up to {:?} has revision {revision}", self.cursor),
        )
    }

    fn batch(&mut self, revision: i64, events: &[Event]) -> Checked {
        let cursor = self.cursor.unwrap_or(i64::MAX);
        ensure(revision > cursor, NAME, "ordered-unique", || {
            format!("events of revision {revision} came after everything up to {cursor} had been delivered")
        })?;
        let expected = next_match(self.watch, self.replay, cursor);
        ensure(expected == Some(revision), NAME, "no-gap", || {
            format!("after {cursor} the next revision to deliver is {expected:?}, but {revision} came")
        })?;
        let told = &self.replay.model.changes()[&revision];
        let wanted: Vec<_> = matching(self.watch, told).collect();
        ensure(wanted.len() == events.len(), NAME, "atomic", || {
            format!(
                "revision {revision} has {} matching events, {} came together",
                wanted.len(),
                events.len()
            )
        })?;
        for (wanted, got) in wanted.iter().zip(events) {
            self.event(wanted, got)?;
        }
        self.cursor = Some(revision);
        Ok(())
    }

    fn event(&self, wanted: &Event, got: &Event) -> Checked {
        ensure(wanted.r#type == got.r#type && wanted.kv == got.kv, NAME, "true-event", || {
            format!("expected {wanted:?}, got {got:?}")
        })?;
        let prev_compacted = revision_of(wanted) - 1 < self.replay.model.compacted();
        let right = match &got.prev_kv {
            None => !self.watch.prev_kv || wanted.prev_kv.is_none() || prev_compacted,
            found => self.watch.prev_kv && *found == wanted.prev_kv,
        };
        ensure(right, NAME, "prev-kv", || {
            format!("expected previous value {:?}, got {got:?}", wanted.prev_kv)
        })
    }

    fn progress(&mut self, revision: i64) -> Checked {
        let Some(cursor) = self.cursor else { return Ok(()) };
        let missed = next_match(self.watch, self.replay, cursor).filter(|missed| *missed <= revision);
        ensure(missed.is_none(), NAME, "progress-is-true", || {
            format!(
                "progress up to {revision} was claimed, but revision {} was not delivered",
                missed.unwrap_or(0)
            )
        })?;
        self.cursor = Some(cursor.max(revision));
        Ok(())
    }

    fn canceled(&self, at: Duration, response: &WatchResponse) -> Checked {
        let to = response.compact_revision;
        if to == 0 {
            return Ok(());
        }
        let happened = self.replay.compactions().any(|(when, revision)| when <= at && revision == to);
        let passed = self.cursor.is_some_and(|cursor| cursor >= to);
        ensure(happened && !passed, NAME, "compacted-is-true", || {
            format!(
                "cancelled as compacted at {to} (which {}), delivered up to {:?}",
                if happened { "did happen" } else { "never happened" },
                self.cursor
            )
        })
    }
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
