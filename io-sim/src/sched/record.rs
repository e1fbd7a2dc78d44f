//! What a run leaves behind: its failures, the digest of all that happened, and the lines of its trace.

use super::digest::Kind;
use super::owner::NodeId;
use super::{Failure, Sched, TraceSink};
use std::sync::atomic::Ordering;

impl Sched {
    /// Records that the run is bad.
    pub fn fail(&self, node: NodeId, text: String) {
        self.trace(node, || format!("FAILURE {text}"));
        self.lock().fail(node, text);
    }

    /// Every failure so far, first one first.
    pub fn failures(&self) -> Vec<Failure> {
        self.lock().failures.clone()
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.lock().failures.is_empty()
    }

    /// Adds something to the digest.
    pub fn note(&self, kind: Kind, node: NodeId, detail: u64) {
        let mut state = self.lock();
        let now = state.now;
        state.digest.note(now, kind, node.0, detail);
    }

    /// The hash of all that has happened, and how many events that was.
    pub fn digest(&self) -> (u64, u64) {
        let digest = self.lock().digest;
        (digest.hash(), digest.events())
    }

    /// Sends lines of text about what happens to `sink` from now on. The sink must not call into the world: some lines are
    /// written in the middle of a verb.
    pub fn set_trace(&self, sink: Option<TraceSink>) {
        self.0.tracing.store(sink.is_some(), Ordering::Relaxed);
        *self.0.sink.lock().expect("no holder panics") = sink;
    }

    /// Writes a line, which is formatted only if somebody reads it.
    pub fn trace(&self, node: NodeId, line: impl FnOnce() -> String) {
        if self.0.tracing.load(Ordering::Relaxed) {
            let now = self.now();
            let line = line();
            if let Some(sink) = self.0.sink.lock().expect("no holder panics").as_mut() {
                sink(now, node, &line);
            }
        }
    }
}
