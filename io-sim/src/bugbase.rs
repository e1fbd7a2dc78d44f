//! What once failed, kept for ever: seeds and plans, each with its reason. Tests and campaigns run them first.
//!
//! A folder holds it: `KIND.seeds` lists the seeds of a kind of run, one a line with its reason behind a `#`; each `NAME.plan` is
//! a plan, with its reason in comments at the top. A seed is only as good as the drawing of plans is old (a change there gives it
//! another plan); a plan says itself what happens, so what was shrunk is kept as a plan.

use crate::load::{Kind, Load, replay_line};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Ends the name of a file with seeds.
const SEEDS: &str = "seeds";
/// Ends the name of a file with a plan.
const PLAN: &str = "plan";

/// One that once failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: `fleet 236`, or that of its plan.
    pub name: String,
    /// Why it is here.
    pub reason: String,
    /// The run.
    pub load: Load,
    /// The seed, if it is kept as one.
    pub seed: Option<u64>,
}

impl Entry {
    /// The command that runs it again.
    pub fn replay_line(&self, dir: &Path) -> String {
        match self.seed {
            Some(seed) => replay_line(self.load.kind(), seed),
            None => {
                let path = dir.join(format!("{}.{PLAN}", self.name));
                format!("cargo run -p chaos --bin orlop-chaos -- replay {} --trace", path.display())
            }
        }
    }
}

/// All entries of the folder: seeds first, then plans by name. An error names the file, the line and what is wrong.
pub fn read(dir: &Path) -> Result<Vec<Entry>, String> {
    let says = |error: std::io::Error| format!("the bugbase {} cannot be read: {error}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(says)? {
        paths.push(entry.map_err(says)?.path());
    }
    paths.sort();
    let mut entries = Vec::new();
    let mut plans = Vec::new();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_string();
        if extension != SEEDS && extension != PLAN {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let read = if extension == SEEDS {
            seeds(&stem, &text)
        } else {
            plan(&stem, &text).map(|entry| vec![entry])
        };
        let into = if extension == SEEDS { &mut entries } else { &mut plans };
        into.extend(read.map_err(|error| format!("{}: {error}", path.display()))?);
    }
    entries.extend(plans);
    Ok(entries)
}

/// Reads a list of seeds of the kind `kind`.
pub fn seeds(kind: &str, text: &str) -> Result<Vec<Entry>, String> {
    let kind = Kind::named(kind).ok_or_else(|| format!("{kind:?} is no kind of run"))?;
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (word, reason) = line.split_once('#').unwrap_or((line, ""));
        if word.trim().is_empty() {
            continue;
        }
        let seed = word.trim().parse();
        let seed = seed
            .map_err(|_| format!("line {number}: {:?} is no seed; a line is SEED # REASON", word.trim()))?;
        if reason.trim().is_empty() {
            return Err(format!("line {number}: seed {seed} has no reason; a line is SEED # REASON"));
        }
        let name = format!("{kind} {seed}");
        let load = Load::from_seed(kind, seed);
        entries.push(Entry { name, reason: reason.trim().to_string(), load, seed: Some(seed) });
    }
    Ok(entries)
}

/// Reads a plan with its reason.
pub fn plan(name: &str, text: &str) -> Result<Entry, String> {
    let comments = text.lines().take_while(|line| line.starts_with('#'));
    let words: Vec<&str> = comments.map(|line| line.trim_start_matches('#').trim()).collect();
    let reason = words.join(" ");
    if reason.is_empty() {
        return Err("line 1: the reason is missing; a plan opens with '# REASON'".to_string());
    }
    let load = Load::parse(text).map_err(|error| error.to_string())?;
    Ok(Entry { name: name.to_string(), reason, load, seed: None })
}

/// Adds a seed.
pub fn add_seed(dir: &Path, kind: Kind, seed: u64, reason: &str) -> Result<(), String> {
    check_reason(reason)?;
    let path = dir.join(format!("{kind}.{SEEDS}"));
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    if seeds(kind.as_str(), &text)?.iter().any(|entry| entry.seed == Some(seed)) {
        return Err(format!("seed {seed} of {kind} is in {} already", path.display()));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    writeln!(text, "{seed:<5} # {reason}").expect("a string takes everything");
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Adds a plan as `name`, and returns where it stands.
pub fn add_plan(dir: &Path, name: &str, load: &Load, reason: &str) -> Result<String, String> {
    check_reason(reason)?;
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(format!(
            "{name:?} is no name for an entry: lower-case letters, digits and '-', as in stale-read"
        ));
    }
    let path = dir.join(format!("{name}.{PLAN}"));
    if path.exists() {
        return Err(format!("{} is there already: choose another name, or remove it", path.display()));
    }
    let text = format!("# {reason}\n{load}");
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

fn check_reason(reason: &str) -> Result<(), String> {
    let fits = !reason.trim().is_empty() && !reason.contains('\n');
    fits.then_some(()).ok_or_else(|| "an entry needs a reason, in one line".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_read() {
        let dir = std::env::temp_dir().join(format!("orlop-bugbase-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        add_seed(&dir, Kind::Fleet, 7, "a unit was lost").unwrap();
        add_seed(&dir, Kind::Fleet, 8, "another").unwrap();
        let load = Load::from_seed(Kind::Store, 9);
        add_plan(&dir, "small-one", &load, "a read was stale").unwrap();
        assert!(add_seed(&dir, Kind::Fleet, 7, "again").unwrap_err().contains("already"));
        assert!(add_plan(&dir, "small-one", &load, "again").unwrap_err().contains("already"));
        assert!(add_plan(&dir, "../up", &load, "reason").unwrap_err().contains("no name"));
        assert!(add_seed(&dir, Kind::Fleet, 9, " ").unwrap_err().contains("needs a reason"));
        let entries = read(&dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let all: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.reason.as_str())).collect();
        assert_eq!(
            all,
            [("fleet 7", "a unit was lost"), ("fleet 8", "another"), ("small-one", "a read was stale")]
        );
        assert_eq!(entries[2].load, load);
        assert!(entries[2].replay_line(&dir).contains("small-one.plan"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(seeds("store", "1 # fine\n2").unwrap_err().starts_with("line 2: seed 2 has no reason"));
        assert!(seeds("store", "x # y").unwrap_err().starts_with("line 1: \"x\" is no seed"));
        assert!(plan("p", "plan seed=1 calm=1 end=2").unwrap_err().contains("the reason is missing"));
    }
}
