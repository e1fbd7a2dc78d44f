//! Every message of etcd's public gRPC API under one roof: `wire::PutRequest`, `wire::StatusResponse`, and so on.
//!
//! The messages are prost derives written by hand with etcd's field numbers (package `etcdserverpb` of 3.7, `authpb`,
//! `grpc.health.v1`), so the build needs neither protoc nor generated code. What the replicated store itself works on
//! (keys, transactions, leases, watches) lives in `kernel` and is only re-exported here; the other services follow, one
//! file each. Field names are etcd's in snake case, which is also what the JSON gateway prints.
//!
//! This crate does not know how a message travels, nor what answers it.
#![forbid(unsafe_code)]

pub mod auth;
pub mod cluster;
pub mod health;
pub mod kv;
pub mod maintenance;
#[cfg(test)]
mod tests;

pub use auth::*;
pub use cluster::*;
pub use health::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
pub use kernel::lease::*;
pub use kernel::txn::*;
pub use kernel::types::*;
pub use kernel::watch::*;
pub use kv::*;
pub use maintenance::*;
