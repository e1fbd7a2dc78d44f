//! Members of the store on the real ports: what the simulator cannot show, that the same code works on this machine.

use bytes::Bytes;
use io_real::ports;
use kernel::Kv;
use kernel::types::{PutRequest, RangeRequest};
use std::path::Path;
use std::time::Duration;
use store::{Member, MemberConfig, Peer};

fn peer(id: u64, port: u16) -> Peer {
    Peer {
        id,
        name: format!("n{id}"),
        peer_addr: format!("127.0.0.1:{port}"),
        peer_urls: vec![format!("http://127.0.0.1:{port}")],
        client_urls: vec![],
    }
}

async fn start(dir: &Path, id: u64, peers: Vec<Peer>) -> Member {
    let listen = peers.iter().find(|peer| peer.id == id).expect("a member").peer_addr.clone();
    let mut config = MemberConfig::new(id, 77, peers);
    config.listen_peer = listen;
    config.wal_segment_bytes = 1 << 20;
    let io = ports::io(&dir.join(format!("n{id}")));
    Member::start(io, config).await.expect("the member starts")
}

fn put(key: &str, value: &str) -> PutRequest {
    let (key, value) = (Bytes::from(key.to_string()), Bytes::from(value.to_string()));
    PutRequest { key, value, ..Default::default() }
}

fn get(key: &str) -> RangeRequest {
    RangeRequest { key: Bytes::from(key.to_string()), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_keeps_what_it_acknowledged_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let member = start(dir.path(), 1, vec![peer(1, 27_100)]).await;
    for number in 0..100 {
        member.put(put(&format!("k{number}"), "v")).await.expect("a put");
    }
    assert_eq!(member.range(get("k7")).await.expect("a read").kvs.len(), 1);
    member.stop().await;
    drop(member);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let member = start(dir.path(), 1, vec![peer(1, 27_101)]).await;
    let read = member.range(get("k99")).await.expect("a read");
    assert_eq!(read.kvs[0].value, "v");
    assert_eq!(read.header.expect("a header").revision, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_agree() {
    let dir = tempfile::tempdir().expect("a directory");
    let peers: Vec<_> = (1..=3).map(|id| peer(id, 27_110 + id as u16)).collect();
    let mut members = Vec::new();
    for id in 1..=3 {
        members.push(start(dir.path(), id, peers.clone()).await);
    }
    for number in 0..50 {
        let member = &members[number % 3];
        member.put(put(&format!("k{number}"), "v")).await.expect("a put");
    }
    for member in &members {
        let all = RangeRequest { key: Bytes::from("k"), range_end: Bytes::from("l"), ..Default::default() };
        assert_eq!(member.range(all).await.expect("a read").count, 50);
    }
}
