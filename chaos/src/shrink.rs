//! `shrink`: the passes are io-sim's; here is what is printed and written.

use crate::args::{Shrink, jobs};
use crate::replay::load_of;
use io_sim::bugbase;
use io_sim::load::Load;
use io_sim::shrink::{self, Settings, Shrunk, Step};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a flag at the first Ctrl-C, so that the best so far is written; the second ends the program.
fn flag_of_interrupt() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = stop.clone();
    ctrlc::set_handler(move || {
        if interrupted.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    Ok(stop)
}

/// Shrinks, and writes the small plan. It is a success when there was a failure to shrink.
pub fn shrink(args: &Shrink) -> Result<bool, String> {
    let load = load_of(&args.what, args.workload)?;
    let settings = Settings {
        planted: args.plant.planted()?,
        jobs: jobs(args.jobs),
        budget: args.budget,
        stop: flag_of_interrupt()?,
    };
    let shrunk = shrink::shrink(&load, &settings, tell)?;
    let text = commented(&shrunk, &args.plant.words());
    if let Some(path) = &args.out {
        std::fs::write(path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(name) = &args.test {
        let reason = reason(&shrunk);
        let path = bugbase::add_plan(&args.bugbase, name, &shrunk.load, &reason)?;
        eprintln!("kept as {path}");
    }
    if args.out.is_none() && args.test.is_none() {
        let _ = write!(io::stdout(), "{text}");
    }
    summary(&shrunk);
    Ok(true)
}

fn tell(step: Step) {
    let Step { pass, faults, operations, runs, elapsed } = step;
    eprintln!(
        "{:>6.1} s  {runs:>5} runs  {faults:>3} faults  {operations:>4} operations  after: {pass}",
        elapsed.as_secs_f64()
    );
}

fn reason(shrunk: &Shrunk) -> String {
    let failure = shrunk.failure();
    let text = failure.text.lines().next().unwrap_or("");
    format!("{}/{}: {text:.200}", failure.checker, failure.invariant)
}

/// The plan with what it shows and how to see it, as comments.
fn commented(shrunk: &Shrunk, words: &str) -> String {
    let load: &Load = &shrunk.load;
    format!("# {}\n# orlop-chaos replay THIS-FILE{words} --trace=calls\n{load}", reason(shrunk))
}

fn summary(shrunk: &Shrunk) {
    let ((faults, operations), (fewer, less)) = (shrunk.before, shrunk.after);
    let how = if shrunk.finished { "nothing is left to try" } else { "stopped before everything was tried" };
    eprintln!(
        "{faults} faults and {operations} operations became {fewer} and {less}, in {:.1} s and {} runs; {how}\n{}",
        shrunk.wall.as_secs_f64(),
        shrunk.runs,
        shrunk.failure()
    );
}
