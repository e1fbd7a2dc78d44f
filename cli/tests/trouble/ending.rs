//! Ends, asked for and sudden, and the log that they leave.

use crate::process::{Alone, client, keys, put, runtime};
use std::time::{Duration, Instant};

#[test]
fn every_end_leaves_everything_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = Alone::new(&folder.path().join("data"), 24_150);
    let runtime = runtime();
    let mut expected = std::collections::BTreeSet::new();
    for (life, signal) in ["TERM", "INT", "KILL", "TERM"].into_iter().enumerate() {
        member.start();
        let client = runtime.block_on(client(&member.endpoint()));
        runtime.block_on(async {
            assert_eq!(keys(&client, "k", false).await, expected, "before life {life}");
            for number in 0..20 {
                let key = format!("k{life}/{number}");
                put(&client, &key, 100).await.unwrap();
                expected.insert(key);
            }
        });
        // The client stays connected: an open connection must not hold up the end.
        let asked = Instant::now();
        let status = member.end(signal);
        let took = asked.elapsed();
        if signal != "KILL" {
            assert_eq!(status.code(), Some(0), "{signal}: {status:?}\n{}", member.printed());
            assert!(took < Duration::from_secs(2), "{signal} took {took:?}");
        }
    }
    for line in member.printed().lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        let parsed = parsed.unwrap_or_else(|error| panic!("no JSON: {error}: {line}"));
        ["level", "ts", "msg"].iter().for_each(|field| assert!(parsed[field].is_string(), "{line}"));
    }
}
