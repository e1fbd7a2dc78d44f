//! A disk that is full, and one that fails to sync, beneath the real program.

use crate::process::{Alone, client, keys, put, runtime};
use io_real::client::Client;
use kernel::{Code, KvError};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A small file system of its own, for as long as the test runs.
struct Small(PathBuf);

impl Small {
    /// `megabytes` of ext4 below `folder`; `None` where mounting is not allowed.
    fn mount(folder: &Path, megabytes: u64) -> Option<Small> {
        let (image, at) = (folder.join("image"), folder.join("small"));
        fs::create_dir(&at).expect("a folder");
        fs::File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("a sparse file");
        let done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = done(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image));
        (made && done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at))).then_some(Small(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Takes all room that is left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).expect("a file");
    for bytes in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; bytes]).and_then(|()| file.sync_data()).is_ok() {}
    }
}

/// Writes until a write is refused. One write at most has been taken when the room ran out and waits for some: nobody can know
/// whether it will be found, so it times out.
async fn put_until_refused(client: &Client, round: &str, done: &mut BTreeSet<String>) -> KvError {
    let mut late = false;
    for number in 0..400 {
        let key = format!("k{round}/{number:03}");
        match put(client, &key, 1 << 20).await {
            Ok(()) => drop(done.insert(key)),
            Err(error) if error.code == Code::DeadlineExceeded && !late => late = true,
            Err(error) => return error,
        }
    }
    panic!("400 MB went into a full disk");
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path(), 400) else {
        return io_real::skip::skipped(
            "a small file system cannot be mounted: root, mkfs.ext4 and a loop device are needed",
        );
    };
    let mut member = Alone::new(&small.0.join("data"), 24_240).with_log(&folder.path().join("log"));
    member.start();
    let runtime = runtime();
    let mut done = BTreeSet::new();
    runtime.block_on(async {
        let client = client(&member.endpoint()).await;
        fill(&small.0.join("filler"));
        let error = put_until_refused(&client, "a", &mut done).await;
        assert_eq!(error.code, Code::ResourceExhausted, "{error:?} after {} writes", done.len());
        assert!(error.message.contains("etcdserver: mvcc: database space exceeded"), "{error:?}");
        for serializable in [true, false] {
            assert!(keys(&client, "k", serializable).await.is_superset(&done), "reads go on");
        }
        fs::remove_file(small.0.join("filler")).unwrap();
        let freed = Instant::now();
        while let Err(error) = put(&client, "kb", 1 << 20).await {
            assert!(freed.elapsed() < Duration::from_secs(5), "writes do not come back: {error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        done.insert("kb".to_string());
        for number in 0..10 {
            let key = format!("kc/{number}");
            put(&client, &key, 1 << 20).await.unwrap();
            done.insert(key);
        }
        // Once more, and the power goes while it is full.
        fill(&small.0.join("filler"));
        let error = put_until_refused(&client, "d", &mut done).await;
        assert_eq!(error.code, Code::ResourceExhausted, "{error:?}");
    });
    member.end("KILL");
    fs::remove_file(small.0.join("filler")).unwrap();
    member.start();
    runtime.block_on(async {
        let client = client(&member.endpoint()).await;
        // That each value is whole is checked on the way.
        let found = keys(&client, "k", false).await;
        assert!(found.is_superset(&done), "lost: {:?}", done.difference(&found));
        put(&client, "last", 10).await.unwrap();
    });
    member.end("KILL");
}

#[test]
fn a_failed_sync_ends_the_process_and_loses_nothing_acknowledged() {
    let strace = Command::new("strace").args(["-qq", "-e", "inject=fsync:error=EIO", "true"]).output();
    if !strace.is_ok_and(|output| output.status.success()) {
        return io_real::skip::skipped("strace is missing or may not trace");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut member = Alone::new(&folder.path().join("data"), 24_250);
    let runtime = runtime();
    let mut done = BTreeSet::new();
    for (round, when) in ["40", "25"].into_iter().enumerate() {
        let trace = folder.path().join("trace").to_string_lossy().into_owned();
        let inject = format!("inject=fdatasync:error=EIO:when={when}");
        // Strace counts for each thread: it hits the log's, which syncs once a write.
        member.under(&["strace", "-D", "-f", "-qq", "-o", &trace, "-e", &inject]);
        member.start();
        runtime.block_on(async {
            let client = client(&member.endpoint()).await;
            for number in 0..200 {
                let key = format!("k{round}/{number:03}");
                match put(&client, &key, 200).await {
                    Ok(()) => drop(done.insert(key)),
                    Err(_) => break,
                }
            }
            assert!(put(&client, "after", 1).await.is_err(), "acknowledged after the failed sync");
        });
        let status = member.wait();
        assert_eq!(status.code(), Some(1), "{status:?}\n{}", member.printed());
        let printed = member.printed();
        let last = printed.lines().last().unwrap_or_default();
        for text in ["\"level\":\"fatal\"", "the log failed", "syncing segment", "member/wal/"] {
            assert!(last.contains(text), "{text:?} is not in {last}");
        }
    }
    assert!(done.len() > 20, "only {} writes were acknowledged", done.len());
    member.under(&[]);
    member.start();
    let client = runtime.block_on(client(&member.endpoint()));
    let found = runtime.block_on(keys(&client, "k", false));
    assert!(found.is_superset(&done), "lost: {:?}", done.difference(&found));
}
