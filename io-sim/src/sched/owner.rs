//! Who a task, a timer or a connection belongs to: a node, in one of its lives.

use std::fmt;

/// A simulated machine. Numbers are given in the order in which nodes are added, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The world itself: the runner, fault events and frames on the wire. It is always up and its clock is world time.
    pub const WORLD: NodeId = NodeId(0);
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            NodeId::WORLD => f.write_str("world"),
            NodeId(number) => write!(f, "node {number}"),
        }
    }
}

/// A process: a node between one start and the crash that ends it. What belongs to an owner that is no longer the node's
/// current one is dead: it is dropped, and its verbs do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The machine.
    pub node: NodeId,
    /// Counts the machine's starts, from 1; 0 is the world's own.
    pub incarnation: u32,
}

impl Owner {
    /// The owner of what belongs to no node.
    pub const WORLD: Owner = Owner { node: NodeId::WORLD, incarnation: 0 };
}
