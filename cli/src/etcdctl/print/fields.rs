//! The fields format: a line `"Name" : value` for each field, zero or not; strings and bytes quoted as Go quotes.

use super::simple::event_name;
use super::*;
use crate::golang::{format_duration, quote};
use std::fmt::Display;

pub(super) fn render(reply: &Reply) -> String {
    let mut out = Lines(String::new());
    match reply {
        Reply::Get { response, .. } => range(&mut out, response),
        Reply::Put(response) => put(&mut out, response),
        Reply::Delete(response) => delete(&mut out, response),
        Reply::Txn(response) => txn(&mut out, response),
        Reply::Watch(response) => watch(&mut out, response),
        Reply::Grant(response) => {
            out.header(&response.header);
            out.field("ID", response.id);
            out.field("TTL", response.ttl);
        }
        Reply::Revoke(_, response) => out.header(&response.header),
        Reply::KeepAlive(response) => {
            out.header(&response.header);
            out.field("ID", response.id);
            out.field("TTL", response.ttl);
        }
        Reply::TimeToLive { response, .. } => time_to_live(&mut out, response),
        Reply::Leases(response) => {
            out.header(&response.header);
            response.leases.iter().for_each(|lease| out.field("ID", lease.id));
        }
        Reply::Members(response) => members(&mut out, response),
        Reply::Alarms(response) => alarms(&mut out, response),
        Reply::Status(list) => {
            list.iter().for_each(|(endpoint, response)| status(&mut out, endpoint, response))
        }
        Reply::Health(list) => list.iter().for_each(|health| health_lines(&mut out, health)),
        Reply::HashKv(list) => {
            for (endpoint, response) in list {
                out.header(&response.header);
                out.field("Endpoint", quote(endpoint.as_bytes()));
                out.field("Hash", response.hash);
                out.blank();
            }
        }
        Reply::MoveLeader { response, .. } => out.header(&response.header),
    }
    out.0
}

/// Lines under construction.
struct Lines(String);

impl Lines {
    fn field(&mut self, name: &str, value: impl Display) {
        self.0 += &format!("\"{name}\" : {value}\n");
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }

    fn header(&mut self, header: &Option<ResponseHeader>) {
        let header = header.unwrap_or_default();
        self.field("ClusterID", header.cluster_id);
        self.field("MemberID", header.member_id);
        self.field("Revision", header.revision);
        self.field("RaftTerm", header.raft_term);
    }

    /// A key and what belongs to it; each name begins with `prefix`.
    fn key_value(&mut self, prefix: &str, kv: &KeyValue) {
        self.field(&format!("{prefix}Key"), quote(&kv.key));
        self.field(&format!("{prefix}CreateRevision"), kv.create_revision);
        self.field(&format!("{prefix}ModRevision"), kv.mod_revision);
        self.field(&format!("{prefix}Version"), kv.version);
        self.field(&format!("{prefix}Value"), quote(&kv.value));
        self.field(&format!("{prefix}Lease"), kv.lease);
    }
}

fn range(out: &mut Lines, response: &RangeResponse) {
    out.header(&response.header);
    response.kvs.iter().for_each(|kv| out.key_value("", kv));
    out.field("More", response.more);
    out.field("Count", response.count);
}

fn put(out: &mut Lines, response: &PutResponse) {
    out.header(&response.header);
    if let Some(kv) = &response.prev_kv {
        out.key_value("Prev", kv);
    }
}

fn delete(out: &mut Lines, response: &DeleteRangeResponse) {
    out.header(&response.header);
    out.field("Deleted", response.deleted);
    response.prev_kvs.iter().for_each(|kv| out.key_value("Prev", kv));
}

fn txn(out: &mut Lines, response: &TxnResponse) {
    out.header(&response.header);
    out.field("Succeeded", response.succeeded);
    for op in &response.responses {
        match &op.response {
            Some(OpResponse::ResponseRange(response)) => range(out, response),
            Some(OpResponse::ResponsePut(response)) => put(out, response),
            Some(OpResponse::ResponseDeleteRange(response)) => delete(out, response),
            Some(OpResponse::ResponseTxn(response)) => txn(out, response),
            None => {}
        }
    }
}

fn watch(out: &mut Lines, response: &WatchResponse) {
    out.header(&response.header);
    for event in &response.events {
        out.field("Type", event_name(event.r#type));
        if let Some(kv) = &event.prev_kv {
            out.key_value("Prev", kv);
        }
        out.key_value("", &event.kv.clone().unwrap_or_default());
    }
}

fn time_to_live(out: &mut Lines, response: &LeaseTimeToLiveResponse) {
    out.header(&response.header);
    out.field("ID", response.id);
    out.field("TTL", response.ttl);
    out.field("GrantedTTL", response.granted_ttl);
    response.keys.iter().for_each(|key| out.field("Key", quote(key)));
}

fn members(out: &mut Lines, response: &MemberListResponse) {
    out.header(&response.header);
    for member in &response.members {
        out.field("ID", member.id);
        out.field("Name", quote(member.name.as_bytes()));
        member.peer_urls.iter().for_each(|url| out.field("PeerURL", quote(url.as_bytes())));
        member.client_urls.iter().for_each(|url| out.field("ClientURL", quote(url.as_bytes())));
        out.field("IsLearner", member.is_learner);
        out.blank();
    }
}

fn alarms(out: &mut Lines, response: &AlarmResponse) {
    out.header(&response.header);
    for alarm in &response.alarms {
        out.field("MemberID", alarm.member_id);
        out.field("AlarmType", alarm_name(alarm.alarm));
        out.blank();
    }
}

fn status(out: &mut Lines, endpoint: &str, status: &StatusResponse) {
    out.header(&status.header);
    out.field("Version", quote(status.version.as_bytes()));
    out.field("DBSize", status.db_size);
    out.field("Leader", status.leader);
    out.field("IsLearner", status.is_learner);
    out.field("RaftIndex", status.raft_index);
    out.field("RaftTerm", status.raft_term);
    out.field("RaftAppliedIndex", status.raft_applied_index);
    out.field("Errors", format_args!("[{}]", status.errors.join(" ")));
    out.field("Endpoint", quote(endpoint.as_bytes()));
    out.blank();
}

fn health_lines(out: &mut Lines, health: &Health) {
    out.field("Endpoint", quote(health.endpoint.as_bytes()));
    out.field("Health", health.healthy);
    out.field("Took", format_duration(health.took));
    out.field("Error", &health.error);
    out.blank();
}
