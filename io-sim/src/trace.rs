//! The text of a run, for people: one line an event, with its world time and its machine.
//!
//! Nothing is formatted unless somebody reads it. The text is a function of the plan alone, so two runs of one plan
//! can be compared line by line; for a cheaper comparison every run has a hash of all its events
//! (the report's `trace_hash`).

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

/// What a line is about, from the rare to the frequent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Faults, processes, leaders, units: everything that no other level has.
    World,
    /// Calls of clients and what watchers get.
    Calls,
    /// Messages, and entries that members apply.
    Net,
    /// The work of disks.
    All,
}

/// A line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// World time.
    pub at: Duration,
    /// The machine, or `world`.
    pub node: &'a str,
    /// What happened.
    pub text: &'a str,
}

impl<'a> Event<'a> {
    /// Takes apart what [`line()`] made; `None` for any other text.
    pub fn of(line: &'a str) -> Option<Event<'a>> {
        let (time, rest) = line.trim_start().split_once(' ')?;
        let (seconds, micros) = time.split_once('.')?;
        let at = Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
        let (node, text) = rest.split_once(' ')?;
        Some(Event { at, node, text: text.trim_start() })
    }

    /// What it is about.
    pub fn level(&self) -> Level {
        match self.text.split(' ').next().unwrap_or("") {
            "op" | "watch" | "deed" => Level::Calls,
            "net" | "applies" => Level::Net,
            "disk" => Level::All,
            _ => Level::World,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_again() {
        let at = Duration::from_micros(12_000_345);
        for (text, level) in [
            ("begins: fault crash at=5ms", Level::World),
            ("op 3 on m1: Unknown", Level::Calls),
            ("net 1 frames, 9 bytes to node 2", Level::Net),
            ("disk Sync 3", Level::All),
        ] {
            let line = line(at, "m1", text);
            let event = Event::of(&line).unwrap();
            assert_eq!(event, Event { at, node: "m1", text });
            assert_eq!(event.level(), level);
        }
        assert_eq!(Event::of("seed 7: passed"), None);
    }

    #[test]
    fn lines_stand_in_columns() {
        assert_eq!(line(Duration::from_micros(1_250_007), "m1", "starts"), "     1.250007 m1    starts");
    }
}
