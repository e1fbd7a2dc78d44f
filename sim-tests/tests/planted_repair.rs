//! Bugs in what members do about bad disks, each planted into a story in which it must show. The seeds of `orlop-chaos mutants` do
//! not find these: the damage that they need is not drawn, or too seldom.
//!
//! Only under `--cfg orlop_mutations`, as `mutations`.
#![cfg(orlop_mutations)]

use io_sim::NodeId;
use io_sim::cluster::Cluster;
use kernel::Bug;
use sim_tests::story::*;
use std::time::Duration;

const STATE: &str = "member/state.redb";

fn rot_state(cluster: &Cluster, member: u8, at: u64) {
    let node = cluster.node(member);
    let files = cluster.world().files(node);
    let len = files.iter().find(|(path, _)| path == STATE).map_or(0, |(_, len)| *len);
    for block in 1..len / 4096 {
        cluster.world().flip_bit(node, STATE, block * 4096 + at, 3);
    }
}

/// Whether one of a few seeds of the story fails with the bug; without it all of them pass.
fn shows(bug: Bug, story: impl Fn() -> Story, script: fn(&Cluster)) {
    for seed in 1..=3 {
        story().run(seed, script);
    }
    let failed = (1..=24).find_map(|seed| story().planted(seed, bug, script));
    println!("{bug:?}: {failed:?}");
    assert!(failed.is_some(), "{bug:?} does not show");
}

#[test]
fn a_damaged_value_that_is_served_shows() {
    shows(
        Bug::ServeDamaged,
        || Story::of_small_files(3).with(&large_values(1_500, 13_000)),
        |cluster| {
            for step in 0..12 {
                at(cluster, 5_000 + step * 600, move |cluster| rot_state(cluster, 2, 100 + step * 321));
            }
        },
    );
}

#[test]
fn a_finding_of_the_scrub_that_counts_as_nothing_shows() {
    shows(
        Bug::ScrubIgnored,
        || Story::of(3).knobs("segment=32768 checkpoint=100000000").with(&large_values(1_500, 13_000)),
        |cluster| {
            at(cluster, 6_000, |cluster| {
                let node = cluster.node(1);
                let files = cluster.world().files(node);
                let segments: Vec<_> = files.into_iter().filter(|(path, _)| path.ends_with(".seg")).collect();
                let path = segments[1].0.clone();
                cluster.world().flip_bit(node, &path, 3_000, 5);
                at(cluster, 13_500, move |cluster| {
                    let there = cluster.world().files(node).iter().any(|(name, _)| *name == path);
                    demand(cluster, !there, format!("{path} is still there"));
                });
            });
        },
    );
}

#[test]
fn a_vote_after_the_vote_was_lost_shows() {
    shows(
        Bug::LostVoteVotes,
        || Story::of(3),
        |cluster| {
            at(cluster, 6_050, |cluster| {
                let (leader, member) = (leader(cluster), follower(cluster));
                rot(cluster, member, last_vote);
                cluster.world().crash(cluster.node(leader));
                cluster.start(member);
                at(cluster, 13_000, move |cluster| {
                    let elected = cluster.evidence().elected;
                    demand(cluster, elected < Duration::from_millis(6_050), "it helped to elect");
                    cluster.start(leader);
                });
            });
        },
    );
}

#[test]
fn a_quarantine_that_is_forgotten_over_a_restart_shows() {
    shows(
        Bug::QuarantineForgotten,
        || Story::of(3),
        |cluster| {
            at(cluster, 6_000, |cluster| {
                let (leader, damaged) = (leader(cluster), follower(cluster));
                rot(cluster, damaged, middle_entry);
                cluster.world().crash(cluster.node(leader));
                cluster.start(damaged);
                at(cluster, 6_200, move |cluster| {
                    cluster.world().crash(cluster.node(damaged));
                    cluster.start(damaged);
                });
                at(cluster, 13_000, move |cluster| {
                    let elected = cluster.evidence().elected;
                    demand(cluster, elected < Duration::from_millis(6_000), "it helped to elect");
                    cluster.start(leader);
                });
            });
        },
    );
}

/// The first byte of a frame that carries a part of a snapshot.
const CHUNK: u8 = 5 << 3 | 2;
/// The kind of an item of such a part that is a row; see docs/file-format.md.
const ROW: u8 = 3;

/// A frame with a part of a snapshot in which the last byte of every row's value is another one.
fn with_other_values(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    // The frame's tag and the length of what it carries, a varint; the part's checksum and number; then items.
    let length = frame[1..].iter().position(|byte| byte & 0x80 == 0).expect("a length ends") + 1;
    let mut at = 1 + length + 8;
    while let Some(head) = frame.get(at..at + 5) {
        let (kind, body) = (head[0], u32::from_le_bytes(head[1..].try_into().expect("four bytes")));
        at += 5 + body as usize;
        if kind == ROW {
            frame[at - 1] ^= 1;
        }
    }
    frame
}

/// Ten keys that are written once, early, and read late by client 2.
fn written_once() -> String {
    let puts = (0..10)
        .map(|key| (60_000 + key, 1_500 + key * 100, format!("put client=1 key={} size=40", 50 + key)));
    let gets =
        (0..10).map(|key| (61_000 + key, 13_500 + key * 200, format!("get client=2 key={}", 50 + key)));
    let line = |(tag, at, what): (u64, u64, String)| {
        let (kind, fields) = what.split_once(' ').expect("a kind and its fields");
        format!("op {tag} {kind} at={at}ms {fields}\n")
    };
    puts.chain(gets).map(line).collect()
}

/// Member 3 is left behind and gets a snapshot whose values were changed on the way. Its client has gone elsewhere meanwhile, so
/// that member 2 stops for a while too: client 2 then reads from member 3, keys that nobody wrote again.
#[test]
fn a_snapshot_whose_checksum_is_wrong_and_that_is_taken_shows() {
    shows(
        Bug::SnapshotUnchecked,
        || {
            Story::of_small_files(3)
                .with("fault crash at=3000ms for=5000ms on=3")
                .with("fault crash at=12000ms for=1000ms on=2")
                .with(&written_once())
        },
        |cluster| {
            at(cluster, 3_000, |cluster| {
                cluster.world().mangle_frames(move |_: NodeId, _: NodeId, frame| match frame.first() {
                    Some(&CHUNK) => Some(with_other_values(&frame).into()),
                    _ => Some(frame),
                });
            });
            at(cluster, 10_000, |cluster| cluster.world().mangle_nothing());
        },
    );
}

#[test]
fn a_state_that_was_fetched_and_goes_back_shows() {
    shows(
        Bug::RepairGoesBack,
        || Story::of_small_files(3).with(&large_values(1_500, 13_000)),
        |cluster| {
            for step in 0..3 {
                at(cluster, 3_000 + step * 3_500, |cluster| rot_state(cluster, follower(cluster), 100));
            }
        },
    );
}
