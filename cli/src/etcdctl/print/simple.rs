//! The simple format: keys and values on lines of their own, one line a row for everything else.

use super::*;

pub(super) fn render(hex: bool, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    match reply {
        Reply::Get { response, value_only } => range(&mut out, hex, response, *value_only),
        Reply::Put(response) => put(&mut out, hex, response),
        Reply::Delete(response) => delete(&mut out, hex, response),
        Reply::Txn(response) => txn(&mut out, hex, response),
        Reply::Watch(response) => watch(&mut out, hex, response),
        Reply::Members(response) => rows(&mut out, response.members.iter().map(member_row)),
        Reply::Status(list) => {
            rows(&mut out, list.iter().map(|(endpoint, status)| status_row(endpoint, status)))
        }
        Reply::HashKv(list) => {
            rows(&mut out, list.iter().map(|(endpoint, hash)| vec![endpoint.clone(), hash.hash.to_string()]));
        }
        Reply::Health(list) => list.iter().for_each(|health| line(&mut out, &health_line(health))),
        Reply::Alarms(response) => {
            response.alarms.iter().for_each(|alarm| line(&mut out, &alarm_text(alarm)))
        }
        Reply::MoveLeader { from, to, .. } => {
            line(&mut out, &format!("Leadership transferred from {from:x} to {to:x}"))
        }
        Reply::Grant(response) => {
            line(&mut out, &format!("lease {:016x} granted with TTL({}s)", response.id, response.ttl));
        }
        Reply::Revoke(id, _) => line(&mut out, &format!("lease {id:016x} revoked")),
        Reply::KeepAlive(response) => line(&mut out, &keep_alive_line(response)),
        Reply::TimeToLive { response, keys } => time_to_live(&mut out, response, *keys),
        Reply::Leases(response) => leases(&mut out, response),
    }
    out
}

/// The line of one endpoint; an unhealthy one goes to standard error, so the command needs it alone.
pub fn health_line(health: &Health) -> String {
    let Health { endpoint, took, error, .. } = health;
    match health.healthy {
        true => {
            let took = crate::golang::format_duration(*took);
            format!("{endpoint} is healthy: successfully committed proposal: took = {took}")
        }
        false => format!("{endpoint} is unhealthy: failed to commit proposal: {error}"),
    }
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

fn rows(out: &mut Vec<u8>, rows: impl Iterator<Item = Vec<String>>) {
    rows.for_each(|row| line(out, &row.join(", ")));
}

fn text(out: &mut Vec<u8>, hex: bool, bytes: &[u8]) {
    match hex {
        true => bytes.iter().for_each(|byte| out.extend_from_slice(format!("\\x{byte:02x}").as_bytes())),
        false => out.extend_from_slice(bytes),
    }
    out.push(b'\n');
}

fn key_value(out: &mut Vec<u8>, hex: bool, kv: &KeyValue) {
    text(out, hex, &kv.key);
    text(out, hex, &kv.value);
}

fn range(out: &mut Vec<u8>, hex: bool, response: &RangeResponse, value_only: bool) {
    for kv in &response.kvs {
        if !value_only {
            text(out, hex, &kv.key);
        }
        text(out, hex, &kv.value);
    }
}

fn put(out: &mut Vec<u8>, hex: bool, response: &PutResponse) {
    line(out, "OK");
    if let Some(kv) = &response.prev_kv {
        key_value(out, hex, kv);
    }
}

fn delete(out: &mut Vec<u8>, hex: bool, response: &DeleteRangeResponse) {
    line(out, &response.deleted.to_string());
    response.prev_kvs.iter().for_each(|kv| key_value(out, hex, kv));
}

fn txn(out: &mut Vec<u8>, hex: bool, response: &TxnResponse) {
    line(out, if response.succeeded { "SUCCESS" } else { "FAILURE" });
    for op in &response.responses {
        out.push(b'\n');
        match &op.response {
            Some(OpResponse::ResponseRange(response)) => range(out, hex, response, false),
            Some(OpResponse::ResponsePut(response)) => put(out, hex, response),
            Some(OpResponse::ResponseDeleteRange(response)) => delete(out, hex, response),
            Some(OpResponse::ResponseTxn(response)) => txn(out, hex, response),
            None => {}
        }
    }
}

fn watch(out: &mut Vec<u8>, hex: bool, response: &WatchResponse) {
    for event in &response.events {
        line(out, event_name(event.r#type));
        event.prev_kv.iter().chain(&event.kv).for_each(|kv| key_value(out, hex, kv));
    }
}

/// The name of an event's type.
pub fn event_name(kind: i32) -> &'static str {
    if kind == EventType::Delete as i32 { "DELETE" } else { "PUT" }
}

fn keep_alive_line(response: &LeaseKeepAliveResponse) -> String {
    match response.ttl {
        1.. => format!("lease {:016x} keepalived with TTL({})", response.id, response.ttl),
        _ => format!("lease {:016x} expired or revoked.", response.id),
    }
}

fn time_to_live(out: &mut Vec<u8>, response: &LeaseTimeToLiveResponse, keys: bool) {
    let LeaseTimeToLiveResponse { id, ttl, granted_ttl, .. } = response;
    if *granted_ttl == 0 && *ttl == -1 {
        return line(out, &format!("lease {id:016x} already expired"));
    }
    out.extend_from_slice(
        format!("lease {id:016x} granted with TTL({granted_ttl}s), remaining({ttl}s)").as_bytes(),
    );
    if keys {
        out.extend_from_slice(b", attached keys([");
        out.extend_from_slice(&response.keys.join(&b' '));
        out.extend_from_slice(b"])");
    }
    out.push(b'\n');
}

fn leases(out: &mut Vec<u8>, response: &LeaseLeasesResponse) {
    line(out, &format!("found {} leases", response.leases.len()));
    response.leases.iter().for_each(|lease| line(out, &format!("{:016x}", lease.id)));
}
