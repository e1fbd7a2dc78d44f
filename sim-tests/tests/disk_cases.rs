//! The disk cases that concern a whole cluster, under the numbers of docs/file-format.md. Those of one log alone are in
//! `core/wal`, those of one state file in `core/mvcc`.
//!
//! Every story runs under all checkers: one leader a term, one log, no acknowledged write lost, linearizable answers, and (where
//! it has a calm) progress of all members. What a test says beyond that is that its case did happen.

use io_sim::NodeId;
use io_sim::cluster::Cluster;
use io_sim::runner::Report;
use sim_tests::story::*;
use std::time::Duration;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

fn reached(report: &Report, probe: &str) -> bool {
    report.probes.contains_key(probe)
}

fn elected_after(cluster: &Cluster, ms: u64) -> bool {
    cluster.evidence().elected > Duration::from_millis(ms)
}

fn applied_by_all(cluster: &Cluster) -> usize {
    cluster.evidence().logs.entries().len()
}

#[test]
fn case_08_damage_on_a_minority_is_repaired_from_peers() {
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| rot(cluster, follower(cluster), middle_entry));
            at(cluster, 6_500, |cluster| cluster.members().for_each(|member| cluster.start(member)));
        });
        assert!(reached(&report, "wal: damage repaired"), "{:?}", report.probes);
        assert!(reached(&report, "node: a damaged log was repaired from peers"), "{:?}", report.probes);
        assert!(report.operations.ok > 280, "a majority was whole all the time: {report}");
    }
}

#[test]
fn case_08_a_damaged_member_elects_nobody() {
    for seed in SEEDS {
        Story::of(3).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let (leader, damaged) = (leader(cluster), follower(cluster));
                rot(cluster, damaged, middle_entry);
                cluster.world().crash(cluster.node(leader));
                cluster.start(damaged);
                // Two of three run, but one of them does not know what it had acknowledged.
                at(cluster, 12_000, |cluster| demand(cluster, !elected_after(cluster, 6_000), "elected"));
            });
        });
    }
}

#[test]
fn case_08_damage_on_all_copies_stops_the_cluster_and_invents_nothing() {
    for seed in SEEDS {
        let report = Story::of(3).without_a_calm().run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let before = applied_by_all(cluster);
                let (_, records) = newest_segment(cluster, leader(cluster));
                let index = middle_entry(&records)[0].index;
                for member in cluster.members() {
                    rot(cluster, member, |records| {
                        records
                            .iter()
                            .filter(|record| record.kind == 2 && record.index == index)
                            .copied()
                            .collect()
                    });
                }
                cluster.members().for_each(|member| cluster.start(member));
                at(cluster, 32_900, move |cluster| {
                    demand(cluster, !elected_after(cluster, 6_000), "a leader without what was committed");
                    demand(cluster, applied_by_all(cluster) == before, "something was applied");
                });
            });
        });
        assert!(reached(&report, "wal: damage repaired"), "{:?}", report.probes);
        assert!(report.operations.unknown > 100, "{report}");
    }
}

#[test]
fn case_08_a_member_alone_refuses_to_start() {
    let report = Story::of(1).without_a_calm().run(1, |cluster| {
        at(cluster, 6_000, |cluster| {
            cluster.may_end(1);
            rot(cluster, 1, middle_entry);
            cluster.start(1);
        });
        at(cluster, 7_000, |cluster| {
            let ends = cluster.ends(1);
            let told =
                ends.len() == 1 && ends[0].contains(".seg is damaged at byte") && ends[0].contains("backup");
            demand(cluster, told, format!("{ends:?}"));
            demand(cluster, !cluster.world().is_up(cluster.node(1)), "it runs");
        });
    });
    assert!(reached(&report, "wal: damage refused"), "{:?}", report.probes);
}

/// One sync of the log fails on whoever `strikes` picks.
fn a_failed_sync(seed: u64, strikes: fn(&Cluster) -> u8) {
    Story::of(3).run(seed, move |cluster| {
        at(cluster, 6_050, move |cluster| {
            let member = strikes(cluster);
            let node = cluster.node(member);
            cluster.may_end(member);
            cluster.world().disk_faults(node, |faults| faults.fail_sync_in = Some(1));
            at(cluster, 6_400, move |cluster| {
                let ends = cluster.ends(member);
                demand(cluster, ends.len() == 1 && ends[0].contains("the log failed"), format!("{ends:?}"));
                demand(cluster, !cluster.world().is_up(node), "it goes on after a failed sync");
            });
            at(cluster, 7_000, move |cluster| cluster.start(member));
        });
    });
}

#[test]
fn case_10_a_failed_sync_of_the_log_ends_the_member() {
    for seed in SEEDS {
        a_failed_sync(seed, leader);
        a_failed_sync(seed, follower);
    }
}

#[test]
fn case_12_a_disk_that_lies_on_one_member_loses_nothing() {
    let mut told = false;
    for (seed, small) in SEEDS.flat_map(|seed| [(seed, false), (seed, true)]) {
        let story = if small { Story::of_small_files(3) } else { Story::of(3) };
        let report = story.run(seed, |cluster| {
            at(cluster, 3_000, |cluster| {
                let liar = follower(cluster);
                let node = cluster.node(liar);
                cluster.may_end(liar);
                cluster.world().disk_faults(node, |faults| faults.lying_syncs = true);
                at(cluster, 8_000, move |cluster| {
                    cluster.world().power_loss(node);
                    cluster.world().disk_faults(node, |faults| faults.lying_syncs = false);
                    cluster.start(liar);
                });
                // Where nothing can be made of what is left, it says so, and the operator empties it.
                at(cluster, 9_000, move |cluster| {
                    if !cluster.world().is_up(node) {
                        cluster.world().wipe(node);
                        cluster.start(liar);
                    }
                });
            });
        });
        let caught = "node: a peer came back with less than it had acknowledged";
        assert!(reached(&report, caught), "seed {seed}: {:?}", report.probes);
        told |= reached(&report, "node: reminded of what the disk has lost");
    }
    // Now and then the end of the log is simply gone, and only the leader can tell; else a later marker tells as well.
    assert!(told);
}

#[test]
fn case_13_no_room_to_append() {
    for (seed, on) in SEEDS.flat_map(|seed| ["leader", "1", "1,2,3"].map(|on| (seed, on))) {
        let fault = format!("fault full-disk at=5000ms for=4000ms on={on}");
        let report = Story::of_small_files(3).with(&fault).run(seed, |_| ());
        assert!(report.operations.ok > 150, "{report}");
    }
}

#[test]
fn case_13_no_room_to_roll() {
    for seed in SEEDS {
        let faults =
            (0..8).map(|n| format!("fault full-disk at={}ms for=700ms on=1,2,3\n", 3_000 + n * 1_300));
        let report = Story::of_small_files(3).with(&faults.collect::<String>()).run(seed, |_| ());
        assert!(reached(&report, "wal: disk full") && reached(&report, "wal: rolled"), "{:?}", report.probes);
        assert!(reached(&report, "log: the disk is full"), "{:?}", report.probes);
    }
}

#[test]
fn case_13_no_room_for_a_snapshot() {
    for seed in SEEDS {
        let faults = "fault crash at=3000ms for=6000ms on=3\nfault full-disk at=8000ms for=5000ms on=3";
        let report = Story::of_small_files(3).with(faults).run(seed, |_| ());
        assert!(reached(&report, "snapshot: sending failed"), "seed {seed}: {:?}", report.probes);
        assert!(reached(&report, "node: a follower needs a snapshot"), "{:?}", report.probes);
    }
}

#[test]
fn case_14_names_that_were_not_synced_are_lost_with_the_power() {
    // While logs roll and checkpoints are made all the time, the power fails in each of many next operations.
    for seed in 1..=12 {
        let faults: String = (0..9)
            .map(|n| {
                let (time, operations) = (2_500 + n * 1_200, 1 + (seed * 9 + n) % 40);
                format!("fault power-loss-after at={time}ms for=1000ms on=1,2,3 operations={operations}\n")
            })
            .collect();
        let report = Story::of_small_files(3).with(&faults).run(seed, |_| ());
        assert!(reached(&report, "wal: rolled"), "{:?}", report.probes);
    }
}

#[test]
fn case_16_a_slow_disk_under_the_leader_makes_no_election_storm() {
    for seed in SEEDS {
        let report =
            Story::of(3).with("fault slow-disk at=4000ms for=8000ms on=leader by=300ms").run(seed, |_| ());
        assert_eq!(report.elections, 1, "its heartbeats wait for no disk: {report}");
        assert!(report.operations.ok > 280, "{report}");
    }
}

#[test]
fn case_16_a_slow_disk_under_a_follower_slows_nobody() {
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 4_000, |cluster| {
                let node = cluster.node(follower(cluster));
                cluster.world().disk_speed(node, |speed| speed.base += Duration::from_secs(2));
                at(cluster, 12_000, move |cluster| {
                    cluster.world().disk_speed(node, |speed| speed.base -= Duration::from_secs(2));
                });
            });
        });
        assert_eq!(report.elections, 1, "{report}");
        assert!(report.operations.ok > 280, "{report}");
    }
}

#[test]
fn case_16_a_disk_that_stands_still_under_the_leader_is_survived() {
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 4_000, |cluster| {
                let node = cluster.node(leader(cluster));
                cluster.world().disk_speed(node, |speed| speed.stalled_until = Duration::from_secs(10));
            });
        });
        assert!(report.elections <= 3, "a storm of elections: {report}");
    }
}

#[test]
fn case_17_power_loss_in_each_step_of_a_repair() {
    const TRIES: u64 = 24;
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let member = follower(cluster);
                let node = cluster.node(member);
                cluster.may_end(member);
                rot(cluster, member, middle_entry);
                for step in 1..=TRIES {
                    at(cluster, 6_000 + step * 200, move |cluster| {
                        cluster.world().power_loss(node);
                        cluster.world().disk_faults(node, |faults| faults.power_loss_in = Some(step));
                        cluster.start(member);
                    });
                }
                at(cluster, 6_000 + (TRIES + 1) * 200, move |cluster| {
                    cluster.world().disk_faults(node, |faults| faults.power_loss_in = None);
                    demand(cluster, cluster.ends(member).is_empty(), format!("{:?}", cluster.ends(member)));
                    cluster.start(member);
                });
            });
        });
        assert!(reached(&report, "node: a damaged log was repaired from peers"), "{:?}", report.probes);
    }
}

/// The first byte of a frame that carries a part of a snapshot.
const CHUNK: u8 = 5 << 3 | 2;

/// A follower is left behind, and until 12 s every `nth` part of a snapshot is treated by `mangle`.
fn a_snapshot_on_a_bad_way(seed: u64, mangle: fn(Vec<u8>) -> Option<Vec<u8>>) -> Report {
    let faults = "fault crash at=3000ms for=5000ms on=3";
    let report = Story::of_small_files(3).with(faults).run(seed, move |cluster| {
        at(cluster, 3_000, move |cluster| {
            cluster.world().mangle_frames(move |_: NodeId, _: NodeId, frame| match frame.first() {
                Some(&CHUNK) => mangle(frame.to_vec()).map(Into::into),
                _ => Some(frame),
            });
        });
        at(cluster, 12_000, |cluster| {
            let behind = cluster.member(3).is_some_and(|member| {
                member.status().applied + 20
                    < cluster.member(leader(cluster)).map_or(0, |leader| leader.status().applied)
            });
            demand(cluster, behind, "it took a snapshot that was not whole");
            cluster.world().mangle_nothing();
        });
    });
    assert!(reached(&report, "snapshot: sending failed"), "seed {seed}: {:?}", report.probes);
    report
}

#[test]
fn case_18_a_snapshot_damaged_or_cut_short_on_the_way_is_refused() {
    for seed in SEEDS {
        a_snapshot_on_a_bad_way(seed, |mut chunk| {
            let middle = chunk.len() / 2;
            chunk[middle] ^= 4;
            Some(chunk)
        });
        a_snapshot_on_a_bad_way(seed, |_| None);
        a_snapshot_on_a_bad_way(seed, |mut chunk| {
            chunk.truncate(chunk.len() - 9);
            Some(chunk)
        });
    }
}

#[test]
fn case_18_a_snapshot_damaged_on_the_receivers_disk_is_refused_or_repaired() {
    for seed in SEEDS {
        let report =
            Story::of_small_files(3).with("fault crash at=3000ms for=5000ms on=3").run(seed, |cluster| {
                cluster.may_end(3);
                for step in 0..400 {
                    at(cluster, 8_000 + step * 5, move |cluster| {
                        let node = cluster.node(3);
                        let files = cluster.world().files(node);
                        let Some((path, len)) = files.iter().find(|(path, _)| path.ends_with(".incoming"))
                        else {
                            return;
                        };
                        cluster.world().flip_bit(node, path, (step * 977) % (*len).max(1), 2);
                    });
                }
                at(cluster, 12_000, |cluster| {
                    // What is left of a state that is known to be damaged, the operator removes.
                    if !cluster.world().is_up(cluster.node(3)) {
                        cluster.world().wipe(cluster.node(3));
                        cluster.start(3);
                    }
                });
            });
        assert!(reached(&report, "node: a follower needs a snapshot"), "{:?}", report.probes);
    }
}

/// Whether every member runs and knows its past.
fn all_are_proven(cluster: &Cluster) -> bool {
    cluster.members().all(|member| {
        let marked =
            cluster.world().files(cluster.node(member)).iter().any(|(path, _)| path.ends_with("/unproven"));
        !marked && cluster.member(member).is_some_and(|member| member.status().leader != 0)
    })
}

/// Empties the disks of `members`, the next one as soon as the one before is whole again.
fn wipe_in_turn(cluster: &Cluster, members: Vec<u8>, ms: u64) {
    at(cluster, ms, move |cluster| {
        if !all_are_proven(cluster) {
            return wipe_in_turn(cluster, members, ms + 100);
        }
        let Some((member, rest)) = members.split_first() else { return };
        cluster.world().power_loss(cluster.node(*member));
        cluster.world().wipe(cluster.node(*member));
        cluster.start(*member);
        wipe_in_turn(cluster, rest.to_vec(), ms + 100);
    });
}

#[test]
fn case_19_a_wiped_member_catches_up_and_votes_again() {
    for seed in SEEDS {
        // One after the other loses everything; the last election needs those that were wiped.
        let report = Story::of(3).run(seed, |cluster| {
            wipe_in_turn(cluster, vec![1, 2, 3], 3_000);
            at(cluster, 14_000, |cluster| demand(cluster, all_are_proven(cluster), "not whole again"));
        });
        assert!(reached(&report, "node: an empty directory in a living cluster"), "{:?}", report.probes);
        assert!(report.elections >= 2, "{report}");
    }
}

#[test]
fn case_19_a_wiped_member_does_not_help_to_elect_one_that_knows_less() {
    for seed in SEEDS {
        Story::of(3).run(seed, |cluster| {
            at(cluster, 3_000, |cluster| {
                let (leader, wiped) = (leader(cluster), follower(cluster));
                let behind = 6 - leader - wiped;
                let nodes = [leader, wiped, behind].map(|member| cluster.node(member));
                // Everything from here on is acknowledged by the leader and the one that will be wiped.
                cluster.world().crash(nodes[2]);
                at(cluster, 6_000, move |cluster| {
                    nodes[..2].iter().for_each(|node| cluster.world().power_loss(*node));
                    cluster.world().wipe(nodes[1]);
                    cluster.start(wiped);
                    cluster.start(behind);
                });
                at(cluster, 13_000, move |cluster| {
                    demand(cluster, !elected_after(cluster, 6_000), "a majority without what was committed");
                    cluster.start(leader);
                });
            });
        });
    }
}

#[test]
fn case_19_two_wiped_members_of_five_lose_nothing() {
    for seed in SEEDS {
        let report = Story::of(5).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let leader = leader(cluster);
                for member in [leader, follower(cluster)] {
                    cluster.world().power_loss(cluster.node(member));
                    cluster.world().wipe(cluster.node(member));
                    at(cluster, 7_000, move |cluster| cluster.start(member));
                }
            });
        });
        assert!(report.elections >= 2, "{report}");
    }
}

#[test]
fn case_19_on_the_first_day_a_majority_is_enough() {
    let report = Story::of(3).with("fault crash at=0ms for=9000ms on=3").run(1, |cluster| {
        at(cluster, 2_900, |cluster| {
            demand(cluster, cluster.leader().is_none(), "did not wait for the third")
        });
        at(cluster, 8_900, |cluster| {
            demand(cluster, cluster.leader().is_some(), "two of three, and no leader")
        });
        at(cluster, 13_900, |cluster| demand(cluster, all_are_proven(cluster), "the third did not join"));
    });
    assert!(reached(&report, "node: a majority of newborns begins"), "{:?}", report.probes);
}

#[test]
fn case_19_a_minority_does_not_begin() {
    let report = Story::of(3).with("fault crash at=0ms for=9000ms on=2,3").run(1, |cluster| {
        at(cluster, 8_900, |cluster| demand(cluster, cluster.leader().is_none(), "one of three"));
    });
    assert_eq!(report.elections, 1, "{report}");
}
