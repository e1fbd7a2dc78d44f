//! The commands about members and endpoints.
//!
//! Most of them ask each endpoint by itself: a client of all would be answered by whichever comes first.

use super::Session;
use super::args::Line;
use super::failure::Failure;
use super::print::{Format, Health, Reply, health_line};
use crate::golang::{parse_int, parse_uint};
use crate::output;
use bytes::Bytes;
use kernel::{Code, Kv, KvError};
use std::time::Instant;
use wire::*;

pub async fn members(line: &Line<'_>) -> Result<(), Failure> {
    let session = Session::new(line)?;
    let response = session.client().await?.member_list(true).await?;
    session.print(&Reply::Members(response))
}

/// The endpoints to ask: those given, or with `--cluster` those that the members advertise.
async fn endpoints(line: &Line<'_>, session: &Session) -> Result<Vec<String>, Failure> {
    if !line.switch("cluster")? {
        return Ok(session.endpoints.clone());
    }
    let response = session.client().await?.member_list(true).await.map_err(|error| {
        Failure::error(format!("failed to fetch endpoints from etcd cluster member list: {}", error.message))
    })?;
    Ok(response.members.into_iter().flat_map(|member| member.client_urls).collect())
}

pub async fn status(line: &Line<'_>) -> Result<(), Failure> {
    let session = Session::new(line)?;
    let mut list = Vec::new();
    let mut failed = false;
    for endpoint in endpoints(line, &session).await? {
        match status_of(&session, &endpoint).await {
            Ok(status) => list.push((endpoint, status)),
            Err(error) => {
                failed = true;
                eprintln!("Failed to get the status of endpoint {endpoint} ({})", error.message);
            }
        }
    }
    session.print(&Reply::Status(list))?;
    if failed { Err(Failure::error("")) } else { Ok(()) }
}

async fn status_of(session: &Session, endpoint: &str) -> Result<StatusResponse, KvError> {
    session.client_of(vec![endpoint.to_string()]).await?.status().await
}

pub async fn hash_kv(line: &Line<'_>) -> Result<(), Failure> {
    let session = Session::new(line)?;
    let revision = parse_int(line.text("rev"), 10).map_err(Failure::error)?;
    let mut list = Vec::new();
    let mut failure = None;
    for endpoint in endpoints(line, &session).await? {
        let hash = async { session.client_of(vec![endpoint.clone()]).await?.hash_kv(revision).await };
        match hash.await {
            Ok(hash) => list.push((endpoint, hash)),
            Err(error) => {
                eprintln!("Failed to get the hash of endpoint {endpoint} ({})", error.message);
                failure = Some(Failure::from(error));
            }
        }
    }
    session.print(&Reply::HashKv(list))?;
    failure.map_or(Ok(()), Err)
}

pub async fn health(line: &Line<'_>) -> Result<(), Failure> {
    let session = Session::new(line)?;
    let checks = endpoints(line, &session).await?.into_iter().map(|endpoint| health_of(&session, endpoint));
    let list = futures_util::future::join_all(checks).await;
    let healthy = list.iter().all(|health| health.healthy);
    if session.format == Format::Simple {
        for health in &list {
            match health.healthy {
                true => output::print_line(&health_line(health)),
                false => eprintln!("{}", health_line(health)),
            }
        }
    } else {
        session.print(&Reply::Health(list))?;
    }
    if healthy { Ok(()) } else { Err(Failure::error("unhealthy cluster")) }
}

/// Healthy is who answers a linearizable read and reports no alarm.
async fn health_of(session: &Session, endpoint: String) -> Health {
    let start = Instant::now();
    let check = async {
        let client = session.client_of(vec![endpoint.clone()]).await?;
        let key = Bytes::from_static(b"health");
        match client.range(RangeRequest { key, ..Default::default() }).await {
            // Who may not read the key has still had it read.
            Ok(_) => {}
            Err(error) if error.code == Code::PermissionDenied => {}
            Err(error) => return Err(error),
        }
        let took = start.elapsed();
        Ok((
            took,
            client.alarm(AlarmRequest { action: AlarmAction::Get as i32, member_id: 0, alarm: 0 }).await,
        ))
    };
    let (took, error) = match check.await {
        Ok((took, Ok(response))) if response.alarms.is_empty() => (took, String::new()),
        Ok((took, Ok(response))) => (took, format!("Active Alarm(s): {}", alarm_names(&response.alarms))),
        Ok((took, Err(_))) => (took, "Unable to fetch the alarm list".to_string()),
        Err(error) => (start.elapsed(), error.message),
    };
    Health { healthy: error.is_empty(), endpoint, took, error }
}

fn alarm_names(alarms: &[AlarmMember]) -> String {
    let name = |alarm: &AlarmMember| match AlarmType::try_from(alarm.alarm) {
        Ok(AlarmType::Nospace) => "NOSPACE ",
        Ok(AlarmType::Corrupt) => "CORRUPT ",
        _ => "UNKNOWN ",
    };
    alarms.iter().map(name).collect()
}

pub async fn alarms(line: &Line<'_>) -> Result<(), Failure> {
    if !line.args().is_empty() {
        return Err(Failure::arguments("alarm list command accepts no arguments"));
    }
    let session = Session::new(line)?;
    let request = AlarmRequest { action: AlarmAction::Get as i32, member_id: 0, alarm: 0 };
    let response = session.client().await?.alarm(request).await?;
    session.print(&Reply::Alarms(response))
}

pub async fn disarm(line: &Line<'_>) -> Result<(), Failure> {
    if !line.args().is_empty() {
        return Err(Failure::arguments("alarm disarm command accepts no arguments"));
    }
    let session = Session::new(line)?;
    let client = session.client().await?;
    let raised =
        client.alarm(AlarmRequest { action: AlarmAction::Get as i32, member_id: 0, alarm: 0 }).await?;
    let mut disarmed = AlarmResponse::default();
    for AlarmMember { member_id, alarm } in raised.alarms {
        let response =
            client.alarm(AlarmRequest { action: AlarmAction::Deactivate as i32, member_id, alarm }).await?;
        disarmed.alarms.extend(response.alarms);
    }
    session.print(&Reply::Alarms(disarmed))
}

pub async fn defrag(line: &Line<'_>) -> Result<(), Failure> {
    if !line.text("data-dir").is_empty() {
        return Err(Failure::feature(
            "--data-dir is not offered: the store needs no defragmentation, leave it out",
        ));
    }
    let session = Session::new(line)?;
    let mut failed = false;
    for endpoint in endpoints(line, &session).await? {
        let call = async { session.client_of(vec![endpoint.clone()]).await?.defragment().await };
        match call.await {
            Ok(_) => output::print_line(&format!("Finished defragmenting etcd member[{endpoint}]")),
            Err(error) => {
                failed = true;
                eprintln!("Failed to defragment etcd member[{endpoint}] ({})", error.message);
            }
        }
    }
    if failed { Err(Failure::error("")) } else { Ok(()) }
}

pub async fn move_leader(line: &Line<'_>) -> Result<(), Failure> {
    let text = line.only_arg("move-leader command needs 1 argument")?;
    let to = parse_uint(&text, 16).map_err(Failure::arguments)?;
    let session = Session::new(line)?;
    for endpoint in &session.endpoints {
        let client = session.client_of(vec![endpoint.clone()]).await?;
        let status = client.status().await?;
        let from = status.header.unwrap_or_default().member_id;
        if from == status.leader {
            let response = client.move_leader(to).await?;
            return session.print(&Reply::MoveLeader { from, to, response });
        }
    }
    let endpoints = session.endpoints.join(" ");
    Err(Failure::arguments(format!("no leader endpoint given at [{endpoints}]")))
}
