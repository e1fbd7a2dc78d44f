//! The JSON format: one object a line, numbers as numbers, bytes in base64, fields that are zero left out.
//!
//! Written by hand because the shape is that of Go's encoder over etcd's generated types: names differ from message to
//! message (`cluster_id`, `peerURLs`, `ID`), and lease replies put the header's fields beside their own.

use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};

pub(super) fn render(hex: bool, reply: &Reply) -> String {
    let mut text = match reply {
        Reply::Get { response, .. } => range(response),
        Reply::Put(response) => put(response),
        Reply::Delete(response) => delete(response),
        Reply::Txn(response) => txn(response),
        Reply::Watch(response) => watch(response),
        Reply::Grant(response) => {
            let own = Object::of_header(&response.header);
            own.always("ID", response.id)
                .always("TTL", response.ttl)
                .always("Error", string(&response.error))
                .end()
        }
        Reply::Revoke(_, response) => Object::new().header(&response.header).end(),
        Reply::KeepAlive(response) => {
            Object::of_header(&response.header).always("ID", response.id).always("TTL", response.ttl).end()
        }
        Reply::TimeToLive { response, .. } => time_to_live(response),
        Reply::Leases(response) => {
            let list = array(response.leases.iter().map(|lease| Object::new().number("id", lease.id).end()));
            Object::of_header(&response.header).always("leases", list).end()
        }
        Reply::Members(response) if hex => hex_members(response),
        Reply::Members(response) => {
            Object::new().header(&response.header).list("members", response.members.iter().map(member)).end()
        }
        Reply::Alarms(response) => alarms(response),
        Reply::Status(list) => array(list.iter().map(|(endpoint, response)| {
            Object::new().always("Endpoint", string(endpoint)).always("Status", status(response)).end()
        })),
        Reply::Health(list) => array(list.iter().map(health)),
        Reply::HashKv(list) => array(list.iter().map(|(endpoint, response)| {
            Object::new().always("Endpoint", string(endpoint)).always("HashKV", hash_kv(response)).end()
        })),
        Reply::MoveLeader { response, .. } => Object::new().header(&response.header).end(),
    };
    text.push('\n');
    text
}

/// An object under construction.
struct Object(String);

impl Object {
    fn new() -> Self {
        Object("{".to_string())
    }

    /// An object that begins with the header's own fields.
    fn of_header(header: &Option<ResponseHeader>) -> Self {
        let header = header.unwrap_or_default();
        Object::new()
            .number("cluster_id", header.cluster_id)
            .number("member_id", header.member_id)
            .number("revision", header.revision)
            .number("raft_term", header.raft_term)
    }

    fn always(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let comma = if self.0.len() > 1 { "," } else { "" };
        self.0 += &format!("{comma}\"{name}\":{value}");
        self
    }

    fn number<T: std::fmt::Display + Default + PartialEq>(self, name: &str, value: T) -> Self {
        if value == T::default() { self } else { self.always(name, value) }
    }

    fn bytes(self, name: &str, value: &[u8]) -> Self {
        if value.is_empty() { self } else { self.always(name, base64(value)) }
    }

    fn string(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.always(name, string(value)) }
    }

    fn boolean(self, name: &str, value: bool) -> Self {
        self.number(name, value)
    }

    fn list(self, name: &str, values: impl ExactSizeIterator<Item = String>) -> Self {
        if values.len() == 0 { self } else { self.always(name, array(values)) }
    }

    fn some<T>(self, name: &str, value: &Option<T>, json: impl Fn(&T) -> String) -> Self {
        match value {
            Some(value) => self.always(name, json(value)),
            None => self,
        }
    }

    fn header(self, value: &Option<ResponseHeader>) -> Self {
        self.some("header", value, |header| Object::of_header(&Some(*header)).end())
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn array(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

fn base64(bytes: &[u8]) -> String {
    format!("\"{}\"", STANDARD.encode(bytes))
}

/// A string as Go encodes it: what HTML would misread is escaped too.
fn string(text: &str) -> String {
    let plain = serde_json::Value::from(text).to_string();
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out += &format!("\\u{:04x}", c as u32),
            _ => out.push(c),
        }
    }
    out
}

fn key_value(kv: &KeyValue) -> String {
    Object::new()
        .bytes("key", &kv.key)
        .number("create_revision", kv.create_revision)
        .number("mod_revision", kv.mod_revision)
        .number("version", kv.version)
        .bytes("value", &kv.value)
        .number("lease", kv.lease)
        .end()
}

fn range(response: &RangeResponse) -> String {
    Object::new()
        .header(&response.header)
        .list("kvs", response.kvs.iter().map(key_value))
        .boolean("more", response.more)
        .number("count", response.count)
        .end()
}

fn put(response: &PutResponse) -> String {
    Object::new().header(&response.header).some("prev_kv", &response.prev_kv, key_value).end()
}

fn delete(response: &DeleteRangeResponse) -> String {
    Object::new()
        .header(&response.header)
        .number("deleted", response.deleted)
        .list("prev_kvs", response.prev_kvs.iter().map(key_value))
        .end()
}

fn txn(response: &TxnResponse) -> String {
    let op = |op: &ResponseOp| {
        let inner = match &op.response {
            Some(OpResponse::ResponseRange(response)) => {
                Object::new().always("response_range", range(response))
            }
            Some(OpResponse::ResponsePut(response)) => Object::new().always("response_put", put(response)),
            Some(OpResponse::ResponseDeleteRange(response)) => {
                Object::new().always("response_delete_range", delete(response))
            }
            Some(OpResponse::ResponseTxn(response)) => Object::new().always("response_txn", txn(response)),
            None => return Object::new().always("Response", "null").end(),
        };
        Object::new().always("Response", inner.end()).end()
    };
    Object::new()
        .header(&response.header)
        .boolean("succeeded", response.succeeded)
        .list("responses", response.responses.iter().map(op))
        .end()
}

fn watch(response: &WatchResponse) -> String {
    let event = |event: &Event| {
        Object::new()
            .number("type", event.r#type)
            .some("kv", &event.kv, key_value)
            .some("prev_kv", &event.prev_kv, key_value)
            .end()
    };
    Object::new()
        .always("Header", Object::of_header(&response.header).end())
        .always("Events", array(response.events.iter().map(event)))
        .always("CompactRevision", response.compact_revision)
        .always("Canceled", response.canceled)
        .always("Created", response.created)
        .end()
}

fn time_to_live(response: &LeaseTimeToLiveResponse) -> String {
    let keys = match response.keys.is_empty() {
        true => "null".to_string(),
        false => array(response.keys.iter().map(|key| base64(key))),
    };
    Object::of_header(&response.header)
        .always("id", response.id)
        .always("ttl", response.ttl)
        .always("granted-ttl", response.granted_ttl)
        .always("keys", keys)
        .end()
}

fn member(member: &Member) -> String {
    Object::new()
        .number("ID", member.id)
        .string("name", &member.name)
        .list("peerURLs", member.peer_urls.iter().map(|url| string(url)))
        .list("clientURLs", member.client_urls.iter().map(|url| string(url)))
        .boolean("isLearner", member.is_learner)
        .end()
}

/// The members with ids as hexadecimal strings. `clientURLS` is etcd's spelling.
fn hex_members(response: &MemberListResponse) -> String {
    let urls = |urls: &[String]| match urls.is_empty() {
        true => "null".to_string(),
        false => array(urls.iter().map(|url| string(url))),
    };
    let member = |member: &Member| {
        Object::new()
            .always("ID", format_args!("\"{:x}\"", member.id))
            .always("name", string(&member.name))
            .always("peerURLs", urls(&member.peer_urls))
            .always("clientURLS", urls(&member.client_urls))
            .end()
    };
    let header = response.header.unwrap_or_default();
    let header = Object::new()
        .always("cluster_id", format_args!("\"{:x}\"", header.cluster_id))
        .always("member_id", format_args!("\"{:x}\"", header.member_id))
        .always("raft_term", header.raft_term);
    Object::new()
        .always("header", header.end())
        .always("members", array(response.members.iter().map(member)))
        .end()
}

fn alarms(response: &AlarmResponse) -> String {
    let alarm = |alarm: &AlarmMember| {
        Object::new().number("memberID", alarm.member_id).number("alarm", alarm.alarm).end()
    };
    Object::new().header(&response.header).list("alarms", response.alarms.iter().map(alarm)).end()
}

fn status(status: &StatusResponse) -> String {
    Object::new()
        .header(&status.header)
        .string("version", &status.version)
        .number("dbSize", status.db_size)
        .number("leader", status.leader)
        .number("raftIndex", status.raft_index)
        .number("raftTerm", status.raft_term)
        .number("raftAppliedIndex", status.raft_applied_index)
        .list("errors", status.errors.iter().map(|error| string(error)))
        .number("dbSizeInUse", status.db_size_in_use)
        .boolean("isLearner", status.is_learner)
        .end()
}

fn health(health: &Health) -> String {
    Object::new()
        .always("endpoint", string(&health.endpoint))
        .always("health", health.healthy)
        .always("took", string(&crate::golang::format_duration(health.took)))
        .string("error", &health.error)
        .end()
}

fn hash_kv(response: &HashKvResponse) -> String {
    Object::new()
        .header(&response.header)
        .number("hash", response.hash)
        .number("compact_revision", response.compact_revision)
        .end()
}
