//! The seam: every port through which Orlop touches a world, and the request types that all rings share.
//!
//! A port is a small object-safe trait with a contract in prose; `io-real` implements each once for the machine we run on,
//! `io-sim` once for the world we invent, and the suites in `contract` hold both to the same promises. Code in `core/`
//! gets its ports from an [`Io`] that is handed down at start, never from a global.
//!
//! This crate does not know what is stored, how it is replicated, or which world it runs in.
#![forbid(unsafe_code)]

pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod disk;
pub mod error;
pub mod inbox;
pub mod io;
pub mod kv;
pub mod lease;
#[cfg(feature = "memory")]
pub mod memory;
pub mod net;
pub mod planted;
pub mod probe;
pub mod rng;
pub mod spawn;
pub mod txn;
pub mod types;
pub mod watch;

pub use clock::Clock;
pub use disk::{Disk, File, Open};
pub use error::{Code, KvError};
pub use io::Io;
pub use kv::{Kv, WatchStream};
pub use net::{Connection, FrameReceiver, FrameSender, Listener, Net};
pub use planted::{Bug, Planted};
pub use probe::Probe;
pub use spawn::{Spawn, Worker};

/// A boxed future that may move between threads: the shape of every waiting verb of a port.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
