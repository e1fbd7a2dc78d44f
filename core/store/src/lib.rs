//! The replicated store: a member of a cluster that keeps one key-value state through crashes, power loss and partitions.
//!
//! The way of a write, one file a stage: [`api`] validates it into a command · `node` hands it to consensus · `persist` writes
//! it to the log while `peers` carries it to the others · `apply` changes the state once a quorum has it durably · the reply
//! goes back. A linearizable read waits in `reads` for a quorum to confirm that this state is new enough. `recovery` is how a
//! member begins (`owner`: whose the directory is), `snapshot` how one that lags too far gets the state whole, `lease` and `lessor`
//! what only a leader knows. When a disk goes bad: `scrub` looks for it, `repair` and `salvage` mend it, `marks`, `audit` and `standing` tell
//! members apart that should be equal.
//!
//! This crate does not know what a socket, a file or a thread is: it has the ports of `kernel`. It does not know gRPC.
#![forbid(unsafe_code)]

mod admit;
mod amnesia;
pub mod api;
mod apply;
mod audit;
mod check;
pub mod config;
mod ending;
pub mod error;
mod event;
mod frame;
mod identity;
mod lease;
mod lessor;
mod marks;
mod member;
mod membership;
pub mod meter;
mod node;
mod owner;
mod peers;
mod persist;
mod planted;
mod proposal;
mod quiet;
mod reads;
mod recall;
mod recovery;
mod repair;
mod salvage;
mod scrub;
mod shared;
mod snapshot;
mod standing;
mod timed;
mod upkeep;
mod watch;

pub use config::{MemberConfig, Observation, Observer, Peer};
pub use error::{FatalError, StartError};
pub use frame::PROTOCOL;
pub use member::Member;
pub use shared::{Counters, Shared, Status};
