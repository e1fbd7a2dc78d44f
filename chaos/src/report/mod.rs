//! `report`: a run as one HTML page that needs no network: a lane for each machine, faults, processes, leaders, calls, messages.
//!
//! The page is `page.html` with its style, its scripts and the run's events as JSON inside; the scripts draw them. Of a run that
//! fails it shows first what broke, the operation that the checker names, and the faults without which it would not have broken
//! ([`blame`]). What is frequent is capped, evenly over the run, and the page says how much is not shown: a page must open at
//! once. The work of disks and applied entries are left out; `replay --trace` has them.

mod blame;
#[cfg(test)]
mod browser;

use crate::args::ReportArgs;
use crate::replay::load_of;
use io_sim::load::Load;
use io_sim::runner::{Options, Report};
use io_sim::trace::{self, Level, Sink};
use kernel::Planted;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which they build on each other.
const SCRIPTS: [&str; 3] = [include_str!("model.js"), include_str!("view.js"), include_str!("hands.js")];
/// Stands in the page where the events go.
const PLACE: &str = "/*RUN*/";
/// Longest search for the faults that a failure needs.
const BLAME: Duration = Duration::from_secs(60);
/// Most messages on a page.
const MAX_MESSAGES: usize = 4_000;
/// Most calls, and most events of watchers, on a page.
const MAX_CALLS: usize = 3_000;
/// Most other events on a page.
const MAX_OTHERS: usize = 5_000;
/// Longest text of an event, in characters.
const MAX_TEXT: usize = 400;

/// One thing on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    at: Duration,
    node: String,
    kind: &'static str,
    text: String,
}

/// Writes the page of a run; whether the run passed.
pub fn report(args: &ReportArgs) -> Result<bool, String> {
    let load = load_of(&args.what, args.workload)?;
    let planted = args.plant.planted()?;
    let (report, marks) = marked(&load, planted);
    let failure = report.failure.as_ref().map(|failure| {
        let blame = blame::blame(&load, failure, planted, BLAME);
        blame::json(failure, &blame, report.simulated)
    });
    let page = page(&load, &report, marks, failure);
    std::fs::write(&args.out, &page).map_err(|error| format!("{}: {error}", args.out.display()))?;
    println!("{report}\n{}: {} KiB", args.out.display(), page.len() / 1_024);
    Ok(report.passed())
}

/// Runs `load`; what came of it, and what the page shows of it.
fn marked(load: &Load, planted: Planted) -> (Report, Vec<Mark>) {
    let marks: Arc<Mutex<Vec<Mark>>> = Arc::default();
    let into = marks.clone();
    let sink: Sink = Box::new(move |line| {
        let mark = trace::Event::of(line).and_then(|event| mark(&event));
        into.lock().expect("no holder panics").extend(mark);
    });
    let report = load.run(Options { planted, trace: Some(sink) });
    let marks = std::mem::take(&mut *marks.lock().expect("no holder panics"));
    (report, marks)
}

/// What a line of the trace is on the page; nothing for what is left out.
fn mark(event: &trace::Event<'_>) -> Option<Mark> {
    let text = event.text;
    let kind = match text.split([' ', ':']).next().unwrap_or("") {
        "begins" => "begin",
        "ends" => "end",
        "process" if text.starts_with("process starts") => "start",
        "process" => "stop",
        "paused" => "pause",
        "goes" => "resume",
        "BecameLeader" => "leader",
        "op" | "deed" => "call",
        "watch" => "watch",
        "net" if text.contains(" frames, ") => "message",
        _ if event.level() >= Level::Net => return None,
        _ => "other",
    };
    let text = text.chars().take(MAX_TEXT).collect();
    Some(Mark { at: event.at, node: event.node.to_string(), kind, text })
}

/// How many of a kind a page has at most; `None` for what is never left out.
fn cap(kind: &str) -> Option<usize> {
    match kind {
        "message" => Some(MAX_MESSAGES),
        "call" | "watch" => Some(MAX_CALLS),
        "other" => Some(MAX_OTHERS),
        _ => None,
    }
}

/// Takes of each capped kind an even part; returns how many of each are gone.
fn thin(marks: Vec<Mark>) -> (Vec<Mark>, BTreeMap<&'static str, usize>) {
    let mut totals: BTreeMap<&'static str, usize> = BTreeMap::new();
    marks.iter().for_each(|mark| *totals.entry(mark.kind).or_default() += 1);
    let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut gone: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut kept = marks;
    kept.retain(|mark| {
        let (total, number) = (totals[mark.kind], seen.entry(mark.kind).or_default());
        *number += 1;
        let Some(most) = cap(mark.kind).filter(|most| total > *most) else { return true };
        // The n-th stays when the share of n reaches the next whole number.
        let stays = *number * most / total > (*number - 1) * most / total;
        if !stays {
            *gone.entry(mark.kind).or_default() += 1;
        }
        stays
    });
    (kept, gone)
}

/// The whole page; `failure` as [`blame::json`] has it.
fn page(load: &Load, report: &Report, marks: Vec<Mark>, failure: Option<Value>) -> String {
    let (marks, gone) = thin(marks);
    let lanes = lanes(&marks);
    let number = |name: &str| lanes.iter().position(|lane| lane == name).unwrap_or(0);
    let events: Vec<Value> = marks
        .iter()
        .map(|mark| json!([mark.at.as_micros() as u64, number(&mark.node), mark.kind, mark.text]))
        .collect();
    let run = json!({
        "title": format!("{} seed {}", load.kind(), report.seed),
        "commit": env!("ORLOP_COMMIT"),
        "failure": failure,
        "figures": figures(report),
        "summary": report.to_string(),
        "plan": load.to_string(),
        "calm": calm_of(&load.to_string()),
        "lanes": lanes,
        "end": report.simulated.as_micros() as u64,
        "events": events,
        "gone": gone,
    });
    // Nothing in the text may end the script.
    let run = run.to_string().replace('<', "\\u003c");
    let page = PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", &SCRIPTS.concat());
    page.replace(PLACE, &run)
}

/// What stands in the head of the page.
fn figures(report: &Report) -> Vec<(&'static str, String)> {
    let faults: u64 = report.classes.values().sum();
    vec![
        ("s simulated", format!("{:.1}", report.simulated.as_secs_f64())),
        ("calls", report.operations.total().to_string()),
        ("faults", faults.to_string()),
        ("elections", report.elections.to_string()),
        ("entries", report.entries.to_string()),
    ]
}

/// When the calm begins, in microseconds, as the plan says: `plan ... calm=30000ms`.
fn calm_of(plan: &str) -> Option<u64> {
    let text = plan.split_whitespace().find_map(|word| word.strip_prefix("calm=")?.strip_suffix("ms"))?;
    text.parse::<u64>().ok().map(|ms| ms * 1_000)
}

/// The lanes: the world, members, then the others, each kind by number.
fn lanes(marks: &[Mark]) -> Vec<String> {
    let names: BTreeSet<&str> = marks.iter().map(|mark| mark.node.as_str()).chain(["world"]).collect();
    let mut lanes: Vec<String> = names.into_iter().map(String::from).collect();
    let rank = |name: &str| match name.as_bytes() {
        b"world" => 0,
        [b'm', b'0'..=b'9', ..] => 1,
        _ => 2,
    };
    lanes.sort_by_key(|name| {
        let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
        (rank(name), letters.to_string(), name[letters.len()..].parse::<u64>().unwrap_or(0))
    });
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &'static str, node: &str) -> Mark {
        Mark { at: Duration::ZERO, node: node.to_string(), kind, text: "</script>".to_string() }
    }

    #[test]
    fn what_is_frequent_is_thinned_and_counted() {
        let marks: Vec<Mark> =
            (0..10_001).map(|_| of("message", "m1")).chain([of("begin", "world")]).collect();
        let (kept, gone) = thin(marks);
        assert_eq!(kept.len(), MAX_MESSAGES + 1);
        assert_eq!(gone, BTreeMap::from([("message", 10_001 - MAX_MESSAGES)]));
    }

    #[test]
    fn lanes_stand_in_order() {
        let marks = ["f10", "m2", "f2", "op", "m1", "c1"].map(|node| of("call", node));
        assert_eq!(lanes(&marks), ["world", "m1", "m2", "c1", "f2", "f10", "op"]);
    }

    #[test]
    fn the_page_holds_the_run_and_nothing_ends_its_script() {
        assert_eq!(PAGE.matches(PLACE).count(), 1);
        let load = Load::from_seed(io_sim::load::Kind::Store, 7);
        let Load::Store(mut plan) = load else { unreachable!("it is the store's") };
        (plan.calm_ms, plan.end_ms) = (10, 10);
        let load = Load::Store(plan);
        let report = load.run(Options::default());
        let page = page(&load, &report, vec![of("call", "c1")], None);
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        assert!(SCRIPTS.iter().chain([&STYLE]).all(|part| page.contains(part)));
        assert!(!page.contains("http://") && !page.contains("https://"));
        let json = page.split("id=\"run\">").nth(1).unwrap().split("</script>").next().unwrap();
        let run: Value = serde_json::from_str(json).unwrap();
        assert_eq!(run["events"][0][3], "</script>");
        assert_eq!(run["lanes"], json!(["world", "c1"]));
    }
}
