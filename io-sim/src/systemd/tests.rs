//! The model by itself: what only a simulation can do to a systemd.

use super::*;
use crate::room::run_sealed;
use fleet::systemd::{JobResult, Systemd, SystemdError};

const LIMIT: Duration = Duration::from_secs(3_600);
const RUNS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

/// Tells a story of one machine, and returns the record of its processes.
fn story<F: Future<Output = ()> + Send + 'static>(
    tell: impl FnOnce(World, SimSystemd) -> F + Send + 'static,
) -> Vec<Run> {
    run_sealed(7, |world| {
        let node = world.add_node("a");
        let systemd = SimSystemd::new(world, node);
        let done = world.complete(LIMIT, tell(world.clone(), systemd.clone()));
        assert_eq!(world.failures(), []);
        assert!(done.is_some(), "the story ends within {LIMIT:?}");
        systemd.runs()
    })
}

async fn pass(world: &World, ms: u64) {
    world.sleep_until(world.now() + Duration::from_millis(ms)).await;
}

async fn up(systemd: &SimSystemd, name: &str, text: &str) {
    systemd.install(name, text).await.unwrap();
    assert_eq!(systemd.start(name).await, Ok(JobResult::Done));
}

#[test]
fn power_loss_forgets_everything_but_the_record() {
    let runs = story(|_, systemd| async move {
        up(&systemd, "a.service", RUNS).await;
        assert!(systemd.running("a.service"));
        systemd.power_loss();
        assert!(!systemd.running("a.service") && systemd.files().is_empty());
        assert!(matches!(systemd.start("a.service").await, Err(SystemdError::NoSuchUnit(_))));
    });
    assert_eq!(runs.len(), 1);
    assert!(matches!(runs[0].until, Some((_, Ended::PowerLoss))), "{runs:?}");
}

#[test]
fn restarts_stop_at_the_start_limit() {
    let runs = story(|world, systemd| async move {
        let text = "[Service]\nExecStart=/bin/sh -c 'sleep 1; exit 3'\nRestart=on-failure\n";
        up(&systemd, "a.service", text).await;
        pass(&world, 30_000).await;
        assert_eq!(systemd.state_of("a.service").active, "failed");
    });
    assert_eq!(runs.len(), 5, "{runs:?}");
    assert_eq!(runs.iter().filter(|run| run.began == Began::Restart).count(), 4);
}

#[test]
fn a_stubborn_process_is_killed_in_the_end() {
    let runs = story(|_, systemd| async move {
        let text = "[Service]\nTimeoutStopSec=5\nExecStart=/bin/sh -c \"trap '' TERM; sleep infinity\"\n";
        up(&systemd, "a.service", text).await;
        assert_eq!(systemd.stop("a.service").await, Ok(JobResult::Done));
        assert_eq!(systemd.state_of("a.service").active, "failed");
    });
    let (until, why) = runs[0].until.unwrap();
    assert_eq!(why, Ended::Asked);
    assert!(until - runs[0].from >= Duration::from_secs(5), "{runs:?}");
}

#[test]
fn a_bus_that_drops_leaves_the_outcome_unknown_and_tells_to_look_again() {
    story(|world, systemd| async move {
        systemd.install("a.service", RUNS).await.unwrap();
        systemd.faults(|faults| faults.job_slow = Duration::from_secs(2));
        let (host, mut changes) = (systemd.clone(), systemd.changes());
        world.after(Duration::from_secs(1), move |_| host.drop_bus());
        assert!(matches!(systemd.start("a.service").await, Err(SystemdError::Gone(_))));
        assert!(matches!(systemd.stopping().await, Err(SystemdError::Gone(_))));
        pass(&world, 5_000).await;
        assert!(systemd.running("a.service"), "the job went on without its caller");
        systemd.restore_bus();
        assert_eq!(changes.next().await, Change::Resync);
        assert_eq!(systemd.stopping().await, Ok(false));
    });
}

#[test]
fn jobs_fail_hang_and_are_canceled_as_told() {
    story(|_, systemd| async move {
        systemd.install("a.service", RUNS).await.unwrap();
        systemd.faults(|faults| faults.job_cancel_permille = 1_000);
        assert_eq!(systemd.start("a.service").await, Ok(JobResult::Canceled));
        systemd.faults(|faults| *faults = SystemdFaults { job_fail_permille: 1_000, ..Default::default() });
        assert_eq!(systemd.start("a.service").await, Ok(JobResult::Failed));
        systemd
            .faults(|faults| *faults = SystemdFaults { job_timeout_permille: 1_000, ..Default::default() });
        assert_eq!(systemd.start("a.service").await, Ok(JobResult::Timeout));
        assert!(!systemd.running("a.service"));
        systemd.faults(|faults| *faults = SystemdFaults { refuse_permille: 1_000, ..Default::default() });
        assert!(matches!(systemd.install("b.service", RUNS).await, Err(SystemdError::Refused(_))));
    });
}

#[test]
fn what_happens_behind_the_agents_back_is_told() {
    let runs = story(|world, systemd| async move {
        up(&systemd, "a.service", RUNS).await;
        pass(&world, 100).await;
        let mut changes = systemd.changes();
        systemd.stop_behind("a.service");
        while systemd.running("a.service") {
            assert_eq!(changes.next().await, Change::Unit("a.service".into()));
        }
        up(&systemd, "a.service", RUNS).await;
        systemd.crash_unit("a.service");
        while systemd.state_of("a.service").active != "failed" {
            assert_eq!(changes.next().await, Change::Unit("a.service".into()));
        }
    });
    let why: Vec<_> = runs.iter().filter_map(|run| run.until).map(|(_, why)| why).collect();
    assert_eq!(why, [Ended::Behind, Ended::Crashed]);
}

#[test]
fn a_start_waits_for_a_unit_that_goes_down() {
    let runs = story(|world, systemd| async move {
        up(&systemd, "a.service", RUNS).await;
        let (host, other) = (systemd.clone(), systemd.clone());
        world.spawn_on(NodeId::WORLD, "stops", async move {
            let _ = host.stop("a.service").await;
        });
        pass(&world, 21).await;
        assert_eq!(other.start("a.service").await, Ok(JobResult::Done));
        assert!(other.running("a.service"));
    });
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs[0].until.unwrap().0 <= runs[1].from);
}

#[test]
fn a_frozen_machine_does_nothing_and_goes_on_where_it_was() {
    story(|world, systemd| async move {
        up(&systemd, "a.service", "[Service]\nExecStart=/bin/sleep 1\n").await;
        systemd.freeze();
        pass(&world, 10_000).await;
        assert!(systemd.running("a.service"));
        systemd.thaw();
        assert!(!systemd.running("a.service"));
    });
}

#[test]
fn the_contract_of_the_port_holds() {
    run_sealed(11, |world| {
        let node = world.add_node("a");
        let io = world.start(node);
        for (name, case) in fleet::contract::CASES {
            let systemd = Arc::new(SimSystemd::new(world, node));
            let stage = fleet::contract::Stage { systemd, clock: io.clock.clone() };
            let limit = world.now() + LIMIT;
            let done = world.complete(limit, case(stage));
            assert_eq!(world.failures(), [], "{name}");
            assert!(done.is_some(), "{name}: does not end");
        }
    });
}
