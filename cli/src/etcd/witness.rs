//! `--observations-file`: what this member does, line by line, for a checker outside of the process.
//!
//! A line is one system call that ends before the next step is taken, so a process that is killed at any moment has left all
//! that it did; at most the last line is cut short. Times are the wall clock's nanoseconds since 1970, which all processes of
//! a machine share (a monotonic clock may be shifted for each).
//!
//! ```text
//! restored 1700000000000000000 17 9 3              applied index, revision, term
//! leads 1700000000000000001 4                      term
//! applying 1700000000000000002 18                  index: nobody has seen of it before this
//! applied 1700000000000000003 18 4 10 9f3c 0a0b    index, term, revision, state hash, command (hex; - for none)
//! installed 1700000000000000004 40 9f3c            index, state hash
//! ```
//!
//! The file should lie in memory (a tmpfs): a slow one slows the member down.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Observation, Observer};

/// Writes what it observes to a file.
pub struct Witness(File);

impl Witness {
    /// Goes on at the end of the file at `path`, which is made if there is none.
    pub fn open(path: &Path) -> io::Result<Witness> {
        Ok(Witness(File::options().create(true).append(true).open(path)?))
    }

    /// A member whose witness cannot write must not go on as if it were seen.
    fn write(&self, line: &str) {
        (&self.0).write_all(line.as_bytes()).expect("the file of --observations-file takes a line");
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

impl Observer for Witness {
    fn applying(&self, index: u64) {
        self.write(&format!("applying {} {index}\n", now()));
    }

    fn observe(&self, what: Observation) {
        self.write(&line(now(), &what));
    }
}

fn line(now: u128, what: &Observation) -> String {
    match what {
        Observation::Restored { applied, revision, term } => {
            format!("restored {now} {applied} {revision} {term}\n")
        }
        Observation::BecameLeader { term } => format!("leads {now} {term}\n"),
        Observation::Applied { index, term, command, state_hash, revision } => {
            let mut hex = String::with_capacity(2 * command.len().max(1));
            command.iter().for_each(|byte| write!(hex, "{byte:02x}").expect("a string takes everything"));
            if hex.is_empty() {
                hex.push('-');
            }
            format!("applied {now} {index} {term} {revision} {state_hash:x} {hex}\n")
        }
        Observation::Installed { index, state_hash } => format!("installed {now} {index} {state_hash:x}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_what_was_observed() {
        let applied = |command: &'static [u8]| Observation::Applied {
            index: 18,
            term: 4,
            command: command.into(),
            state_hash: 0x9f3c,
            revision: 10,
        };
        assert_eq!(line(7, &applied(b"\x0a\x0b")), "applied 7 18 4 10 9f3c 0a0b\n");
        assert_eq!(line(7, &applied(b"")), "applied 7 18 4 10 9f3c -\n");
        let restored = Observation::Restored { applied: 17, revision: 9, term: 3 };
        assert_eq!(line(7, &restored), "restored 7 17 9 3\n");
    }

    #[test]
    fn a_second_start_goes_on_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen");
        for term in [1, 2] {
            Witness::open(&path).unwrap().observe(Observation::BecameLeader { term });
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.starts_with("leads ")));
    }
}
