//! The contract suites: what each port promises, as code that runs against any implementation.
//!
//! A case is a named function that panics where a promise is broken. It is written against the traits alone, and each runs
//! with ports of its own, made fresh by whoever implements them: `io-real` on this machine, `io-sim` in the invented world,
//! there over many seeds. Where the two worlds differ, one of them is wrong.

pub mod clock;
pub mod disk;
pub mod net;
pub mod spawn;
