//! What an operator should be told, each thing once.

use std::collections::BTreeMap;

/// Notes that wait to be shown.
#[derive(Debug, Default)]
pub(super) struct Notes {
    waiting: Vec<String>,
    /// Keys that were told of, and the revision at which each was.
    told: BTreeMap<String, i64>,
    /// The last trouble with the store, so that it is told of once and not once a try.
    trouble: Option<String>,
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

    /// A call failed: says so, unless the one before it failed for the same reason.
    pub(super) fn trouble(&mut self, text: String) {
        if self.trouble.as_ref() != Some(&text) {
            self.say(text.clone());
            self.trouble = Some(text);
        }
    }

    /// A call went well.
    pub(super) fn calm(&mut self) {
        self.trouble = None;
    }

    /// What there is to say now.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.waiting)
    }
}
