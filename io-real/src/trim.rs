//! Gives back memory that only the start needed: pages of the program's own file, and of its libraries, that were read once.
//!
//! What a process has executed or read of a file stays mapped, sixteen pages around each one touched, although the daemon that has
//! settled needs a fraction of it: reading flags, certificates and texts is over. The pages are the page cache's and are clean; when
//! they are unmapped, what is still needed comes back with a minor fault each, in microseconds, and the rest does not.
//!
//! [`keep_small`] looks every second, and acts when the process has been quiet and has grown since it last settled, and once more
//! when it has been quiet for a while. A daemon that works is left alone.

use crate::process;
use rustix::mm::{Advice, madvise};
use std::fs;
use std::time::Duration;

/// How often the process is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Processor time in one period up to which the process counts as quiet.
const QUIET_CPU: Duration = Duration::from_millis(30);

/// It is worth while when so many bytes of files are mapped beyond what a settled process needed.
const GROWTH_BYTES: u64 = 1 << 20;

/// After so many quiet periods in a row it has come to rest: what the way there needed is given back as well.
const REST_PERIODS: u32 = 10;

/// Runs until it is dropped.
pub async fn keep_small() {
    let mut cpu = process::cpu_seconds();
    let mut settled = Settled::default();
    loop {
        tokio::time::sleep(PERIOD).await;
        let (now, mapped) = (process::cpu_seconds(), mapped_file_bytes());
        let quiet = now - std::mem::replace(&mut cpu, now) <= QUIET_CPU.as_secs_f64();
        if settled.look(quiet, mapped) {
            give_back();
        }
    }
}

/// What was mapped when the process had settled.
#[derive(Default)]
struct Settled {
    bytes: u64,
    /// Quiet periods in a row.
    quiet: u32,
    /// It has given back since it came to rest.
    rested: bool,
    /// It has just given back: what it needs to go on is back after a period.
    refills: bool,
}

impl Settled {
    /// Whether it is time to give back, with so much mapped.
    fn look(&mut self, quiet: bool, mapped: u64) -> bool {
        self.quiet = if quiet { self.quiet.saturating_add(1) } else { 0 };
        self.rested &= quiet;
        if std::mem::take(&mut self.refills) {
            self.bytes = mapped;
            return false;
        }
        let has_grown = quiet && mapped > self.bytes + GROWTH_BYTES;
        let rests = self.quiet >= REST_PERIODS && !self.rested;
        self.rested |= rests;
        self.refills = has_grown || rests;
        self.refills
    }
}

/// Unmaps every page of a file that this process has only ever read: for a daemon that has just become ready, and has its start behind
/// it. Where the kernel does not say, or refuses, nothing is done.
pub fn give_back() {
    let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else { return };
    for (start, end) in read_only(&smaps) {
        // SAFETY: the range is a private mapping of a file that cannot be written through, and that holds no page of its own
        // (`read_only` has seen that there is none, and without the right to write none comes to be). So every page in it equals the
        // file's, and comes back from the file when it is next touched, this very code's among them.
        #[allow(unsafe_code)]
        let _ = unsafe { madvise(start as *mut _, end - start, Advice::LinuxDontNeed) };
    }
}

/// The private, unwritable mappings of files without a page of their own, from `/proc/PID/smaps`.
fn read_only(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(range) = head(line) {
            candidate = range;
        } else if let Some(rest) = line.strip_prefix("Anonymous:") {
            // A debugger's break point is a page of its own, too: such a mapping is left alone.
            found.extend(candidate.take().filter(|_| rest.trim() == "0 kB"));
        }
    }
    found
}

/// Of a line that begins a mapping, its range if it may be given back: `Some(None)` for any other mapping.
fn head(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    let (rights, inode) = (words.next()?, words.nth(2)?);
    let of_file = words.next().is_some_and(|name| name.starts_with('/')) && inode != "0";
    Some((matches!(rights, "r-xp" | "r--p") && of_file && start < end).then_some((start, end)))
}

/// How much of files is mapped and present.
fn mapped_file_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(2).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
5566-5577 r-xp 00001000 08:01 42   /opt/orlop
Rss:                 12 kB
Anonymous:             0 kB
5577-5588 r--p 00002000 08:01 42   /opt/orlop
Anonymous:             8 kB
5588-5599 rw-p 00003000 08:01 42   /opt/orlop
Anonymous:             0 kB
6000-7000 r-xp 00000000 08:01 43   /usr/lib/libc.so.6
Anonymous:             0 kB
7000-8000 rw-p 00000000 00:00 0
Anonymous:             0 kB
8000-9000 r-xp 00000000 00:00 0    [vdso]
Anonymous:             0 kB
9000-a000 r--s 00000000 08:01 44   /var/lib/state
Anonymous:             0 kB
";

    #[test]
    fn only_what_equals_a_file_and_cannot_be_written_is_given_back() {
        assert_eq!(read_only(SMAPS), [(0x5566, 0x5577), (0x6000, 0x7000)]);
    }

    #[test]
    fn this_process_lives_on_and_is_smaller() {
        let before = mapped_file_bytes();
        give_back();
        let after = mapped_file_bytes();
        assert!(after < before && before > 0, "{before} {after}");
        assert_eq!("it still works".split(' ').count(), 3);
    }

    #[test]
    fn a_settled_process_is_left_alone_until_it_grows() {
        let mut settled = Settled::default();
        assert!(!settled.look(false, 9 << 20), "it works");
        assert!(settled.look(true, 9 << 20));
        assert!(!settled.look(true, 3 << 20), "what it needs is back");
        assert!(!settled.look(true, (3 << 20) + (1 << 19)));
        assert!(!settled.look(false, 8 << 20));
        assert!(settled.look(true, 8 << 20));
        assert!(!settled.look(true, 4 << 20) && !settled.look(true, 4 << 20));
        let rests = (0..60).filter(|_| settled.look(true, 4 << 20)).count();
        assert_eq!(rests, 1, "once when it has come to rest, and then no more");
    }
}
