//! Bad input and trouble, on the real program, as an operator meets it: what is refused, with which code and words, and what
//! is left behind; which damage is survived and which ends the process; that nothing acknowledged is ever lost.
//!
//! What needs root or a tool of the machine says so when it is skipped; with `ORLOP_SKIP_IS_FAILURE` a skip is a failure.

#[path = "../common/mod.rs"]
mod common;

mod damage;
mod disk;
mod ending;
mod formats;
mod process;
mod refusals;
mod strangers;
