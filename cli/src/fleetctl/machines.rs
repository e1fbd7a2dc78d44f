//! `drain`, `cordon`, `uncordon`, `declare-gone`, `rebalance`: what the operator says of machines.

use super::args::Line;
use super::cells;
use super::failure::Failure;
use super::insight::{field, needs_orlop};
use super::session::{Session, print_json};
use super::tabs;
use super::wait::{Bell, Patience};
use crate::output;
use http::Method;
use io_real::fleet_client::escape;
use io_real::fleet_client::schema::Machine;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::time::Instant;

/// Time from look to look at a machine that drains.
const LOOK: Duration = Duration::from_secs(1);

/// Opens or closes machines.
pub async fn admit(session: &Session, line: &Line<'_>, admission: &str, done: &str) -> Result<(), Failure> {
    let mut machines = Vec::new();
    for word in given(line)? {
        machines.push(session.find_machine(&word).await?);
    }
    for machine in &machines {
        let path = format!("machines/{}/admission", escape(&machine.id));
        let body = json!({ "admission": admission });
        let put = session.client.done(Method::PUT, &path, Some(body)).await;
        put.map_err(|error| needs_orlop(session, &format!("machine {}", machine.id), &error))?;
        let cell = session.machine_cell(&machine.id, false).await;
        session.progress(
            &format!("Machine {cell} {done}"),
            &json!({ "machineID": machine.id, "admission": admission }),
        );
    }
    if admission != "drain" {
        return Ok(());
    }
    match Patience::read(line)? {
        Patience::None => Ok(()),
        patience => drained(session, &machines, patience).await,
    }
}

/// Waits until only global units are left on the machines.
async fn drained(session: &Session, machines: &[Machine], patience: Patience) -> Result<(), Failure> {
    let began = Instant::now();
    let mut bell = Bell::new(session).await;
    let mut left: Vec<Option<usize>> = vec![None; machines.len()];
    loop {
        let counts = units_left(session, machines).await?;
        for (index, machine) in machines.iter().enumerate() {
            let count = counts[index];
            if left[index] == Some(count) {
                continue;
            }
            left[index] = Some(count);
            let cell = session.machine_cell(&machine.id, false).await;
            let text = if count == 0 { "is empty".to_string() } else { format!("has {count} units left") };
            session.progress(
                &format!("Machine {cell} {text}"),
                &json!({ "machineID": machine.id, "unitsLeft": count }),
            );
        }
        if counts.iter().all(|count| *count == 0) {
            return Ok(());
        }
        if let Patience::For(limit) = patience
            && began.elapsed() >= limit
        {
            let all: usize = counts.iter().sum();
            let text = format!("timed out with {all} units left: fleetctl why UNIT tells what keeps one");
            return Err(Failure::error(text));
        }
        bell.rings_before(Instant::now() + LOOK).await;
    }
}

async fn units_left(session: &Session, machines: &[Machine]) -> Result<Vec<usize>, Failure> {
    let failed = |error| Failure::of("Error waiting for machines", &error);
    let units = session.client.units().await.map_err(failed)?;
    let global: BTreeSet<&str> =
        units.iter().filter(|unit| cells::is_global(unit)).map(|unit| unit.name.as_str()).collect();
    let states = session.client.states("").await.map_err(failed)?;
    let on = |id: &str| {
        states.iter().filter(|state| state.machine_id == id && !global.contains(state.name.as_str())).count()
    };
    Ok(machines.iter().map(|machine| on(&machine.id)).collect())
}

/// Declares a machine gone, which frees units that wait for it.
pub async fn gone(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let word = line.only_arg("One machine must be provided")?;
    let id = gone_id(session, &word).await?;
    if !line.switch("yes")? {
        confirm(&id)?;
    }
    let path = format!("machines/{}/gone", escape(&id));
    let posted = session.client.done(Method::POST, &path, Some(json!({}))).await;
    posted.map_err(|error| needs_orlop(session, "declare-gone", &error))?;
    session
        .progress(&format!("Machine {id} declared gone"), &json!({ "machineID": id, "declaredGone": true }));
    Ok(())
}

/// A machine that is gone is not in the list; units may still name it.
async fn gone_id(session: &Session, word: &str) -> Result<String, Failure> {
    if session.machines().await?.contains_key(word) {
        return Ok(word.to_string());
    }
    let units = session.client.units().await;
    let units =
        units.map_err(|error| Failure::of("Error retrieving list of units from repository", &error))?;
    let named: BTreeSet<&str> =
        units.iter().map(|unit| unit.machine_id.as_str()).filter(|id| id.starts_with(word)).collect();
    match (named.len(), word.len()) {
        (1, _) => Ok(named.into_iter().next().expect("there is one").to_string()),
        (0, 32) => Ok(word.to_string()),
        (0, _) => Err(Failure::error(format!("No unit names a machine {word:?}: give its whole id"))),
        _ => Err(Failure::error(format!("Units name several machines {word:?}...: give more of the id"))),
    }
}

fn confirm(id: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("declare-gone asks before it acts: give --yes to answer beforehand"));
    }
    eprint!("If machine {id} still runs its units, they will run twice. Is it surely gone? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::error("Nothing was done."))
}

/// Moves units for balance, or tells which would move.
pub async fn rebalance(session: &Session, line: &Line<'_>) -> Result<(), Failure> {
    let dry = line.switch("dry-run")?;
    let path = format!("rebalance?dryRun={dry}");
    let moves = session.client.json::<Value>(Method::POST, &path, Some(json!({}))).await;
    let moves = moves.map_err(|error| needs_orlop(session, "rebalance", &error))?;
    if session.json {
        print_json(&moves);
        return Ok(());
    }
    let list = moves.get("moves").and_then(Value::as_array).cloned().unwrap_or_default();
    if list.is_empty() {
        output::print_line("Nothing to move.");
        return Ok(());
    }
    let mut rows = vec![["UNIT", "FROM", "TO", "REASON"].map(str::to_string).to_vec()];
    for one in &list {
        let from = session.machine_cell(field(one, "from"), false).await;
        let to = session.machine_cell(field(one, "to"), false).await;
        rows.push(vec![field(one, "unit").to_string(), from, to, field(one, "reason").to_string()]);
    }
    output::print(tabs::table(&rows).as_bytes());
    Ok(())
}

fn given(line: &Line) -> Result<Vec<String>, Failure> {
    match line.args() {
        none if none.is_empty() => Err(Failure::usage("No machines given")),
        some => Ok(some),
    }
}
