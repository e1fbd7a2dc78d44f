//! A member with the wrong cluster id knocks at a cluster.

use crate::common::{Cluster, Server, orlop};
use crate::process::{client, keys, put, runtime};
use io_real::client::Client;
use std::process::{Command, Stdio};
use std::time::Duration;

async fn term(client: &Client) -> u64 {
    client.status().await.expect("a healthy member").raft_term
}

#[test]
fn a_stranger_is_refused_once_by_name_and_disturbs_nobody() {
    let cluster = Cluster::start(Server::Orlop, 3, 24_160);
    let folder = tempfile::tempdir().unwrap();
    let members: Vec<String> = (0..3).map(|i| format!("n{}=http://127.0.0.{}:24161", i + 1, i + 2)).collect();
    let runtime = runtime();
    let client = runtime.block_on(client(&cluster.endpoint(0)));
    let before = runtime.block_on(term(&client));
    let mut stranger = Command::new(orlop())
        .args(["etcd", "--name", "stranger", "--initial-cluster-token", "elsewhere"])
        .args(["--data-dir", &folder.path().join("data").to_string_lossy()])
        .args(["--listen-client-urls", "http://127.0.0.9:24160"])
        .args(["--advertise-client-urls", "http://127.0.0.9:24160"])
        .args(["--listen-peer-urls", "http://127.0.0.9:24161"])
        .args(["--initial-advertise-peer-urls", "http://127.0.0.9:24161"])
        .args(["--initial-cluster", &format!("{},stranger=http://127.0.0.9:24161", members.join(","))])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the stranger starts");
    std::thread::sleep(Duration::from_secs(6));
    stranger.kill().expect("a child of ours");
    stranger.wait().expect("a child of ours");
    for member in 0..3 {
        let printed = cluster.printed(member);
        let refusals: Vec<_> = printed.lines().filter(|line| line.contains("refused peer")).collect();
        assert_eq!(refusals.len(), 1, "member {member} says it once:\n{printed}");
        for text in ["stranger", "cluster id", "--initial-cluster-token", "\"level\":\"warn\""] {
            assert!(refusals[0].contains(text), "{text:?} is not in {}", refusals[0]);
        }
    }
    runtime.block_on(async {
        assert_eq!(term(&client).await, before, "an election was forced");
        put(&client, "k", 10).await.unwrap();
        assert_eq!(keys(&client, "k", false).await.len(), 1);
    });
}
