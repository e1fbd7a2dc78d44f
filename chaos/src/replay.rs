//! One run, again. Standard output holds nothing but what follows from the plan, so two replays are equal to the byte.

use crate::args::{Replay, StopAt};
use io_sim::load::{Kind, Load};
use io_sim::runner::Options;
use io_sim::trace::{self, Sink};
use std::io::{self, Read, Write};
use std::process;

/// A seed, a plan in a file, or a plan on standard input (`-`).
pub fn load_of(what: &str, kind: Kind) -> Result<Load, String> {
    if let Ok(seed) = what.parse() {
        return Ok(Load::from_seed(kind, seed));
    }
    let text = if what == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(what)
    };
    let text =
        text.map_err(|error| format!("{what:?} is neither a seed nor a plan that can be read: {error}"))?;
    Load::parse(&text).map_err(|error| format!("{what}: {error}"))
}

/// Replays a seed or a plan; whether it passed.
pub fn replay(args: &Replay) -> Result<bool, String> {
    let load = load_of(&args.what, args.workload)?;
    let mut options = Options { planted: args.plant.planted()?, trace: None };
    if args.trace.is_some() || args.stop_at.is_some() {
        options.trace = Some(printer(args));
    }
    let report = load.run(options);
    let _ = writeln!(io::stdout(), "{report}");
    Ok(report.passed())
}

/// Prints the lines that were asked for, and ends the program where it was asked to stop.
fn printer(args: &Replay) -> Sink {
    let level = args.trace.map_or(trace::Level::World, |level| level.of_trace());
    let (shown, stop_at) = (args.trace.is_some(), args.stop_at);
    let (mut out, mut number) = (io::BufWriter::new(io::stdout()), 0);
    Box::new(move |line| {
        let event = trace::Event::of(line);
        let is_over = match stop_at {
            Some(StopAt::Event(last)) => number >= last,
            Some(StopAt::Time(time)) => event.as_ref().is_some_and(|event| event.at > time),
            None => false,
        };
        if is_over {
            let _ = writeln!(out, "stopped before event {}, which is: {}", number + 1, line.trim_start());
            let _ = out.flush();
            process::exit(0);
        }
        number += 1;
        if shown && event.is_none_or(|event| event.level() <= level) {
            // A reader that has gone (`| head`) is no failure.
            let _ = writeln!(out, "{line}");
        }
    })
}

/// Prints the plan of a seed.
pub fn print_plan(seed: u64, workload: Kind) -> Result<bool, String> {
    let _ = write!(io::stdout(), "{}", Load::from_seed(workload, seed));
    Ok(true)
}
