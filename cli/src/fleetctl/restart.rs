//! `restart`: stop and start where the unit is.
//!
//! `orlop fleetd` counts starts: the wish is "run number n", and a copy has restarted when its machine reports that number. fleet 1.0
//! has no such thing; there it is a stop and a start, and, unlike in its own fleetctl, the stop is waited for.

use super::args::Line;
use super::cells::is_global;
use super::failure::Failure;
use super::resolve;
use super::session::Session;
use super::wait::{self, Goal, Patience};
use super::wish;
use http::Method;
use io_real::fleet_client::escape;
use io_real::fleet_client::schema::Unit;
use serde_json::{Value, json};

/// How a restart went out.
enum Sent {
    /// As a number that copies will report.
    Counted(u64),
    /// The server counts, but does not say what.
    Blindly,
    /// The server knows no restart.
    Unknown,
}

/// Restarts units.
pub async fn restart(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let patience = Patience::read(line)?;
    let (units, missing) = resolve::registered(session, &wish::given(line)?).await?;
    for name in &missing {
        eprintln!("Unit {name} not found in registry");
    }
    let mut failed = !missing.is_empty();
    let mut goals = Vec::new();
    for unit in &units {
        if unit.desired_state == "inactive" || (!is_global(unit) && unit.current_state == "inactive") {
            eprintln!("Unable to restart unit {} in state inactive", unit.name);
            failed = true;
        } else if unit.desired_state != "launched" {
            start(session, unit).await?;
            goals.push((unit.name.clone(), Goal::Current("launched")));
        } else {
            goals.extend(again(session, unit, patience).await?);
        }
    }
    let names: Vec<String> = goals.iter().map(|(name, _)| name.clone()).collect();
    if patience == Patience::None {
        wish::trigger_only(session, "restart", names.iter().map(String::as_str));
    } else {
        wait::until(session, goals, patience).await?;
        for unit in units.iter().filter(|unit| names.contains(&unit.name) && !is_global(unit)) {
            let active = (unit.name.clone(), wait::active(session, &unit.name).await?);
            wait::until(session, vec![active], patience).await?;
        }
    }
    if failed { Err(Failure::quiet(1)) } else { Ok(()) }
}

async fn start(session: &Session, unit: &Unit) -> Result<(), Failure> {
    let set = session.client.set_desired(&unit.name, "launched").await;
    set.map_err(|error| Failure::of(&format!("Error starting unit {}", unit.name), &error))
}

/// Asks for a launched unit to be started again. Returns what to wait for, if it can be waited for.
async fn again(
    session: &Session,
    unit: &Unit,
    patience: Patience,
) -> Result<Option<(String, Goal)>, Failure> {
    let name = unit.name.clone();
    match send(session, &name).await? {
        Sent::Counted(run) => return Ok(Some((name, Goal::Run(run)))),
        Sent::Blindly => {
            wish::trigger_only(session, "restart", std::iter::once(name.as_str()));
            return Ok(None);
        }
        Sent::Unknown => {}
    }
    if is_global(unit) {
        return Err(Failure::error(format!(
            "Unable to restart global unit {name}: this server cannot; run systemctl restart on its machines"
        )));
    }
    let set = session.client.set_desired(&name, "loaded").await;
    set.map_err(|error| Failure::of(&format!("Error stopping unit {name}"), &error))?;
    wait::until(session, vec![(name.clone(), Goal::Current("loaded"))], patience.at_least_once()).await?;
    start(session, unit).await?;
    Ok(Some((name, Goal::Current("launched"))))
}

async fn send(session: &Session, name: &str) -> Result<Sent, Failure> {
    let tried = format!("Error restarting unit {name}");
    let path = format!("units/{}/restart", escape(name));
    match session.client.done(Method::POST, &path, Some(json!({}))).await {
        Ok(()) => {}
        // The unit is there: it is the path that is unknown.
        Err(error) if matches!(error.status(), 404 | 405 | 501) => return Ok(Sent::Unknown),
        Err(error) => return Err(Failure::of(&tried, &error)),
    }
    let unit = session.unit(name).await?;
    Ok(unit.more.get("run").and_then(Value::as_u64).map_or(Sent::Blindly, Sent::Counted))
}
