//! The simulated client against a real cluster in the invented world.

use super::SimKv;
use crate::cluster::Cluster;
use crate::plan::Plan;
use crate::room::run_sealed;
use crate::storm::Storm;
use crate::world::World;
use bytes::Bytes;
use kernel::types::{PutRequest, RangeRequest};
use kernel::watch::{WatchCreateRequest, WatchRequest, WatchRequestUnion};
use kernel::{Kv, KvError};
use std::sync::Arc;
use std::time::Duration;

/// Runs `tell` with a client of a cluster of three under `faults`.
fn story<F: Future<Output = ()> + Send + 'static>(
    faults: &str,
    tell: impl FnOnce(World, SimKv) -> F + Send + 'static,
) {
    let text = format!("plan seed=3 members=3 clients=1 calm=60000ms end=90000ms\n{faults}\n");
    let plan = Arc::new(Plan::parse(&text).unwrap());
    run_sealed(3, move |world| {
        let cluster = Cluster::new(world, plan);
        let node = world.add_node("f1");
        let _storm = Storm::gather(&cluster);
        world.start(node);
        cluster.members().for_each(|member| cluster.start(member));
        world.run_until(Duration::from_secs(3));
        let kv = SimKv::new(&cluster, node, 1);
        let done = world.complete(Duration::from_secs(80), tell(world.clone(), kv));
        assert_eq!(world.failures(), []);
        assert!(done.is_some(), "the story has an end");
        cluster.let_go();
    });
}

async fn put(kv: &SimKv, value: &str) -> Result<i64, KvError> {
    let value = Bytes::from(value.to_string());
    let put = kv.put(PutRequest { key: "k".into(), value, ..Default::default() }).await?;
    Ok(put.header.map_or(0, |header| header.revision))
}

#[test]
fn writes_are_read_and_watched() {
    story("", |_, kv| async move {
        let mut stream = kv.watch().await.unwrap();
        let create = WatchCreateRequest { key: "k".into(), ..Default::default() };
        let request = WatchRequest { request_union: Some(WatchRequestUnion::CreateRequest(create)) };
        stream.request(request).await.unwrap();
        assert!(stream.next().await.unwrap().created);
        for number in 0..100 {
            put(&kv, &number.to_string()).await.unwrap();
        }
        let mut seen = 0;
        while seen < 100 {
            for event in stream.next().await.unwrap().events {
                assert_eq!(event.kv.unwrap().value, seen.to_string(), "each change once, in order");
                seen += 1;
            }
        }
        let range = kv.range(RangeRequest { key: "k".into(), ..Default::default() }).await.unwrap();
        assert_eq!(range.kvs[0].value, "99");
    });
}

#[test]
fn a_stream_ends_when_its_member_is_cut_off_and_calls_go_elsewhere() {
    // The fault strikes every link of member 1: to the client as well.
    story("fault power-loss at=5000ms for=20000ms on=1", |world, kv| async move {
        let mut stream = kv.watch().await.unwrap();
        world.sleep_until(Duration::from_secs(6)).await;
        let error = stream.next().await.unwrap_err();
        assert!(!error.is_definite(), "{error:?}");
        assert!(world.now() < Duration::from_secs(9), "silence is noticed");
        let mut outcomes = Vec::new();
        while outcomes.len() < 5 {
            outcomes.push(put(&kv, "x").await.is_ok());
        }
        assert!(outcomes.ends_with(&[true, true]), "another member is found: {outcomes:?}");
    });
}
