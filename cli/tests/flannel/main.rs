//! flannel as an operator runs it: real daemons on machines of network namespaces, over a real store.
//!
//! Needs root and the packages that `.ci/run` installs.

mod mending;
mod peers;
mod pool;
mod stage;
mod traffic;
