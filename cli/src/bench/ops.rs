//! The workloads of single requests: put, range, txn-put, lease-keepalive.

use super::load::Load;
use super::stats::Outcome;
use bytes::Bytes;
use clap::Args;
use kernel::Kv;
use kernel::rng::mix;
use serde::Serialize;
use wire::*;

/// Flags of `put`.
#[derive(Args, Clone, Serialize)]
pub struct Put {
    /// Key size of put request
    #[arg(long, default_value_t = 8)]
    key_size: usize,
    /// Value size of put request
    #[arg(long, default_value_t = 8)]
    val_size: usize,
    /// Maximum puts per second (0 is no limit)
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Total number of put requests
    #[arg(long, default_value_t = 10_000)]
    total: u64,
    /// Maximum possible keys
    #[arg(long, default_value_t = 1)]
    key_space_size: u64,
    /// Use sequential keys
    #[arg(long)]
    sequential_keys: bool,
}

impl Put {
    pub async fn run(&self, load: Load) -> Outcome {
        let (size, space, sequential) = (self.key_size, self.key_space_size.max(1), self.sequential_keys);
        let value = random_bytes(self.val_size);
        load.run(self.total, self.rate, move |_, client, sequence| {
            let number = if sequential { sequence } else { mix(sequence) };
            let request =
                PutRequest { key: key(number % space, size), value: value.clone(), ..Default::default() };
            async move { client.put(request).await.map(drop) }
        })
        .await
    }
}

/// Flags of `range`.
#[derive(Args, Clone, Serialize)]
pub struct Range {
    /// The key, and the first key beyond the range
    #[arg(required = true, num_args = 1..=2, value_names = ["KEY", "END"])]
    range: Vec<String>,
    /// Maximum range requests per second (0 is no limit)
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Total number of range requests
    #[arg(long, default_value_t = 10_000)]
    total: u64,
    /// Linearizable(l) or Serializable(s)
    #[arg(long, default_value = "l")]
    consistency: String,
    /// Maximum number of results to return from range request (0 is no limit)
    #[arg(long, default_value_t = 0)]
    limit: i64,
    /// Only return the count of keys
    #[arg(long)]
    count_only: bool,
    /// Only return the keys
    #[arg(long)]
    keys_only: bool,
}

impl Range {
    pub async fn run(&self, load: Load) -> Result<Outcome, String> {
        let serializable = match self.consistency.as_str() {
            "l" => false,
            "s" => true,
            other => return Err(format!("--consistency is {other:?}, and must be l or s")),
        };
        let bytes = |index| self.range.get(index).map_or(Bytes::new(), |text: &String| text.clone().into());
        let request = RangeRequest {
            key: bytes(0),
            range_end: bytes(1),
            serializable,
            limit: self.limit,
            count_only: self.count_only,
            keys_only: self.keys_only,
            ..Default::default()
        };
        let send = move |_, client: io_real::client::Client, _| {
            let request = request.clone();
            async move { client.range(request).await.map(drop) }
        };
        Ok(load.run(self.total, self.rate, send).await)
    }
}

/// Flags of `txn-put`.
#[derive(Args, Clone, Serialize)]
pub struct TxnPut {
    /// Key size of txn put
    #[arg(long, default_value_t = 8)]
    key_size: usize,
    /// Value size of txn put
    #[arg(long, default_value_t = 8)]
    val_size: usize,
    /// Number of puts per txn
    #[arg(long, default_value_t = 1)]
    txn_ops: u64,
    /// Maximum txns per second (0 is no limit)
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Total number of txn requests
    #[arg(long, default_value_t = 10_000)]
    total: u64,
    /// Maximum possible keys
    #[arg(long, default_value_t = 1)]
    key_space_size: u64,
}

impl TxnPut {
    pub async fn run(&self, load: Load) -> Result<Outcome, String> {
        let (ops, size, space) = (self.txn_ops, self.key_size, self.key_space_size);
        if ops > space {
            return Err(format!(
                "--key-space-size is {space}, and must be at least --txn-ops ({ops}): a transaction writes no key twice"
            ));
        }
        let value = random_bytes(self.val_size);
        let send = move |_, client: io_real::client::Client, sequence: u64| {
            let put = |index| {
                let key = key((sequence * ops + index) % space, size);
                let put = PutRequest { key, value: value.clone(), ..Default::default() };
                RequestOp { request: Some(Op::RequestPut(put)) }
            };
            let request = TxnRequest { success: (0..ops).map(put).collect(), ..Default::default() };
            async move { client.txn(request).await.map(drop) }
        };
        Ok(load.run(self.total, self.rate, send).await)
    }
}

/// Flags of `lease-keepalive`.
#[derive(Args, Clone, Serialize)]
pub struct LeaseKeepalive {
    /// Total number of renewals
    #[arg(long, default_value_t = 10_000)]
    total: u64,
    /// Maximum renewals per second (0 is no limit)
    #[arg(long, default_value_t = 0)]
    rate: u64,
}

impl LeaseKeepalive {
    pub async fn run(&self, load: Load) -> Result<Outcome, String> {
        let mut leases = Vec::with_capacity(load.clients());
        for number in 0..load.clients() {
            let granted = load.connection(number).lease_grant(LeaseGrantRequest { ttl: 100, id: 0 }).await;
            leases.push(granted.map_err(|error| format!("cannot grant a lease: {}", error.message))?.id);
        }
        let leases = std::sync::Arc::new(leases);
        let send = move |number: usize, client: io_real::client::Client, _| {
            let request = LeaseKeepAliveRequest { id: leases[number] };
            async move { client.lease_keep_alive(request).await.map(drop) }
        };
        Ok(load.run(self.total, self.rate, send).await)
    }
}

/// A key of `size` bytes that begins with `number` as a zigzag varint, as in etcd's tool; longer where the varint is.
pub fn key(number: u64, size: usize) -> Bytes {
    let mut key = Vec::with_capacity(size.max(10));
    let mut rest = number << 1;
    while rest >= 0x80 {
        key.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    key.push(rest as u8);
    if key.len() < size {
        key.resize(size, 0);
    }
    key.into()
}

/// Bytes that do not compress.
pub fn random_bytes(count: usize) -> Bytes {
    (0..count as u64).map(|index| mix(index) as u8).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_size_and_differ() {
        assert_eq!(key(0, 4), &b"\0\0\0\0"[..]);
        assert_eq!(key(64, 4), &b"\x80\x01\0\0"[..]);
        let keys: std::collections::BTreeSet<Bytes> = (0..10_000).map(|number| key(number, 8)).collect();
        assert_eq!(keys.len(), 10_000);
        assert!(keys.iter().all(|key| key.len() == 8));
    }
}
