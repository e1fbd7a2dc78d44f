//! The options of `[X-Fleet]` as they are written: which names there are, how a line is split, what specifiers stand for.
//!
//! A line is one value, unless it begins and ends with a double quote: then it is a list, split at blanks outside of quotes. So
//! `"a=b" "c=d"` are two values, and `a=b c=d` is one (which [`MetadataTerm`](super::MetadataTerm) refuses). A value over several
//! lines is put on one first.

use super::{UnitFile, UnitName};

/// The section that fleet reads.
pub(super) const SECTION: &str = "X-Fleet";

/// What `%i` stands for while a template is looked at, which has no instance of its own yet.
const TEMPLATE_INSTANCE: &str = "1";

/// Options, each with the spellings that fleet took from older versions of itself. Where values add up, those of the old
/// spellings come first, as in fleet.
pub(super) const KNOWN: [(&str, &[&str]); 20] = [
    ("MachineID", &["X-ConditionMachineID", "X-ConditionMachineBootID"]),
    ("MachineOf", &["X-ConditionMachineOf"]),
    ("MachineMetadata", &["X-ConditionMachineMetadata"]),
    ("Conflicts", &["X-Conflicts"]),
    ("Global", &[]),
    ("Replaces", &[]),
    ("PreferMachineMetadata", &[]),
    ("PreferMachineOf", &[]),
    ("AvoidMachineOf", &[]),
    ("CPU", &[]),
    ("Memory", &[]),
    ("Placement", &[]),
    ("Partition", &[]),
    ("StopGrace", &[]),
    ("Requires", &[]),
    ("After", &[]),
    ("MaxUnavailable", &[]),
    ("HealthyAfter", &[]),
    ("HealthyWithin", &[]),
    ("RollBack", &[]),
];

/// One value of an option.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// The option's name as it is spelled in the file.
    pub option: String,
    /// The value, specifiers replaced. Never empty.
    pub text: String,
    /// The line on which it stands.
    pub line: usize,
}

/// All values of an option under all its spellings, empty ones left out: an empty value says nothing.
pub(super) fn values(unit: &UnitName, file: &UnitFile, name: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for spelling in old_spellings(name).iter().chain([&name]) {
        for (option, line) in file.section(SECTION).filter(|(option, _)| option.name == **spelling) {
            let texts =
                split(&option.unfolded()).into_iter().map(|text| specifiers(unit, &text).trim().to_owned());
            let texts = texts.filter(|text| !text.is_empty());
            found.extend(texts.map(|text| Value { option: option.name.clone(), text, line }));
        }
    }
    found
}

/// The older spellings of an option.
pub(super) fn old_spellings(name: &str) -> &'static [&'static str] {
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.expect("options are asked for by their known names").1
}

/// Splits a line: a list of quoted values, or one value.
fn split(line: &str) -> Vec<String> {
    let quoted = line.len() > 1 && line.starts_with('"') && line.ends_with('"');
    if !quoted {
        return vec![line.to_owned()];
    }
    let mut values = vec![String::new()];
    let mut within = false;
    for char in line.chars() {
        match char {
            '"' => within = !within,
            ' ' if !within => values.push(String::new()),
            other => values.last_mut().expect("there is one from the start").push(other),
        }
    }
    values
}

/// Replaces `%n`, `%N`, `%p` and `%i`, one after the other; all else stays as it is.
fn specifiers(unit: &UnitName, text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let instance = if unit.is_template() { TEMPLATE_INSTANCE } else { unit.instance().unwrap_or_default() };
    text.replace("%n", unit.as_str())
        .replace("%N", unit.stem())
        .replace("%p", unit.prefix())
        .replace("%i", instance)
}

/// What is odd in a file, though it is no error: options that fleet does not know, and options without a value.
pub(super) fn warnings(file: &UnitFile) -> Vec<String> {
    let mut warnings = Vec::new();
    for (option, line) in file.section(SECTION) {
        let name = option.name.as_str();
        if !KNOWN.iter().any(|(known, old)| *known == name || old.contains(&name)) {
            let meant = nearest(name).map(|known| format!("; did you mean {known}?")).unwrap_or_default();
            warnings.push(format!("line {line}: [{SECTION}] has no option {name:?}: it is ignored{meant}"));
        } else if split(&option.unfolded()).iter().all(|value| value.trim().is_empty()) {
            warnings.push(format!("line {line}: {name} is empty: it says nothing"));
        }
    }
    warnings
}

/// The known option that somebody who wrote this may have meant.
fn nearest(name: &str) -> Option<&'static str> {
    /// Letters that may be wrong.
    const TYPING_ERRORS_MAX: usize = 2;
    let bare = name.strip_prefix("X-").unwrap_or(name);
    let bare = bare.strip_prefix("Condition").unwrap_or(bare).to_ascii_lowercase();
    let distances = KNOWN.iter().map(|(known, _)| (distance(&bare, &known.to_ascii_lowercase()), *known));
    let (distance, known) = distances.min()?;
    (distance <= TYPING_ERRORS_MAX && distance < bare.len()).then_some(known)
}

/// How many letters must be put in, taken out or replaced to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
