//! Linearizable reads that wait for the read index.
//!
//! A read may be answered from this member's state once (a) a quorum has confirmed, after the read arrived, which index was
//! committed, and (b) this member has applied that index. One confirmation serves every read that arrived before it was
//! asked for, so reads come in three groups: *new* (not covered by a confirmation yet), *asked* (covered by the one under
//! way) and *known* (an index is known, apply has to reach it). Lease renewals wait here too, for (a) only.

use kernel::{Bug, Planted};
use std::time::Duration;

/// Groups of waiting reads; `W` is whoever waits.
pub struct Reads<W> {
    fresh: Vec<W>,
    asked: Option<Asked<W>>,
    known: Vec<(u64, Vec<W>)>,
    next_context: u64,
    retry_after: Duration,
    planted: Planted,
}

struct Asked<W> {
    context: u64,
    since: Duration,
    waiting: Vec<W>,
}

impl<W> Reads<W> {
    /// No reads yet. Contexts count up from `first_context`, which must differ between members and incarnations; a
    /// confirmation that has not come after `retry_after` is asked for again.
    pub fn new(first_context: u64, retry_after: Duration) -> Self {
        let (fresh, asked, known) = (Vec::new(), None, Vec::new());
        Reads { fresh, asked, known, next_context: first_context, retry_after, planted: Planted::none() }
    }

    /// With a bug.
    pub fn with(self, planted: Planted) -> Self {
        Reads { planted, ..self }
    }

    /// A read arrives.
    pub fn arrive(&mut self, waiter: W) {
        self.fresh.push(waiter);
    }

    /// Reads waiting in all groups.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        let asked = self.asked.as_ref().map_or(0, |asked| asked.waiting.len());
        self.fresh.len() + asked + self.known.iter().map(|(_, waiting)| waiting.len()).sum::<usize>()
    }

    /// Whether a confirmation is under way.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The context to ask the quorum with now, if there is anything to ask. The caller says by [`Reads::refused`] when it
    /// could not be asked.
    pub fn ask(&mut self, now: Duration) -> Option<u64> {
        let overdue = self.asked.as_ref().is_some_and(|asked| now >= asked.since + self.retry_after);
        if self.asked.is_some() && !overdue || self.asked.is_none() && self.fresh.is_empty() {
            return None;
        }
        let mut waiting = self.asked.take().map(|asked| asked.waiting).unwrap_or_default();
        waiting.append(&mut self.fresh);
        let context = self.next_context;
        self.next_context = self.next_context.wrapping_add(1);
        self.asked = Some(Asked { context, since: now, waiting });
        Some(context)
    }

    /// The confirmation could not be asked for: its reads wait for the next attempt.
    pub fn refused(&mut self) {
        if let Some(asked) = self.asked.take() {
            let newer = std::mem::replace(&mut self.fresh, asked.waiting);
            self.fresh.extend(newer);
        }
    }

    /// A quorum has confirmed `index` for `context`. Answers to earlier attempts are ignored.
    pub fn confirmed(&mut self, context: u64, index: u64) {
        if self.asked.as_ref().is_some_and(|asked| asked.context == context) {
            let mut asked = self.asked.take().expect("checked above");
            if self.planted.is(Bug::ReadsJoinLate) {
                asked.waiting.append(&mut self.fresh);
            }
            self.known.push((index, asked.waiting));
        }
    }

    /// Takes the reads that may be answered when `applied` is applied.
    pub fn ready(&mut self, applied: u64) -> Vec<W> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let is_ready = |index: u64| index <= applied || self.planted.is(Bug::ReadBeforeApplied);
        let (ready, later): (Vec<_>, Vec<_>) = self.known.drain(..).partition(|(index, _)| is_ready(*index));
        self.known = later;
        ready.into_iter().flat_map(|(_, waiting)| waiting).collect()
    }

    /// Takes every read for which `give_up` holds.
    pub fn take_if(&mut self, give_up: impl Fn(&W) -> bool) -> Vec<W> {
        let mut taken = Vec::new();
        let groups = std::iter::once(&mut self.fresh)
            .chain(self.asked.as_mut().map(|asked| &mut asked.waiting))
            .chain(self.known.iter_mut().map(|(_, waiting)| waiting));
        for group in groups {
            taken.extend(group.extract_if(.., |waiter| give_up(waiter)));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_millis(500);

    #[test]
    fn one_confirmation_serves_what_arrived_before_it() {
        let mut reads = Reads::new(10, RETRY);
        reads.arrive('a');
        assert_eq!(reads.ask(Duration::ZERO), Some(10));
        reads.arrive('b');
        assert_eq!(reads.ask(Duration::ZERO), None, "one confirmation under way at a time");
        reads.confirmed(10, 7);
        assert!(reads.ready(6).is_empty());
        assert_eq!(reads.ready(7), ['a']);
        assert_eq!(reads.ask(Duration::ZERO), Some(11));
        reads.confirmed(11, 7);
        assert_eq!(reads.ready(7), ['b']);
        assert_eq!(reads.len(), 0);
    }

    #[test]
    fn a_lost_confirmation_is_asked_for_again_and_its_late_answer_is_ignored() {
        let mut reads = Reads::new(1, RETRY);
        reads.arrive('a');
        assert_eq!(reads.ask(Duration::ZERO), Some(1));
        assert_eq!(reads.ask(RETRY), Some(2));
        reads.confirmed(1, 3);
        assert!(reads.ready(9).is_empty());
        reads.confirmed(2, 4);
        assert_eq!(reads.ready(9), ['a']);
    }

    #[test]
    fn a_refused_confirmation_keeps_the_order() {
        let mut reads = Reads::new(1, RETRY);
        reads.arrive('a');
        reads.ask(Duration::ZERO);
        reads.arrive('b');
        reads.refused();
        assert_eq!(reads.take_if(|_| true), ['a', 'b']);
    }
}
