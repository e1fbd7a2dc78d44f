//! flannel as an operator runs it: real daemons on machines of network namespaces, over a real store.
//!
//! Needs root and the packages that `.ci/run` installs.

mod families;
mod many;
mod mending;
mod peers;
mod pool;
mod ratios;
mod stage;
mod store;
mod traffic;
mod trouble;
