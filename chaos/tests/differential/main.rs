//! The models are held to reality: random sequences of operations go through the real and through the invented Disk and Net, and
//! all that the ports' contracts fix must come out alike.
//!
//! This stands in `chaos` because it is the one crate that links both worlds. A sequence that differs is shrunk by quickcheck
//! and printed, with the two outcomes side by side. The contract suites of `kernel` say what each world must do; this says that
//! they agree where nobody had thought of a case.

mod disk;
mod net;
