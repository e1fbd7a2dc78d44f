//! Which of many key ranges hold a key: an interval tree.
//!
//! A treap ordered by (start, end), in which each node also knows the furthest end beneath it. A lookup skips every subtree
//! that ends before the key, so it costs the logarithm of the number of distinct ranges plus the hits. Priorities are a
//! seeded hash of the range: the shape depends on the ranges and the seed only, not on the order of arrival, and nobody who
//! does not know the seed can make it deep. Equal ranges share a node.

use bytes::Bytes;
use kernel::rng::mix;
use std::collections::BTreeSet;

/// Where a range ends. The order of the variants is the order of the ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Just before this key.
    Before(Bytes),
    /// Nowhere: it holds every key from its start.
    Never,
}

impl End {
    fn lies_beyond(&self, key: &[u8]) -> bool {
        match self {
            End::Before(end) => key < &end[..],
            End::Never => true,
        }
    }
}

type Tree<T> = Option<Box<Node<T>>>;

struct Node<T> {
    range: (Bytes, End),
    /// Who has this range; never empty.
    holders: BTreeSet<T>,
    priority: u64,
    /// The greatest end in this subtree.
    furthest: End,
    low: Tree<T>,
    high: Tree<T>,
}

/// A set of (range, holder) pairs.
pub(super) struct Intervals<T> {
    root: Tree<T>,
    seed: u64,
}

impl<T: Copy + Ord> Intervals<T> {
    /// The empty set; `seed` decides the shape of the tree.
    pub(super) fn new(seed: u64) -> Self {
        Intervals { root: None, seed }
    }

    /// Adds a pair.
    pub(super) fn insert(&mut self, start: &Bytes, end: &End, holder: T) {
        let range = (start.clone(), end.clone());
        if let Some(node) = find(&mut self.root, &range) {
            node.holders.insert(holder);
            return;
        }
        let priority = start.iter().fold(mix(self.seed), |hash, byte| mix(hash ^ u64::from(*byte)));
        let priority = match end {
            End::Before(key) => key.iter().fold(mix(priority ^ 1), |hash, byte| mix(hash ^ u64::from(*byte))),
            End::Never => mix(priority ^ 2),
        };
        let holders = BTreeSet::from([holder]);
        let node = Node { range, holders, priority, furthest: end.clone(), low: None, high: None };
        self.root = Some(place(self.root.take(), Box::new(node)));
    }

    /// Takes a pair out; returns whether it was there.
    pub(super) fn remove(&mut self, start: &Bytes, end: &End, holder: T) -> bool {
        let range = (start.clone(), end.clone());
        let Some(node) = find(&mut self.root, &range) else { return false };
        let was_there = node.holders.remove(&holder);
        if node.holders.is_empty() {
            self.root = cut(self.root.take(), &range);
        }
        was_there
    }

    /// Adds to `found` every holder of a range that holds `key`.
    pub(super) fn find(&self, key: &[u8], found: &mut Vec<T>) {
        visit(&self.root, key, found);
    }
}

fn visit<T: Copy>(tree: &Tree<T>, key: &[u8], found: &mut Vec<T>) {
    let Some(node) = tree else { return };
    if !node.furthest.lies_beyond(key) {
        return;
    }
    visit(&node.low, key, found);
    if &node.range.0[..] <= key {
        if node.range.1.lies_beyond(key) {
            found.extend(node.holders.iter().copied());
        }
        visit(&node.high, key, found);
    }
}

fn find<'a, T>(tree: &'a mut Tree<T>, range: &(Bytes, End)) -> Option<&'a mut Node<T>> {
    let mut tree = tree;
    while let Some(node) = tree {
        match range.cmp(&node.range) {
            std::cmp::Ordering::Equal => return Some(node),
            std::cmp::Ordering::Less => tree = &mut node.low,
            std::cmp::Ordering::Greater => tree = &mut node.high,
        }
    }
    None
}

/// Restores `furthest` after a child changed.
fn measure<T>(mut node: Box<Node<T>>) -> Box<Node<T>> {
    let children = [&node.low, &node.high].into_iter().flatten().map(|child| &child.furthest);
    node.furthest = children.fold(&node.range.1, std::cmp::max).clone();
    node
}

/// Puts a node whose range is not in the tree where its priority wants it.
fn place<T>(tree: Tree<T>, mut new: Box<Node<T>>) -> Box<Node<T>> {
    match tree {
        Some(mut node) if node.priority >= new.priority => {
            if new.range < node.range {
                node.low = Some(place(node.low.take(), new));
            } else {
                node.high = Some(place(node.high.take(), new));
            }
            measure(node)
        }
        tree => {
            (new.low, new.high) = split(tree, &new.range);
            measure(new)
        }
    }
}

/// Parts a tree into the ranges before `at` and those after it.
fn split<T>(tree: Tree<T>, at: &(Bytes, End)) -> (Tree<T>, Tree<T>) {
    let Some(mut node) = tree else { return (None, None) };
    if node.range < *at {
        let (low, high) = split(node.high.take(), at);
        node.high = low;
        (Some(measure(node)), high)
    } else {
        let (low, high) = split(node.low.take(), at);
        node.low = high;
        (low, Some(measure(node)))
    }
}

/// The tree without the node of `range`.
fn cut<T>(tree: Tree<T>, range: &(Bytes, End)) -> Tree<T> {
    let mut node = tree?;
    match range.cmp(&node.range) {
        std::cmp::Ordering::Equal => return merge(node.low.take(), node.high.take()),
        std::cmp::Ordering::Less => node.low = cut(node.low.take(), range),
        std::cmp::Ordering::Greater => node.high = cut(node.high.take(), range),
    }
    Some(measure(node))
}

/// Joins two trees, all ranges of the first being before all of the second.
fn merge<T>(low: Tree<T>, high: Tree<T>) -> Tree<T> {
    match (low, high) {
        (None, tree) | (tree, None) => tree,
        (Some(mut low), Some(high)) if low.priority >= high.priority => {
            low.high = merge(low.high.take(), Some(high));
            Some(measure(low))
        }
        (Some(low), Some(mut high)) => {
            high.low = merge(Some(low), high.low.take());
            Some(measure(high))
        }
    }
}

#[cfg(test)]
impl<T> Intervals<T> {
    /// The longest way from the root, in nodes.
    pub(super) fn depth(&self) -> usize {
        fn depth<T>(tree: &Tree<T>) -> usize {
            tree.as_ref().map_or(0, |node| 1 + depth(&node.low).max(depth(&node.high)))
        }
        depth(&self.root)
    }
}
