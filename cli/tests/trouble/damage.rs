//! Damage on disk that is found at a start: in the log, in the state file, of one member of three and of one that is alone.
//!
//! A member with peers is repaired from them; one that is alone refuses, changes nothing and says what can be done. Whatever is
//! promised as a remedy is tried here.

use crate::common::{Cluster, Server};
use crate::process::{Alone, client, image, keys, put, refused, runtime};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than a log must be idle until its tail is vouched for.
const IDLE: Duration = Duration::from_millis(900);

async fn put_many(endpoint: &str, prefix: &str, count: usize, bytes: usize) -> BTreeSet<String> {
    let client = client(endpoint).await;
    let mut done = BTreeSet::new();
    for number in 0..count {
        let key = format!("{prefix}{number:04}");
        put(&client, &key, bytes).await.expect("a healthy member takes it");
        done.insert(key);
    }
    done
}

/// The log's segments, oldest first.
fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(data_dir.join("member/wal")).expect("a log");
    let mut names: Vec<_> = names.map(|entry| entry.expect("an entry").path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    names.sort();
    names
}

/// Turns 32 bytes around, at `part` of what a file holds.
fn damage(path: &Path, part: f64) {
    let bytes = fs::read(path).expect("a file");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("a file with something in it");
    let at = (used as f64 * part) as usize;
    let flipped: Vec<u8> = bytes[at..at + 32].iter().map(|byte| !byte).collect();
    let file = fs::OpenOptions::new().write(true).open(path).expect("a file");
    file.write_all_at(&flipped, at as u64).expect("written");
}

/// Waits until a member holds exactly `expected`.
async fn wait_for_keys(endpoint: &str, prefix: &str, expected: &BTreeSet<String>) {
    let client = client(endpoint).await;
    let until = Instant::now() + Duration::from_secs(20);
    while keys(&client, prefix, true).await != *expected {
        assert!(Instant::now() < until, "{endpoint} does not catch up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_damaged_log_of_one_of_three_is_repaired_from_the_others() {
    let runtime = runtime();
    let mut cluster = Cluster::start(Server::Orlop, 3, 24_200);
    let mut expected = runtime.block_on(put_many(&cluster.endpoint(0), "k", 300, 1_000));
    std::thread::sleep(IDLE);
    cluster.kill(2);
    damage(&segments(&cluster.data_dir(2))[0], 0.5);
    expected.extend(runtime.block_on(put_many(&cluster.endpoint(0), "kk", 50, 100)));
    cluster.start_member(2);
    cluster.wait_ready();
    let printed = cluster.printed(2);
    let warned = printed.lines().find(|line| line.contains("takes no part in elections"));
    assert!(warned.is_some_and(|line| line.contains("\"level\":\"warn\"")), "{printed}");
    runtime.block_on(wait_for_keys(&cluster.endpoint(2), "k", &expected));
    // It counts again: with one of the others it is a quorum.
    std::thread::sleep(IDLE);
    cluster.kill(0);
    expected.extend(runtime.block_on(put_many_retried(&cluster.endpoint(2), "kkk", 20)));
    runtime.block_on(wait_for_keys(&cluster.endpoint(1), "k", &expected));
}

/// As `put_many`, while a leader may still have to be found.
async fn put_many_retried(endpoint: &str, prefix: &str, count: usize) -> BTreeSet<String> {
    let client = client(endpoint).await;
    let until = Instant::now() + Duration::from_secs(15);
    while let Err(error) = put(&client, &format!("{prefix}0000"), 100).await {
        assert!(Instant::now() < until, "no quorum: {error:?}");
    }
    put_many(endpoint, prefix, count, 100).await
}

#[test]
fn a_log_that_cannot_be_repaired_is_set_aside_and_the_member_comes_back_without_its_votes() {
    let runtime = runtime();
    let mut cluster = Cluster::start(Server::Orlop, 3, 24_260);
    let mut expected = runtime.block_on(put_many(&cluster.endpoint(0), "k", 100, 1_000));
    cluster.kill(2);
    // The first block, and so whose log it is and what it voted.
    let segment = segments(&cluster.data_dir(2))[0].clone();
    damage(&segment, 0.0);
    cluster.start_member(2);
    cluster.wait_ready();
    let printed = cluster.printed(2);
    for text in ["CORRUPT", "is damaged at byte", "may have voted without knowing it", "*.damaged"] {
        assert!(printed.contains(text), "{text:?} is not in {printed}");
    }
    assert!(segment.with_extension("seg.damaged").exists(), "it is kept to be looked at");
    runtime.block_on(wait_for_keys(&cluster.endpoint(2), "k", &expected));
    std::thread::sleep(IDLE);
    cluster.kill(0);
    expected.extend(runtime.block_on(put_many_retried(&cluster.endpoint(2), "kk", 20)));
    runtime.block_on(wait_for_keys(&cluster.endpoint(1), "k", &expected));
}

#[test]
fn a_damaged_log_of_a_single_member_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = Alone::new(&folder.path().join("data"), 24_210);
    member.start();
    runtime().block_on(put_many(&member.endpoint(), "k", 100, 1_000));
    std::thread::sleep(IDLE);
    member.end("KILL");
    damage(&segments(&member.dir)[0], 0.5);
    let before = image(&member.dir);
    let texts = ["member/wal/", "is damaged at byte", "nothing was changed", "backup", "--data-dir"];
    refused(&member.flags(), 1, &texts);
    assert!(before == image(&member.dir), "something was changed");
}

#[test]
fn a_damaged_state_of_a_single_member_is_never_served_and_comes_back_from_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = Alone::new(&folder.path().join("data"), 24_220);
    member.start();
    let runtime = runtime();
    let expected = runtime.block_on(put_many(&member.endpoint(), "k", 400, 1_000));
    member.end("TERM");
    let state = member.dir.join("member/state.redb");
    let (whole, moved) = (folder.path().join("whole"), folder.path().join("moved"));
    fs::copy(&state, &whole).unwrap();
    let mut refusals = 0;
    for part in [0.0, 0.0002, 0.01, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 0.999] {
        damage(&state, part);
        member.spawn();
        if member.ready_or_ended() {
            // What was hit was not in use, or was found in the log.
            let client = runtime.block_on(client(&member.endpoint()));
            assert_eq!(runtime.block_on(keys(&client, "k", false)), expected, "damage at {part} is served");
            member.end("KILL");
        } else {
            let code = member.wait().code();
            let printed = member.printed();
            let last = printed.lines().last().unwrap_or_default();
            assert_eq!(code, Some(1), "damage at {part}: {last}");
            for text in ["state.redb", "away and start again", "rebuilt", "\"level\":\"fatal\""] {
                assert!(last.contains(text), "damage at {part}: {text:?} is not in {last}");
            }
            refusals += 1;
        }
        fs::copy(&whole, &state).unwrap();
    }
    assert!(refusals > 0, "no damage was found");
    // The remedy.
    damage(&state, 0.5);
    fs::rename(&state, &moved).unwrap();
    member.start();
    let client = runtime.block_on(client(&member.endpoint()));
    assert_eq!(runtime.block_on(keys(&client, "k", false)), expected);
}

#[test]
fn a_lost_state_of_one_of_three_is_fetched_from_the_others() {
    let runtime = runtime();
    let mut cluster = Cluster::start(Server::Orlop, 3, 24_230);
    // More than two segments of 64 MiB, so that the log no longer reaches back to the beginning.
    let mut expected = BTreeSet::new();
    for _ in 0..8 {
        expected = runtime.block_on(put_many(&cluster.endpoint(0), "k", 20, 1 << 20));
    }
    let until = Instant::now() + Duration::from_secs(20);
    while first_sequence(&cluster.data_dir(2)) == 1 {
        assert!(Instant::now() < until, "old segments are released");
        expected.extend(runtime.block_on(put_many(&cluster.endpoint(0), "k", 10, 1 << 20)));
    }
    cluster.kill(2);
    let member = cluster.data_dir(2).join("member");
    damage(&member.join("state.redb"), 0.0);
    cluster.start_member(2);
    cluster.wait_ready();
    let printed = cluster.printed(2);
    for text in ["CORRUPT", "state.redb.damaged", "comes back from the log or from the other members"] {
        assert!(printed.contains(text), "{text:?} is not in {printed}");
    }
    assert!(printed.contains("it is fetched from the other members"), "{printed}");
    runtime.block_on(wait_for_keys(&cluster.endpoint(2), "k", &expected));
    std::thread::sleep(IDLE);
    cluster.kill(0);
    expected.extend(runtime.block_on(put_many_retried(&cluster.endpoint(2), "kk", 20)));
    // It survives its next start as well.
    cluster.kill(2);
    cluster.start_member(2);
    runtime.block_on(put_many_retried(&cluster.endpoint(2), "kk", 20));
    runtime.block_on(wait_for_keys(&cluster.endpoint(2), "k", &expected));
}

fn first_sequence(data_dir: &Path) -> u64 {
    let oldest = segments(data_dir)[0].file_name().expect("a name").to_string_lossy().into_owned();
    u64::from_str_radix(&oldest[..16], 16).expect("a segment's name")
}
