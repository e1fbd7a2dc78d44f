//! The one crate that touches this machine: each port of `kernel` once, and the edges that clients see.
//!
//! [`client`] speaks to any etcd v3 server. [`server`] listens on etcd's client port and puts a [`served::Served`] member
//! behind it: gRPC services in `grpc`, plain pages in `http`, told apart in `front`. Names of tonic, hyper and tokio's I/O
//! stay inside this crate.
#![deny(unsafe_code)]

pub mod client;
pub mod flannel;
pub mod fleet;
pub mod fleet_client;
mod front;
mod grpc;
#[cfg(feature = "hosts")]
pub mod hosts;
mod http;
pub mod links;
mod lively;
mod member;
mod meter;
mod metrics;
#[cfg(feature = "hosts")]
pub mod namespaces;
pub mod ports;
pub mod process;
#[cfg(feature = "rig")]
pub mod rig;
pub mod served;
pub mod server;
pub mod skip;
mod stopping;
pub mod systemd;
pub mod tls;
pub mod trim;
pub mod tun;

pub use server::serve;
