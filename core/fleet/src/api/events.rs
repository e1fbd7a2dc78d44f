//! `/events`: what changes in the cluster, a JSON object a line, as it happens.
//!
//! The first line says from which revision on everything is told; `from=REVISION` goes on where another stream ended. When the
//! store is away the stream says so and ends; when the history that was asked for is gone it says `resync`: the client reads what it
//! needs to know anew, and begins a new stream.

use super::Api;
use super::error::ApiError;
use super::message::{Body, Response};
use super::query::Query;
use crate::local::Lines;
use crate::registry::{Batch, Change, Event, Scope, Watch};
use kernel::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;

/// Streams that one server keeps open: each is a watcher in the store.
pub const EVENT_STREAMS_MAX: usize = 64;

const NDJSON: &str = "application/x-ndjson";

impl Api {
    pub(super) async fn get_events(&self, query: &Query) -> Result<Response, ApiError> {
        let place = self.streams.clone();
        // One for the api itself, one for each stream that is open.
        if Arc::strong_count(&place) > EVENT_STREAMS_MAX + 1 {
            return Err(ApiError::new(
                503,
                format!("{EVENT_STREAMS_MAX} event streams are open here: ask another machine"),
            ));
        }
        let (revision, _) = self.registry.leader().await?;
        let from = match query.one("from")? {
            None => revision + 1,
            Some(text) => text.parse().ok().filter(|from| *from > 0).ok_or_else(|| {
                ApiError::bad(format!(
                    "from={text:?} is not a revision: the number of the last event seen, plus one"
                ))
            })?,
        };
        let ready = line(&json!({ "type": "ready", "revision": from - 1 }));
        let events =
            Events { first: Some(ready), watch: Some(self.registry.watch(from, &Scope::All)), _place: place };
        Ok(Response { status: 200, headers: Vec::new(), body: Body::Stream(Box::new(events), NDJSON) })
    }
}

struct Events {
    first: Option<Vec<u8>>,
    watch: Option<Watch>,
    _place: Arc<()>,
}

impl Lines for Events {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            if let Some(first) = self.first.take() {
                return Some(first);
            }
            loop {
                match self.watch.as_mut()?.next().await {
                    Ok(Batch::Changes(changes)) => {
                        let lines: Vec<u8> =
                            changes.iter().filter_map(describe).flat_map(|event| line(&event)).collect();
                        if !lines.is_empty() {
                            return Some(lines);
                        }
                    }
                    Ok(Batch::Resync) => {
                        self.watch = None;
                        return Some(line(&json!({ "type": "resync" })));
                    }
                    Err(error) => {
                        self.watch = None;
                        return Some(line(&json!({ "type": "lost", "message": error.to_string() })));
                    }
                }
            }
        })
    }
}

fn line(event: &Value) -> Vec<u8> {
    format!("{event}\n").into_bytes()
}

/// A change as an event; none for what only fleet itself needs to know.
fn describe(change: &Change) -> Option<Value> {
    let (kind, gone, mut event) = match &change.event {
        Event::Object { unit, hash } => ("unit", hash.is_none(), json!({ "unit": unit, "hash": hash })),
        Event::Desired { unit, desired } => ("unit", false, json!({ "unit": unit, "desiredState": desired })),
        Event::Run { unit, run } => ("unit", false, json!({ "unit": unit, "run": run })),
        Event::Target { unit, machine } => {
            ("target", machine.is_none(), json!({ "unit": unit, "machineID": machine }))
        }
        Event::Done { unit, done } => ("unit", false, json!({ "unit": unit, "done": done })),
        Event::Halt { unit, halt } => ("rollout", halt.is_none(), json!({ "unit": unit, "halt": halt })),
        Event::Order { machine, unit, order } => {
            ("order", order.is_none(), json!({ "unit": unit, "machineID": machine, "order": order }))
        }
        Event::Report { unit, machine, report } => {
            ("state", report.is_none(), json!({ "unit": unit, "machineID": machine, "state": report }))
        }
        Event::Presence { machine, presence, .. } => {
            let address = presence.as_ref().map(|presence| presence.primary_ip.clone());
            let leaving = presence.as_ref().is_some_and(|presence| presence.leaving);
            let told = json!({ "machineID": machine, "primaryIP": address, "leaving": leaving });
            ("machine", presence.is_none(), told)
        }
        Event::Metadata { machine, name, value } => {
            ("metadata", value.is_none(), json!({ "machineID": machine, "key": name, "value": value }))
        }
        Event::Admission { machine, admission } => {
            ("machine", false, json!({ "machineID": machine, "admission": admission }))
        }
        Event::Gone { machine, gone } => {
            ("machine", false, json!({ "machineID": machine, "declaredGone": gone }))
        }
        Event::Leader(leader) => {
            let machine = leader.as_ref().map(|leader| leader.machine.clone());
            ("engine", leader.is_none(), json!({ "machineID": machine }))
        }
        Event::Text { .. } | Event::Previous { .. } | Event::Rebalance(_) | Event::Note { .. } => {
            return None;
        }
    };
    let fields = event.as_object_mut().expect("each is an object");
    fields.retain(|_, value| !value.is_null());
    fields.insert("type".into(), json!(kind));
    fields.insert("change".into(), json!(if gone { "delete" } else { "put" }));
    fields.insert("revision".into(), json!(change.revision));
    Some(event)
}
