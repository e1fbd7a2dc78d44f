//! The client against the real etcd: what it takes for granted is etcd's, not ours.

mod common;

use common::{Etcd, free_port, suite};
use io_real::client::{Client, Options};
use kernel::{Code, Kv};
use std::time::{Duration, Instant};

#[tokio::test]
async fn every_call_works_against_etcd() {
    let Some(etcd) = Etcd::start() else { return };
    suite::everything(&suite::client(&[&etcd.endpoint]).await).await;
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_nothing_but_the_attempt() {
    let Some(etcd) = Etcd::start() else { return };
    let down = format!("127.0.0.1:{}", free_port());
    let client = suite::client(&[&down, &etcd.endpoint]).await;
    client.put(suite::put("a", "1")).await.unwrap();
    assert_eq!(client.range(suite::get("a")).await.unwrap().kvs[0].value, "1");
}

#[tokio::test]
async fn calls_and_streams_fail_over_when_their_server_dies() {
    let (Some(mut first), Some(second)) = (Etcd::start(), Etcd::start()) else { return };
    suite::client(&[&second.endpoint]).await;
    let client = suite::client(&[&first.endpoint, &second.endpoint]).await;
    let before = client.range(suite::get("a")).await.unwrap().header.unwrap().member_id;
    let mut keep_alive = client.keep_alive_stream(1).await.unwrap();
    assert_eq!(keep_alive.next().await.unwrap().ttl, 0);
    first.kill();
    assert_eq!(keep_alive.next().await.unwrap_err().code, Code::Unavailable);
    assert_eq!(keep_alive.next().await.unwrap_err().code, Code::Unavailable, "it stays ended");
    let after = client.range(suite::get("a")).await.unwrap().header.unwrap().member_id;
    assert_ne!(before, after);
}

#[tokio::test]
async fn nobody_answers() {
    let endpoint = format!("127.0.0.1:{}", free_port());
    let client = Client::connect(vec![endpoint.clone()], Options::default()).await.unwrap();
    let error = client.range(suite::get("a")).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains(&endpoint), "{error}");
}

#[tokio::test]
async fn a_server_that_takes_the_connection_and_is_silent_runs_into_the_command_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let options = Options { command_timeout: Some(Duration::from_millis(200)), ..Options::default() };
    let client = Client::connect(vec![endpoint], options).await.unwrap();
    let started = Instant::now();
    let error = client.put(suite::put("a", "1")).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded);
    assert!(!error.is_definite() && started.elapsed() < Duration::from_secs(2));
}

/// A machine without power sends no farewell: what listens on its connection must move on when a call has waited in vain.
#[tokio::test]
async fn a_watch_does_not_stay_with_a_server_that_fell_silent() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = format!("127.0.0.1:{}", free_port());
    let endpoints = vec![silent.local_addr().unwrap().to_string(), other];
    let options = Options {
        command_timeout: Some(Duration::from_millis(200)),
        moves_whole: true,
        ..Options::default()
    };
    let client = Client::connect(endpoints, options).await.unwrap();
    let mut keep_alive = client.keep_alive_stream(1).await.unwrap();
    let deaf = tokio::time::timeout(Duration::from_millis(50), keep_alive.next()).await;
    assert!(deaf.is_err(), "nothing ends it by itself");
    let error = client.put(suite::put("a", "1")).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded);
    let ended = tokio::time::timeout(Duration::from_secs(2), keep_alive.next()).await;
    assert_eq!(ended.expect("it ends with its connection").unwrap_err().code, Code::Unavailable);
}

#[test]
fn a_server_on_this_machine_is_asked_first_and_others_are_spread() {
    let here = ["http://192.0.2.1:2379", "http://127.0.0.1:2379", "http://192.0.2.2:2379"].map(String::from);
    assert_eq!(io_real::client::nearest(&here, "any"), 1);
    let far = ["192.0.2.1:2379", "store.example:2379", "https://[2001:db8::1]:2379"].map(String::from);
    let first: std::collections::BTreeSet<usize> =
        (0..50).map(|seed| io_real::client::nearest(&far, &seed.to_string())).collect();
    assert_eq!(first.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
}
