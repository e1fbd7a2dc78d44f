//! What is tried to make a plan smaller, as lists of candidates: the cheapest and the most telling first.
//!
//! A pass only says what might be; whether it still fails is for the judge. A candidate may be nonsense: what does not
//! parse is dropped before it costs a run.

use super::draft::{Draft, Line, Role, number_of};
use std::collections::BTreeMap;

/// Parts of the time before the failing moment at which a plan is cut, in sixteenths.
const CUTS: [u64; 9] = [1, 2, 3, 4, 6, 8, 10, 12, 14];
/// Longest idle time that is not tried to be taken away, in milliseconds.
const IDLE_MS: u64 = 300;
/// How many are counted by the frame, and where those numbers are named: line, field, and fields that name one or more.
const COUNTED: [(&str, &str, &[&str]); 4] = [
    ("plan", "members", &["on"]),
    ("plan", "clients", &["client"]),
    ("fleet", "machines", &["on", "machine"]),
    ("flannel", "machines", &["on", "machine"]),
];

/// The plan without anything after `moment_ms`, which has no effect on a failure that was seen then.
pub fn cut_after(draft: &Draft, moment_ms: u64) -> Draft {
    let late = |line: &&Line| line.number("at").is_some_and(|at| at > moment_ms);
    let mut cut = Draft(draft.0.iter().filter(|line| !late(line)).cloned().collect());
    for line in cut.0.iter_mut().filter(|line| line.head[0] == "plan") {
        for name in ["calm", "end"] {
            let kept = line.number(name).unwrap_or(moment_ms).min(moment_ms);
            line.set(name, kept);
        }
    }
    cut
}

/// Earlier ends, the earliest first: with no calm at all, and with the calm as long as it was.
pub fn tails(draft: &Draft) -> Vec<Draft> {
    let (Some(calm), Some(end)) = (draft.plan_number("calm"), draft.plan_number("end")) else {
        return Vec::new();
    };
    let mut tails = Vec::new();
    for part in CUTS {
        let moment = end * part / 16;
        tails.push(cut_after(draft, moment));
        let (sooner, gap) = (calm * part / 16, end.saturating_sub(calm));
        let mut moved = draft.clone();
        moved.0.retain(|line| line.role() != Role::Fault || line.number("at").is_none_or(|at| at < sooner));
        moved.0.retain(|line| line.number("at").is_none_or(|at| at < sooner + gap));
        for line in moved.0.iter_mut().filter(|line| line.head[0] == "plan") {
            line.set("calm", sooner);
            line.set("end", sooner + gap);
        }
        if gap > 0 {
            tails.push(moved);
        }
    }
    tails
}

/// Sets of lines that go together: one class of fault, one kind of operation, one client, one key or unit.
pub fn groups(draft: &Draft, role: Role) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for place in draft.places(role) {
        let line = &draft.0[place];
        groups.entry(format!("class {}", line.class())).or_default().push(place);
        let names: &[&str] = if role == Role::Fault { &["on"] } else { &["client", "key", "unit"] };
        for name in names {
            let usual = (*name == "client").then_some("1");
            let Some(value) = line.get(name).or(usual) else { continue };
            groups.entry(format!("{name} {value}")).or_default().push(place);
        }
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    groups
}

/// Fewer members, clients and machines, the fewest first.
pub fn shapes(draft: &Draft) -> Vec<Draft> {
    let mut shapes = Vec::new();
    for (word, field, named) in COUNTED {
        let Some(place) = draft.frame(word) else { continue };
        let count = draft.0[place].number(field).unwrap_or(1);
        for fewer in 1..count {
            // The members are named by faults, the machines by mishaps: each by lines of its own.
            let is_theirs = |line: &Line| match field {
                "members" => line.head[0] == "fault",
                "clients" => line.role() == Role::Operation,
                _ => line.head[0] != "fault" && line.role() != Role::Frame,
            };
            let mut shape = draft.with(place, |line| line.set(field, fewer));
            shape.0.iter_mut().filter(|line| is_theirs(line)).for_each(|line| confine(line, named, fewer));
            shapes.push(shape);
        }
    }
    shapes
}

/// Makes the numbers in these fields 1 to `most`: what is above begins again from 1.
fn confine(line: &mut Line, names: &[&str], most: u64) {
    for field in &mut line.fields {
        let Some((name, value)) = field.split_once('=') else { continue };
        if !names.contains(&name) {
            continue;
        }
        let list: Option<Vec<u64>> = value.split(',').map(|number| number.parse().ok()).collect();
        let Some(list) = list else { continue };
        let mut list: Vec<u64> = list.iter().map(|number| (number.max(&1) - 1) % most + 1).collect();
        list.sort_unstable();
        list.dedup();
        let list: Vec<String> = list.iter().map(u64::to_string).collect();
        *field = format!("{name}={}", list.join(","));
    }
}

/// Nothing happens for a while: everything after it comes sooner.
pub fn sooner(draft: &Draft) -> Vec<Draft> {
    let mut times: Vec<u64> = draft.0.iter().filter_map(|line| line.number("at")).collect();
    times.extend(["calm", "end"].iter().filter_map(|name| draft.plan_number(name)));
    times.push(0);
    times.sort_unstable();
    let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] > IDLE_MS);
    let mut candidates = Vec::new();
    for (from, to) in gaps.map(|pair| (pair[0], pair[1])) {
        for left in [0, (to - from) / 2] {
            candidates.push(pulled(draft, to, to - from - left));
        }
    }
    candidates
}

fn pulled(draft: &Draft, from_ms: u64, by_ms: u64) -> Draft {
    let mut pulled = draft.clone();
    for line in &mut pulled.0 {
        for name in ["at", "calm", "end"] {
            if let Some(at) = line.number(name).filter(|at| *at >= from_ms) {
                line.set(name, at - by_ms);
            }
        }
    }
    pulled
}

/// Simpler lines: all knobs as usual, one field left out, a list that is shorter, a number that is smaller.
pub fn numbers(draft: &Draft) -> Vec<Draft> {
    let mut candidates = Vec::new();
    if let Some(knobs) = draft.frame("knobs") {
        candidates.push(draft.with(knobs, |line| line.fields.clear()));
    }
    for (place, line) in draft.0.iter().enumerate() {
        // How many there are has a pass of its own: a count that is left out is not the smallest.
        if line.role() == Role::Frame && line.head[0] != "knobs" {
            continue;
        }
        for (at, field) in line.fields.iter().enumerate() {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            // The seed is no size, and times have passes of their own.
            if ["seed", "at", "calm", "end"].contains(&name) {
                continue;
            }
            candidates.push(draft.with(place, |line| drop(line.fields.remove(at))));
            let smaller = simpler(value).into_iter();
            candidates.extend(
                smaller.map(|value| draft.with(place, |line| line.fields[at] = format!("{name}={value}"))),
            );
        }
    }
    candidates
}

/// Simpler values of a field, the simplest first.
fn simpler(value: &str) -> Vec<String> {
    if value.contains(',') {
        let list: Vec<&str> = value.split(',').collect();
        let without = |gone: usize| {
            let kept = list.iter().enumerate().filter(|(at, _)| *at != gone);
            kept.map(|(_, number)| *number).collect::<Vec<_>>().join(",")
        };
        return (0..list.len()).map(without).collect();
    }
    let Some((number, unit)) = number_of(value) else { return Vec::new() };
    // Rounder is simpler too: 3249 is tried as 3200 at last.
    let round = 10u64.pow(number.max(1).ilog10().saturating_sub(1));
    let mut smaller = vec![number / 8, number / 2, number / round * round];
    smaller.retain(|smaller| *smaller < number);
    smaller.dedup();
    smaller.into_iter().map(|number| format!("{number}{unit}")).collect()
}

#[cfg(test)]
#[path = "passes_tests.rs"]
mod tests;
