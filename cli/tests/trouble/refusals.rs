//! What is refused before anything is touched: contradictions, ports and folders that cannot be used.

use crate::common::reference;
use crate::process::{Alone, flags, image, refusal, refused};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

fn with(base: &[String], extra: &[&str]) -> Vec<String> {
    base.iter().cloned().chain(extra.iter().map(ToString::to_string)).collect()
}

#[test]
fn wrong_flags_are_refused_with_etcds_codes_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let base = flags(&dir, 24_100);
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--bogus=1"], 2, &["-bogus", "--help"]),
        (&["--election-timeout=x"], 2, &["\"x\"", "-election-timeout"]),
        (&["--initial-cluster-state=maybe"], 2, &["maybe", "-initial-cluster-state", "new or existing"]),
        (&["stray"], 1, &["'stray' is not a valid flag"]),
        (
            &["--election-timeout=400", "--heartbeat-interval=100"],
            1,
            &["--election-timeout[400ms]", "5 times", "--heartbeat-interval[100ms]"],
        ),
        (&["--name=somebody"], 1, &["somebody", "--initial-cluster", "set --name"]),
        (
            &["--initial-advertise-peer-urls=http://127.0.0.1:24199"],
            1,
            &["--initial-cluster", "--initial-advertise-peer-urls=http://127.0.0.1:24199", "same URLs"],
        ),
        (&["--listen-client-urls=http://example.com:24100"], 1, &["--listen-client-urls", "expected IP"]),
    ];
    let etcd = reference("ORLOP_TEST_ETCD");
    for (extra, code, texts) in cases {
        let args = with(&base, extra);
        refused(&args, *code, texts);
        assert!(!dir.exists(), "{extra:?} left something behind");
        if let Some(etcd) = &etcd {
            let real = folder.path().join("real");
            let (theirs, said) = refusal(etcd, &with(&args, &[&format!("--data-dir={}", real.display())]));
            assert_eq!(theirs, *code, "{extra:?}: a real etcd says\n{said}");
        }
    }
}

#[test]
fn what_is_not_offered_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    for flag in ["--cert-file=/x", "--client-cert-auth", "--peer-key-file=/x", "--auto-tls", "--wal-dir=/x"] {
        let name = flag.split('=').next().unwrap();
        refused(&with(&flags(&dir, 24_100), &[flag]), 1, &[name, "not offered yet", "\"level\":\"fatal\""]);
    }
    refused(
        &with(&flags(&dir, 24_100), &["--listen-client-urls=https://127.0.0.1:24100"]),
        1,
        &["--listen-client-urls", "TLS"],
    );
    let states = with(&flags(&dir, 24_100), &["--initial-cluster-state=existing"]);
    refused(&states, 1, &["--initial-cluster-state=existing", "--data-dir=", "use new"]);
    assert!(!dir.exists());
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:24106").unwrap();
    refused(&flags(&dir, 24_106), 1, &["127.0.0.1:24106", "--listen-client-urls", "choose another port"]);
    assert!(!dir.exists(), "a client port in use left something behind");
    refused(&flags(&dir, 24_105), 1, &["127.0.0.1:24106", "--listen-peer-urls", "in use"]);
    assert!(!dir.exists(), "a peer port in use left something behind");
    drop(taken);
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let texts = ["cannot access data directory", "--data-dir=", "choose a folder"];
    refused(&flags(&file, 24_110), 1, &texts);
    refused(&flags(&file.join("below"), 24_110), 1, &texts);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let mount = folder.path().join("ro");
    std::fs::create_dir(&mount).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "ro,size=1m", "none"]).arg(&mount).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return io_real::skip::skipped("a read-only file system cannot be mounted: root is needed");
    }
    let (code, said) = {
        let args: Vec<String> =
            std::iter::once("etcd".to_string()).chain(flags(&mount.join("data"), 24_110)).collect();
        let outcome = refusal(&crate::common::orlop(), &args);
        let unmounted = Command::new("umount").arg(&mount).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the file system is given back");
        outcome
    };
    assert_eq!(code, 1, "{said}");
    texts.iter().chain(&["Read-only"]).for_each(|text| assert!(said.contains(text), "{text:?}: {said}"));
}

#[test]
fn two_processes_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Alone::new(&folder.path().join("data"), 24_120);
    first.start();
    let ports = [
        "--listen-client-urls=http://127.0.0.1:24122",
        "--advertise-client-urls=http://127.0.0.1:24122",
        "--listen-peer-urls=http://127.0.0.1:24123",
    ];
    refused(&with(&first.flags(), &ports), 1, &["in use by another process", "lock", "--data-dir"]);
    assert!(crate::common::healthy(&first.endpoint()), "the first goes on\n{}", first.printed());
}

fn refused_untouched(dir: &Path, args: &[String], texts: &[&str]) {
    let before = image(dir);
    refused(args, 1, texts);
    assert!(before == image(dir), "{} was changed by {args:?}", dir.display());
}

#[test]
fn the_folder_of_another_member_or_cluster_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = Alone::new(&folder.path().join("data"), 24_130);
    member.start();
    member.end("KILL");
    let token = with(&member.flags(), &["--initial-cluster-token=other"]);
    refused_untouched(&member.dir, &token, &["belongs to cluster", "--initial-cluster-token", "--data-dir"]);
    // Another member of the same cluster: two members, and their folders mixed up.
    let two = "--initial-cluster=n1=http://127.0.0.1:24131,n2=http://127.0.0.1:24133";
    let dir = folder.path().join("of-n1");
    let mut n1 = with(&flags(&dir, 24_130), &[two]);
    n1.insert(0, "etcd".to_string());
    let mut child =
        Command::new(crate::common::orlop()).args(&n1).stderr(std::process::Stdio::null()).spawn().unwrap();
    let made = std::time::Instant::now();
    while !dir.join("member/state.redb").exists() || !dir.join("member/wal").exists() {
        assert!(made.elapsed().as_secs() < 20, "the folder is made");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::thread::sleep(std::time::Duration::from_millis(700));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut n2 = with(&flags(&dir, 24_132), &[two]);
    n2[0] = "--name=n2".to_string();
    refused_untouched(&dir, &n2, &["belongs to member", "\\\"n1\\\"", "--name"]);
}

#[test]
fn the_folder_of_a_real_etcd_is_left_alone() {
    let Some(etcd) = reference("ORLOP_TEST_ETCD") else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let args = flags(&dir, 24_140);
    let mut child = Command::new(&etcd).args(&args).stderr(std::process::Stdio::null()).spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !crate::common::healthy("127.0.0.1:24140") {
        assert!(std::time::Instant::now() < until, "the real etcd serves");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    crate::process::send_signal(child.id(), "TERM");
    crate::process::wait(&mut child).expect("the real etcd ends");
    refused_untouched(&dir, &args, &["perhaps the data of an etcd", "nothing was changed", "--data-dir"]);
}
