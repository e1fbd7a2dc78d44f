//! A release beside the one before it: members that speak the peers' protocol of version 1 only, as the last release does, with
//! members that speak the newest. What is on disk has one format in both.

use io_sim::runner::Report;
use sim_tests::story::*;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;
const STATE: &str = "member/state.redb";

fn trouble() -> &'static str {
    "fault crash at=4000ms for=2000ms on=leader\nfault partition at=7000ms for=2000ms on=2\n\
     fault power-loss at=10000ms for=1500ms on=1,2,3\nfault crash at=3000ms for=5000ms on=3"
}

#[test]
fn old_and_new_members_make_one_cluster() {
    for (seed, old) in
        SEEDS.flat_map(|seed| [vec![1], vec![1, 2], vec![3], vec![1, 2, 3]].map(|old| (seed, old)))
    {
        let report = Story::of_small_files(3).with(trouble()).run(seed, move |cluster| {
            old.iter().for_each(|member| cluster.speaks(*member, 1));
        });
        assert!(report.elections >= 2, "{report}");
        assert!(report.probes.contains_key("node: a follower needs a snapshot"), "{:?}", report.probes);
    }
}

#[test]
fn a_cluster_is_upgraded_and_taken_back_one_member_after_the_other() {
    for seed in SEEDS {
        let report = Story::of_small_files(3).run(seed, |cluster| {
            cluster.members().for_each(|member| cluster.speaks(member, 1));
            for (step, (member, version)) in [(1, 2), (2, 2), (3, 2), (2, 1), (1, 1)].into_iter().enumerate()
            {
                at(cluster, 3_000 + step as u64 * 2_000, move |cluster| {
                    cluster.speaks(member, version);
                    cluster.world().crash(cluster.node(member));
                    cluster.start(member);
                });
            }
        });
        assert!(report.operations.ok > 250, "{report}");
    }
}

/// The state of `damaged` rots under it while `old` members speak version 1, which cannot lend a state.
fn rotten_among_old(seed: u64, damaged: u8, old: &'static [u8]) -> Report {
    Story::of_small_files(3).with(&large_values(1_500, 13_000)).run(seed, move |cluster| {
        old.iter().for_each(|member| cluster.speaks(*member, 1));
        cluster.may_end(damaged);
        at(cluster, 3_000, move |cluster| {
            let node = cluster.node(damaged);
            let files = cluster.world().files(node);
            let len = files.iter().find(|(path, _)| path == STATE).map_or(0, |(_, len)| *len);
            for block in 1..len / 4096 {
                cluster.world().flip_bit(node, STATE, block * 4096 + 100, 3);
            }
        });
        // A supervisor.
        for step in 0..20 {
            at(cluster, 4_000 + step * 500, move |cluster| cluster.start(damaged));
        }
    })
}

#[test]
fn a_damaged_state_comes_from_the_member_that_can_send_it_or_after_a_restart() {
    for seed in SEEDS {
        let report = rotten_among_old(seed, 3, &[1]);
        assert!(
            report.probes.contains_key("node: the state was repaired from a peer"),
            "{:?}",
            report.probes
        );
        let report = rotten_among_old(seed, 3, &[1, 2]);
        assert!(
            !report.probes.contains_key("node: the state was repaired from a peer"),
            "{:?}",
            report.probes
        );
        assert!(report.probes.contains_key("recovery: a damaged state was set aside"), "{:?}", report.probes);
    }
}
