//! What an operator of a flat network fears or asks for, one story at a time: each a plan by hand, and a look at it.

use io_sim::LinkConfig;
use io_sim::flannel::checkers::reach;
use io_sim::flannel::machines::Machines;
use io_sim::flannel::plan::FlannelPlan;
use io_sim::flannel::runner::{Cloud, run_scripted};
use io_sim::runner::Options;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A network over a store of three: the head, without the calm and the end, and the rest.
fn plan(calm_ms: u64, end_ms: u64, lines: &str) -> FlannelPlan {
    let text = format!("plan seed=1 members=3 clients=1 calm={calm_ms}ms end={end_ms}ms\n{lines}");
    FlannelPlan::parse(&text).unwrap_or_else(|error| panic!("the story is no plan: {error}\n{text}"))
}

/// Runs a plan that must pass, with a script, and looks at its end.
fn story<T: Send + 'static>(
    plan: &FlannelPlan,
    script: impl FnOnce(&Cloud) + Send + 'static,
    look: impl FnOnce(&Cloud) -> T + Send + 'static,
) -> T {
    let (report, looked) = run_scripted(plan, Options::default(), script, |cloud, _| look(cloud));
    assert!(report.passed(), "{report}\nwith the plan\n{plan}");
    looked.expect("a run that passed was looked at")
}

/// Looks at the machines at a time of the story; what it says is kept for the end.
fn at<T: Send + 'static>(
    cloud: &Cloud,
    time: Duration,
    look: impl FnOnce(&Machines) -> T + Send + 'static,
) -> Arc<Mutex<Option<T>>> {
    let (kept, seen) = (Arc::default(), cloud.machines.clone());
    let keep: Arc<Mutex<Option<T>>> = Arc::clone(&kept);
    cloud.machines.world().at(time, move |_| *keep.lock().unwrap() = Some(look(&seen)));
    kept
}

/// Whether all machines are ready and know each other.
fn are_all_ready(machines: &Machines) -> bool {
    let count = usize::from(machines.plan().machines);
    let mut all = machines.plan().all_machines();
    all.all(|machine| {
        machines.status(machine).is_some_and(|status| status.ready && status.peers == count - 1)
    })
}

/// The first broken way between two machines.
fn broken(machines: &Machines) -> Option<String> {
    let all = machines.plan().all_machines();
    let holders: BTreeMap<_, _> =
        all.filter_map(|machine| Some((machine, machines.believes(machine)?.0))).collect();
    if holders.len() < usize::from(machines.plan().machines) {
        return Some(format!("{} machines hold a subnet", holders.len()));
    }
    reach::everybody(machines, &holders).err().map(|failure| failure.to_string())
}

/// How long a cold start took, and the requests of each machine.
type Started = (Duration, Vec<u64>);

/// Machines that all start at one moment, with 10 ms between machines and back and one packet of a hundred lost: how long until
/// every container reaches every other; and the requests to the store that this cost, for each machine.
fn cold_start(count: u16) -> Started {
    let subnets = if count < 200 { 200 } else { 4_000 };
    let plan = plan(30_000, 40_000, &format!("flannel machines={count} subnets={subnets} ttl=120s\n"));
    let power_on = 5 * SECOND;
    let done: Arc<Mutex<Option<Started>>> = Arc::default();
    let outcome = done.clone();
    let script = move |cloud: &Cloud| {
        let world = cloud.machines.world();
        let config = LinkConfig {
            delay: 5 * SECOND / 1_000,
            jitter: Duration::ZERO,
            loss_ppm: 10_000,
            ..LinkConfig::default()
        };
        world.set_all_links(&config);
        (1..=count).for_each(|machine| cloud.machines.hold(machine));
        let hosts = cloud.machines.clone();
        world.at(power_on, move |_| (1..=count).for_each(|machine| hosts.release(machine)));
        for tenth in 1..300 {
            let (hosts, done) = (cloud.machines.clone(), done.clone());
            world.at(power_on + tenth * SECOND / 10, move |world| {
                let mut done = done.lock().unwrap();
                if done.is_none() && are_all_ready(&hosts) && broken(&hosts).is_none() {
                    let requests = (1..=count).map(|machine| hosts.requests(machine)).collect();
                    *done = Some((world.now() - power_on, requests));
                }
            });
        }
    };
    let began = Instant::now();
    story(&plan, script, |_| ());
    let (took, mut requests) =
        outcome.lock().unwrap().take().expect("all reach each other before the run ends");
    requests.sort_unstable();
    let mean = requests.iter().sum::<u64>() as f64 / f64::from(count);
    println!(
        "{count} machines: every container reached every other {took:?} after power on; requests to the store of one machine: \
         {mean:.1} on average, {} at most; {:?} here",
        requests.last().unwrap(),
        began.elapsed()
    );
    (took, requests)
}

#[test]
fn a_hundred_machines_that_start_at_once_reach_each_other_within_ten_seconds() {
    let (took, requests) = cold_start(100);
    assert!(took <= 10 * SECOND, "{took:?}");
    assert_eq!(requests[50], 4, "without a lost packet or race: read, follow, grant, create");
}

/// `cargo test --release -p sim-tests --test flannel_scenarios -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes without --release"]
fn a_thousand_machines_that_start_at_once_reach_each_other_within_ten_seconds() {
    let (took, _) = cold_start(1_000);
    assert!(took <= 10 * SECOND, "{took:?}");
}

#[test]
fn joining_a_thousand_others_takes_four_requests() {
    let plan = plan(40_000, 50_000, "flannel machines=1 subnets=4000 ttl=3600s\n");
    let script = |cloud: &Cloud| {
        cloud.machines.hold(1);
        let (hosts, operator) = (cloud.machines.clone(), cloud.operator.clone());
        cloud.machines.world().at(5 * SECOND, move |_| operator.crowd(1_000));
        cloud.machines.world().at(40 * SECOND, move |_| hosts.release(1));
    };
    let (requests, known) = story(&plan, script, |cloud| {
        let status = cloud.machines.status(1).expect("it runs");
        assert!(status.ready, "{status:?}");
        (cloud.machines.requests(1), status.peers + status.skipped.len())
    });
    println!("a machine that joins {known} others makes {requests} requests to the store");
    assert_eq!(known, 1_000);
    assert!(requests <= 4, "{requests} requests");
}

#[test]
fn a_config_is_taken_live_where_it_can_be() {
    let lines = "flannel machines=4 ttl=20s direct halves\n\
                 mishap config-mtu at=10000ms for=5000ms\n\
                 mishap config-direct at=20000ms for=5000ms\n";
    let looked = Arc::new(Mutex::new(Vec::new()));
    let all = looked.clone();
    let script = move |cloud: &Cloud| {
        let mtu = |machines: &Machines| machines.links(1).kernel().link("flannel.1").map(|link| link.mtu);
        let known =
            |machines: &Machines| machines.links(1).kernel().neighbours_on("flannel.1").count() as u32;
        for time in [9, 13, 18] {
            all.lock().unwrap().push((
                time,
                at(cloud, time * SECOND, move |machines| {
                    assert_eq!(broken(machines), None);
                    mtu(machines).unwrap_or(0)
                }),
            ));
        }
        for time in [19, 23, 28] {
            all.lock().unwrap().push((
                time,
                at(cloud, time * SECOND, move |machines| {
                    assert_eq!(broken(machines), None);
                    known(machines)
                }),
            ));
        }
    };
    story(&plan(30_000, 100_000, lines), script, |_| ());
    let seen: Vec<u32> =
        looked.lock().unwrap().iter().map(|(_, seen)| seen.lock().unwrap().take().unwrap()).collect();
    // The MTU of the device; then the neighbours on it: with DirectRouting those of the other half of the network only.
    assert_eq!(seen, [1_450, 1_350, 1_450, 2, 3, 2]);
}

#[test]
fn a_config_that_needs_a_restart_is_refused_in_one_line() {
    for (kind, word) in
        [("config-vni", "VNI"), ("config-type", "Backend.Type"), ("config-network", "Network")]
    {
        let lines = format!("flannel machines=3 ttl=20s\nmishap {kind} at=10000ms for=10000ms\n");
        let looked: Arc<Mutex<Option<Vec<String>>>> = Arc::default();
        let keep = looked.clone();
        let script = move |cloud: &Cloud| {
            let hosts = cloud.machines.clone();
            cloud.machines.world().at(15 * SECOND, move |_| {
                assert_eq!(broken(&hosts), None);
                let all = hosts.plan().all_machines();
                let why = |machine| hosts.status(machine)?.config_refused;
                *keep.lock().unwrap() = Some(all.filter_map(why).collect());
            });
        };
        let restarts = story(&plan(30_000, 100_000, &lines), script, |cloud| broken(&cloud.machines));
        assert_eq!(restarts, None);
        let lines = looked.lock().unwrap().take().unwrap();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains(word) && line.contains("restart")), "{lines:?}");
    }
}
