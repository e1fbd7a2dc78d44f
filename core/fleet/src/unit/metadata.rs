//! Conditions on a machine's metadata: `region=eu`, `ram>=2048`, `!maintenance`.
//!
//! fleet knew `key=value` only, and dropped what it could not read, so that a typing error took a constraint away in silence.
//! Here each term is read to its end or refused.

use super::glob;
use std::collections::BTreeMap;
use std::fmt;

/// One condition on a machine's metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataTerm {
    /// The metadata key.
    pub key: String,
    /// How its value is compared.
    pub test: MetadataTest,
}

/// How a metadata value is compared. Only [`MetadataTest::NotIn`] and [`MetadataTest::Absent`] hold on a machine without the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataTest {
    /// `key=value`, once or several times: one of these.
    In(Vec<String>),
    /// `key!=value`: none of these.
    NotIn(Vec<String>),
    /// `key<number`.
    Less(i64),
    /// `key<=number`.
    AtMost(i64),
    /// `key>number`.
    Greater(i64),
    /// `key>=number`.
    AtLeast(i64),
    /// `key~glob`: matches the glob.
    Like(String),
    /// `key`: there is such a key, whatever its value.
    Present,
    /// `!key`: there is no such key.
    Absent,
}

/// Operators, the longer ones first.
const OPERATORS: [&str; 7] = ["!=", "<=", ">=", "=", "<", ">", "~"];

/// Characters with which no value begins: they tell of an operator turned round.
const OPERATOR_CHARS: [char; 5] = ['=', '<', '>', '~', '!'];

impl MetadataTerm {
    /// Reads one term.
    ///
    /// # Errors
    /// With what is wrong with it, and what to write instead.
    pub fn parse(text: &str) -> Result<MetadataTerm, String> {
        let text = text.trim();
        if let Some(key) = text.strip_prefix('!') {
            let key = checked_key(key)?;
            return Ok(MetadataTerm { key, test: MetadataTest::Absent });
        }
        let Some(at) = text.find(OPERATOR_CHARS) else {
            return Ok(MetadataTerm { key: checked_key(text)?, test: MetadataTest::Present });
        };
        let (key, rest) = text.split_at(at);
        let operator = OPERATORS.into_iter().find(|operator| rest.starts_with(operator));
        let operator = operator.ok_or("a \"!\" stands before a key, or before \"=\"")?;
        let value = rest[operator.len()..].trim();
        if value.is_empty() {
            return Err(format!(
                "no value after {operator:?}: to ask for the key alone, write the key alone"
            ));
        }
        if value.starts_with(OPERATOR_CHARS) || (matches!(operator, "=" | "!=") && value.contains('=')) {
            let known = OPERATORS.join(" ");
            return Err(format!(
                "{value:?} is no value: one term has one operator ({known}); put several terms in quotes each, as in \"a=b\" \"c=d\""
            ));
        }
        Ok(MetadataTerm { key: checked_key(key)?, test: test(operator, value)? })
    }

    /// Whether a machine with this metadata meets the condition.
    pub fn holds(&self, metadata: &BTreeMap<String, String>) -> bool {
        assert!(!self.key.is_empty(), "a term has a key");
        let value = metadata.get(&self.key).map(String::as_str);
        let number = || value.and_then(|value| value.trim().parse::<i64>().ok());
        match &self.test {
            MetadataTest::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            MetadataTest::NotIn(values) => !value.is_some_and(|value| values.iter().any(|one| one == value)),
            MetadataTest::Less(bound) => number().is_some_and(|number| number < *bound),
            MetadataTest::AtMost(bound) => number().is_some_and(|number| number <= *bound),
            MetadataTest::Greater(bound) => number().is_some_and(|number| number > *bound),
            MetadataTest::AtLeast(bound) => number().is_some_and(|number| number >= *bound),
            MetadataTest::Like(pattern) => value.is_some_and(|value| glob::matches(pattern, value)),
            MetadataTest::Present => value.is_some(),
            MetadataTest::Absent => value.is_none(),
        }
    }

    /// Adds a term to others that must all hold. Values of one key are alternatives, as they were for fleet, wherever they were
    /// written.
    pub(super) fn add_to(self, terms: &mut Vec<MetadataTerm>) {
        assert!(!self.key.is_empty(), "a term that was read has a key");
        let same_key = terms.iter_mut().filter(|term| term.key == self.key);
        for term in same_key {
            match (&mut term.test, &self.test) {
                (MetadataTest::In(known), MetadataTest::In(more))
                | (MetadataTest::NotIn(known), MetadataTest::NotIn(more)) => {
                    known.extend(more.clone());
                    known.sort();
                    known.dedup();
                    assert!(!known.is_empty(), "a term that was read has a value at least");
                    return;
                }
                _ => {}
            }
        }
        if !terms.contains(&self) {
            terms.push(self);
        }
    }
}

fn checked_key(key: &str) -> Result<String, String> {
    let key = key.trim();
    if key.is_empty() {
        return Err("no key: write key=value".into());
    }
    if key.contains(char::is_whitespace) || key.contains(OPERATOR_CHARS) || key.contains('"') {
        return Err(format!(
            "{key:?} is no metadata key: put several terms in quotes each, as in \"a=b\" \"c=d\""
        ));
    }
    Ok(key.to_owned())
}

fn test(operator: &str, value: &str) -> Result<MetadataTest, String> {
    let number = || {
        let wrong = || format!("{value:?} is no whole number: {operator:?} compares numbers");
        value.parse::<i64>().map_err(|_| wrong())
    };
    Ok(match operator {
        "=" => MetadataTest::In(vec![value.to_owned()]),
        "!=" => MetadataTest::NotIn(vec![value.to_owned()]),
        "<" => MetadataTest::Less(number()?),
        "<=" => MetadataTest::AtMost(number()?),
        ">" => MetadataTest::Greater(number()?),
        ">=" => MetadataTest::AtLeast(number()?),
        "~" => {
            glob::check(value).map_err(|why| format!("{value:?} is no glob: {why}"))?;
            MetadataTest::Like(value.to_owned())
        }
        other => unreachable!("{other} is not an operator"),
    })
}

impl fmt::Display for MetadataTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let joined = |values: &[String], operator: &str, word: &str| {
            let terms: Vec<String> = values.iter().map(|value| format!("{key}{operator}{value}")).collect();
            terms.join(word)
        };
        match &self.test {
            MetadataTest::In(values) => f.write_str(&joined(values, "=", " or ")),
            MetadataTest::NotIn(values) => f.write_str(&joined(values, "!=", " and ")),
            MetadataTest::Less(bound) => write!(f, "{key}<{bound}"),
            MetadataTest::AtMost(bound) => write!(f, "{key}<={bound}"),
            MetadataTest::Greater(bound) => write!(f, "{key}>{bound}"),
            MetadataTest::AtLeast(bound) => write!(f, "{key}>={bound}"),
            MetadataTest::Like(pattern) => write!(f, "{key}~{pattern}"),
            MetadataTest::Present => write!(f, "{key}"),
            MetadataTest::Absent => write!(f, "!{key}"),
        }
    }
}
