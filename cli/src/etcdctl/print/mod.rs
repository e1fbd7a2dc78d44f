//! What etcdctl prints: a pure function from a reply and a format to bytes.
//!
//! Scripts parse every one of these formats, so they are etcd's to the byte, odd corners included: `table` exists only for
//! replies about the cluster, `protobuf` only for the others, and a lease in protobuf is its header alone. Each format is a
//! file that knows all replies; `tests.rs` holds them to what etcdctl 3.5.1 printed.

mod fields;
mod json;
mod protobuf;
mod simple;
mod table;
#[cfg(test)]
mod tests;

pub use simple::{event_name, health_line};

use super::failure::Failure;
use std::time::Duration;
use wire::*;

/// The formats of `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What a person or a pipe wants.
    Simple,
    /// One object a line.
    Json,
    /// `"Name" : value` lines.
    Fields,
    /// A drawn table.
    Table,
    /// The encoded message.
    Protobuf,
}

impl Format {
    /// The format of this name.
    pub fn parse(name: &str) -> Result<Format, Failure> {
        Ok(match name {
            "simple" => Format::Simple,
            "json" => Format::Json,
            "fields" => Format::Fields,
            "table" => Format::Table,
            "protobuf" => Format::Protobuf,
            _ => return Err(Failure::feature("unsupported output format")),
        })
    }
}

/// The health of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The endpoint.
    pub endpoint: String,
    /// Whether it committed a proposal and reports no alarm.
    pub healthy: bool,
    /// How long it took.
    pub took: Duration,
    /// What is wrong; empty when nothing is.
    pub error: String,
}

/// Everything that can be printed.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Of `get`; with `value_only` keys are left out of the simple format.
    Get { response: RangeResponse, value_only: bool },
    /// Of `put`.
    Put(PutResponse),
    /// Of `del`.
    Delete(DeleteRangeResponse),
    /// Of `txn`.
    Txn(TxnResponse),
    /// Of `watch`.
    Watch(WatchResponse),
    /// Of `lease grant`.
    Grant(LeaseGrantResponse),
    /// Of `lease revoke`, with the lease.
    Revoke(i64, LeaseRevokeResponse),
    /// Of `lease keep-alive`.
    KeepAlive(LeaseKeepAliveResponse),
    /// Of `lease timetolive`; `keys` when they were asked for.
    TimeToLive { response: LeaseTimeToLiveResponse, keys: bool },
    /// Of `lease list`.
    Leases(LeaseLeasesResponse),
    /// Of `member list`.
    Members(MemberListResponse),
    /// Of `alarm list` and `alarm disarm`.
    Alarms(AlarmResponse),
    /// Of `endpoint status`, one an endpoint.
    Status(Vec<(String, StatusResponse)>),
    /// Of `endpoint health`.
    Health(Vec<Health>),
    /// Of `endpoint hashkv`, one an endpoint.
    HashKv(Vec<(String, HashKvResponse)>),
    /// Of `move-leader`: from whom, to whom.
    MoveLeader { from: u64, to: u64, response: MoveLeaderResponse },
}

/// The bytes for standard output. `hex` writes keys and values of the simple format, and member ids in JSON, as hexadecimal.
pub fn render(format: Format, hex: bool, reply: &Reply) -> Result<Vec<u8>, Failure> {
    let unsupported = |name| Failure::feature(format!("{name} not supported as output format"));
    match format {
        Format::Simple => Ok(simple::render(hex, reply)),
        Format::Json => Ok(json::render(hex, reply).into_bytes()),
        Format::Fields => Ok(fields::render(reply).into_bytes()),
        Format::Table => table::render(reply).map(String::into_bytes).ok_or_else(|| unsupported("table")),
        Format::Protobuf => protobuf::render(reply).ok_or_else(|| unsupported("protobuf")),
    }
}

/// The name of an alarm.
fn alarm_name(alarm: i32) -> &'static str {
    match AlarmType::try_from(alarm) {
        Ok(AlarmType::Nospace) => "NOSPACE",
        Ok(AlarmType::Corrupt) => "CORRUPT",
        _ => "NONE",
    }
}

/// An alarm as one text: etcd's servers put the same into the errors of a status.
pub fn alarm_text(alarm: &AlarmMember) -> String {
    let mut text = String::new();
    if alarm.member_id != 0 {
        text += &format!("memberID:{} ", alarm.member_id);
    }
    if alarm.alarm != 0 {
        text += &format!("alarm:{} ", alarm_name(alarm.alarm));
    }
    text
}

/// Whether a member has ever started: only then it has a name.
fn member_state(member: &Member) -> &'static str {
    if member.name.is_empty() { "unstarted" } else { "started" }
}

/// The columns of `member list`, shared by simple and table.
fn member_row(member: &Member) -> Vec<String> {
    vec![
        format!("{:x}", member.id),
        member_state(member).to_string(),
        member.name.clone(),
        member.peer_urls.join(","),
        member.client_urls.join(","),
        member.is_learner.to_string(),
    ]
}

/// The columns of `endpoint status`, shared by simple and table.
fn status_row(endpoint: &str, status: &StatusResponse) -> Vec<String> {
    let member_id = status.header.unwrap_or_default().member_id;
    vec![
        endpoint.to_string(),
        format!("{member_id:x}"),
        status.version.clone(),
        human_bytes(status.db_size),
        (status.leader == member_id).to_string(),
        status.is_learner.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
    ]
}

/// A size in decimal units with at most one digit behind the point.
fn human_bytes(bytes: i64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog10() as usize / 3;
    let value = (bytes as f64 / 1_000f64.powi(power as i32) * 10.0 + 0.5).floor() / 10.0;
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {}", UNITS[power])
}
