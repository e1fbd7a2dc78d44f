//! What an operator of a flat network fears or asks for, one story at a time: each a plan by hand, and a look at it.

use io_sim::flannel::machines::Machines;
use io_sim::flannel::runner::Cloud;
use sim_tests::overlay::{broken, cold_start, plan, story};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

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

/// A thousand are started by `cargo run --release -p sim-tests --example flannel_cold_start`.
#[test]
fn a_hundred_machines_that_start_at_once_reach_each_other_within_ten_seconds() {
    let outcome = cold_start(100);
    println!("{outcome}");
    assert!(outcome.took <= 10 * SECOND, "{outcome}");
    assert_eq!(outcome.requests[50], 4, "without a lost packet or race: read, follow, grant, create");
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
