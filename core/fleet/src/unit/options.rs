//! The options of `[X-Fleet]` as they are written: which names there are, how a line is split, what specifiers stand for.
//!
//! A line is one value, unless it begins and ends with a double quote: then it is a list, split at blanks outside of quotes. So
//! `"a=b" "c=d"` are two values, and `a=b c=d` is one (which [`MetadataTerm`](super::MetadataTerm) refuses). A value over several
//! lines is put on one first.

use super::lexer::shorten;
use super::{UnitFile, UnitName, UnitOption, glob};

/// The section that fleet reads.
pub(super) const SECTION: &str = "X-Fleet";

/// What `%i` stands for while a template is looked at, which has no instance of its own yet.
const TEMPLATE_INSTANCE: &str = "1";

/// The most warnings that are told of one file.
const WARNINGS_MAX: usize = 100;

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
            assert_eq!(option.name, **spelling, "only what is asked for is taken");
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
    assert!(!values.is_empty(), "a line has a value, be it an empty one");
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

/// What is odd in a file, though it is no error; the first [`WARNINGS_MAX`] of it.
pub(super) fn warnings(file: &UnitFile) -> Vec<String> {
    let line_by_line = file.section(SECTION).flat_map(|(option, line)| {
        let of_line = oddities(option).into_iter();
        of_line.map(move |oddity| format!("line {line}: {oddity}"))
    });
    line_by_line.chain(idle(file)).take(WARNINGS_MAX).collect()
}

/// Options that mean something only beside another one, which is not there.
fn idle(file: &UnitFile) -> impl Iterator<Item = String> {
    let given = |name: &str| !file.get(SECTION, name).is_empty();
    let stops = file.get(SECTION, "Partition").iter().any(|value| value.eq_ignore_ascii_case("stop"));
    let paced = given("MaxUnavailable") || given("RollBack");
    let beside = [
        ("StopGrace", stops, "Partition=stop"),
        ("HealthyAfter", paced, "MaxUnavailable or RollBack"),
        ("HealthyWithin", paced, "MaxUnavailable or RollBack"),
    ];
    let idle = beside.map(|(name, met, other)| {
        (given(name) && !met).then(|| format!("{name} says nothing without {other}"))
    });
    idle.into_iter().flatten()
}

/// What is odd in one option: that fleet does not know it, that it is empty, or that it can match no unit.
fn oddities(option: &UnitOption) -> Vec<String> {
    let (name, value) = (option.name.as_str(), option.unfolded());
    if !KNOWN.iter().any(|(known, old)| *known == name || old.contains(&name)) {
        let meant = nearest(name).map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        return vec![format!("[{SECTION}] has no option {:?}: it is ignored{meant}", shorten(name))];
    }
    let values = split(&value);
    if values.iter().all(|value| value.trim().is_empty()) {
        return vec![format!("{name} is empty: it says nothing")];
    }
    if !matches!(name, "Conflicts" | "X-Conflicts" | "Replaces") {
        return Vec::new();
    }
    let words = values.iter().flat_map(|value| value.split_whitespace());
    let lost =
        words.filter(|word| glob::is_literal(word) && !word.contains('%') && UnitName::parse(word).is_err());
    lost.map(|word| format!("{name}={word} matches no unit: write {}", UnitName::from_argument(word)))
        .collect()
}

/// The known option that somebody who wrote this may have meant.
fn nearest(name: &str) -> Option<&'static str> {
    /// Letters that may be wrong.
    const TYPING_ERRORS_MAX: usize = 2;
    /// Longer than any option; a name this long is no typing error.
    const LENGTH_MAX: usize = 40;
    if name.len() > LENGTH_MAX {
        return None;
    }
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
    assert!(row[b.len()] <= a.chars().count().max(b.len()), "replacing all and filling up is enough");
    row[b.len()]
}
