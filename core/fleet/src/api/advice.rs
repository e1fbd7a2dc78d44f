//! `/units/NAME/why`, `/units/NAME/rollout`, `/plan` and `/rebalance`: why things are as they are, and what would change them.
//!
//! These read the whole registry and see it as the engine does ([`engine::look`]): for people, now and then. At most
//! [`LOOKS_MAX`] are answered at a time, since each holds all of it in memory.

use super::error::ApiError;
use super::message::{Request, Response};
use super::query::Query;
use super::schema::PlanRequest;
use super::{Api, units};
use crate::engine;
use crate::model::{DesiredState, Job};
use crate::registry::{JobRecord, Snapshot};
use crate::schedule;
use crate::unit::{Requirements, UnitName};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers that hold the whole registry, at a time.
pub const LOOKS_MAX: usize = 4;

/// Moves of one rebalance when nothing is said.
const MOVES: u32 = 100;

/// Most moves of one rebalance.
const MOVES_MAX: u32 = 10_000;

impl Api {
    pub(super) async fn get_why(&self, name: &str) -> Result<Response, ApiError> {
        let (unit, _) = self.known(name).await?;
        let _place = self.look_place()?;
        let view = self.registry.load().await?;
        Ok(Response::ok(&engine::why(&view, &unit)))
    }

    pub(super) async fn post_plan(&self, request: &Request) -> Result<Response, ApiError> {
        units::check_content_type(&request.content_types)?;
        let (jobs, removals) = planned(units::decode(&request.body)?)?;
        let _place = self.look_place()?;
        let view = self.registry.load().await?;
        if let Some(unknown) = removals.iter().find(|unit| !view.jobs.contains_key(*unit)) {
            return Err(ApiError::missing(format!("unit {unknown} does not exist")));
        }
        Ok(Response::ok(&schedule::plan(&engine::look(&view), jobs, removals)))
    }

    /// Tells which units would move, and asks the engine to move them unless it is only tried.
    pub(super) async fn post_rebalance(&self, query: &Query) -> Result<Response, ApiError> {
        let (dry, most) = (query.switch("dryRun")?, query.number("most", MOVES)?);
        if most == 0 || most > MOVES_MAX {
            return Err(ApiError::bad(format!("most={most}: from 1 to {MOVES_MAX} moves")));
        }
        let _place = self.look_place()?;
        let view = self.registry.load().await?;
        let moves = engine::look(&view).rebalance(most as usize);
        if !dry && !moves.is_empty() {
            self.registry.ask_rebalance(u64::from(most)).await?;
        }
        let moves: Vec<Value> = moves
            .into_iter()
            .map(|(unit, from, to, reason)| json!({ "unit": unit, "from": from, "to": to, "reason": reason }))
            .collect();
        Ok(Response::document(if dry { 200 } else { 202 }, &json!({ "moves": moves })))
    }

    /// How far a replacement is: of a global unit over its machines, of a template over its instances.
    pub(super) async fn get_rollout(&self, name: &str) -> Result<Response, ApiError> {
        let (unit, _) = self.known(name).await?;
        let _place = self.look_place()?;
        let view = self.registry.load().await?;
        Ok(Response::ok(&rollout(&view, &unit)))
    }

    /// A place among those that hold the whole registry.
    fn look_place(&self) -> Result<Arc<()>, ApiError> {
        let place = self.looks.clone();
        // One for the api itself, one for each that holds it.
        if Arc::strong_count(&place) > LOOKS_MAX + 1 {
            return Err(ApiError::new(503, "too many are asking why and what if at the moment: try again"));
        }
        Ok(place)
    }
}

/// The jobs and removals of a plan, checked as a PUT would be.
fn planned(request: PlanRequest) -> Result<(Vec<Job>, Vec<UnitName>), ApiError> {
    let parse = |name: &str| UnitName::parse(name).map_err(|error| ApiError::bad(error.to_string()));
    let mut jobs = Vec::new();
    for document in &request.units {
        let name = parse(&document.name)?;
        let file = units::file(&name, document)?.ok_or_else(|| {
            ApiError::bad(format!("unit {name}: options field empty: send the options of its file"))
        })?;
        let desired = units::desired_state(&document.desired_state)?.unwrap_or(DesiredState::Launched);
        let requirements = Requirements::read(&name, &file)
            .map_err(|error| ApiError::bad(format!("options of {name}: {error}")))?;
        let (file, requirements) = (Arc::new(file), Arc::new(requirements));
        jobs.push(Job { hash: file.hash(), name, file, requirements, desired });
    }
    let removals = request.removals.iter().map(|name| parse(name)).collect::<Result<_, _>>()?;
    Ok((jobs, removals))
}

/// Units that are replaced together with this one: the instances of a template, or the unit alone.
fn members<'a>(
    view: &'a Snapshot,
    unit: &'a UnitName,
) -> impl Iterator<Item = (&'a UnitName, &'a JobRecord)> {
    let is_member = move |name: &UnitName| match unit.is_template() {
        true => !name.is_template() && name.template().as_deref() == Some(unit.as_str()),
        false => name == unit,
    };
    view.jobs.iter().filter(move |(name, job)| job.hash.is_some() && is_member(name))
}

fn rollout(view: &Snapshot, unit: &UnitName) -> Value {
    let (mut copies, mut updated, mut healthy, mut ordered) = (0, 0, 0, 0);
    let mut halt = None;
    for (name, job) in members(view, unit) {
        halt = halt.or(job.halt.as_ref().map(|halt| (name, halt)));
        for (machine, order) in view.orders_of(name) {
            copies += 1;
            let report = view.reports.get(&(name.clone(), machine.clone())).map(|seen| &seen.value);
            ordered += usize::from(Some(order.value.hash) == job.hash);
            let has_it = report.is_some_and(|report| Some(report.hash) == job.hash);
            updated += usize::from(has_it);
            healthy += usize::from(has_it && report.is_some_and(|report| report.state.active == "active"));
        }
    }
    let of = if copies == 1 { "copy runs" } else { "copies run" };
    let mut text = format!("{updated} of {copies} {of} the text that is wanted, {healthy} of them active");
    if let Some((name, halt)) = &halt {
        let end = if halt.rolled_back {
            "; the text before was brought back"
        } else {
            "; the others keep the text before"
        };
        text += &format!(". It stopped at {name} on machine {}: {}{end}", halt.machine, halt.reason);
    }
    json!({
        "unit": unit,
        "hash": view.jobs.get(unit).and_then(|job| job.hash),
        "previous": view.jobs.get(unit).and_then(|job| job.previous),
        "copies": copies,
        "ordered": ordered,
        "updated": updated,
        "active": healthy,
        "done": halt.is_none() && updated == copies,
        "halt": halt.map(|(_, halt)| halt),
        "text": text,
    })
}
