//! The workloads of watches.
//!
//! Each value that is put carries the number of its put. A watcher looks up when that put was sent and so knows how long its
//! event took, on one clock. Puts go round the watched keys and watchers are spread over them, so each stream knows how
//! many events it must see; what has not come long after the last put is missing, and an error.

use super::load::{Load, Pace};
use super::ops::{key, random_bytes};
use super::stats::Outcome;
use bytes::{BufMut, Bytes, BytesMut};
use clap::Args;
use io_real::client::Client;
use kernel::{Kv, KvError, WatchStream};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wire::*;

/// Silence after which the events that have not come count as missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Flags of `watch`.
#[derive(Args, Clone, Serialize)]
pub struct Watch {
    /// Total watch streams
    #[arg(long, default_value_t = 10)]
    streams: usize,
    /// Total watchers per stream
    #[arg(long, default_value_t = 100)]
    watch_per_stream: usize,
    /// Total number of keys to be watched
    #[arg(long, default_value_t = 1)]
    watched_key_total: u64,
    /// Maximum puts per second (0 is no limit)
    #[arg(long, default_value_t = 0)]
    put_rate: u64,
    /// Number of put requests
    #[arg(long, default_value_t = 1_000)]
    put_total: u64,
    /// Key size of watched keys
    #[arg(long, default_value_t = 32)]
    key_size: usize,
}

impl Watch {
    pub async fn run(&self, load: Load) -> Result<Outcome, String> {
        let plan = Plan {
            streams: self.streams,
            watchers: self.watch_per_stream,
            keys: self.watched_key_total.max(1),
            puts: self.put_total,
            rate: self.put_rate,
            key_size: self.key_size,
            value_size: 8,
            prev_kv: false,
        };
        plan.run(load).await
    }
}

/// Flags of `watch-latency`.
#[derive(Args, Clone, Serialize)]
pub struct WatchLatency {
    /// Total watch streams
    #[arg(long, default_value_t = 10)]
    streams: usize,
    /// Total number of watchers per stream
    #[arg(long, default_value_t = 10)]
    watchers_per_stream: usize,
    /// Number of put requests
    #[arg(long, default_value_t = 1_000)]
    put_total: u64,
    /// Maximum puts per second (0 is no limit)
    #[arg(long, default_value_t = 100)]
    put_rate: u64,
    /// Key size of watch response
    #[arg(long, default_value_t = 32)]
    key_size: usize,
    /// Value size of watch response
    #[arg(long, default_value_t = 32)]
    val_size: usize,
    /// PrevKV enabled on watch requests
    #[arg(long)]
    prevkv: bool,
}

impl WatchLatency {
    pub async fn run(&self, load: Load) -> Result<Outcome, String> {
        let plan = Plan {
            streams: self.streams,
            watchers: self.watchers_per_stream,
            keys: 1,
            puts: self.put_total,
            rate: self.put_rate,
            key_size: self.key_size,
            value_size: self.val_size.max(8),
            prev_kv: self.prevkv,
        };
        plan.run(load).await
    }
}

/// A run of watches.
struct Plan {
    streams: usize,
    watchers: usize,
    keys: u64,
    puts: u64,
    rate: u64,
    key_size: usize,
    value_size: usize,
    prev_kv: bool,
}

/// When each put was sent, in nanoseconds after `start`.
struct Sent {
    start: Instant,
    at: Vec<AtomicU64>,
}

impl Plan {
    async fn run(&self, load: Load) -> Result<Outcome, String> {
        let creating = Instant::now();
        let mut streams = Vec::with_capacity(self.streams);
        for number in 0..self.streams {
            let opened = self.open(load.connection(number), number).await;
            streams.push(opened.map_err(|error| format!("cannot watch: {}", error.message))?);
        }
        let watchers = self.streams * self.watchers;
        let rate = watchers as f64 / creating.elapsed().as_secs_f64();
        let remark = format!("Watch creation: {watchers} watchers, {rate:.1} per second");

        let sent =
            Arc::new(Sent { start: Instant::now(), at: (0..self.puts).map(|_| AtomicU64::new(0)).collect() });
        let expected: Vec<u64> = (0..self.streams).map(|number| self.expected(number)).collect();
        let pace = Arc::new(Pace::new(expected.iter().sum(), 0));
        let drawing = pace.clone().draw();
        let readers = streams
            .into_iter()
            .zip(expected)
            .map(|(stream, expected)| tokio::spawn(read(stream, expected, sent.clone(), pace.clone())));
        let readers: Vec<_> = readers.collect();
        let puts = self.put(&load, sent.clone()).await;
        let mut outcome = Outcome { errors: puts.errors, remarks: vec![remark], ..Outcome::default() };
        for reader in readers {
            outcome.merge(reader.await.expect("a reader of events does not panic"));
        }
        outcome.elapsed = sent.start.elapsed();
        drawing.stop();
        outcome.remarks.push(format!(
            "Puts: {} per second; all further figures are events",
            puts.latencies.len() as f64 / puts.elapsed.as_secs_f64()
        ));
        Ok(outcome)
    }

    /// The key that watcher `watcher` of stream `stream` watches.
    fn watched(&self, stream: usize, watcher: usize) -> u64 {
        (stream * self.watchers + watcher) as u64 % self.keys
    }

    /// Events that stream `stream` must see: put n goes to key n modulo the keys.
    fn expected(&self, stream: usize) -> u64 {
        let puts_of = |key: u64| self.puts / self.keys + u64::from(key < self.puts % self.keys);
        (0..self.watchers).map(|watcher| puts_of(self.watched(stream, watcher))).sum()
    }

    /// A stream with its watchers, all made.
    async fn open(&self, client: Client, number: usize) -> Result<Box<dyn WatchStream>, KvError> {
        let mut stream = client.watch().await?;
        for watcher in 0..self.watchers {
            let create = WatchCreateRequest {
                key: key(self.watched(number, watcher), self.key_size),
                prev_kv: self.prev_kv,
                ..Default::default()
            };
            let request_union = Some(WatchRequestUnion::CreateRequest(create));
            stream.request(WatchRequest { request_union }).await?;
            let response = stream.next().await?;
            if response.canceled {
                return Err(KvError::new(kernel::Code::Canceled, response.cancel_reason));
            }
        }
        Ok(stream)
    }

    async fn put(&self, load: &Load, sent: Arc<Sent>) -> Outcome {
        let (keys, key_size) = (self.keys, self.key_size);
        let padding = random_bytes(self.value_size - 8);
        let send = move |_, client: Client, sequence: u64| {
            let value = numbered(sequence, &padding);
            let request = PutRequest { key: key(sequence % keys, key_size), value, ..Default::default() };
            sent.at[sequence as usize].store(sent.start.elapsed().as_nanos() as u64, Relaxed);
            async move { client.put(request).await.map(drop) }
        };
        load.run(self.puts, self.rate, send).await
    }
}

fn numbered(sequence: u64, padding: &[u8]) -> Bytes {
    let mut value = BytesMut::with_capacity(8 + padding.len());
    value.put_u64(sequence);
    value.extend_from_slice(padding);
    value.freeze()
}

/// Reads `expected` events and measures each from the sending of its put.
async fn read(mut stream: Box<dyn WatchStream>, expected: u64, sent: Arc<Sent>, pace: Arc<Pace>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut seen = 0;
    while seen < expected {
        let response = match tokio::time::timeout(PATIENCE, stream.next()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                outcome.errors.insert(error.message, expected - seen);
                break;
            }
            Err(_) => {
                outcome.errors.insert("event missing".to_string(), expected - seen);
                break;
            }
        };
        let now = sent.start.elapsed().as_nanos() as u64;
        for event in &response.events {
            let number = event.kv.as_ref().and_then(|kv| kv.value.first_chunk::<8>());
            let number = number.map_or(usize::MAX, |bytes| u64::from_be_bytes(*bytes) as usize);
            if let Some(at) = sent.at.get(number) {
                outcome.latencies.push(now.saturating_sub(at.load(Relaxed)) as f64 / 1e9);
                seen += 1;
                pace.count();
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_expected_once() {
        fn holds(streams: u8, watchers: u8, keys: u8, puts: u16) -> bool {
            let (streams, watchers, keys) =
                (streams as usize % 8, watchers as usize % 8, u64::from(keys % 8) + 1);
            let (puts, rate, key_size, value_size) = (u64::from(puts % 100), 0, 8, 8);
            let plan = Plan { streams, watchers, keys, puts, rate, key_size, value_size, prev_kv: false };
            let mut by_put = vec![0; streams];
            for put in 0..puts {
                for (stream, events) in by_put.iter_mut().enumerate() {
                    *events +=
                        (0..watchers).filter(|&w| plan.watched(stream, w) == put % keys).count() as u64;
                }
            }
            (0..streams).all(|stream| plan.expected(stream) == by_put[stream])
        }
        quickcheck::quickcheck(holds as fn(u8, u8, u8, u16) -> bool);
    }
}
