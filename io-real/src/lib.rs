//! The one crate that touches this machine: each port of `kernel` once, and the edges that clients see.
//!
//! [`client`] speaks to any etcd v3 server; [`grpc`] and [`http`] put a member behind etcd's client port, which
//! [`serve`] listens on. Names of tonic, hyper and tokio's I/O stay inside this crate.
#![deny(unsafe_code)]

pub mod client;
mod grpc;
pub mod ports;
