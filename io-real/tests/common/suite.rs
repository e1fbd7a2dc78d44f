//! What a client may expect of any etcd v3 server: run against the real one and against ours, so that a difference between
//! the two shows as a failure of one of them.

use bytes::Bytes;
use io_real::client::{Client, Options};
use kernel::{Code, Kv, KvError, WatchStream};
use std::time::Duration;
use wire::*;

/// A client that waits until the server answers.
pub async fn client(endpoints: &[&str]) -> Client {
    let endpoints = endpoints.iter().map(|endpoint| endpoint.to_string()).collect();
    let client = Client::connect(endpoints, Options::default()).await.unwrap();
    for _ in 0..200 {
        if client.range(get("ready")).await.is_ok() {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server does not answer");
}

/// Reads one key.
pub fn get(key: &str) -> RangeRequest {
    RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() }
}

/// Writes one key.
pub fn put(key: &str, value: &str) -> PutRequest {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    PutRequest { key, value, ..Default::default() }
}

fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() }
}

/// Everything that a server of one member must do.
pub async fn everything(client: &Client) {
    keys(client).await;
    transactions(client).await;
    errors(client).await;
    leases(client).await;
    watches(client).await;
    maintenance(client).await;
}

async fn keys(client: &Client) {
    let first = client.put(put("keys/a", "1")).await.unwrap().header.unwrap();
    assert!(first.cluster_id != 0 && first.member_id != 0 && first.raft_term > 0, "{first:?}");
    let mut again = put("keys/a", "2");
    again.prev_kv = true;
    let second = client.put(again).await.unwrap();
    assert_eq!(second.header.unwrap().revision, first.revision + 1);
    assert_eq!(second.prev_kv.unwrap().value, "1");
    let found = client.range(get("keys/a")).await.unwrap();
    assert_eq!((found.count, found.more), (1, false));
    let kv = &found.kvs[0];
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (first.revision, first.revision + 1, 2));
    assert_eq!(kv.value, "2");
    let mut old = get("keys/a");
    old.revision = first.revision;
    assert_eq!(client.range(old).await.unwrap().kvs[0].value, "1");
    assert_eq!(client.delete_range(delete("keys/a")).await.unwrap().deleted, 1);
    assert_eq!(client.range(get("keys/a")).await.unwrap().count, 0);
}

async fn transactions(client: &Client) {
    let absent = Compare {
        target: CompareTarget::Version as i32,
        key: Bytes::from("txn/a"),
        target_union: Some(TargetUnion::Version(0)),
        ..Default::default()
    };
    let request = TxnRequest {
        compare: vec![absent],
        success: vec![RequestOp { request: Some(Op::RequestPut(put("txn/a", "x"))) }],
        failure: vec![RequestOp { request: Some(Op::RequestRange(get("txn/a"))) }],
    };
    assert!(client.txn(request.clone()).await.unwrap().succeeded);
    let second = client.txn(request).await.unwrap();
    assert!(!second.succeeded);
    let Some(OpResponse::ResponseRange(range)) = &second.responses[0].response else {
        panic!("not a range: {second:?}");
    };
    assert_eq!(range.kvs[0].value, "x");
}

async fn errors(client: &Client) {
    assert_eq!(client.put(put("", "x")).await.unwrap_err(), KvError::empty_key());
    let mut leased = put("errors/a", "x");
    leased.lease = 4711;
    assert_eq!(client.put(leased).await.unwrap_err(), KvError::lease_not_found());
    let mut future = get("errors/a");
    future.revision = 1 << 40;
    assert_eq!(client.range(future).await.unwrap_err(), KvError::future_revision());
    let large = "x".repeat(1_600_000);
    assert_eq!(client.put(put("errors/large", &large)).await.unwrap_err(), KvError::request_too_large());
    let huge = "x".repeat(3 << 20);
    assert_eq!(client.put(put("errors/huge", &huge)).await.unwrap_err().code, Code::ResourceExhausted);
}

async fn leases(client: &Client) {
    let granted = client.lease_grant(LeaseGrantRequest { ttl: 60, id: 0 }).await.unwrap();
    assert_eq!(granted.ttl, 60);
    let id = granted.id;
    let mut leased = put("leases/a", "x");
    leased.lease = id;
    client.put(leased).await.unwrap();
    let left = client.lease_time_to_live(LeaseTimeToLiveRequest { id, keys: true }).await.unwrap();
    assert_eq!((left.granted_ttl, left.keys), (60, vec![Bytes::from("leases/a")]));
    assert_eq!(client.lease_keep_alive(LeaseKeepAliveRequest { id }).await.unwrap().ttl, 60);
    let mut stream = client.keep_alive_stream(id).await.unwrap();
    assert_eq!(stream.next().await.unwrap().ttl, 60);
    stream.renew(1).await.unwrap();
    assert_eq!(stream.next().await.unwrap().ttl, 0, "a lease that does not exist");
    let all = client.lease_leases(LeaseLeasesRequest {}).await.unwrap();
    assert!(all.leases.iter().any(|lease| lease.id == id));
    let twice = client.lease_grant(LeaseGrantRequest { ttl: 60, id }).await;
    assert_eq!(twice.unwrap_err(), KvError::lease_exists());
    client.lease_revoke(LeaseRevokeRequest { id }).await.unwrap();
    assert_eq!(client.range(get("leases/a")).await.unwrap().count, 0);
    assert_eq!(client.lease_revoke(LeaseRevokeRequest { id }).await.unwrap_err(), KvError::lease_not_found());
}

/// A watcher of everything below `prefix` from `start_revision`.
fn create(prefix: &str, start_revision: i64) -> WatchRequest {
    let key = Bytes::copy_from_slice(prefix.as_bytes());
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    let range_end = Bytes::from(end);
    let create = WatchCreateRequest { key, range_end, start_revision, prev_kv: true, ..Default::default() };
    WatchRequest { request_union: Some(WatchRequestUnion::CreateRequest(create)) }
}

async fn next(watch: &mut Box<dyn WatchStream>) -> WatchResponse {
    tokio::time::timeout(Duration::from_secs(10), watch.next()).await.expect("an event in time").unwrap()
}

async fn watches(client: &Client) {
    let first = client.put(put("watch/a", "1")).await.unwrap().header.unwrap().revision;
    let mut watch = client.watch().await.unwrap();
    watch.request(create("watch/", first)).await.unwrap();
    let created = next(&mut watch).await;
    assert!(created.created && !created.canceled, "{created:?}");
    let history = next(&mut watch).await;
    assert_eq!(history.events[0].kv.as_ref().unwrap().mod_revision, first);
    client.put(put("watch/a", "2")).await.unwrap();
    let live = next(&mut watch).await;
    assert_eq!(live.watch_id, created.watch_id);
    assert_eq!(live.events[0].kv.as_ref().unwrap().value, "2");
    assert_eq!(live.events[0].prev_kv.as_ref().unwrap().value, "1");
    client.delete_range(delete("watch/a")).await.unwrap();
    let gone = next(&mut watch).await;
    assert_eq!(gone.events[0].r#type, EventType::Delete as i32);
    let progress = WatchRequestUnion::ProgressRequest(WatchProgressRequest {});
    watch.request(WatchRequest { request_union: Some(progress) }).await.unwrap();
    let progress = next(&mut watch).await;
    assert_eq!((progress.watch_id, progress.events.len()), (-1, 0));
    let cancel = WatchRequestUnion::CancelRequest(WatchCancelRequest { watch_id: created.watch_id });
    watch.request(WatchRequest { request_union: Some(cancel) }).await.unwrap();
    assert!(next(&mut watch).await.canceled);
    compacted_watch(client, first).await;
}

async fn compacted_watch(client: &Client, first: i64) {
    let revision = client.put(put("watch/b", "1")).await.unwrap().header.unwrap().revision;
    client.compact(CompactionRequest { revision, physical: true }).await.unwrap();
    let again = client.compact(CompactionRequest { revision, physical: false }).await;
    assert_eq!(again.unwrap_err(), KvError::compacted());
    let mut watch = client.watch().await.unwrap();
    watch.request(create("watch/", first)).await.unwrap();
    assert!(next(&mut watch).await.created);
    let ended = next(&mut watch).await;
    assert_eq!((ended.canceled, ended.compact_revision, ended.events.len()), (true, revision, 0));
}

async fn maintenance(client: &Client) {
    let status = client.status().await.unwrap();
    let members = client.member_list(true).await.unwrap().members;
    assert_eq!(members.len(), 1);
    assert_eq!(status.leader, members[0].id);
    assert!(status.db_size > 0 && status.raft_index >= status.raft_applied_index, "{status:?}");
    assert!(!members[0].client_urls.is_empty() && !members[0].peer_urls.is_empty(), "{members:?}");
    let hash = client.hash_kv(0).await.unwrap();
    assert_eq!(hash.hash, client.hash_kv(0).await.unwrap().hash);
    assert!(client.alarm(AlarmRequest::default()).await.unwrap().alarms.is_empty());
    client.defragment().await.unwrap();
    assert_eq!(client.health("").await.unwrap().status, ServingStatus::Serving as i32);
    client.move_leader(status.leader).await.expect("it leads already");
    assert_eq!(client.move_leader(status.leader + 1).await.unwrap_err(), KvError::bad_leader_transferee());
}
