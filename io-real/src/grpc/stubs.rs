//! The stubs that `build.rs` generates: for each service a client and a server that know paths and streaming kinds.
#![allow(missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/etcdserverpb.KV.rs"));
include!(concat!(env!("OUT_DIR"), "/etcdserverpb.Watch.rs"));
include!(concat!(env!("OUT_DIR"), "/etcdserverpb.Lease.rs"));
include!(concat!(env!("OUT_DIR"), "/etcdserverpb.Cluster.rs"));
include!(concat!(env!("OUT_DIR"), "/etcdserverpb.Maintenance.rs"));
include!(concat!(env!("OUT_DIR"), "/etcdserverpb.Auth.rs"));
include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.Health.rs"));

pub use k_v_client::KVClient as KvClient;
pub use k_v_server::{KV as Kv, KVServer as KvServer};
