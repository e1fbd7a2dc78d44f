//! Cells of fleet's tables: how an id, a hash, a machine, metadata are shown.

use io_real::fleet_client::schema::{Machine, Unit};
use std::collections::BTreeMap;

/// Characters of an id that are enough for people.
const SHORT_ID: usize = 8;

/// Digits of a hash that are enough for people.
const SHORT_HASH: usize = 7;

/// A machine's id: all of it, or its beginning and three dots.
pub fn id(id: &str, full: bool) -> String {
    if full {
        return id.to_string();
    }
    format!("{}...", id.chars().take(SHORT_ID).collect::<String>())
}

/// A machine's id and address.
pub fn machine(id: &str, machines: &BTreeMap<String, Machine>, full: bool) -> String {
    let legend = self::id(id, full);
    match machines.get(id) {
        Some(machine) if !machine.primary_ip.is_empty() => format!("{legend}/{}", machine.primary_ip),
        _ => legend,
    }
}

/// A hash: all of it, or its beginning.
pub fn hash(hash: &str, full: bool) -> String {
    if full { hash.to_string() } else { hash.chars().take(SHORT_HASH).collect() }
}

/// `k=v` pairs, by key.
pub fn metadata(metadata: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    or_dash(&pairs.join(","))
}

/// A dash for nothing.
pub fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_string() } else { text.to_string() }
}

/// Whether a unit is to run on every machine.
pub fn is_global(unit: &Unit) -> bool {
    let mut global = false;
    for option in unit.options.iter().filter(|option| option.section == "X-Fleet" && option.name == "Global")
    {
        // The last one counts, as in fleet.
        let value = option.value.trim().to_lowercase();
        global = matches!(value.as_str(), "true" | "yes" | "1" | "on" | "t");
    }
    global
}
