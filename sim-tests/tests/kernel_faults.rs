//! Each class of fault of the kernel's model, alone: it really happens, is counted in the run's report, and what it does is mended.
//!
//! The classes are those of a real kernel under strain (EEXIST, EBUSY, ENOBUFS, answers and netlink messages that are lost) and of
//! everybody else who has the right to change its tables. The checkers look at every entry at the end of each run.

use io_sim::flannel::plan::FlannelPlan;
use io_sim::flannel::runner::run;
use io_sim::links::Meddling;

/// Runs one mishap on three machines of a network, and says how often the report counts each of `points`.
fn counted(network: &str, mishaps: &[String], points: &[&str]) -> Vec<u64> {
    let lines = mishaps.iter().map(|mishap| format!("mishap {mishap}\n")).collect::<String>();
    let text = format!(
        "plan seed=1 members=3 clients=1 calm=20000ms end=90000ms\nflannel machines=3 ttl=10s {network}\n{lines}"
    );
    let plan = FlannelPlan::parse(&text).unwrap_or_else(|error| panic!("no plan: {error}\n{text}"));
    assert!(plan.settled_ms() < plan.store.end_ms, "it is looked at once calm");
    let report = run(&plan);
    assert!(report.passed(), "{report}\nwith the plan\n{text}");
    let kinds = mishaps.iter().map(|mishap| mishap.split(' ').next().expect("a kind"));
    for kind in kinds {
        assert!(report.classes.contains_key(kind), "{kind} is missing among the classes of the report");
    }
    points.iter().map(|point| report.probes.get(point).copied().unwrap_or(0)).collect()
}

/// Of every answer of the kernel from before the machines start on, half are this error.
fn errors(kind: &str, points: &[&str]) {
    for backend in ["vxlan", "host-gw", "ipip", "udp"] {
        let mishap = format!("{kind} at=1ms for=15000ms on=1,2,3 permille=500");
        // So that there is something to do while operations fail.
        let news = "flap at=8000ms on=1,2,3".to_string();
        let counts = counted(&format!("backend={backend}"), &[mishap, news], points);
        println!("{kind} with {backend}: {points:?} {counts:?}");
        assert!(
            counts.iter().all(|count| *count > 0),
            "{kind}, {backend}: {points:?} were reached {counts:?} times"
        );
    }
}

#[test]
fn eexist_happens_and_is_overcome() {
    errors("exists", &["kernel model: EEXIST"]);
}

#[test]
fn ebusy_happens_and_is_overcome() {
    errors("busy", &["kernel model: EBUSY"]);
}

#[test]
fn enobufs_happens_and_is_overcome() {
    errors("no-buffers", &["kernel model: ENOBUFS"]);
}

#[test]
fn requests_and_answers_are_lost_and_that_is_overcome() {
    errors("lost", &["kernel model: a request was lost", "kernel model: an answer was lost"]);
}

/// Everything that somebody does is done while netlink's messages of it are lost, and a moment later when they are not.
#[test]
fn lost_netlink_messages_cost_no_repair() {
    for (name, meddling) in Meddling::ALL {
        let lost = "hints-lost at=5000ms for=10000ms on=1,2,3 permille=1000".to_string();
        let act = format!("{name} at=10000ms on=1,2");
        let points = [
            "kernel model: netlink messages were lost",
            meddling.done(),
            "flannel: hints of the kernel were lost",
        ];
        let counts = counted("backend=vxlan", &[lost, act], &points);
        println!("{name}, unheard: {counts:?}");
        assert!(counts.iter().all(|count| *count > 0), "{name}: {points:?} were reached {counts:?} times");
    }
}

#[test]
fn a_broken_stream_of_netlink_messages_is_replaced() {
    let sever = "sever at=10000ms on=1,2,3".to_string();
    let act = "delete-route at=12000ms on=1,2,3".to_string();
    let points = [
        "kernel model: the stream of netlink messages broke",
        "flannel: mended what somebody else had changed",
    ];
    let counts = counted("backend=vxlan", &[sever, act], &points);
    assert!(counts.iter().all(|count| *count > 0), "{points:?} were reached {counts:?} times");
}

#[test]
fn whatever_somebody_does_happens_and_is_mended() {
    for network in
        ["backend=vxlan", "backend=vxlan family=dual direct halves", "backend=host-gw", "backend=ipip"]
    {
        for (name, meddling) in Meddling::ALL {
            let (tunnel, vxlan) = (!network.contains("host-gw"), network.contains("vxlan"));
            let aims_at = match meddling {
                Meddling::DeleteLink | Meddling::Down | Meddling::ChangeMtu | Meddling::DeleteAddress => {
                    tunnel
                }
                Meddling::ChangeMac
                | Meddling::DeleteNeighbour
                | Meddling::ChangeNeighbour
                | Meddling::DeleteForwarding
                | Meddling::ChangeForwarding => vxlan,
                // A stale entry is one of a way through the tunnel, which neighbours do not take.
                Meddling::AddStale => vxlan && !network.contains("direct"),
                _ => true,
            };
            let counts = counted(network, &[format!("{name} at=10000ms on=1,2,3")], &[meddling.done()]);
            println!("{name} in {network}: {counts:?}");
            assert_eq!(counts[0] > 0, aims_at, "{name} in {network} happened {} times", counts[0]);
        }
    }
}
