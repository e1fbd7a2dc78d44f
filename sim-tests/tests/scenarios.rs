//! Stories that must end well, each a plan by hand: what an operator fears, one at a time. Each also says that what it
//! is about did happen.

use sim_tests::scenario;

/// Writes and reads, ten a second, by three clients who ask different members, from 1 s to `until` seconds.
fn traffic(until: u64) -> String {
    let line = |step: u64| {
        let (tag, at, client) = (step + 1, 1_000 + step * 100, step % 3 + 1);
        match step % 4 {
            0 | 1 => format!("op {tag} put at={at}ms client={client} key={} size=40\n", step % 5),
            2 => format!("op {tag} get at={at}ms client={client} key={}\n", step % 5),
            _ => format!("op {tag} cas at={at}ms client={client} key={}\n", step % 5),
        }
    };
    (0..(until - 1) * 10).map(line).collect()
}

fn plan(members: u8, faults: &str) -> String {
    let head = format!("plan seed=1 members={members} clients=3 calm=15000ms end=40000ms\n");
    let knobs = "knobs segment=8192 checkpoint=4096 catch-up=20\n";
    format!("{head}{knobs}{faults}\n{}", traffic(35))
}

#[test]
fn a_calm_cluster_answers_everything() {
    for members in [1, 3, 5] {
        let report = scenario(&plan(members, ""));
        assert!(report.operations.ok >= 330, "{report}");
        assert_eq!(report.elections, 1, "nothing happened that needs a second election: {report}");
    }
}

#[test]
fn a_crashed_leader_is_replaced() {
    let report = scenario(&plan(3, "fault crash at=4000ms for=4000ms on=leader"));
    assert!(report.elections >= 2, "{report}");
}

#[test]
fn a_majority_without_power_loses_nothing() {
    let faults =
        "fault power-loss at=4000ms for=2000ms on=1,2\nfault power-loss at=9000ms for=1000ms on=1,2,3";
    let report = scenario(&plan(3, faults));
    assert!(report.operations.unknown > 0, "{report}");
}

#[test]
fn a_minority_cut_off_stays_correct() {
    let report = scenario(&plan(5, "fault partition at=3000ms for=8000ms on=1,2"));
    assert!(report.operations.ok > 200, "{report}");
}

#[test]
fn a_deposed_leader_serves_no_stale_read() {
    let report = scenario(&plan(3, "fault partition at=3000ms for=8000ms on=leader"));
    assert!(report.elections >= 2, "{report}");
}

#[test]
fn a_leader_that_slept_serves_no_stale_read() {
    let report = scenario(&plan(3, "fault pause at=3000ms for=6000ms on=leader"));
    assert!(report.elections >= 2, "{report}");
}

#[test]
fn a_slow_watcher_misses_nothing() {
    let watches =
        "op 9001 watch at=900ms key=0 last=9 slow=2000ms prev\nop 9002 watch at=5000ms key=0 last=9 from=-30";
    scenario(&plan(3, &format!("fault crash at=6000ms for=2000ms on=1\n{watches}")));
}

#[test]
fn a_follower_left_behind_gets_the_state_whole() {
    let report = scenario(&plan(3, "fault power-loss at=3000ms for=10000ms on=3"));
    let installed = report.probes.keys().any(|name| name.contains("snapshot"));
    assert!(installed, "no probe about snapshots among {:?}", report.probes);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    scenario(&plan(3, "fault full-disk at=4000ms for=5000ms on=1,2,3"));
}

#[test]
fn a_lease_lives_while_it_is_renewed_and_not_longer() {
    let renewals: String = (1..12)
        .map(|n| format!("op {} keep-alive at={}ms lease=9001\n", 9001 + n, 1_500 + n * 1_000))
        .collect();
    let lease =
        format!("op 9001 grant at=1500ms ttl=3\nop 9100 put at=1800ms key=7 size=20 lease=9001\n{renewals}");
    scenario(&plan(3, &format!("fault crash at=5000ms for=3000ms on=leader\n{lease}")));
}
