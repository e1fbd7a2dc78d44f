//! Many seeds: workers take the next seed, one collector adds the reports up.
//!
//! What once failed and is kept in the bugbase runs first. A worker passes a seed to the runner of its kind, which gives every run a fresh thread. Whatever ends the campaign
//! (the seeds, the minutes, Ctrl-C, the first failure where asked) sets one flag; runs under way are finished, at most
//! a second later, and counted.

use crate::args::{Output, Run, jobs};
use crate::coverage::Coverage;
use crate::keep;
use crate::progress::Progress;
use io_sim::load::{Kind, Load, replay_line};
use io_sim::runner::Report;
use kernel::Planted;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Seeds without any limit given.
const USUAL_SEEDS: u64 = 1_000;
/// How often the limits are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Where a campaign stands; shared by its threads.
struct Shared {
    next: AtomicU64,
    last: u64,
    stop: AtomicBool,
}

fn campaign(args: &Run, progress: &mut Progress, began: Instant) -> Result<Coverage, String> {
    let count = args.seeds.or(if args.minutes.is_none() { Some(USUAL_SEEDS) } else { None });
    let last = count.map_or(u64::MAX, |count| args.from.saturating_add(count));
    let shared = Arc::new(Shared { next: AtomicU64::new(args.from), last, stop: AtomicBool::new(false) });
    let interrupted = shared.clone();
    ctrlc::set_handler(move || {
        // The second Ctrl-C does not wait for the runs under way.
        if interrupted.stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let planted = args.plant.planted()?;
    let (reports, arriving) = channel();
    let workers: Vec<_> = (0..jobs(args.jobs))
        .map(|_| start_worker(&shared, args.workload.kinds(), planted, reports.clone()))
        .collect();
    drop(reports);
    let coverage = collect(args, &shared, &arriving, progress, began);
    for worker in workers {
        worker.join().map_err(|_| "a run panicked outside of its world: see above".to_string())?;
    }
    Ok(coverage)
}

fn start_worker(
    shared: &Arc<Shared>,
    kinds: &'static [Kind],
    planted: Planted,
    reports: Sender<(Kind, Report)>,
) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || {
        while !shared.stop.load(Ordering::Relaxed) {
            let seed = shared.next.fetch_add(1, Ordering::Relaxed);
            if seed >= shared.last {
                return;
            }
            for kind in kinds {
                let report = Load::from_seed(*kind, seed).run_planted(planted);
                if reports.send((*kind, report)).is_err() {
                    return;
                }
            }
        }
    })
}

fn collect(
    args: &Run,
    shared: &Shared,
    arriving: &Receiver<(Kind, Report)>,
    progress: &mut Progress,
    began: Instant,
) -> Coverage {
    let mut coverage = Coverage::default();
    let limit = args.minutes.map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0));
    let runs = shared.last.saturating_sub(args.from).saturating_mul(args.workload.kinds().len() as u64);
    loop {
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            shared.stop.store(true, Ordering::Relaxed);
        }
        match arriving.recv_timeout(LOOK) {
            Ok((kind, report)) => {
                coverage.add(kind, &report);
                if let Some(failure) = &report.failure {
                    progress.clear();
                    let line = replay_line(kind, report.seed) + &args.plant.words();
                    eprintln!("{} seed {} FAILED {failure}\n  {line}", kind.as_str(), report.seed);
                    shared.stop.fetch_or(args.first, Ordering::Relaxed);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return coverage,
        }
        let by_time =
            limit.map_or(0.0, |limit| began.elapsed().as_secs_f64() / limit.as_secs_f64().max(1e-9));
        progress.draw(&coverage, by_time.max(coverage.runs as f64 / runs.max(1) as f64));
    }
}

/// Runs a campaign and prints its report; whether every invariant held.
pub fn run(args: &Run) -> Result<bool, String> {
    let began = Instant::now();
    let kept = if args.no_bugbase { true } else { keep::run_first(args)? };
    if !kept && args.first {
        return Ok(false);
    }
    let mut progress = Progress::new(began);
    let coverage = campaign(args, &mut progress, began)?;
    progress.clear();
    match args.output {
        Output::Text => print!("{}", coverage.text(began.elapsed())),
        Output::Json => println!("{:#}", coverage.json(began.elapsed())),
    }
    Ok(kept && coverage.failures.is_empty() && (!args.complete || coverage.is_complete()))
}
