//! The commands about leases.

use super::Session;
use super::args::{Line, lease_id};
use super::failure::Failure;
use super::print::Reply;
use crate::golang::parse_int;
use kernel::Kv;
use std::time::{Duration, Instant};
use wire::*;

/// Pause after a renewal that failed for a reason which may pass.
const RETRY: Duration = Duration::from_millis(500);

fn id_argument(line: &Line, message: &str) -> Result<i64, Failure> {
    lease_id(&line.only_arg(message)?, " arg")
}

pub async fn grant(line: &Line<'_>) -> Result<(), Failure> {
    let text = line.only_arg("lease grant command needs TTL argument")?;
    let ttl = parse_int(&text, 10).map_err(|error| Failure::arguments(format!("bad TTL ({error})")))?;
    let session = Session::new(line)?;
    let failed = |error: String| Failure::error(format!("failed to grant lease ({error})"));
    let client = session.client().await.map_err(|failure| failed(failure.message))?;
    let response =
        client.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await.map_err(|error| failed(error.message))?;
    session.print(&Reply::Grant(response))
}

pub async fn revoke(line: &Line<'_>) -> Result<(), Failure> {
    let id = id_argument(line, "lease revoke command needs 1 argument")?;
    let session = Session::new(line)?;
    let failed = |error: String| Failure::error(format!("failed to revoke lease ({error})"));
    let client = session.client().await.map_err(|failure| failed(failure.message))?;
    let response =
        client.lease_revoke(LeaseRevokeRequest { id }).await.map_err(|error| failed(error.message))?;
    session.print(&Reply::Revoke(id, response))
}

pub async fn time_to_live(line: &Line<'_>) -> Result<(), Failure> {
    let id = id_argument(line, "lease timetolive command needs lease ID as argument")?;
    let keys = line.switch("keys")?;
    let session = Session::new(line)?;
    let response = session.client().await?.lease_time_to_live(LeaseTimeToLiveRequest { id, keys }).await;
    let response = match response {
        // Servers older than 3.5 answer so; those since answer with a TTL of -1.
        Err(error) if error.code == kernel::Code::NotFound => {
            LeaseTimeToLiveResponse { id, ttl: -1, ..Default::default() }
        }
        other => other?,
    };
    session.print(&Reply::TimeToLive { response, keys })
}

pub async fn list(line: &Line<'_>) -> Result<(), Failure> {
    let session = Session::new(line)?;
    let response = session.client().await?.lease_leases(LeaseLeasesRequest {}).await?;
    session.print(&Reply::Leases(response))
}

pub async fn keep_alive(line: &Line<'_>) -> Result<(), Failure> {
    let id = id_argument(line, "lease keep-alive command needs lease ID as argument")?;
    let once = line.switch("once")?;
    let session = Session::new(line)?;
    let client = session.client().await?;
    let request = LeaseKeepAliveRequest { id };
    if once {
        let response =
            client.lease_keep_alive(request).await.map_err(|error| Failure::connection(error.message))?;
        if response.ttl <= 0 {
            return Err(Failure::connection("etcdserver: requested lease not found"));
        }
        return session.print(&Reply::KeepAlive(response));
    }
    renew(&session, &client, request).await
}

/// Renews every third of the TTL until the lease is gone. Errors that may pass are waited out until it must have expired.
async fn renew(session: &Session, client: &impl Kv, request: LeaseKeepAliveRequest) -> Result<(), Failure> {
    let mut expires = Instant::now() + RETRY;
    loop {
        match client.lease_keep_alive(request).await {
            Ok(response) if response.ttl <= 0 => {
                crate::output::print_line(&format!("lease {:016x} expired or revoked.", request.id));
                return Ok(());
            }
            Ok(response) => {
                let ttl = Duration::from_secs(response.ttl.unsigned_abs());
                expires = Instant::now() + ttl;
                session.print(&Reply::KeepAlive(response))?;
                tokio::time::sleep(ttl / 3).await;
            }
            Err(error) if !error.is_definite() && Instant::now() < expires => tokio::time::sleep(RETRY).await,
            Err(error) => return Err(Failure::error(error.message)),
        }
    }
}
