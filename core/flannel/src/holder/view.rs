//! What the store holds, as far as the watch has told.

use super::notes::Notes;
use crate::config::NetworkConfig;
use crate::registry::{Event, Loaded, Spoilt};
use crate::subnet::{Lease, SubnetKey};
use kernel::{Bug, Planted};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The store at one revision.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The revision.
    pub(super) revision: i64,
    /// The last config that could be read.
    pub(super) config: Option<NetworkConfig>,
    /// Leases by key; where one was spoilt, as it was before.
    pub(super) leases: Arc<BTreeMap<SubnetKey, Arc<Lease>>>,
    /// Keys whose value cannot be read, and the revision of that.
    pub(super) spoilt: BTreeMap<SubnetKey, i64>,
    pub(super) planted: Planted,
}

impl View {
    /// Takes over what was read anew. What cannot be read now stays as it was known before.
    pub(super) fn load(&mut self, loaded: Loaded, notes: &mut Notes) {
        assert!(loaded.revision > 0, "a store that was read has a revision");
        let before = std::mem::take(&mut self.leases);
        let mut leases: BTreeMap<SubnetKey, Arc<Lease>> =
            loaded.leases.into_iter().map(|lease| (lease.key, Arc::new(lease))).collect();
        if self.planted.is(Bug::GoneKeptOverResync) {
            for (key, lease) in before.iter() {
                leases.entry(*key).or_insert_with(|| lease.clone());
            }
        }
        let all_read = loaded.spoilt.is_empty();
        self.spoilt.clear();
        for spoilt in loaded.spoilt {
            if let Some(kept) = spoilt.key.and_then(|key| before.get(&key)) {
                leases.insert(kept.key, kept.clone());
            }
            self.spoil(spoilt, notes);
        }
        self.leases = Arc::new(leases);
        if self.planted.is(Bug::SpoiltDropsAll) && !all_read {
            self.leases = Arc::default();
        }
        self.set_config(loaded.config, notes);
        self.revision = loaded.revision;
    }

    /// Takes in what changed; complete up to `revision` then.
    pub(super) fn apply(&mut self, revision: i64, events: Vec<Event>, notes: &mut Notes) {
        assert!(revision > 0, "a change has a revision");
        for event in events {
            match event {
                Event::Config(text) => self.set_config(text, notes),
                Event::Put(lease) => {
                    self.spoilt.remove(&lease.key);
                    Arc::make_mut(&mut self.leases).insert(lease.key, Arc::new(lease));
                }
                Event::Gone(key) => {
                    self.spoilt.remove(&key);
                    Arc::make_mut(&mut self.leases).remove(&key);
                }
                Event::Spoilt(spoilt) => {
                    self.spoil(spoilt, notes);
                    if self.planted.is(Bug::SpoiltDropsAll) {
                        self.leases = Arc::default();
                    }
                }
                Event::Cleared(name) => notes.forget(&name),
            }
        }
        self.revision = self.revision.max(revision);
    }

    fn spoil(&mut self, spoilt: Spoilt, notes: &mut Notes) {
        let Spoilt { name, key, why, mod_revision } = spoilt;
        let what = match key {
            Some(key) => {
                self.spoilt.insert(key, mod_revision);
                "what it said before stays in force"
            }
            None => "it is ignored",
        };
        notes.about(&name, mod_revision, format!("key {name}: {why}; {what}; write it anew or delete it"));
    }

    fn set_config(&mut self, text: Option<String>, notes: &mut Notes) {
        let Some(text) = text else {
            if self.config.is_some() {
                notes.say(
                    "the network config was deleted from the store; the last one stays in force".to_owned(),
                );
            }
            return;
        };
        match NetworkConfig::parse(&text) {
            Ok(config) => self.config = Some(config),
            Err(error) => {
                let then = match self.config {
                    Some(_) => "the one before it stays in force",
                    None => "nothing can begin before it is right",
                };
                notes.say(format!("the network config in the store cannot be used: {error}; {then}"));
            }
        }
    }
}
