//! What a set of segment files amounts to: where the log ends, and whether it ends because it was torn or because it is damaged.
//!
//! The newest segment says which one comes before it and where that one ends, and so on back to the oldest: these are the
//! *live* segments, all others are void. Then the chain is walked forward from the oldest. It may end
//!
//! - *cleanly or torn*, only in the newest segment: nothing behind the end was known durable by any later record;
//! - *damaged*, anywhere: a record behind the first bad one says that it was durable (its `synced` lies beyond), or a later
//!   segment exists, which is made only after the one before was synced, or bytes of the file are missing.
//!
//! Bytes that cannot be read count as bytes that are bad. If in doubt it is damage. This file changes nothing and reads no file.

use crate::record::{Found, HEADER, Identity, Position, claimed, find, scan};
use crate::replay::Replay;
use crate::segment::{Head, Link, Name, PREAMBLE, head};
use kernel::Planted;
use std::ops::Range;

/// A segment file with its bytes.
pub(crate) struct Loaded {
    pub name: Name,
    pub data: Data,
    /// Its first block, if whole.
    pub head: Option<Head>,
}

/// The bytes of a file, with zeros where it cannot be read.
#[derive(Default)]
pub(crate) struct Data {
    pub bytes: Vec<u8>,
    /// Where it cannot be read, in order.
    pub holes: Vec<Range<usize>>,
}

impl Loaded {
    pub fn new(name: Name, data: Data) -> Self {
        let head = head(&data.bytes, name.sequence);
        Loaded { name, data, head }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.data.bytes
    }

    /// Whether the record that would begin at `at` cannot be read, or not whole.
    fn is_hole(&self, at: usize) -> bool {
        let length = claimed(self.bytes(), at, self.name.sequence).unwrap_or(0);
        self.data.holes.iter().any(|hole| hole.start < at + HEADER + length && at < hole.end)
    }

    fn identity(&self) -> Option<Identity> {
        self.head.as_ref().map(|head| head.identity)
    }

    /// Whether the file is shorter than it was made. Its length was durable before it had a name.
    fn is_cut(&self) -> bool {
        self.head.as_ref().is_some_and(|head| (self.bytes().len() as u64) < head.size)
    }
}

/// Where reading stopped.
pub(crate) struct End {
    /// Place of the segment in `live`.
    pub segment: usize,
    /// The first byte that is not part of the log.
    pub offset: usize,
    /// Behind the last good record; none if the segment's first block is bad.
    pub at: Option<Position>,
}

/// What was found.
pub(crate) struct Survey {
    /// The live segments, oldest first, as places in the list that was given.
    pub live: Vec<usize>,
    pub replay: Replay,
    pub end: End,
    /// Why something that was acknowledged is missing from `end` on.
    pub damage: Option<&'static str>,
    /// The end of the log before the damage, for a segment that continues there.
    pub link: Link,
}

/// Reads `segments`, which are sorted by sequence and not empty.
pub(crate) fn survey(segments: &[Loaded], planted: Planted) -> Survey {
    let live = live(segments);
    let mut survey = Survey {
        live,
        replay: Replay { planted, ..Replay::default() },
        end: End { segment: 0, offset: 0, at: None },
        damage: None,
        link: Link::default(),
    };
    for place in 0..survey.live.len() {
        survey.read(segments, place);
        if survey.damage.is_some() {
            break;
        }
    }
    survey
}

/// The chain of segments back from the newest. Where a link leads nowhere although older segments exist, the next older
/// one is taken, and reading it will find the damage.
fn live(segments: &[Loaded]) -> Vec<usize> {
    let mut live = vec![segments.len() - 1];
    while let Some(older) = live[live.len() - 1].checked_sub(1) {
        let link = segments[live[live.len() - 1]].head.as_ref().map(|head| head.link.sequence);
        let named =
            link.and_then(|sequence| segments.iter().position(|other| other.name.sequence == sequence));
        match (link, named) {
            (Some(0), _) => break,
            (_, Some(named)) if named <= older => live.push(named),
            _ => live.push(older),
        }
    }
    live.reverse();
    live
}

impl Survey {
    /// Reads the live segment `place` up to its end.
    fn read(&mut self, segments: &[Loaded], place: usize) {
        let segment = &segments[self.live[place]];
        let next = self.live.get(place + 1).map(|next| &segments[*next]);
        self.end = End { segment: place, offset: 0, at: None };
        let Some(head) = &segment.head else {
            self.damage = Some("its first block is not what was written");
            return;
        };
        let stated = next.and_then(|next| next.head.as_ref()).map(|head| head.link);
        let stated = stated.filter(|link| link.sequence == segment.name.sequence);
        let mut at = Position {
            identity: head.identity,
            tail: PREAMBLE,
            synced: 0,
            state_at: 0,
            crc: head.link.crc,
            last: 0,
        };
        let orderly = self.walk(segment.bytes(), &mut at, stated.map(|link| link.end));
        self.end = End { segment: place, offset: at.tail, at: Some(at) };
        self.link = Link { sequence: segment.name.sequence, end: at.tail, crc: at.crc };
        self.damage = if !orderly {
            Some("an entry is missing before the record here")
        } else if stated.is_some_and(|link| link != self.link) {
            Some("the record here is not what was written, and a later segment exists")
        } else if next.is_some() && stated.is_none() {
            Some("the segment that continues from here is missing or has lost its first block")
        } else if next.is_none() {
            tail_damage(segment, &at)
        } else {
            None
        };
    }

    /// Follows the chain until it breaks or `until` is reached; false if a record makes no sense.
    fn walk(&mut self, bytes: &[u8], at: &mut Position, until: Option<usize>) -> bool {
        while until != Some(at.tail)
            && let Some(found) = find(bytes, at.tail, at.identity)
            && found.prev == at.crc
        {
            if self.replay.add(&found).is_err() {
                return false;
            }
            at.pass(&found);
        }
        true
    }
}

fn tail_damage(segment: &Loaded, at: &Position) -> Option<&'static str> {
    if segment.is_cut() {
        return Some("the file is shorter than it was made");
    }
    // Zeros would say that nothing was ever written there. Whether something was acknowledged there cannot be told.
    if segment.is_hole(at.tail) {
        return Some("it cannot be read here");
    }
    let proven = scan(segment.bytes(), at.tail, at.identity).any(|found| found.synced > at.tail);
    proven.then_some("the record here is not what was written, and a later record says that it was durable")
}

/// A whole record behind the damage.
pub(crate) struct Later<'a> {
    pub found: Found<'a>,
    /// Place of its segment among the live ones.
    pub segment: usize,
    /// Whether it is known to have been durable.
    pub proven: bool,
}

/// What can be told about the log behind the damage, from the records there that are whole.
pub(crate) struct Evidence<'a> {
    /// Every whole record behind the damage, in order.
    pub found: Vec<Later<'a>>,
    /// The highest index that was acknowledged.
    pub acknowledged: u64,
}

/// Gathers what lies behind the damage of `survey`.
pub(crate) fn evidence<'a>(segments: &'a [Loaded], survey: &Survey) -> Evidence<'a> {
    let mut evidence = Evidence { found: Vec::new(), acknowledged: survey.replay.last() };
    for (place, index) in survey.live.iter().enumerate().skip(survey.end.segment) {
        let segment = &segments[*index];
        let from = if place == survey.end.segment { survey.end.offset } else { PREAMBLE };
        let found: Vec<Found<'_>> = segment
            .identity()
            .map(|identity| scan(segment.bytes(), from, identity).collect())
            .unwrap_or_default();
        let newest = place + 1 == survey.live.len();
        let proven =
            if newest { found.iter().map(|found| found.synced).max().unwrap_or(0) } else { usize::MAX };
        let durable = found.iter().filter(|found| found.end <= proven).map(|found| found.last).max();
        let ahead = found.first().map(|found| before(found));
        let named = (place > survey.end.segment).then(|| segment.name.first.saturating_sub(1));
        evidence.acknowledged =
            [Some(evidence.acknowledged), durable, ahead, named].into_iter().flatten().max().unwrap_or(0);
        let later = |found: Found<'a>| Later { found, segment: place, proven: found.end <= proven };
        evidence.found.extend(found.into_iter().map(later));
    }
    evidence
}

/// Index of the last entry before `found`, as far as it can tell.
fn before(found: &Found<'_>) -> u64 {
    match found.tag {
        crate::record::Tag::Entry => found.last.saturating_sub(1),
        _ => found.last,
    }
}

impl Evidence<'_> {
    /// The newest hard state behind the damage: `Ok(None)` if none was lost there, an error if one may have been.
    pub fn hard_state(&self, segments: &[Loaded], survey: &Survey) -> Result<Option<&[u8]>, &'static str> {
        let newest = survey.live.len() - 1;
        let last = self.found.last().filter(|later| later.segment == newest).map(|later| later.found);
        let Some(last) = last.filter(|_| !segments[survey.live[newest]].is_cut()) else {
            return Err("no whole record is left behind the damage to tell what else was lost");
        };
        if last.state_at == 0 || (survey.end.segment == newest && last.state_at < survey.end.offset) {
            return Ok(None);
        }
        let copies = self.found.iter().rev().take_while(|later| later.segment == newest);
        let mut copies = copies.map(|later| later.found).filter(|found| found.offset >= last.state_at);
        match copies.find(|found| found.hard_state().is_some()) {
            Some(found) => Ok(Some(found.payload)),
            None => Err("the newest hard state is lost in it"),
        }
    }
}
