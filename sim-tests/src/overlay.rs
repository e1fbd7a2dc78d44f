//! Stories about a flat network: a plan by hand, a script that puts more on the calendar, and a look at the machines.

use io_sim::LinkConfig;
use io_sim::flannel::checkers::reach;
use io_sim::flannel::machines::Machines;
use io_sim::flannel::plan::FlannelPlan;
use io_sim::flannel::runner::{Cloud, run_scripted};
use io_sim::runner::Options;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// When the machines of a cold start get power: the store has a leader by then.
const POWER_ON: Duration = Duration::from_secs(5);
/// Of a million packets so many are lost.
const LOSS_PPM: u64 = 10_000;
/// How long a packet takes one way: 10 ms there and back.
const ONE_WAY: Duration = Duration::from_millis(5);

/// A network over a store of three: when the calm begins, when it ends, and the lines of flannel.
///
/// # Panics
/// Where the lines are no plan.
pub fn plan(calm_ms: u64, end_ms: u64, lines: &str) -> FlannelPlan {
    let text = format!("plan seed=1 members=3 clients=1 calm={calm_ms}ms end={end_ms}ms\n{lines}");
    FlannelPlan::parse(&text).unwrap_or_else(|error| panic!("the story is no plan: {error}\n{text}"))
}

/// Runs a plan that must pass, with a script, and looks at its end.
///
/// # Panics
/// Where an invariant is broken.
pub fn story<T: Send + 'static>(
    plan: &FlannelPlan,
    script: impl FnOnce(&Cloud) + Send + 'static,
    look: impl FnOnce(&Cloud) -> T + Send + 'static,
) -> T {
    let (report, looked) = run_scripted(plan, Options::default(), script, |cloud, _| look(cloud));
    assert!(report.passed(), "{report}\nwith the plan\n{plan}");
    looked.expect("a run that passed was looked at")
}

/// Whether all machines are ready and know each other.
pub fn are_all_ready(machines: &Machines) -> bool {
    let count = usize::from(machines.plan().machines);
    let mut all = machines.plan().all_machines();
    all.all(|machine| {
        machines.status(machine).is_some_and(|status| status.ready && status.peers == count - 1)
    })
}

/// The first broken way between two machines.
pub fn broken(machines: &Machines) -> Option<String> {
    let all = machines.plan().all_machines();
    let holders: BTreeMap<_, _> =
        all.filter_map(|machine| Some((machine, machines.believes(machine)?.0))).collect();
    if holders.len() < usize::from(machines.plan().machines) {
        return Some(format!("{} machines hold a subnet", holders.len()));
    }
    reach::everybody(machines, &holders).err().map(|failure| failure.to_string())
}

/// How a cold start went.
#[derive(Clone, Debug)]
pub struct ColdStart {
    /// Machines that got power at one moment.
    pub machines: u16,
    /// Time from power on until every container reached every other, in the simulated world.
    pub took: Duration,
    /// Requests to the store of each machine, ascending.
    pub requests: Vec<u64>,
    /// What simulating it took here.
    pub wall: Duration,
}

impl fmt::Display for ColdStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ColdStart { machines, took, requests, wall } = self;
        let mean = requests.iter().sum::<u64>() as f64 / f64::from(*machines);
        write!(
            f,
            "{machines} machines: every container reached every other {:.1} s after power on; requests to the store of one \
             machine: {mean:.1} on average, {} at most; simulated in {:.1} s",
            took.as_secs_f64(),
            requests.last().copied().unwrap_or_default(),
            wall.as_secs_f64()
        )
    }
}

/// How long a cold start took, and the requests of each machine.
type Started = (Duration, Vec<u64>);

/// Machines that all start at one moment, with 10 ms between them and back and one packet of a hundred lost.
///
/// # Panics
/// Where they do not reach each other before the run ends, or an invariant is broken.
pub fn cold_start(count: u16) -> ColdStart {
    let subnets = if count < 200 { 200 } else { 4_000 };
    let plan = plan(30_000, 40_000, &format!("flannel machines={count} subnets={subnets} ttl=120s\n"));
    let done: Arc<Mutex<Option<Started>>> = Arc::default();
    let outcome = done.clone();
    let script = move |cloud: &Cloud| {
        let world = cloud.machines.world();
        let config = LinkConfig {
            delay: ONE_WAY,
            jitter: Duration::ZERO,
            loss_ppm: LOSS_PPM,
            ..LinkConfig::default()
        };
        world.set_all_links(&config);
        (1..=count).for_each(|machine| cloud.machines.hold(machine));
        let hosts = cloud.machines.clone();
        world.at(POWER_ON, move |_| (1..=count).for_each(|machine| hosts.release(machine)));
        for tenth in 1..300 {
            let (hosts, done) = (cloud.machines.clone(), done.clone());
            world.at(POWER_ON + tenth * SECOND / 10, move |world| {
                let mut done = done.lock().expect("no holder panics");
                if done.is_none() && are_all_ready(&hosts) && broken(&hosts).is_none() {
                    let requests = (1..=count).map(|machine| hosts.requests(machine)).collect();
                    *done = Some((world.now() - POWER_ON, requests));
                }
            });
        }
    };
    let began = Instant::now();
    story(&plan, script, |_| ());
    let outcome = outcome.lock().expect("no holder panics").take();
    let (took, mut requests) = outcome.expect("all reach each other before the run ends");
    requests.sort_unstable();
    ColdStart { machines: count, took, requests, wall: began.elapsed() }
}
