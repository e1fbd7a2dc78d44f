//! A unit file as the list of its options, its canonical text, and the hash of that.
//!
//! The canonical text is what is stored, hashed and given to systemd: sections in the order in which they first appeared, a
//! repeated section merged into its first place, one `Name=value` a line, a blank line between sections, no comments. Reading
//! the canonical text again gives the same file. A section without options leaves nothing behind.

use super::UnitHash;
use super::lexer::{self, Lexeme, shorten};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::fmt;

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

impl UnitOption {
    /// An option of a section.
    pub fn new(section: &str, name: &str, value: &str) -> Self {
        UnitOption { section: section.into(), name: name.into(), value: value.into() }
    }

    /// The value on one line, as systemd reads it: each backslash at a line's end is a blank, comments in between are gone.
    pub fn unfolded(&self) -> String {
        if !self.value.contains('\n') {
            return self.value.clone();
        }
        let mut lines = self.value.lines();
        let first = lines.next().unwrap_or_default();
        let parts = std::iter::once(first).chain(lines.filter(|line| !lexer::is_comment(line)));
        let joined: Vec<&str> = parts.map(|line| line.strip_suffix('\\').unwrap_or(line).trim()).collect();
        joined.join(" ").trim().to_owned()
    }
}

/// Why a text is no unit file, or options cannot be written as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    /// The line at fault, counted from one; of the canonical text when options were given.
    pub line: usize,
    /// What is wrong with it, and what to write instead.
    pub message: String,
}

impl UnitError {
    pub(super) fn new(line: usize, message: String) -> Self {
        UnitError { line, message }
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for UnitError {}

/// A unit file: its options in canonical order (sections in the order in which they first appeared).
#[derive(Clone, Debug, Default)]
pub struct UnitFile {
    options: Vec<UnitOption>,
    /// For each option its line in the text that was read, for messages; no part of what the file says.
    lines: Vec<usize>,
}

impl PartialEq for UnitFile {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl Eq for UnitFile {}

impl UnitFile {
    /// Reads a text.
    ///
    /// # Errors
    /// With the line that is neither comment, section, option nor continuation of one.
    pub fn parse(text: &str) -> Result<UnitFile, UnitError> {
        lexer::lex(text).map(UnitFile::merge)
    }

    /// Takes options as the API gives them, and puts them in canonical order.
    ///
    /// # Errors
    /// When an option cannot be written down: a line end in its name, or one in its value that would begin another
    /// option. The file would then not say what the options did.
    pub fn from_options(options: Vec<UnitOption>) -> Result<UnitFile, UnitError> {
        let lexemes = options.into_iter().map(|option| Lexeme { option, line: 0 }).collect();
        let given = UnitFile::merge(lexemes);
        let file = UnitFile::parse(&given.text())?;
        // Blanks around a value, and the kind of its line ends, may change on the way; nothing else.
        fn bare(value: &str) -> Vec<&str> {
            value.trim().split('\n').map(|line| line.trim_end_matches('\r')).collect()
        }
        let same = |a: &UnitOption, b: &UnitOption| {
            a.section == b.section && a.name == b.name && bare(&a.value) == bare(&b.value)
        };
        let equal = given.options.iter().zip(&file.options).take_while(|(a, b)| same(a, b)).count();
        if equal < given.options.len() || equal < file.options.len() {
            let at = equal.min(given.options.len().saturating_sub(1));
            let line = file.lines.get(equal).copied().unwrap_or(1);
            return Err(UnitError::new(line, unwritable(&given.options[at])));
        }
        Ok(file)
    }

    /// The options, in canonical order.
    pub fn options(&self) -> &[UnitOption] {
        &self.options
    }

    /// The options of a section with the number of the line on which each stood when the file was read.
    pub(super) fn section(&self, section: &str) -> impl Iterator<Item = (&UnitOption, usize)> {
        self.options
            .iter()
            .zip(self.lines.iter().copied())
            .filter(move |(option, _)| option.section == section)
    }

    /// All values of an option, in order; a value that goes over several lines as it was written.
    pub fn get(&self, section: &str, name: &str) -> Vec<&str> {
        self.section(section)
            .filter(|(option, _)| option.name == name)
            .map(|(o, _)| o.value.as_str())
            .collect()
    }

    /// Whether there is an option in that section.
    pub fn has_section(&self, section: &str) -> bool {
        self.section(section).next().is_some()
    }

    /// The first `Description` of `[Unit]`; empty when there is none.
    pub fn description(&self) -> String {
        let found = self.section("Unit").find(|(option, _)| option.name == "Description");
        found.map(|(option, _)| option.unfolded()).unwrap_or_default()
    }

    /// The canonical text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut section: Option<&str> = None;
        for option in &self.options {
            if section != Some(&option.section) {
                if section.is_some() {
                    text.push('\n');
                }
                text.extend(["[", &option.section, "]\n"]);
                section = Some(&option.section);
            }
            text.extend([option.name.as_str(), "=", &option.value, "\n"]);
        }
        assert_eq!(text.is_empty(), self.options.is_empty(), "each option leaves a line");
        text
    }

    /// SHA-1 of the canonical text.
    pub fn hash(&self) -> UnitHash {
        UnitHash(Sha1::digest(self.text().as_bytes()).into())
    }

    /// Brings the options of repeated sections together at the first place of each.
    fn merge(lexemes: Vec<Lexeme>) -> UnitFile {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut placed: Vec<(usize, Lexeme)> = Vec::with_capacity(lexemes.len());
        for lexeme in lexemes {
            let next = places.len();
            let place = *places.entry(lexeme.option.section.clone()).or_insert(next);
            placed.push((place, lexeme));
        }
        placed.sort_by_key(|(place, _)| *place);
        let lines: Vec<usize> = placed.iter().map(|(_, lexeme)| lexeme.line).collect();
        let options: Vec<UnitOption> = placed.into_iter().map(|(_, lexeme)| lexeme.option).collect();
        assert_eq!(options.len(), lines.len(), "each option has its line");
        let borders = options.windows(2).filter(|pair| pair[0].section != pair[1].section).count();
        assert!(borders < places.len().max(1), "each section stands in one place");
        UnitFile { options, lines }
    }
}

fn unwritable(option: &UnitOption) -> String {
    let UnitOption { section, name, value } = option;
    let (name, value) = (shorten(name), shorten(value));
    format!(
        "option {name:?} of section {section:?} with value {value:?} cannot be written in a unit file: \
         take out the line ends or brackets that would begin something else"
    )
}
