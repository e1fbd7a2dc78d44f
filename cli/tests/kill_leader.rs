//! `kill -9` of the leader, again and again, under load: a new leader serves within two seconds each time, and nothing that
//! was acknowledged is lost.

mod common;

use bytes::Bytes;
use common::{Cluster, Server};
use io_real::client::{Client, Options};
use kernel::Kv;
use kernel::types::{PutRequest, RangeRequest};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often the leader is killed.
const KILLS: usize = 5;
/// Clients that write all the time, each to its own keys.
const WRITERS: usize = 8;
/// How soon a new leader must serve.
const FAIL_OVER: Duration = Duration::from_secs(2);

#[test]
fn nothing_acknowledged_is_lost_and_a_new_leader_serves_soon() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut cluster = Cluster::start(Server::Orlop, 3, 23_810);
        let acknowledged = Arc::new(Mutex::new(Vec::<String>::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                tokio::spawn(write_on(writer, cluster.endpoints(), acknowledged.clone(), stop.clone()))
            })
            .collect();
        let mut gaps = Vec::new();
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let leader = leader(&cluster).await;
            let killed = Instant::now();
            cluster.kill(leader);
            let survivors: Vec<_> =
                (0..3).filter(|member| *member != leader).map(|i| cluster.endpoint(i)).collect();
            wait_for_write(&survivors).await;
            gaps.push(killed.elapsed());
            cluster.start_member(leader);
        }
        stop.store(true, Relaxed);
        for writer in writers {
            writer.await.expect("a writer does not panic");
        }
        println!("fail-over times: {gaps:?}; {} writes acknowledged", acknowledged.lock().unwrap().len());
        let acknowledged = acknowledged.lock().unwrap().clone();
        check_all_there(&cluster, &acknowledged).await;
        let slow: Vec<_> = gaps.iter().filter(|gap| **gap > FAIL_OVER).collect();
        let logs = || (0..3).map(|member| cluster.printed(member)).collect::<Vec<_>>().join("\n");
        assert!(slow.is_empty(), "a new leader took longer than {FAIL_OVER:?}: {gaps:?}\n{}", logs());
    });
}

async fn client(endpoints: Vec<String>, wait: Duration) -> Client {
    let options = Options {
        dial_timeout: Duration::from_millis(300),
        command_timeout: Some(wait),
        ..Options::default()
    };
    Client::connect(endpoints, options).await.expect("endpoints of ours")
}

async fn write_on(
    writer: usize,
    mut endpoints: Vec<String>,
    done: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
) {
    endpoints.rotate_left(writer % 3);
    let client = client(endpoints, Duration::from_secs(1)).await;
    for number in 0.. {
        if stop.load(Relaxed) {
            return;
        }
        let key = format!("w{writer}/{number}");
        let put = PutRequest {
            key: Bytes::from(key.clone()),
            value: Bytes::from(vec![7; 256]),
            ..Default::default()
        };
        match client.put(put).await {
            Ok(_) => done.lock().unwrap().push(key),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn leader(cluster: &Cluster) -> usize {
    loop {
        for member in 0..3 {
            let client = client(vec![cluster.endpoint(member)], Duration::from_secs(1)).await;
            if let Ok(status) = client.status().await
                && let Some(header) = status.header
                && header.member_id == status.leader
            {
                return member;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until one of the survivors has acknowledged a write that was sent after the kill.
async fn wait_for_write(survivors: &[String]) {
    let mut clients = Vec::new();
    for one in survivors {
        clients.push(client(vec![one.clone()], Duration::from_secs(10)).await);
    }
    let put = || PutRequest { key: Bytes::from("probe"), value: Bytes::from("x"), ..Default::default() };
    loop {
        for client in &clients {
            if client.put(put()).await.is_ok() {
                return;
            }
        }
    }
}

async fn check_all_there(cluster: &Cluster, keys: &[String]) {
    assert!(keys.len() > 100, "only {} writes were acknowledged: there was no load", keys.len());
    let client = client(cluster.endpoints(), Duration::from_secs(10)).await;
    let all = RangeRequest {
        key: Bytes::from("w"),
        range_end: Bytes::from("x"),
        keys_only: true,
        ..Default::default()
    };
    let found = client.range(all).await.expect("a healthy cluster answers");
    let found: std::collections::BTreeSet<_> = found.kvs.iter().map(|kv| kv.key.clone()).collect();
    let lost: Vec<_> = keys.iter().filter(|key| !found.contains(key.as_bytes())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}
