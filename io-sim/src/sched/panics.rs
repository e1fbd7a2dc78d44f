//! Panics of simulated tasks, caught with their place and kept off the terminal: a campaign runs thousands of seeds, and the
//! panic is reported once, as the failure of its run.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

static INSTALL: Once = Once::new();

/// Runs `f`; a panic in it becomes `Err` with its message and place.
pub(super) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    INSTALL.call_once(install_hook);
    let outer = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    CATCHING.set(outer);
    result.map_err(|_| LAST.take().unwrap_or_else(|| "a panic without a message".to_string()))
}

fn install_hook() {
    let usual = take_hook();
    set_hook(Box::new(move |info| {
        if CATCHING.get() {
            let text = info.payload_as_str().unwrap_or("a panic without a text");
            let place = info.location().map(|place| place.to_string()).unwrap_or_default();
            LAST.set(Some(format!("panicked at {place}: {text}")));
        } else {
            usual(info);
        }
    }));
}
