//! What an operator should be told, each thing once.

use kernel::KvError;
use std::collections::BTreeMap;

/// Notes that wait to be shown.
#[derive(Debug, Default)]
pub(super) struct Notes {
    waiting: Vec<String>,
    /// Keys that were told of, and the revision at which each was.
    told: BTreeMap<String, i64>,
    /// The last trouble with each thing that is done, so that it is told of once and not once a try.
    troubles: BTreeMap<&'static str, KvError>,
}

impl Notes {
    /// Says it.
    pub(super) fn say(&mut self, note: String) {
        self.waiting.push(note);
    }

    /// Says it, unless it was said of this key at this revision.
    pub(super) fn about(&mut self, name: &str, revision: i64, note: String) {
        if self.told.insert(name.to_owned(), revision) != Some(revision) {
            self.say(note);
        }
    }

    /// The key is gone.
    pub(super) fn forget(&mut self, name: &str) {
        self.told.remove(name);
    }

    /// Something failed: says so, unless it failed for the same reason the last time.
    pub(super) fn trouble(&mut self, what: &'static str, error: &KvError) {
        if self.troubles.get(what) != Some(error) {
            self.say(format!("{what} failed: {error}; trying again"));
            self.troubles.insert(what, error.clone());
        }
    }

    /// The store does what it is asked.
    pub(super) fn calm(&mut self) {
        self.troubles.clear();
    }

    /// What there is to say now.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.waiting)
    }
}
