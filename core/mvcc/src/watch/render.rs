//! From what is buffered to what the client reads: headers, previous values, parts.

use super::queue::{Delivery, Item};
use super::{HeaderOf, History};
use kernel::kv::KvResult;
use kernel::watch::{Event, EventType, WatchResponse};
use prost::Message;

/// The responses for one item: one, or several parts of one.
pub(super) fn render(
    item: Item,
    header: &HeaderOf,
    history: &dyn History,
    fragment_bytes: usize,
) -> KvResult<Vec<WatchResponse>> {
    let responses = match item {
        Item::Answer { revision, response } => {
            vec![WatchResponse { header: Some(header(revision)), ..response }]
        }
        Item::Progress { revision, watch_id } => {
            vec![WatchResponse { header: Some(header(revision)), watch_id, ..Default::default() }]
        }
        Item::Events(delivery) => {
            let whole = WatchResponse {
                header: Some(header(delivery.revision)),
                watch_id: delivery.watch_id,
                events: dress(&delivery, history)?,
                ..Default::default()
            };
            if delivery.shape.fragment { cut(whole, fragment_bytes) } else { vec![whole] }
        }
    };
    Ok(responses)
}

/// The events with what was there before, for a watcher that asked for it; without, for any other.
fn dress(delivery: &Delivery, history: &dyn History) -> KvResult<Vec<Event>> {
    let mut events = delivery.events();
    for event in &mut events {
        if !delivery.shape.prev_kv {
            event.prev_kv = None;
        } else if event.prev_kv.is_none() && !is_creation(event) {
            let kv = event.kv.as_ref().expect("an event names its key");
            event.prev_kv = history.prev_kv(&kv.key, kv.mod_revision)?;
        }
    }
    Ok(events)
}

fn is_creation(event: &Event) -> bool {
    let is_put = event.r#type == EventType::Put as i32;
    is_put && event.kv.as_ref().is_some_and(|kv| kv.create_revision == kv.mod_revision)
}

/// Cuts a large response into parts below `most` encoded bytes, at least one event in each; all but the last say that more
/// follows.
fn cut(whole: WatchResponse, most: usize) -> Vec<WatchResponse> {
    if whole.encoded_len() < most || whole.events.len() < 2 {
        return vec![whole];
    }
    let empty = WatchResponse { fragment: true, events: Vec::new(), ..whole.clone() };
    let frame = empty.encoded_len();
    let mut parts = Vec::new();
    let mut part = empty.clone();
    let mut size = frame;
    for event in whole.events {
        let body = event.encoded_len();
        // Field 11 has a tag of one byte; the length is a varint before the body.
        let cost = 1 + prost::length_delimiter_len(body) + body;
        if !part.events.is_empty() && size + cost >= most {
            parts.push(std::mem::replace(&mut part, empty.clone()));
            size = frame;
        }
        part.events.push(event);
        size += cost;
    }
    part.fragment = false;
    parts.push(part);
    parts
}
