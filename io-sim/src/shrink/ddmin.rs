//! Delta debugging: from a list of things which together make a failure to a shorter part that still does.
//!
//! The list is cut into pieces. A piece that fails alone becomes the list; else the list without one piece, where that
//! fails; else the pieces are halved, until they are single things. What remains is 1-minimal: without any one of its
//! things the failure is gone (as long as the test gives the same answer each time and is not told to stop). That last part is what
//! costs: each single thing is tried. Who only wants to be rid of the bulk says into how many pieces it is cut at most.

/// Reduces `0..count`, all of which is known to fail. `first_failing` gets parts of it, each in order, and names the first
/// one that still fails, if any. One that has no more time answers `None`: then the best so far is returned. The list is cut into
/// `most` pieces at most; what remains is 1-minimal only if that is no less than its length.
pub fn ddmin(
    count: usize,
    most: usize,
    mut first_failing: impl FnMut(&[Vec<usize>]) -> Option<usize>,
) -> Vec<usize> {
    let mut list: Vec<usize> = (0..count).collect();
    if list.is_empty() || first_failing(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut pieces = 2;
    while list.len() > 1 {
        pieces = pieces.min(list.len());
        let mut candidates = cut(&list, pieces);
        // Of two pieces each is what the other one leaves.
        if pieces > 2 {
            let without = candidates.iter().map(|piece| except(&list, piece));
            candidates.extend(without.collect::<Vec<_>>());
        }
        match first_failing(&candidates) {
            Some(found) => {
                let shorter = candidates.swap_remove(found);
                assert!(
                    !shorter.is_empty() && shorter.len() < list.len(),
                    "a part is smaller than the whole"
                );
                pieces = if found < pieces { 2 } else { (pieces - 1).max(2) };
                list = shorter;
            }
            None if pieces == list.len() || pieces >= most => break,
            None => pieces *= 2,
        }
    }
    list
}

/// Cuts into `pieces` pieces of about equal length, none of them empty.
fn cut(list: &[usize], pieces: usize) -> Vec<Vec<usize>> {
    assert!((1..=list.len()).contains(&pieces), "no piece is empty");
    let edge = |piece: usize| piece * list.len() / pieces;
    (0..pieces).map(|piece| list[edge(piece)..edge(piece + 1)].to_vec()).collect()
}

fn except(list: &[usize], piece: &[usize]) -> Vec<usize> {
    list.iter().copied().filter(|thing| !piece.contains(thing)).collect()
}

#[cfg(test)]
#[path = "ddmin_tests.rs"]
mod tests;
