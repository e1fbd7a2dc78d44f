//! `diff`: where two runs begin to differ.
//!
//! Each side is a seed, a plan or a file with a trace (what `replay --trace` prints). The sides run at the same time, each on a
//! thread of its own, and hand their lines over through a short queue; so a difference early in a long run is shown at
//! once, and no trace is held in memory. One seed against itself must show none.

use crate::args::Diff;
use crate::replay::load_of;
use io_sim::load::Load;
use io_sim::runner::Options;
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Lines that wait for the other side.
const QUEUE: usize = 1_024;

/// Where two traces part.
#[derive(Debug, PartialEq, Eq)]
struct Parting {
    /// Number of the first line that differs, from 1.
    number: usize,
    /// The lines before.
    before: Vec<String>,
    /// The lines from there on, of each side.
    after: [Vec<String>; 2],
}

/// Compares two runs; whether they are equal.
pub fn diff(args: &Diff) -> Result<bool, String> {
    let (one, other) = (lines_of(&args.one, args)?, lines_of(&args.other, args)?);
    match parting(one, other, args.context) {
        Ok(count) => {
            println!("no difference in {count} lines");
            Ok(true)
        }
        Err(parting) => {
            println!("the first difference is in line {}:", parting.number);
            parting.before.iter().for_each(|line| println!("  {line}"));
            for (mark, side) in ["-", "+"].iter().zip(&parting.after) {
                side.iter().for_each(|line| println!("{mark} {line}"));
                if side.is_empty() {
                    println!("{mark} (ends here)");
                }
            }
            Ok(false)
        }
    }
}

/// The lines of one side, as they come.
fn lines_of(what: &str, args: &Diff) -> Result<Receiver<String>, String> {
    let (sender, lines) = sync_channel(QUEUE);
    if let Ok(load) = load_of(what, args.workload) {
        thread::spawn(move || run(&load, &sender));
        return Ok(lines);
    }
    let file =
        fs::File::open(what).map_err(|error| format!("{what:?} is no seed, plan or trace: {error}"))?;
    thread::spawn(move || {
        // A line that is no text, or a reader that has seen enough, ends it.
        let _ = BufReader::new(file).lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
    });
    Ok(lines)
}

fn run(load: &Load, sender: &SyncSender<String>) {
    let lines = sender.clone();
    // Who compares may have seen enough; the run goes on to nobody.
    let trace: io_sim::trace::Sink = Box::new(move |line| drop(lines.send(line.to_string())));
    let report = load.run(Options { trace: Some(trace), ..Options::default() });
    for line in report.to_string().lines() {
        let _ = sender.send(line.to_string());
    }
}

/// Reads both sides to their end, which is the number of lines, or to where they part.
fn parting(
    one: impl IntoIterator<Item = String>,
    other: impl IntoIterator<Item = String>,
    context: usize,
) -> Result<usize, Parting> {
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut before = VecDeque::new();
    for number in 1.. {
        match (one.next(), other.next()) {
            (None, None) => return Ok(number - 1),
            (left, right) if left == right => {
                before.extend(left);
                if before.len() > context {
                    before.pop_front();
                }
            }
            (left, right) => {
                let after = [
                    left.into_iter().chain(one.by_ref().take(context)).collect(),
                    right.into_iter().chain(other.by_ref().take(context)).collect(),
                ];
                return Err(Parting { number, before: before.into(), after });
            }
        }
    }
    unreachable!("the numbers of lines have no end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn where_traces_part_is_shown_with_what_is_around() {
        let found = parting(lines("a b c d e f"), lines("a b c x y z"), 2).unwrap_err();
        assert_eq!(found.number, 4);
        assert_eq!(found.before, ["b", "c"]);
        assert_eq!(found.after, [lines("d e f"), lines("x y z")]);
    }

    #[test]
    fn one_that_ends_sooner_differs() {
        let found = parting(lines("a b"), lines("a"), 3).unwrap_err();
        assert_eq!((found.number, found.after), (2, [lines("b"), Vec::new()]));
        assert_eq!(parting(lines("a b"), lines("a b"), 3), Ok(2));
    }
}
