//! Two digests that tell replicas apart.
//!
//! The *state hash* is folded forward by every effect of every command, so that two replicas which applied the same log have
//! the same 64 bits at the same index, and an effect that one of them missed, doubled or changed is never forgotten, not even
//! by compaction. It is no defence against an adversary.

use crate::revision::Revision;

/// An effect that is no row.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Effect {
    /// A lease was granted.
    Grant = 1,
    /// A lease was revoked.
    Revoke = 2,
    /// History was dropped.
    Compact = 3,
}

/// Folds a row into `hash`.
pub(crate) fn fold_row(hash: u64, at: Revision, row: &[u8]) -> u64 {
    let hash = fold(fold(fold(hash, at.main as u64), u64::from(at.sub)), row.len() as u64);
    let mut words = row.chunks_exact(8);
    let hash = words
        .by_ref()
        .fold(hash, |hash, word| fold(hash, u64::from_le_bytes(word.try_into().expect("8 bytes"))));
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    fold(hash, u64::from_le_bytes(last))
}

/// Folds another effect into `hash`.
pub(crate) fn fold_effect(hash: u64, effect: Effect, subject: i64, amount: i64) -> u64 {
    // The high bit keeps these apart from rows, whose revisions are positive.
    fold(fold(fold(hash, 1 << 63 | effect as u64), subject as u64), amount as u64)
}

fn fold(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)).wrapping_add(hash.rotate_left(23))
}
