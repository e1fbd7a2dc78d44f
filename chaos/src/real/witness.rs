//! What members were observed to do (`orlop etcd --observations-file`), as evidence for the checkers.
//!
//! The files of all members are merged by time and go through the same checkers as in the simulator, in the same order. The time
//! of an entry is the earliest at which any member was about to apply it: nobody can have seen anything of it before.

use io_sim::checkers::leaders::Leaders;
use io_sim::checkers::logs::{Applied, Logs};
use io_sim::checkers::{Checked, Failure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// When the run began, by the wall clock that all processes of a machine share.
#[derive(Clone, Copy, Debug)]
pub struct Zero(pub SystemTime);

impl Zero {
    /// Time since then.
    pub fn now(&self) -> Duration {
        SystemTime::now().duration_since(self.0).unwrap_or_default()
    }

    /// The time that a member wrote down, in nanoseconds since 1970; the beginning for what was before.
    fn time(&self, nanos: u64) -> Duration {
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        at.duration_since(self.0).unwrap_or_default()
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Applying { index: u64 },
    Applied(Applied),
    Restored { applied: u64, revision: i64 },
    Leads { term: u64 },
    Installed { index: u64, state_hash: u64 },
}

/// Reads a line; `None` for one that was cut short.
fn read(line: &str) -> Option<(u64, Seen)> {
    let mut words = line.split(' ');
    let (what, at) = (words.next()?, words.next()?.parse().ok()?);
    let mut number = || words.next()?.parse::<u64>().ok();
    let seen = match what {
        "applying" => Seen::Applying { index: number()? },
        "leads" => Seen::Leads { term: number()? },
        "restored" => Seen::Restored { applied: number()?, revision: i64::try_from(number()?).ok()? },
        "installed" => Seen::Installed { index: number()?, state_hash: hash(words.next()?)? },
        "applied" => {
            let (index, term, revision) = (number()?, number()?, i64::try_from(number()?).ok()?);
            let state_hash = hash(words.next()?)?;
            let command = bytes(words.next()?)?.into();
            Seen::Applied(Applied { index, term, command, state_hash, revision })
        }
        _ => return None,
    };
    Some((at, seen))
}

fn hash(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}

/// Hexadecimal digits, or `-` for nothing.
fn bytes(word: &str) -> Option<Vec<u8>> {
    if word == "-" {
        return Some(Vec::new());
    }
    let digits = word.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect())?
}

/// The lines of a file. Only the last may be cut short, because the process was killed while it wrote it.
fn lines(path: &Path) -> Result<Vec<(u64, Seen)>, Failure> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let count = text.lines().count();
    let mut seen = Vec::with_capacity(count);
    for (number, line) in text.lines().enumerate() {
        match read(line) {
            Some(line) => seen.push(line),
            None if number + 1 == count => {}
            None => {
                let text = format!("{}:{}: {line:?} cannot be read", path.display(), number + 1);
                return Err(Failure { checker: "witness", invariant: "readable", text });
            }
        }
    }
    Ok(seen)
}

/// What members were observed to do.
pub struct Evidence {
    /// The applied log.
    pub logs: Logs,
    /// The elections.
    pub leaders: Leaders,
    /// The last election.
    pub elected: Duration,
}

/// Gathers what the members did, `files` in their order, and judges it.
pub fn evidence(files: &[PathBuf], zero: Zero) -> Result<Evidence, Failure> {
    let mut all = Vec::new();
    let mut first: BTreeMap<u64, u64> = BTreeMap::new();
    for (member, path) in (1..).zip(files) {
        for (at, seen) in lines(path)? {
            if let Seen::Applying { index } = seen {
                let earliest = first.entry(index).or_insert(at);
                *earliest = at.min(*earliest);
            } else {
                all.push((at, member, seen));
            }
        }
    }
    all.sort_by_key(|(at, member, _)| (*at, *member));
    let leaders = Leaders::of(files.len() as u8);
    let mut evidence = Evidence { logs: Logs::default(), leaders, elected: Duration::ZERO };
    for (at, member, seen) in all {
        evidence.take(member, zero.time(at), seen, |index, at| {
            first.get(&index).map_or(at, |first| zero.time(*first))
        })?;
    }
    Ok(evidence)
}

impl Evidence {
    fn take(
        &mut self,
        member: u64,
        at: Duration,
        seen: Seen,
        first: impl Fn(u64, Duration) -> Duration,
    ) -> Checked {
        match seen {
            Seen::Applying { .. } => Ok(()),
            Seen::Restored { applied, revision } => self.logs.restored(member, applied, revision),
            Seen::Leads { term } => {
                self.elected = at;
                self.leaders.elected(member, term)
            }
            Seen::Applied(entry) => self.logs.applied(member, first(entry.index, at), entry),
            Seen::Installed { index, state_hash } => self.logs.installed(member, index, state_hash),
        }
    }
}

/// Who was last elected, as far as the files say by now.
pub fn leader(files: &[PathBuf]) -> Option<u8> {
    let mut newest = None;
    for (member, path) in (1..).zip(files) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let terms = text.lines().filter_map(|line| match read(line) {
            Some((_, Seen::Leads { term })) => Some(term),
            _ => None,
        });
        newest = newest.max(terms.max().map(|term| (term, member)));
    }
    newest.map(|(_, member)| member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(texts: [&str; 2]) -> Result<Evidence, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = (0..2).map(|member| folder.path().join(member.to_string())).collect();
        for (path, text) in files.iter().zip(texts) {
            fs::write(path, text).unwrap();
        }
        assert_eq!(leader(&files), Some(2));
        evidence(&files, Zero(SystemTime::UNIX_EPOCH))
    }

    #[test]
    fn an_entry_is_as_old_as_its_first_application() {
        let one = "restored 5 0 1 0\napplying 10 1\napplied 90 1 1 1 a -\napplying 91 2\nappl";
        let two = "restored 6 0 1 0\nleads 7 1\napplying 20 1\napplied 30 1 1 1 a -\napplying 40 2\napplied 41 2 1 2 b 0a0B\n";
        let evidence = judged([one, two]).unwrap();
        let entries = evidence.logs.entries();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].0, Duration::from_nanos(10));
        assert_eq!((entries[1].0, &entries[1].1.command[..]), (Duration::from_nanos(40), &[10, 11][..]));
        assert_eq!((evidence.logs.applied_by(1), evidence.elected), (1, Duration::from_nanos(7)));
    }

    #[test]
    fn members_that_part_are_caught() {
        let one = "restored 5 0 1 0\napplying 10 1\napplied 11 1 1 1 a -\n";
        let two = "restored 6 0 1 0\nleads 7 1\napplying 20 1\napplied 21 1 1 1 b -\n";
        assert_eq!(judged([one, two]).err().unwrap().invariant, "state-hash");
        let torn = "restored 5 0 1 0\napplied 11 1 1\napplied 12 1 1 1 a -\n";
        assert_eq!(judged([torn, two]).err().unwrap().invariant, "readable");
    }
}
