//! The table format: right-aligned cells, centred headings, long cells broken at spaces.
//!
//! A column is as wide as its widest cell, but a cell of more than [`WRAP`] characters is broken into lines. Where it breaks
//! is chosen so that the squares of the space left at the line ends are least, as in the table writer that etcdctl uses.

use super::*;

/// Widest cell that is not broken.
const WRAP: usize = 30;

/// `None` where etcdctl offers no table.
pub(super) fn render(reply: &Reply) -> Option<String> {
    Some(match reply {
        Reply::Members(response) => {
            let head = ["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"];
            draw(&head, response.members.iter().map(member_row))
        }
        Reply::Status(list) => {
            let head = [
                "ENDPOINT",
                "ID",
                "VERSION",
                "DB SIZE",
                "IS LEADER",
                "IS LEARNER",
                "RAFT TERM",
                "RAFT INDEX",
                "RAFT APPLIED INDEX",
                "ERRORS",
            ];
            draw(&head, list.iter().map(|(endpoint, status)| status_row(endpoint, status)))
        }
        Reply::Health(list) => {
            let row = |health: &Health| {
                let took = crate::golang::format_duration(health.took);
                vec![health.endpoint.clone(), health.healthy.to_string(), took, health.error.clone()]
            };
            draw(&["ENDPOINT", "HEALTH", "TOOK", "ERROR"], list.iter().map(row))
        }
        Reply::HashKv(list) => {
            let row = |(endpoint, response): &(String, HashKvResponse)| {
                vec![endpoint.clone(), response.hash.to_string()]
            };
            draw(&["ENDPOINT", "HASH"], list.iter().map(row))
        }
        _ => return None,
    })
}

fn draw(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut widths: Vec<usize> = head.iter().map(|title| title.len()).collect();
    let rows: Vec<Vec<Vec<String>>> = rows
        .map(|row| {
            assert_eq!(row.len(), head.len(), "a row has a cell for each heading");
            row.iter().zip(&mut widths).map(|(cell, width)| measure(cell, width)).collect()
        })
        .collect();
    let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("+");
    let mut out = format!("+{rule}+\n");
    out += &line(head.iter().zip(&widths).map(|(title, &width)| format!("{title:^width$}")));
    out += &format!("+{rule}+\n");
    for row in &rows {
        let height = row.iter().map(Vec::len).max().unwrap_or(1);
        for index in 0..height {
            let cell = |cell: &Vec<String>| cell.get(index).cloned().unwrap_or_default();
            out += &line(row.iter().map(cell).zip(&widths).map(|(text, &width)| format!("{text:>width$}")));
        }
    }
    if !rows.is_empty() {
        out += &format!("+{rule}+\n");
    }
    out
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// The lines of a cell; `width` grows to hold them.
fn measure(cell: &str, width: &mut usize) -> Vec<String> {
    let lines = wrap(cell);
    let natural = cell.chars().count().min(WRAP);
    *width = lines.iter().map(|line| line.chars().count()).fold(natural.max(*width), usize::max);
    lines
}

/// Breaks `text` at spaces so that no line is longer than [`WRAP`], or than its longest word if that is longer.
fn wrap(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let limit = words.iter().map(|word| word.chars().count()).fold(WRAP, usize::max);
    let count = words.len();
    let length = |from: usize, to: usize| {
        words[from..to].iter().map(|word| word.chars().count()).sum::<usize>() + (to - from - 1)
    };
    // Backwards: the least cost of setting words[from..], and where its first line ends.
    let mut cost = vec![usize::MAX; count];
    let mut end = vec![count; count];
    for from in (0..count).rev() {
        if length(from, count) <= limit {
            cost[from] = 0;
            continue;
        }
        for to in (from + 1..count).take_while(|&to| length(from, to) <= limit) {
            let total = (limit - length(from, to)).pow(2) + cost[to];
            if total < cost[from] {
                (cost[from], end[from]) = (total, to);
            }
        }
    }
    let mut lines = Vec::new();
    let mut from = 0;
    while from < count {
        lines.push(words[from..end[from]].join(" "));
        from = end[from];
    }
    lines
}
