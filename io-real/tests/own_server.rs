//! The client against our own server: the same suite that the real etcd passes, and what only more members show.

mod common;

use common::served::Server;
use common::{free_port, suite};
use io_real::client::{Client, Options as ClientOptions};
use io_real::ports;
use io_real::server::Options;
use kernel::{Kv, KvError};
use std::path::Path;
use std::sync::Arc;
use store::{Member, MemberConfig, Peer};
use wire::*;

fn peers(count: u64) -> Vec<Peer> {
    let peer = |id| {
        let port = free_port();
        Peer {
            id,
            name: format!("m{id}"),
            peer_addr: format!("127.0.0.1:{port}"),
            peer_urls: vec![format!("http://127.0.0.1:{port}")],
            client_urls: vec![format!("http://m{id}:2379")],
        }
    };
    (1..=count).map(peer).collect()
}

async fn start(folder: &Path, id: u64, peers: &[Peer]) -> (Member, Server) {
    start_with(folder, id, peers, |_| {}).await
}

async fn start_with(
    folder: &Path,
    id: u64,
    peers: &[Peer],
    change: impl FnOnce(&mut MemberConfig),
) -> (Member, Server) {
    let mut config = MemberConfig::new(id, 77, peers.to_vec());
    config.listen_peer = config.this_member().unwrap().peer_addr.clone();
    config.wal_segment_bytes = 4 << 20;
    change(&mut config);
    let io = ports::io(&folder.join(format!("m{id}")));
    let member = Member::start(io, config).await.unwrap();
    let server = Server::start(Arc::new(member.clone()), Options::default()).await;
    (member, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_is_an_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let (member, server) = start(folder.path(), 1, &peers(1)).await;
    suite::everything(&suite::client(&[&server.endpoint]).await).await;
    assert_eq!(server.get("/health").await.0, 200);
    assert_eq!(server.get("/readyz").await.0, 200);
    assert!(server.get("/metrics").await.1.contains("etcd_server_is_leader 1\n"));
    server.stop().await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_serve_one_state_and_leadership_moves() {
    let (folder, peers) = (tempfile::tempdir().unwrap(), peers(3));
    let mut members = Vec::new();
    for id in 1..=3 {
        members.push(start(folder.path(), id, &peers).await);
    }
    let endpoints: Vec<&str> = members.iter().map(|(_, server)| server.endpoint.as_str()).collect();
    let through_any = suite::client(&endpoints).await;
    through_any.put(suite::put("a", "1")).await.unwrap();
    let mut clients = Vec::new();
    for endpoint in &endpoints {
        let client = Client::connect(vec![endpoint.to_string()], ClientOptions::default()).await.unwrap();
        assert_eq!(client.range(suite::get("a")).await.unwrap().kvs[0].value, "1", "{endpoint}");
        clients.push(client);
    }
    let listed = clients[1].member_list(true).await.unwrap().members;
    assert_eq!(listed.iter().map(|member| member.id).collect::<Vec<_>>(), [1, 2, 3]);
    let leader = clients[0].status().await.unwrap().leader;
    let next = leader % 3 + 1;
    let follower = &clients[next as usize - 1];
    assert_eq!(follower.move_leader(next).await.unwrap_err(), KvError::not_leader());
    clients[leader as usize - 1].move_leader(next).await.unwrap();
    follower.put(suite::put("a", "2")).await.unwrap();
    assert_eq!(follower.status().await.unwrap().leader, next);
    let hashes = async {
        let mut hashes = Vec::new();
        for client in &clients {
            client.range(suite::get("a")).await.unwrap();
            hashes.push(client.hash_kv(0).await.unwrap().hash);
        }
        hashes
    };
    let hashes = hashes.await;
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    for (member, server) in members {
        server.stop().await;
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (folder, peers) = (tempfile::tempdir().unwrap(), peers(1));
    let (member, server) = start(folder.path(), 1, &peers).await;
    let client = suite::client(&[&server.endpoint]).await;
    let lease = client.lease_grant(LeaseGrantRequest { ttl: 600, id: 99 }).await.unwrap();
    let mut leased = suite::put("b", "2");
    leased.lease = lease.id;
    let revision = client.put(leased).await.unwrap().header.unwrap().revision;
    server.stop().await;
    member.stop().await;
    drop(member);
    let peers = vec![Peer { peer_addr: format!("127.0.0.1:{}", free_port()), ..peers[0].clone() }];
    let (member, server) = start(folder.path(), 1, &peers).await;
    let client = suite::client(&[&server.endpoint]).await;
    let found = client.range(suite::get("b")).await.unwrap();
    assert_eq!((found.header.unwrap().revision, found.kvs[0].lease), (revision, 99));
    let left = client.lease_time_to_live(LeaseTimeToLiveRequest { id: 99, keys: true }).await.unwrap();
    assert_eq!((left.granted_ttl, left.keys.len()), (600, 1));
    server.stop().await;
    member.stop().await;
}

/// The value of the first row of `page` that begins with `row`.
fn metric(page: &str, row: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {row} in {page}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_measure_the_disk_and_the_peers() {
    const PUTS: u64 = 40;
    let (folder, peers) = (tempfile::tempdir().unwrap(), peers(3));
    let mut members = Vec::new();
    for id in 1..=3 {
        members
            .push(start_with(folder.path(), id, &peers, |config| config.checkpoint_bytes = 32 << 10).await);
    }
    let endpoints: Vec<&str> = members.iter().map(|(_, server)| server.endpoint.as_str()).collect();
    let client = suite::client(&endpoints).await;
    for n in 0..PUTS {
        client.put(suite::put(&format!("k{n}"), &"v".repeat(4 << 10))).await.unwrap();
    }
    for (member, server) in &members {
        // A linearizable read: this member has the puts and has heard of a quorum.
        suite::client(&[&server.endpoint]).await.range(suite::get("k0")).await.unwrap();
        let page = server.get("/metrics").await.1;
        let (syncs, checkpoints) =
            ("etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds");
        for name in [syncs, checkpoints] {
            let count = metric(&page, &format!("{name}_count"));
            assert_eq!(metric(&page, &format!("{name}_bucket{{le=\"+Inf\"}}")), count, "{page}");
            assert!(metric(&page, &format!("{name}_bucket{{le=\"8.192\"}}")) <= count, "{page}");
            let sum = metric(&page, &format!("{name}_sum"));
            assert!(count >= 1.0 && sum > 0.0 && sum < 60.0, "{count} of {name} in {sum} s");
        }
        if member.status().leads {
            let count = metric(&page, &format!("{syncs}_count"));
            assert!(count >= PUTS as f64, "{count} syncs for {PUTS} puts, one after another");
        }
        let bytes = (PUTS * (4 << 10)) as f64;
        assert!(metric(&page, "etcd_disk_wal_write_bytes_total") > bytes, "{page}");
        let id = member.config().member_id;
        let with = |name: &str, label: &str| -> f64 {
            let of = |peer| metric(&page, &format!("{name}{{{label}=\"{peer}\"}}"));
            (1..=3).filter(|peer| *peer != id).map(of).sum()
        };
        assert!(with("orlop_peer_messages_sent_total", "To") >= 1.0, "{page}");
        assert!(with("orlop_peer_messages_received_total", "From") >= 1.0, "{page}");
        let (sent, received) = (
            with("etcd_network_peer_sent_bytes_total", "To"),
            with("etcd_network_peer_received_bytes_total", "From"),
        );
        let (large, small) = if member.status().leads { (sent, received) } else { (received, sent) };
        assert!(large > bytes && small > 0.0 && small < large, "sent {sent}, received {received}");
        for name in ["etcd_network_snapshot_send_success", "etcd_network_snapshot_send_failures"] {
            assert_eq!(with(name, "To"), 0.0);
        }
        for name in ["slow_apply_total", "slow_read_indexes_total", "read_indexes_failed_total"] {
            assert!(metric(&page, &format!("etcd_server_{name}")) <= 1.0, "{page}");
        }
    }
    for (member, server) in members {
        server.stop().await;
        member.stop().await;
    }
}
