//! The text of a run, for people: one line an event, with its world time and its machine.
//!
//! Nothing is formatted unless somebody reads it. The text is a function of the plan alone, so two runs of one plan
//! can be compared line by line; for a cheaper comparison every run has a hash of all its events
//! ([`Report::trace_hash`](crate::runner::Report)).

use crate::sched::NodeId;
use crate::world::World;
use std::time::Duration;

/// Takes the lines of a trace, without their ends.
pub type Sink = Box<dyn FnMut(&str) + Send>;

/// Sends the trace of `world` to `sink`. Machines must have been added.
pub fn attach(world: &World, machines: u32, mut sink: Sink) {
    let names: Vec<String> = std::iter::once("world".to_string())
        .chain((1..=machines).map(|machine| world.name(NodeId(machine))))
        .collect();
    world.sched().set_trace(Some(Box::new(move |at, node, text| {
        let name = names.get(node.0 as usize).map_or("?", String::as_str);
        sink(&line(at, name, text));
    })));
}

/// One line.
pub fn line(at: Duration, name: &str, text: &str) -> String {
    format!("{:>6}.{:06} {name:<5} {text}", at.as_secs(), at.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_in_columns() {
        assert_eq!(line(Duration::from_micros(1_250_007), "m1", "starts"), "     1.250007 m1    starts");
    }
}
