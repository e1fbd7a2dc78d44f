//! A plan as lines that can be taken away and changed one by one.
//!
//! Shrinking works on the text form, not on the types: each kind of plan has one, any part of a plan is a plan, and what
//! does not parse is no candidate. So a new kind of run, or a new field of an old one, is shrunk without a word here.

use std::fmt;

/// First words of lines that are faults. Every other line that has a time is an operation.
const FAULTS: [&str; 2] = ["fault", "mishap"];

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The frame: the cluster, its knobs.
    Frame,
    /// Something that goes wrong.
    Fault,
    /// What somebody does.
    Operation,
}

/// One line: words, then `name=value` pairs and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words before the first pair: `op 17 put`.
    pub head: Vec<String>,
    /// Pairs and flags.
    pub fields: Vec<String>,
}

/// A plan's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft(pub Vec<Line>);

impl Line {
    fn parse(text: &str) -> Option<Line> {
        let words: Vec<String> = text.split('#').next()?.split_whitespace().map(String::from).collect();
        let first = words.iter().position(|word| word.contains('=')).unwrap_or(words.len());
        let (head, fields) = words.split_at(first);
        (!head.is_empty()).then(|| Line { head: head.to_vec(), fields: fields.to_vec() })
    }

    /// What it is.
    pub fn role(&self) -> Role {
        if FAULTS.contains(&self.head[0].as_str()) {
            Role::Fault
        } else if self.get("at").is_some() {
            Role::Operation
        } else {
            Role::Frame
        }
    }

    /// The last word before the fields: the class of a fault, the kind of an operation.
    pub fn class(&self) -> &str {
        self.head.last().expect("a line has a word")
    }

    /// The text of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    }

    /// A field that is a number, without its unit.
    pub fn number(&self, name: &str) -> Option<u64> {
        number_of(self.get(name)?).map(|(number, _)| number)
    }

    /// Gives a field that is there another number; its unit stays.
    pub fn set(&mut self, name: &str, number: u64) {
        for field in &mut self.fields {
            let Some(value) = field.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) else {
                continue;
            };
            let Some((_, unit)) = number_of(value) else { continue };
            *field = format!("{name}={number}{unit}");
        }
    }
}

/// A number that is not negative, and its unit.
pub fn number_of(value: &str) -> Option<(u64, &str)> {
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (digits, unit) = value.split_at(end);
    let is_unit = unit.chars().all(|c| c.is_ascii_alphabetic());
    Some((digits.parse().ok().filter(|_| is_unit)?, unit))
}

impl Draft {
    /// The lines of `text`, without comments.
    pub fn new(text: &str) -> Draft {
        Draft(text.lines().filter_map(Line::parse).collect())
    }

    /// Where the lines of `role` stand.
    pub fn places(&self, role: Role) -> Vec<usize> {
        (0..self.0.len()).filter(|place| self.0[*place].role() == role).collect()
    }

    /// How many lines there are of `role`.
    pub fn count(&self, role: Role) -> usize {
        self.places(role).len()
    }

    /// Without the lines at these places.
    pub fn without(&self, places: &[usize]) -> Draft {
        let kept = self.0.iter().enumerate().filter(|(place, _)| !places.contains(place));
        Draft(kept.map(|(_, line)| line.clone()).collect())
    }

    /// With one line changed.
    pub fn with(&self, place: usize, change: impl FnOnce(&mut Line)) -> Draft {
        let mut draft = self.clone();
        change(&mut draft.0[place]);
        draft
    }

    /// The line that opens with `word`, if there is one.
    pub fn frame(&self, word: &str) -> Option<usize> {
        self.0.iter().position(|line| line.head[0] == word)
    }

    /// A number of the line that opens with `plan`.
    pub fn plan_number(&self, name: &str) -> Option<u64> {
        self.0[self.frame("plan")?].number(name)
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            f.write_str(&line.head.join(" "))?;
            line.fields.iter().try_for_each(|field| write!(f, " {field}"))?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}
