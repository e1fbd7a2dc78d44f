//! Disks that go bad under a cluster, and what its members do about it by themselves: the state fetched from peers while it serves, a
//! log that lost a vote, scrubbing, promises that a disk did not keep. The numbers are those of docs/file-format.md.
//!
//! Every story runs under all checkers, so a value that was damaged and served, a vote given twice or an acknowledged write
//! that is lost fails it by itself. What a test says beyond that is that its case did happen, and that nobody had to help.

use io_sim::Unreadable;
use io_sim::cluster::Cluster;
use io_sim::runner::Report;
use kernel::{Io, Open};
use sim_tests::story::*;
use std::time::Duration;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;
const BLOCK: u64 = 4096;
const STATE: &str = "member/state.redb";
const WAL: &str = "member/wal";

fn reached(report: &Report, probe: &str) -> bool {
    report.probes.contains_key(probe)
}

fn demand_reached(report: &Report, probes: &[&str]) {
    for probe in probes {
        assert!(reached(report, probe), "{probe:?} is not among {:#?}\n{report}", report.probes);
    }
}

/// Turns a bit in every block of a member's state, under its page cache, behind the first, which redb reads once.
fn rot_state(cluster: &Cluster, member: u8) {
    let node = cluster.node(member);
    let files = cluster.world().files(node);
    let (_, len) = files.iter().find(|(path, _)| path == STATE).expect("a member has a state");
    for block in 1..len / BLOCK {
        cluster.world().flip_bit(node, STATE, block * BLOCK + 100, 3);
    }
}

/// Runs `change` on a member's disk while the member is down.
fn on_disk(cluster: &Cluster, member: u8, change: impl FnOnce(&Io)) {
    let node = cluster.node(member);
    cluster.world().crash(node);
    let io = cluster.world().start(node);
    change(&io);
    cluster.world().crash(node);
}

fn demand_whole(cluster: &Cluster, member: u8) {
    let status = cluster.member(member).map(|member| member.status());
    let whole = status.as_ref().is_some_and(|status| status.corrupt.is_empty() && status.leader != 0);
    demand(cluster, whole, format!("member {member} is not whole again: {status:?}"));
    demand(cluster, cluster.ends(member).is_empty(), format!("{:?}", cluster.ends(member)));
}

/// Small files, and a state that does not fit in its cache by far.
fn busy(members: u8) -> Story {
    Story::of_small_files(members).with(&large_values(1_500, 13_000))
}

#[test]
fn case_15_a_state_that_rots_under_a_follower_is_fetched_while_it_serves() {
    for seed in SEEDS {
        let report = busy(3).run(seed, |cluster| {
            at(cluster, 4_000, |cluster| {
                let member = follower(cluster);
                cluster.may_end(member);
                rot_state(cluster, member);
                at(cluster, 13_500, move |cluster| demand_whole(cluster, member));
            });
        });
        demand_reached(&report, &["node: the state is damaged", "node: the state was repaired from a peer"]);
        assert!(report.operations.ok > 280, "a majority was whole all the time: {report}");
    }
}

#[test]
fn case_15_a_value_that_rots_is_met_by_who_reads_it_and_never_served() {
    let mut met = 0;
    for seed in SEEDS {
        let report = busy(3).run(seed, |cluster| {
            cluster.may_end(2);
            at(cluster, 6_000, |cluster| rot_state(cluster, 2));
            at(cluster, 13_900, |cluster| demand_whole(cluster, 2));
        });
        demand_reached(&report, &["node: the state was repaired from a peer"]);
        met += u64::from(reached(&report, "mvcc: a read met damage"));
    }
    assert!(met > 0, "the scrub was always first");
}

#[test]
fn case_15_a_leader_whose_state_rots_hands_over_and_is_mended() {
    for seed in SEEDS {
        let report = busy(3).run(seed, |cluster| {
            at(cluster, 4_000, |cluster| {
                let member = leader(cluster);
                cluster.may_end(member);
                rot_state(cluster, member);
                at(cluster, 13_500, move |cluster| {
                    demand_whole(cluster, member);
                    demand(cluster, cluster.leader() != Some(member), "it leads on with a damaged state");
                });
            });
        });
        let probes =
            ["node: a leader with a damaged state hands over", "node: the state was repaired from a peer"];
        demand_reached(&report, &probes);
    }
}

#[test]
fn case_08_states_that_rot_under_all_members_but_one_are_fetched_from_it() {
    for seed in SEEDS {
        let report = busy(5).run(seed, |cluster| {
            at(cluster, 4_000, |cluster| {
                let sound = follower(cluster);
                for member in cluster.members().filter(|member| *member != sound) {
                    cluster.may_end(member);
                    rot_state(cluster, member);
                    at(cluster, 13_800, move |cluster| demand_whole(cluster, member));
                }
            });
        });
        assert!(report.probes["node: the state was repaired from a peer"] >= 4, "{:?}", report.probes);
    }
}

#[test]
fn a_state_that_cannot_be_read_for_a_while_is_fetched_again_and_again() {
    for seed in SEEDS {
        let report = busy(3).run(seed, |cluster| {
            at(cluster, 4_000, |cluster| {
                let member = follower(cluster);
                let node = cluster.node(member);
                cluster.may_end(member);
                let bad = Unreadable { path: STATE.to_string(), from: BLOCK, to: u64::MAX };
                cluster.world().disk_faults(node, |faults| faults.unreadable.push(bad));
                at(cluster, 11_000, move |cluster| {
                    cluster.world().disk_faults(node, |faults| faults.unreadable.clear());
                    cluster.start(member);
                });
                at(cluster, 20_000, move |cluster| {
                    let status = cluster.member(member).map(|member| member.status());
                    let whole = status.as_ref().is_some_and(|status| status.corrupt.is_empty());
                    demand(cluster, whole, format!("{status:?}"));
                });
            });
        });
        demand_reached(&report, &["node: the state is damaged"]);
    }
}

/// Values that are large, and a log in memory that forgets at once.
fn forgetful() -> Story {
    Story::of(3).knobs("segment=8192 checkpoint=4096 catch-up=1").with(&large_values(1_500, 13_000))
}

#[test]
fn a_state_that_is_fetched_too_late_is_fetched_again() {
    let mut late = 0;
    for seed in SEEDS {
        // One of the others is of a release that lends nothing; the other is far away for a while, and so what it lends is
        // behind what this member has asked for meanwhile.
        let story = forgetful().with("fault slow-link at=3500ms for=7000ms on=3 by=950ms");
        let report = story.run(seed, |cluster| {
            cluster.speaks(1, 1);
            cluster.may_end(2);
            at(cluster, 4_000, |cluster| rot_state(cluster, 2));
            at(cluster, 13_900, |cluster| demand_whole(cluster, 2));
        });
        late += u64::from(reached(&report, "node: a state that was fetched is too old"));
    }
    assert!(late > 0, "every state that came was new enough");
}

#[test]
fn entries_that_a_fetched_state_holds_already_are_passed_over() {
    let mut over = 0;
    for seed in (2..=12).step_by(2) {
        let far = "fault slow-link at=3500ms for=7000ms on=2 by=300ms";
        let report = forgetful().with(far).run(seed, |cluster| {
            cluster.may_end(2);
            at(cluster, 4_000, |cluster| rot_state(cluster, 2));
            at(cluster, 8_000, |cluster| rot_state(cluster, 2));
            at(cluster, 13_900, |cluster| demand_whole(cluster, 2));
        });
        over += u64::from(reached(&report, "node: an entry was skipped, a fetched state has it"));
    }
    assert!(over > 0, "no state that came was ahead of what was applied");
}

#[test]
fn a_second_snapshot_is_refused_while_one_comes() {
    let mut refused = 0;
    for seed in 1..=6 {
        // What comes takes long, and its leader stands still: the next one sends its own.
        let faults = "fault crash at=3000ms for=4000ms on=3\nfault bandwidth at=6500ms for=7000ms on=3 bytes=60000\n\
                      fault pause at=9000ms for=3500ms on=leader";
        let report = forgetful().with(faults).run(seed, |_| ());
        refused += u64::from(reached(&report, "snapshot: refused a second one"));
    }
    assert!(refused > 0, "no two came at one time");
}

#[test]
fn a_state_that_is_ahead_of_the_log_for_too_long_is_fetched_again() {
    let mut ahead = 0;
    for seed in SEEDS {
        let report = forgetful().run(seed, |cluster| {
            at(cluster, 4_000, |cluster| {
                let (leader, member) = (leader(cluster), follower(cluster));
                cluster.may_end(member);
                // The third hears the leader and goes on; this member hears of it by what it fetches only.
                let (here, there) = (cluster.node(member), cluster.node(leader));
                cluster.world().cut(here, there);
                cluster.world().cut(there, here);
                rot_state(cluster, member);
                at(cluster, 10_000, move |cluster| {
                    cluster.world().heal(here, there);
                    cluster.world().heal(there, here);
                });
                at(cluster, 13_900, move |cluster| demand_whole(cluster, member));
            });
        });
        ahead += u64::from(reached(&report, "node: a state that was fetched is too new"));
    }
    assert!(ahead > 0, "every state that came was within reach of the log");
}

#[test]
fn case_15_a_state_that_rotted_while_the_member_was_down_is_set_aside_and_fetched() {
    for seed in SEEDS {
        let report = busy(3).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let member = follower(cluster);
                cluster.may_end(member);
                cluster.world().power_loss(cluster.node(member));
                rot_state(cluster, member);
                cluster.start(member);
                at(cluster, 13_500, move |cluster| demand_whole(cluster, member));
            });
        });
        demand_reached(&report, &["recovery: a damaged state was set aside"]);
        assert!(report.operations.ok > 280, "{report}");
    }
}

#[test]
fn case_21_a_state_that_was_cut_short_is_set_aside_and_fetched() {
    for seed in SEEDS {
        let report = busy(3).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let member = follower(cluster);
                cluster.may_end(member);
                on_disk(cluster, member, |io| {
                    let file = io.disk.open(STATE, Open::Existing).expect("it has a state");
                    file.set_len(3 * BLOCK).and_then(|()| file.sync()).expect("the disk is sound");
                });
                cluster.start(member);
                at(cluster, 13_500, move |cluster| demand_whole(cluster, member));
            });
        });
        demand_reached(&report, &["recovery: a damaged state was set aside"]);
    }
}

#[test]
fn case_15_a_member_alone_with_a_rotten_state_says_where_and_ends() {
    let report = busy(1).without_a_calm().run(1, |cluster| {
        at(cluster, 4_000, |cluster| {
            cluster.may_end(1);
            rot_state(cluster, 1);
            at(cluster, 13_000, |cluster| {
                let ends = cluster.ends(1);
                let told = |end: &String| {
                    [STATE, "bytes", "no second copy", "start again"].iter().all(|text| end.contains(text))
                };
                demand(cluster, ends.len() == 1 && told(&ends[0]), format!("{ends:?}"));
                demand(cluster, !cluster.world().is_up(cluster.node(1)), "it runs");
            });
        });
    });
    demand_reached(&report, &["node: the state is damaged"]);
}

#[test]
fn case_09_a_member_that_lost_its_vote_elects_nobody_and_comes_back_by_itself() {
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 6_050, |cluster| {
                let (leader, member) = (leader(cluster), follower(cluster));
                cluster.may_end(member);
                rot(cluster, member, last_vote);
                cluster.world().crash(cluster.node(leader));
                cluster.start(member);
                at(cluster, 11_000, move |cluster| {
                    demand(
                        cluster,
                        cluster.evidence().elected < Duration::from_millis(6_050),
                        "it helped to elect",
                    );
                    cluster.start(leader);
                });
                at(cluster, 13_900, move |cluster| {
                    demand(cluster, cluster.ends(member).is_empty(), format!("{:?}", cluster.ends(member)));
                });
            });
        });
        demand_reached(&report, &["recovery: the log may have lost a vote"]);
    }
}

#[test]
fn case_21_a_log_that_was_cut_short_is_set_aside_and_its_votes_with_it() {
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let member = follower(cluster);
                cluster.may_end(member);
                let (path, records) = newest_segment(cluster, member);
                on_disk(cluster, member, |io| {
                    let file = io.disk.open(&path, Open::Existing).expect("it has a log");
                    let middle = records[records.len() / 2].at;
                    file.set_len(middle).and_then(|()| file.sync()).expect("the disk is sound");
                });
                cluster.start(member);
                at(cluster, 13_500, move |cluster| demand_whole(cluster, member));
            });
        });
        demand_reached(&report, &["recovery: the log may have lost a vote"]);
        assert!(report.operations.ok > 280, "{report}");
    }
}

#[test]
fn case_04_a_part_of_the_log_that_cannot_be_read_is_repaired_from_peers() {
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let member = follower(cluster);
                let node = cluster.node(member);
                let (path, records) = newest_segment(cluster, member);
                let from = middle_entry(&records)[0].at;
                cluster.world().power_loss(node);
                let bad = Unreadable { path, from, to: from + 1 };
                cluster.world().disk_faults(node, |faults| faults.unreadable.push(bad));
                cluster.start(member);
                at(cluster, 13_500, move |cluster| demand_whole(cluster, member));
            });
        });
        demand_reached(&report, &["wal: a segment that cannot be read everywhere", "wal: damage repaired"]);
        demand_reached(&report, &["node: a damaged log was repaired from peers"]);
    }
}

#[test]
fn the_scrub_finds_a_sealed_segment_that_rots_and_it_is_given_up() {
    for (seed, members) in SEEDS.flat_map(|seed| [(seed, 1), (seed, 3)]) {
        let story = Story::of(members).knobs("segment=32768 checkpoint=100000000");
        let story = story.with(&large_values(1_500, 13_000));
        let report = story.run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                for member in cluster.members() {
                    let node = cluster.node(member);
                    let files = cluster.world().files(node);
                    let segments: Vec<_> = files.iter().filter(|(path, _)| path.ends_with(".seg")).collect();
                    demand(cluster, segments.len() > 2, format!("{} segments", segments.len()));
                    cluster.world().flip_bit(node, &segments[1].0, 3_000, 5);
                    let path = segments[1].0.clone();
                    at(cluster, 13_500, move |cluster| {
                        let there = cluster.world().files(node).iter().any(|(name, _)| *name == path);
                        demand(cluster, !there, format!("{path} is still there"));
                        demand_whole(cluster, member);
                    });
                }
            });
        });
        demand_reached(
            &report,
            &["node: the scrub found a damaged segment", "node: a damaged segment was given up"],
        );
        assert_eq!(report.elections, 1, "nobody was held up: {report}");
    }
}

#[test]
fn a_member_whose_log_is_gone_keeps_its_state_and_elects_nobody_until_it_is_whole() {
    for seed in SEEDS {
        let story = Story::of(3).knobs("segment=1048576 checkpoint=2000");
        let report = story.run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let (leader, member) = (leader(cluster), follower(cluster));
                cluster.world().crash(cluster.node(leader));
                on_disk(cluster, member, |io| {
                    let names = io.disk.list(WAL).expect("it has a log");
                    let removed = names.iter().try_for_each(|name| io.disk.remove(&format!("{WAL}/{name}")));
                    removed.and_then(|()| io.disk.sync_dir(WAL)).expect("a sound disk");
                });
                cluster.start(member);
                at(cluster, 11_000, move |cluster| {
                    let elected = cluster.evidence().elected;
                    demand(cluster, elected < Duration::from_millis(6_000), "it helped to elect");
                    cluster.start(leader);
                });
                at(cluster, 13_900, move |cluster| demand_whole(cluster, member));
            });
        });
        demand_reached(&report, &["recovery: a state without a log"]);
    }
}

#[test]
fn case_12_a_log_that_ends_before_the_state_was_lied_about() {
    for seed in SEEDS {
        let story = Story::of(3).knobs("segment=1048576 checkpoint=2000");
        let report = story.run(seed, |cluster| {
            at(cluster, 6_000, |cluster| {
                let (leader, member) = (leader(cluster), follower(cluster));
                let (path, records) = newest_segment(cluster, member);
                // What the disk had called durable is gone from the middle on, as if it had never been written; and the leader
                // that remembers is gone too.
                cluster.world().crash(cluster.node(leader));
                on_disk(cluster, member, |io| {
                    let file = io.disk.open(&path, Open::Existing).expect("it has a log");
                    let from = records[records.len() / 2].at;
                    let rest = file.len().expect("it has a length") - from;
                    file.write_at(from, &vec![0; rest as usize])
                        .and_then(|()| file.sync())
                        .expect("a sound disk");
                });
                cluster.start(member);
                at(cluster, 11_000, move |cluster| {
                    demand(
                        cluster,
                        cluster.evidence().elected < Duration::from_millis(6_000),
                        "it helped to elect",
                    );
                    cluster.start(leader);
                });
            });
        });
        demand_reached(&report, &["recovery: the log has lost what the state still has"]);
    }
}

#[test]
fn case_11_a_sync_that_fails_while_a_snapshot_comes_in_loses_nothing() {
    let mut ended = 0;
    for (seed, sync) in SEEDS.flat_map(|seed| (1..=8).map(move |sync| (seed, sync))) {
        let report = busy(3).with("fault crash at=3000ms for=5000ms on=3").run(seed, move |cluster| {
            cluster.may_end(3);
            at(cluster, 7_990, move |cluster| {
                cluster.world().disk_faults(cluster.node(3), |faults| faults.fail_sync_in = Some(sync));
            });
            for again in 1..10 {
                at(cluster, 8_000 + again * 500, |cluster| cluster.start(3));
            }
        });
        demand_reached(&report, &["node: a follower needs a snapshot"]);
        ended += u64::from(
            reached(&report, "wal: poisoned") || reached(&report, "mvcc: a state file in doubt was copied"),
        );
    }
    assert!(ended > 0, "no sync failed");
}

/// Gives the segment at `path` of a member that is taken down another version.
fn set_version(cluster: &Cluster, member: u8, path: &str, version: u32) {
    on_disk(cluster, member, |io| {
        let file = io.disk.open(path, Open::Existing).expect("it has a log");
        let mut head = vec![0; 20];
        file.read_at(0, &mut head).expect("it can be read");
        head[8..12].copy_from_slice(&version.to_le_bytes());
        let crc = crc32fast::hash(&head[..16]);
        head[16..].copy_from_slice(&crc.to_le_bytes());
        file.write_at(0, &head).and_then(|()| file.sync()).expect("the disk is sound");
    });
}

#[test]
fn case_20_a_member_that_meets_a_newer_log_changes_nothing_and_the_others_serve() {
    for seed in SEEDS {
        let report = Story::of(3).run(seed, |cluster| {
            at(cluster, 5_000, |cluster| {
                let member = follower(cluster);
                cluster.may_end(member);
                let (path, _) = newest_segment(cluster, member);
                set_version(cluster, member, &path, 7);
                cluster.start(member);
                at(cluster, 9_000, move |cluster| {
                    let ends = cluster.ends(member);
                    let told =
                        ends.len() == 1 && ends[0].contains("version 7") && ends[0].contains("newer program");
                    demand(cluster, told, format!("{ends:?}"));
                    set_version(cluster, member, &path, 1);
                    cluster.start(member);
                });
            });
        });
        assert!(report.operations.ok > 250, "{report}");
        assert!(!reached(&report, "wal: damage repaired"), "it was taken for damage: {:?}", report.probes);
    }
}
