//! A unit file as the list of its options.

/// One line of a unit file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct UnitOption {
    /// The section, without brackets.
    pub section: String,
    /// The option's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A unit file: its options in canonical order (sections in the order in which they first appeared).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFile {
    options: Vec<UnitOption>,
}

impl UnitFile {
    /// The options, in canonical order.
    pub fn options(&self) -> &[UnitOption] {
        &self.options
    }
}
