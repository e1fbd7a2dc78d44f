//! Named points in rare branches: a campaign reports which were never reached.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Counts how often named points were reached. Cheap when nobody listens, which is always so in production.
#[derive(Clone, Default)]
pub struct Probe(Option<Arc<Mutex<BTreeMap<&'static str, u64>>>>);

impl Probe {
    /// A probe that counts.
    pub fn counting() -> Self {
        Probe(Some(Arc::default()))
    }

    /// Says that the branch `name` was reached. Names read `part: what happened`.
    pub fn sometimes(&self, name: &'static str) {
        if let Some(counts) = &self.0 {
            *counts.lock().expect("no holder panics").entry(name).or_default() += 1;
        }
    }

    /// What was reached so far, and how often.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.as_ref().map(|counts| counts.lock().expect("no holder panics").clone()).unwrap_or_default()
    }
}
