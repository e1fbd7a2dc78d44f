//! From the `[X-Fleet]` section of a unit file to [`Requirements`].
//!
//! Each option is read to its end or refused with its line, its value, and what to write instead; combinations that contradict
//! each other are refused as in fleet. Where fleet took the first of several values (`MachineID`) or the last (`Global`), so does
//! this; new options that have one value take the last, as systemd does.

use super::options::{self, Value};
use super::{
    HEALTHY_AFTER, HEALTHY_WITHIN, MetadataTerm, PartitionPolicy, PlacementRule, Requirements, Resources,
    STOP_GRACE, UnitFile, UnitName, WEIGHT, WEIGHT_MAX, amount, glob,
};
use std::fmt;
use std::time::Duration;

/// Why the requirements of a unit are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequirementsError {
    /// The option at fault, as it is spelled in the file.
    pub option: String,
    /// Its value, specifiers replaced.
    pub value: String,
    /// The line on which it stands.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl RequirementsError {
    fn new(value: &Value, message: String) -> Self {
        let Value { option, text, line } = value.clone();
        RequirementsError { option, value: text, line, message }
    }
}

impl fmt::Display for RequirementsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequirementsError { option, value, line, message } = self;
        write!(f, "line {line}: [X-Fleet] {option}={value}: {message}")
    }
}

impl std::error::Error for RequirementsError {}

/// The most values that one option may have. Nobody writes so many; each is compared with the others.
const LIST_MAX: usize = 1000;

type Outcome<T> = Result<T, RequirementsError>;

impl Requirements {
    /// Reads the requirements of the unit `name` from its file. A template is looked at as if it were its instance `1`.
    ///
    /// # Errors
    /// With the first option that cannot be read, or that contradicts another.
    pub fn read(name: &UnitName, file: &UnitFile) -> Result<Requirements, RequirementsError> {
        let section = Section { name, file };
        let requirements = Requirements {
            machine_id: section.machine_id(),
            machine_of: section.words("MachineOf", one_glob)?,
            metadata: section.metadata()?,
            conflicts: section.words("Conflicts", checked_glob)?,
            global: section.flag("Global")?,
            replaces: section.words("Replaces", checked_glob)?,
            prefer_metadata: section.weighted("PreferMachineMetadata", MetadataTerm::parse)?,
            prefer_machine_of: section.weighted("PreferMachineOf", one_glob)?,
            avoid_machine_of: section.weighted("AvoidMachineOf", one_glob)?,
            resources: Resources {
                cpu_millis: section.last("CPU", amount::cpu)?.unwrap_or_default(),
                memory_bytes: section.last("Memory", amount::memory)?.unwrap_or_default(),
            },
            placement: section.last("Placement", placement)?.unwrap_or_default(),
            partition: section.last("Partition", partition)?.unwrap_or_default(),
            stop_grace: section.last("StopGrace", amount::duration)?.unwrap_or(STOP_GRACE),
            requires: section.words("Requires", |text| other_name(name, text))?,
            after: section.words("After", |text| other_name(name, text))?,
            max_unavailable: section.last("MaxUnavailable", at_least_one)?,
            healthy_after: section.last("HealthyAfter", amount::duration)?.unwrap_or(HEALTHY_AFTER),
            healthy_within: section.last("HealthyWithin", amount::duration)?.unwrap_or(HEALTHY_WITHIN),
            roll_back: section.flag("RollBack")?,
            oneshot: is_oneshot(name, file),
        };
        section.check_combinations(&requirements)?;
        requirements.assert_sound();
        Ok(requirements)
    }

    /// Reads a text as the store has it: the file, and what it asks for.
    ///
    /// # Errors
    /// In words, for whoever wonders why nothing is done with the unit.
    pub fn of_text(name: &UnitName, text: &str) -> Result<(UnitFile, Requirements), String> {
        let file = UnitFile::parse(text).map_err(|error| error.to_string())?;
        let requirements = Requirements::read(name, &file).map_err(|error| error.to_string())?;
        Ok((file, requirements))
    }

    /// What the scheduler and the rollout rely on.
    fn assert_sound(&self) {
        assert!(!self.global || self.machine_of.is_empty(), "a global unit follows nobody");
        assert!(!self.global || self.machine_id.is_none(), "a global unit is not bound to one machine");
        assert!(
            self.conflicts.is_empty() || self.replaces.is_empty(),
            "what it keeps off it does not replace"
        );
        assert!(self.max_unavailable != Some(0), "a replacement that may take no copy down would not begin");
        assert!(self.healthy_after <= self.healthy_within, "a copy can become healthy in time");
        let soft = self.prefer_machine_of.iter().chain(&self.avoid_machine_of).map(|(_, weight)| *weight);
        let mut weights = soft.chain(self.prefer_metadata.iter().map(|(_, weight)| *weight));
        assert!(
            weights.all(|weight| weight != 0 && weight.abs() <= WEIGHT_MAX),
            "weights are within their limits"
        );
    }

    /// What is odd in the `[X-Fleet]` section though it is no error: options that fleet does not know, and empty ones.
    pub fn warnings(file: &UnitFile) -> Vec<String> {
        options::warnings(file)
    }
}

/// The section of one unit, whose options are asked for by name.
struct Section<'a> {
    name: &'a UnitName,
    file: &'a UnitFile,
}

impl Section<'_> {
    fn values(&self, option: &str) -> Vec<Value> {
        options::values(self.name, self.file, option)
    }

    /// The values of an option that is a list, each read into a number of entries.
    fn list<T: PartialEq>(
        &self,
        option: &str,
        read: impl Fn(&str) -> Result<Vec<T>, String>,
    ) -> Outcome<Vec<T>> {
        let mut list: Vec<T> = Vec::new();
        for value in self.values(option) {
            for entry in read(&value.text).map_err(|message| RequirementsError::new(&value, message))? {
                if list.len() == LIST_MAX {
                    let message = format!("one option can have {LIST_MAX} values at most");
                    return Err(RequirementsError::new(&value, message));
                }
                if !list.contains(&entry) {
                    list.push(entry);
                }
            }
        }
        assert!(list.len() <= LIST_MAX, "a list that was read is within its limit");
        Ok(list)
    }

    /// The last value of an option.
    fn last<T>(&self, option: &str, read: impl Fn(&str) -> Result<T, String>) -> Outcome<Option<T>> {
        let mut last = None;
        for value in self.values(option) {
            last = Some(read(&value.text).map_err(|message| RequirementsError::new(&value, message))?);
        }
        Ok(last)
    }

    fn flag(&self, option: &str) -> Outcome<bool> {
        Ok(self.last(option, truth)?.unwrap_or(false))
    }

    /// The first value of the newest spelling that is there.
    fn machine_id(&self) -> Option<String> {
        let values = self.values("MachineID");
        let spellings = ["MachineID"].iter().chain(options::old_spellings("MachineID"));
        let newest =
            spellings.filter_map(|spelling| values.iter().find(|value| value.option == **spelling)).next();
        newest.map(|value| value.text.clone())
    }

    fn metadata(&self) -> Outcome<Vec<MetadataTerm>> {
        let mut terms = Vec::new();
        for term in self.list("MachineMetadata", |text| Ok(vec![MetadataTerm::parse(text)?]))? {
            term.add_to(&mut terms);
        }
        Ok(terms)
    }

    /// Entries that have no blanks, and stand between such.
    fn words(&self, option: &str, read: impl Fn(&str) -> Result<String, String>) -> Outcome<Vec<String>> {
        self.list(option, |text| text.split_whitespace().map(&read).collect())
    }

    /// Soft terms, each with a weight after it.
    fn weighted<T: PartialEq>(
        &self,
        option: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Outcome<Vec<(T, i64)>> {
        self.list(option, |text| weight(text).and_then(|(text, weight)| Ok(vec![(read(text)?, weight)])))
    }

    fn check_combinations(&self, read: &Requirements) -> Outcome<()> {
        const CONTRADICTIONS: [(&str, &str); 11] = [
            ("MachineID", "MachineOf"),
            ("MachineID", "Conflicts"),
            ("MachineID", "Global"),
            ("MachineID", "Replaces"),
            ("Global", "MachineOf"),
            ("Global", "Replaces"),
            ("Global", "Placement"),
            ("Global", "PreferMachineMetadata"),
            ("Global", "PreferMachineOf"),
            ("Global", "AvoidMachineOf"),
            ("Conflicts", "Replaces"),
        ];
        let present = |option: &str| match option {
            "Global" => self.values(option).into_iter().last().filter(|_| read.global),
            other => self.values(other).into_iter().next(),
        };
        for (one, other) in CONTRADICTIONS {
            if let (Some(_), Some(value)) = (present(one), present(other)) {
                let message = format!("cannot be used together with {one}: take one of the two out");
                return Err(RequirementsError::new(&value, message));
            }
        }
        for (option, globs) in [("Conflicts", &read.conflicts), ("Replaces", &read.replaces)] {
            self.check_peers(&read.machine_of, option, globs)?;
        }
        self.check_times(read)
    }

    /// A unit that must be on the same machine cannot be one that must not be there.
    fn check_peers(&self, peers: &[String], option: &str, globs: &[String]) -> Outcome<()> {
        let Some(peer) = peers.iter().find(|peer| glob::matches_any(globs, peer)) else { return Ok(()) };
        let values = self.values(option);
        let keeps_off = |value: &&Value| value.text.split_whitespace().any(|glob| glob::matches(glob, peer));
        let value = values.iter().find(keeps_off).expect("the globs were read from these values");
        Err(RequirementsError::new(
            value,
            format!("keeps off {peer}, which MachineOf asks for: take one of them out"),
        ))
    }

    fn check_times(&self, read: &Requirements) -> Outcome<()> {
        let given: Vec<Value> =
            ["HealthyWithin", "HealthyAfter"].iter().flat_map(|name| self.values(name)).collect();
        let Some(value) = given.first().filter(|_| read.healthy_within < read.healthy_after) else {
            return Ok(());
        };
        let message = format!(
            "HealthyWithin ({}) must not be less than HealthyAfter ({}): no copy could become healthy in time",
            shown(read.healthy_within),
            shown(read.healthy_after)
        );
        Err(RequirementsError::new(value, message))
    }
}

fn shown(time: Duration) -> String {
    format!("{}s", time.as_secs_f64())
}

/// Splits a soft term from the weight after it, and takes quotes off the term.
fn weight(text: &str) -> Result<(&str, i64), String> {
    let (term, weight) = match text.rsplit_once(char::is_whitespace) {
        Some((term, last)) => last.parse::<i64>().map_or((text, WEIGHT), |weight| (term.trim(), weight)),
        None => (text, WEIGHT),
    };
    if weight == 0 || !(-WEIGHT_MAX..=WEIGHT_MAX).contains(&weight) {
        return Err(format!(
            "weight {weight} must be from 1 to {WEIGHT_MAX}, or less than zero for the opposite"
        ));
    }
    let unquoted = term.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Ok((unquoted.unwrap_or(term), weight))
}

fn checked_glob(text: &str) -> Result<String, String> {
    glob::check(text).map_err(|why| format!("{text:?} is no glob: {why}"))?;
    Ok(text.to_owned())
}

/// A glob that could match some unit.
fn one_glob(text: &str) -> Result<String, String> {
    if text.contains(char::is_whitespace) {
        return Err(format!(
            "{text:?} has a blank, and names of units have none: put each in quotes or on its own line"
        ));
    }
    if glob::is_literal(text) {
        UnitName::parse(text).map_err(|error| format!("no unit can match: {error}"))?;
    }
    checked_glob(text)
}

fn other_name(own: &UnitName, text: &str) -> Result<String, String> {
    let name = UnitName::parse(text).map_err(|error| error.to_string())?;
    if name == *own {
        return Err("a unit cannot wait for itself".into());
    }
    if name.is_template() {
        return Err(format!("{text} is a template and never runs: name an instance of it"));
    }
    Ok(text.to_owned())
}

/// Words for yes are fleet's.
fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "on" | "t" => Ok(true),
        "false" | "no" | "0" | "off" | "f" => Ok(false),
        _ => Err("write true or false".into()),
    }
}

fn placement(text: &str) -> Result<PlacementRule, String> {
    match text.to_ascii_lowercase().as_str() {
        "spread" => Ok(PlacementRule::Spread),
        "pack" => Ok(PlacementRule::Pack),
        _ => Err("write spread or pack".into()),
    }
}

fn partition(text: &str) -> Result<PartitionPolicy, String> {
    match text.to_ascii_lowercase().as_str() {
        "keep" => Ok(PartitionPolicy::Keep),
        "stop" => Ok(PartitionPolicy::Stop),
        "hold" => Ok(PartitionPolicy::Hold),
        _ => Err("write keep, stop or hold".into()),
    }
}

fn at_least_one(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a whole number, 1 or more".into())
}

/// Whether systemd lets the unit end by itself, as a success, after one run.
fn is_oneshot(name: &UnitName, file: &UnitFile) -> bool {
    let last = |option| file.get("Service", option).last().map(|value| value.to_ascii_lowercase());
    let remains = matches!(last("RemainAfterExit").as_deref(), Some("yes" | "y" | "true" | "t" | "1" | "on"));
    name.kind() == "service" && last("Type").as_deref() == Some("oneshot") && !remains
}
