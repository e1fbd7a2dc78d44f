//! Links by number and by name: the kernel's entries have numbers, and ours have names.

use flannel::links::{LinksError, LinksResult};
use std::collections::BTreeMap;

/// The links of one moment.
#[derive(Clone, Debug, Default)]
pub struct Names {
    numbers: BTreeMap<String, u32>,
    names: BTreeMap<u32, String>,
}

impl Names {
    /// Takes note of a link, in place of what had its number or its name.
    pub fn insert(&mut self, number: u32, name: &str) {
        self.remove(number);
        if let Some(other) = self.numbers.insert(name.to_string(), number) {
            self.names.remove(&other);
        }
        self.names.insert(number, name.to_string());
        assert_eq!(self.names.len(), self.numbers.len(), "a number has one name");
    }

    /// Forgets a link.
    pub fn remove(&mut self, number: u32) {
        if let Some(name) = self.names.remove(&number) {
            self.numbers.remove(&name);
        }
    }

    /// The link's name.
    pub fn name(&self, number: u32) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    /// The link's number. `NotFound` if there is no such link.
    pub fn number(&self, name: &str) -> LinksResult<u32> {
        self.numbers.get(name).copied().ok_or_else(|| LinksError::NotFound(format!("link {name}")))
    }
}
