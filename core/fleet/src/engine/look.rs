//! The cluster as a leading engine would see it, for who only wants to look: `why`, `plan`, a rebalance that is only tried.
//!
//! The same registry through the same eyes ([`locate`]), but nothing is decided, nothing is written, and no time has passed: a machine that is
//! away counts as lost just now, so a unit whose policy makes it wait is shown as held.

use super::locate::{Lost, Rules, Spot, locate};
use crate::model::{Job, MachineId, Report};
use crate::registry::{JobRecord, Snapshot};
use crate::schedule::{EXAMPLES, Explanation, Place, Scheduler, Standing};
use crate::unit::{PartitionPolicy, Requirements, UnitFile, UnitHash, UnitName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A scheduler that knows what the registry says.
pub fn look(view: &Snapshot) -> Scheduler {
    let mut scheduler = Scheduler::new();
    view.machines
        .values()
        .filter_map(|record| record.machine())
        .for_each(|there| scheduler.set_machine(there));
    let mut units: BTreeSet<&UnitName> = view.jobs.keys().collect();
    units.extend(view.orders.keys().map(|(unit, _)| unit));
    units.extend(view.reports.keys().map(|(unit, _)| unit));
    let lost = lost(view);
    let nothing = JobRecord::default();
    for unit in units {
        let record = view.jobs.get(unit).unwrap_or(&nothing);
        let job = job(view, unit, record);
        let rules = rules(job.as_ref());
        if let Some(job) = job {
            scheduler.set_job(job);
        }
        match locate(view, unit, &rules, &lost, Duration::ZERO).spot {
            Spot::One(place) => scheduler.set_place(unit, place),
            Spot::Copies(copies) => {
                scheduler.set_place(unit, Place::Free);
                scheduler.set_copies(unit, copies);
            }
        }
        scheduler
            .set_active(unit, view.reports_of(unit).any(|(_, seen)| seen.value.state.active == "active"));
        scheduler.set_done(unit, record.is_done());
    }
    scheduler
}

/// Machines that something is said of, and that are not there.
fn lost(view: &Snapshot) -> Lost {
    let targets = view.jobs.values().filter_map(|job| Some(&job.target.as_ref()?.value));
    let named = targets.chain(view.orders.keys().map(|(_, machine)| machine));
    let named: BTreeSet<&MachineId> = named.chain(view.reports.keys().map(|(_, machine)| machine)).collect();
    let away =
        |machine: &&MachineId| view.machines.get(*machine).is_none_or(|record| record.presence.is_none());
    named
        .into_iter()
        .filter(away)
        .map(|machine| (machine.clone(), Duration::ZERO))
        .collect::<BTreeMap<_, _>>()
}

/// The unit as the scheduler takes it; none if it is destroyed, or its text cannot be read.
fn job(view: &Snapshot, unit: &UnitName, record: &JobRecord) -> Option<Job> {
    let hash = record.hash?;
    let (file, requirements) = Requirements::of_text(unit, &view.files.get(&hash)?.value).ok()?;
    let (file, requirements) = (Arc::new(file), Arc::new(requirements));
    Some(Job { name: unit.clone(), file, hash, requirements, desired: record.desired })
}

/// Where a unit is and why, and what is wrong with it there. One whose text cannot be followed stays as it is, and the scheduler does
/// not know it: that is said instead.
pub fn why(view: &Snapshot, unit: &UnitName) -> Explanation {
    let answer = look(view).explain(unit);
    let record = view.jobs.get(unit);
    let Some((record, hash)) = record.and_then(|record| Some((record, record.hash?))) else { return answer };
    let trouble = match view.files.get(&hash) {
        None => Some("the store has lost it".to_owned()),
        Some(text) => Requirements::of_text(unit, &text.value).err(),
    };
    let Some(trouble) = trouble else {
        let troubles = troubles(view, unit, record, hash);
        let text = std::iter::once(&answer.text).chain(&troubles).cloned().collect::<Vec<_>>().join("; ");
        return Explanation { troubles, text, ..answer };
    };
    let text =
        format!("its text {hash} cannot be followed ({trouble}), so it stays as it is: submit it again");
    Explanation { standing: Standing::Unreadable, text, ..answer }
}

/// What is wrong with a unit wherever it is placed.
fn troubles(view: &Snapshot, unit: &UnitName, record: &JobRecord, hash: UnitHash) -> Vec<String> {
    let ill = view.reports_of(unit).filter(|(_, seen)| {
        let Report { state, error, .. } = &seen.value;
        !error.is_empty() || state.active == "failed" || !matches!(state.load.as_str(), "" | "loaded")
    });
    let ill = ill.map(|(machine, seen)| {
        let Report { state, error, .. } = &seen.value;
        let error = if error.is_empty() { String::new() } else { format!(", {error}") };
        format!("on {machine} systemd says {} {} ({}){error}", state.load, state.active, state.sub)
    });
    let halt = record.halt.iter().map(|halt| {
        let back = if halt.rolled_back { "; the text before was brought back" } else { "" };
        format!("its replacement stopped at {}: {}{back}", halt.machine, halt.reason)
    });
    let file = view.files.get(&hash).and_then(|text| UnitFile::parse(&text.value).ok());
    let odd = file.iter().flat_map(Requirements::warnings);
    ill.take(EXAMPLES).chain(halt).chain(odd).collect()
}

fn rules(job: Option<&Job>) -> Rules {
    let requirements = job.map(|job| &job.requirements);
    Rules {
        global: requirements.map(|requirements| requirements.global),
        policy: requirements.map_or(PartitionPolicy::Keep, |requirements| requirements.partition),
        grace: requirements.map_or(Duration::ZERO, |requirements| requirements.stop_grace),
        hasty: false,
    }
}
