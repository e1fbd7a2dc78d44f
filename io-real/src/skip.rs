//! How a test says that it cannot be run here: on standard error, past the test harness, which keeps what passing tests print to itself.

use std::io::Write as _;

/// Set where a skip is a failure: in continuous integration, which installs whatever tests need.
pub const STRICT: &str = "ORLOP_SKIP_IS_FAILURE";

/// Says that the test of this thread is skipped, and why.
///
/// # Panics
/// Where the environment has [`STRICT`].
pub fn skipped(why: &str) {
    assert!(std::env::var_os(STRICT).is_none(), "{why}, and a skip is a failure here");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Nobody is left to tell if that fails.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}
