//! The bar on a terminal; nothing elsewhere, so that logs stay readable.

use crate::coverage::Coverage;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 24;
const REDRAW: Duration = Duration::from_millis(200);

/// A progress bar on standard error.
pub struct Progress {
    shown: bool,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    /// A bar that is drawn only on a terminal.
    pub fn new(began: Instant) -> Self {
        Progress { shown: std::io::stderr().is_terminal(), began, drawn: None }
    }

    /// Draws, at most a few times a second. `done` is the part that is done, 0 to 1.
    pub fn draw(&mut self, coverage: &Coverage, done: f64) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let elapsed = self.began.elapsed().as_secs_f64();
        let done = done.clamp(0.0, 1.0);
        let filled = (done * WIDTH as f64) as usize;
        let left = if done > 0.0 { elapsed / done - elapsed } else { 0.0 };
        eprint!(
            "\r\x1b[K[{}{}] {} runs, {:.1}/s, {:.0}x, {} failed, {left:.0} s left",
            "=".repeat(filled),
            " ".repeat(WIDTH - filled),
            coverage.runs,
            coverage.runs as f64 / elapsed.max(1e-9),
            coverage.ratio(),
            coverage.failures.len()
        );
        let _ = std::io::stderr().flush();
    }

    /// Takes the bar away, so that something else can be printed.
    pub fn clear(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
            self.drawn = None;
        }
    }
}
