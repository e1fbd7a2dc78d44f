//! What the two directions of a device share with the agent: the peers, the counters, and what is to be said.

use super::counts::Counts;
use super::routes::Routes;
use std::sync::{Arc, Mutex};

/// Notes kept; what comes after them is dropped. Each is said once, so there are never many.
const NOTES: usize = 16;

/// Why a lock is never poisoned.
const LOCK: &str = "no holder panics";

/// Shared by both directions and the agent.
#[derive(Debug, Default)]
pub struct Shared {
    /// What became of packets.
    pub counts: Counts,
    routes: Mutex<Arc<Routes>>,
    notes: Mutex<Vec<String>>,
    failure: Mutex<Option<String>>,
}

impl Shared {
    /// The peers from now on.
    pub fn set_routes(&self, routes: Routes) {
        *self.routes.lock().expect(LOCK) = Arc::new(routes);
    }

    /// The peers now. Held for one batch.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.lock().expect(LOCK).clone()
    }

    /// Says `text` to the operator, unless it was said before.
    pub fn note(&self, text: String) {
        let mut notes = self.notes.lock().expect(LOCK);
        if notes.len() < NOTES && !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// What was said.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().expect(LOCK).clone()
    }

    /// It carries packets no longer. The first reason counts.
    pub fn fail(&self, why: String) {
        self.failure.lock().expect(LOCK).get_or_insert(why);
    }

    /// Why it carries packets no longer, if so.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().expect(LOCK).clone()
    }
}
