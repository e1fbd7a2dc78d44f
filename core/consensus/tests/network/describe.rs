//! An output in one line of a trace.

use consensus::*;

/// What an output asks for, without its number.
pub fn describe(output: &Output) -> String {
    let mut words = Vec::new();
    if let Some(mark) = &output.snapshot {
        words.push(format!("snapshot {}/{}", mark.index, mark.term));
    }
    let range = |entries: &[Entry]| match entries {
        [] => String::new(),
        [one] => format!("{}/{}", one.index, one.term),
        [first, .., last] => format!("{}/{}..{}/{}", first.index, first.term, last.index, last.term),
    };
    if !output.entries.is_empty() {
        words.push(format!("write {}", range(&output.entries)));
    }
    if let Some(state) = &output.hard_state {
        let sync = if output.must_sync { "sync" } else { "note" };
        words.push(format!("{sync} term {} vote {} commit {}", state.term, state.vote, state.commit));
    }
    if !output.committed.is_empty() {
        words.push(format!("apply {}", range(&output.committed)));
    }
    words.extend(output.reads.iter().map(|read| format!("answer read at {}", read.index)));
    for (when, messages) in [("send", &output.send_now), ("then send", &output.send_after_persist)] {
        for message in messages {
            let kind = MessageKind::try_from(message.kind).expect("a known kind");
            let entries = range(&message.entries);
            let space =
                if entries.is_empty() || message.term == 0 { String::new() } else { format!(" {entries}") };
            let no = if message.reject { " no" } else { "" };
            words.push(format!("{when} {kind:?}{space}{no} to {}", message.to));
        }
    }
    words.join(", ")
}
