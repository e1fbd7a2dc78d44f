//! `real`: a plan of the store, done to real processes.
//!
//! The program makes a place of its own ([`isolate`]), and in it for each run a network ([`lan`], [`relay`]) of machines
//! ([`machine`], [`disk`], [`tracer`]): `orlop etcd`, as it is shipped. The plan is drawn together to some forty seconds ([`pace`]);
//! its clients work over gRPC ([`clients`]), its faults come at their times ([`storm`]). In the end the clients' history and what
//! the members were observed to do ([`witness`]) go through the checkers of the simulator. What is counted is what was seen to
//! happen ([`summary`]).
//!
//! This process contains madsim, which answers for some system calls; outside of a simulated world it passes them on to the
//! system, so the clocks here are real. The members are other processes, which do not contain it.

mod clients;
mod disk;
mod frame;
mod isolate;
mod lan;
mod machine;
mod pace;
mod relay;
mod storm;
mod summary;
mod tracer;
mod witness;

use crate::args::{Output, Real};
use crate::replay::load_of;
use clients::Clients;
use io_sim::checkers::{Failure, leases};
use io_sim::history::History;
use io_sim::load::{Kind, Load};
use io_sim::plan::Plan;
use io_sim::runner::{Counts, LEASE_SLACK, SETTLE, judge};
use lan::Lan;
use machine::Machine;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};
use storm::Storm;
use summary::{Outcome, Summary};
use witness::Zero;

/// Longest wait for a new cluster to have a leader, with nothing wrong yet.
const READY: Duration = Duration::from_secs(30);
/// How often a run looks whether it should end, and shows how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// How far the wall clock may move beside the monotonic one until a run's times mean nothing.
const STEP: Duration = Duration::from_millis(200);

/// Runs a program to its end; what it printed.
///
/// # Errors
/// A text with the command and what it says, if it did not end with status 0.
fn tool(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Runs real clusters; whether every invariant held.
pub fn real(args: &Real) -> Result<bool, String> {
    let program = program(args)?;
    if let Some(outside) = args.inside {
        return inside(args, &program, outside);
    }
    isolate::requirements()?;
    match isolate::run(&["--inside", &std::process::id().to_string()])? {
        0 => Ok(true),
        1 => Ok(false),
        // It has said why.
        code => std::process::exit(code.into()),
    }
}

fn program(args: &Real) -> Result<PathBuf, String> {
    let beside = || std::env::current_exe().ok().map(|own| own.with_file_name("orlop"));
    let path = args.program.clone().or_else(beside).unwrap_or_else(|| "orlop".into());
    path.canonicalize().map_err(|error| {
        format!(
            "{}: {error}: real runs need the program that they test; build it (cargo build --release -p orlop) or name it by --program",
            path.display()
        )
    })
}

fn plans(args: &Real) -> Result<Vec<Plan>, String> {
    let seeds = args.seed.clone().into_iter().flatten().map(Plan::from_seed);
    let mut plans: Vec<Plan> = seeds.collect();
    if let Some(file) = &args.plan {
        match load_of(file, Kind::Store)? {
            Load::Store(plan) => plans.push(plan),
            other => {
                return Err(format!("{file}: a plan of kind {}: only the store runs for real", other.kind()));
            }
        }
    }
    Ok(plans)
}

/// In namespaces of its own.
fn inside(args: &Real, program: &Path, outside: u32) -> Result<bool, String> {
    let plans = plans(args)?;
    let work = isolate::work(outside)?;
    let stop = Arc::new(AtomicBool::new(false));
    let interrupted = stop.clone();
    ctrlc::set_handler(move || {
        // The second Ctrl-C does not wait.
        if interrupted.swap(true, Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let mut summary = Summary::default();
    for (number, plan) in plans.iter().enumerate() {
        let title = format!("seed {} ({} of {})", plan.seed, number + 1, plans.len());
        if !pace::is_judged(&pace::paced(plan)) {
            eprintln!("{title}: the plan's calm is shorter than {SETTLE:?}, so no call in it must be served");
        }
        let run = Run { plan: Arc::new(pace::paced(plan)), program, work: &work, stop: &stop, title };
        let ran = run.run(&args.keep);
        let _ = fs::remove_dir_all(&work);
        let Some(outcome) = ran? else { break };
        if args.output == Output::Text {
            println!("{outcome}");
        }
        summary.runs.push(outcome);
    }
    match args.output {
        Output::Text => print!("{}", summary.text()),
        Output::Json => println!("{:#}", summary.json()),
    }
    if stop.load(Relaxed) {
        return Err("interrupted".to_string());
    }
    Ok(summary.passed())
}

/// One run to be.
struct Run<'a> {
    plan: Arc<Plan>,
    program: &'a Path,
    work: &'a Path,
    stop: &'a AtomicBool,
    title: String,
}

impl Run<'_> {
    /// Runs it; `None` when it was interrupted. What is left of a run that fails goes to `keep`.
    fn run(&self, keep: &Path) -> Result<Option<Outcome>, String> {
        let plan = &self.plan;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
        let lan = Lan::up(plan.members, plan.seed)?;
        let machines =
            (1..=plan.members).map(|member| Machine::new(member, plan.seed, self.work, self.program));
        let mut machines = machines.collect::<Result<Vec<_>, _>>()?;
        machines.iter_mut().try_for_each(|machine| machine.start(plan, &lan))?;
        let unready = runtime.block_on(ready(plan.members, self.stop));
        let (zero, began) = (Zero(SystemTime::now()), Instant::now());
        let files: Vec<PathBuf> = machines.iter().map(Machine::observations).collect();
        let mut storm = Storm::new(plan.clone(), zero, lan, machines);
        let (failure, history) = match unready {
            Some(failure) => (Some(failure), History::default()),
            None => self.stormed(&mut storm, &runtime, zero)?,
        };
        if self.stop.load(Relaxed) {
            return Ok(None);
        }
        let (ran, stepped) = (zero.now(), zero.now().abs_diff(began.elapsed()));
        if stepped > STEP {
            return Err(format!(
                "the wall clock stepped by {stepped:?} in the run, so its times mean nothing"
            ));
        }
        storm.account()?;
        let evidence = witness::evidence(&files, zero);
        let (entries, elections) = match &evidence {
            Ok(evidence) => (evidence.logs.entries().len() as u64, evidence.leaders.elections() as u64),
            Err(_) => (0, 0),
        };
        let failure = failure.or_else(|| self.verdict(&history, evidence).err());
        if failure.is_some() {
            self.keep(keep, &storm, &history, &files)?;
        }
        let calls = Counts::of(&history);
        let (size, happened) = ((plan.members, plan.clients), std::mem::take(&mut storm.happened));
        Ok(Some(Outcome { seed: plan.seed, size, failure, ran, calls, entries, elections, happened }))
    }

    /// Lets clients and faults have their time.
    fn stormed(
        &self,
        storm: &mut Storm,
        runtime: &tokio::runtime::Runtime,
        zero: Zero,
    ) -> Result<(Option<Failure>, History), String> {
        let _inside = runtime.enter();
        let clients = Clients::new(self.plan.clone(), zero);
        let over = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            let storming = scope.spawn(|| {
                let ended = storm.run(self.stop);
                over.store(true, Relaxed);
                ended
            });
            let calm = Duration::from_millis(self.plan.calm_ms);
            runtime.block_on(async {
                let working = clients.run(calm);
                tokio::pin!(working);
                loop {
                    tokio::select! {
                        () = &mut working => break,
                        () = tokio::time::sleep(LOOK) => self.show(zero, &clients),
                    }
                    if over.load(Relaxed) {
                        break;
                    }
                }
            });
            storming.join()
        });
        self.clear();
        let failure = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((failure, clients.history()))
    }

    fn verdict(
        &self,
        history: &History,
        evidence: Result<witness::Evidence, Failure>,
    ) -> Result<(), Failure> {
        let evidence = evidence?;
        let (calm, end) = (Duration::from_millis(self.plan.calm_ms), Duration::from_millis(self.plan.end_ms));
        let terms = leases::Terms {
            // All clocks are of one kernel.
            drift_ppm: 0,
            disturbed: evidence.elected.max(calm),
            healthy: calm + SETTLE,
            slack: LEASE_SLACK,
            end,
        };
        judge(history, &evidence.logs, self.plan.members, terms)
    }

    /// Copies what tells what happened to a folder that outlives the run.
    fn keep(&self, keep: &Path, storm: &Storm, history: &History, files: &[PathBuf]) -> Result<(), String> {
        let folder = keep.join(format!("seed-{}", self.plan.seed));
        let copy = || -> std::io::Result<()> {
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("plan"), self.plan.to_string())?;
            let mut text = String::new();
            history.operations.iter().for_each(|operation| text += &format!("{operation:?}\n"));
            history.watches.iter().for_each(|watch| text += &format!("{watch:#?}\n"));
            fs::write(folder.join("history"), text)?;
            for (machine, observations) in storm.machines().iter().zip(files) {
                for path in [observations.clone(), machine.printed(), machine.account()] {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let to = folder.join(format!("m{}-{name}", machine.member));
                    fs::write(to, fs::read(&path).unwrap_or_default())?;
                }
            }
            Ok(())
        };
        copy().map_err(|error| format!("{}: {error}", folder.display()))?;
        eprintln!("{}: plan, history, logs and observations are in {}", self.title, folder.display());
        Ok(())
    }

    /// One line on a terminal; nothing elsewhere.
    fn show(&self, zero: Zero, clients: &Clients) {
        if std::io::stderr().is_terminal() {
            let (now, end) = (zero.now().as_secs_f64(), self.plan.end_ms as f64 / 1_000.0);
            let phase = if now * 1_000.0 < self.plan.calm_ms as f64 { "faults" } else { "calm" };
            eprint!("\r\x1b[K{}: {now:.0} of {end:.0} s, {phase}, {} calls", self.title, clients.calls());
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

/// Waits until every member knows a leader.
async fn ready(members: u8, stop: &AtomicBool) -> Option<Failure> {
    let until = Instant::now() + READY;
    for member in 1..=members {
        loop {
            if let Ok(client) = clients::connect(member).await
                && client.status().await.is_ok_and(|status| status.leader != 0)
            {
                break;
            }
            if stop.load(Relaxed) {
                return None;
            }
            if Instant::now() > until {
                let text = format!("member {member} of a new cluster has no leader after {READY:?}");
                return Some(Failure { checker: "cluster", invariant: "starts", text });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    None
}
