//! `bugbase`: what once failed, listed, added to and run; and the part of a campaign that runs it first.

use crate::args::{Bugbase, Keep, Run, jobs};
use crate::replay::load_of;
use io_sim::bugbase::{self, Entry};
use io_sim::load::{Kind, Load};
use io_sim::pool;
use kernel::Planted;
use std::path::Path;
use std::sync::Mutex;

/// Does what was asked; whether every entry that was run held.
pub fn bugbase(args: &Bugbase) -> Result<bool, String> {
    match &args.what {
        Keep::List => {
            for entry in bugbase::read(&args.bugbase)? {
                println!("{:<6} {:<24} {}", entry.load.kind(), entry.name, entry.reason);
            }
            Ok(true)
        }
        Keep::Add { what, workload, name, reason } => {
            add(&args.bugbase, what, *workload, name.as_deref(), reason)
        }
        Keep::Run => {
            let entries = bugbase::read(&args.bugbase)?;
            let held = run(&args.bugbase, &entries, Planted::none(), jobs(None));
            println!("{} entries, {held} held", entries.len());
            Ok(held == entries.len())
        }
    }
}

fn add(dir: &Path, what: &str, kind: Kind, name: Option<&str>, reason: &str) -> Result<bool, String> {
    if let Ok(seed) = what.parse() {
        if name.is_some() {
            return Err("--name is for plans: a seed is its own name".to_string());
        }
        return bugbase::add_seed(dir, kind, seed, reason).map(|()| true);
    }
    let load: Load = load_of(what, kind)?;
    let name = name.ok_or("a plan is kept under a name: add --name, as in --name stale-read")?;
    println!("kept as {}", bugbase::add_plan(dir, name, &load, reason)?);
    Ok(true)
}

/// Runs entries, prints those that fail, and returns how many held.
fn run(dir: &Path, entries: &[Entry], planted: Planted, jobs: usize) -> usize {
    let held = Mutex::new(0);
    let all = pool::first(
        entries.len(),
        jobs,
        || false,
        |at| -> Option<()> {
            let entry = &entries[at];
            let report = entry.load.run_planted(planted);
            match report.failure {
                Some(failure) => {
                    eprintln!(
                        "{} FAILED {failure}\n  kept since: {}\n  {}",
                        entry.name,
                        entry.reason,
                        entry.replay_line(dir)
                    );
                }
                None => *held.lock().expect("no holder panics") += 1,
            }
            None
        },
    );
    assert!(all.is_none(), "every entry is run");
    held.into_inner().expect("no holder panics")
}

/// Runs the entries of a campaign's kinds before its seeds; whether all held. Where there is no bugbase nothing is run.
pub fn run_first(args: &Run) -> Result<bool, String> {
    if !args.bugbase.is_dir() {
        eprintln!("there is no bugbase in {}: only seeds are run", args.bugbase.display());
        return Ok(true);
    }
    let mut entries = bugbase::read(&args.bugbase)?;
    entries.retain(|entry| args.workload.kinds().contains(&entry.load.kind()));
    let held = run(&args.bugbase, &entries, args.plant.planted()?, jobs(args.jobs));
    eprintln!("bugbase: {held} of {} hold", entries.len());
    Ok(held == entries.len())
}
