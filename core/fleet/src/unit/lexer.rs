//! The lexer of unit files: text in, options with the numbers of their lines out.
//!
//! It reads as go-systemd's did, because fleet's hash of a unit is the hash of what that lexer left over:
//!
//! - Everything before the first `[` is dropped; a `#` or `;` there hides the rest of its line.
//! - A line that begins (after blanks) with `#` or `;` is a comment. A comment that ends in a backslash goes on in the next
//!   line.
//! - A value is trimmed. One whose line ends in a backslash goes on in the next line, and keeps backslash and line end.
//! - A blank line ends a value that was to go on; the value then keeps its line end, so that its text says the same again.
//! - An option may be empty (`ExecStart=`): systemd gives that a meaning.
//!
//! It differs where go-systemd's would have done harm, or systemd has moved on: lines may be longer than 2048 bytes, line
//! ends may be `\r\n`, a comment inside a value that goes on is kept and does not end it, the name of a section must end on its
//! line, and a backslash that ends the file counts as one before a blank line. A backslash with blanks after it is refused:
//! trimmed, it would swallow the next line when systemd reads the canonical text.

use super::{UnitError, UnitOption};

/// An option, and the number of its first line, counted from one.
pub(super) struct Lexeme {
    /// The option.
    pub option: UnitOption,
    /// Where it stands.
    pub line: usize,
}

/// Reads a whole file. Options come in the order of the text; repeated sections are not merged yet.
pub(super) fn lex(text: &str) -> Result<Vec<Lexeme>, UnitError> {
    let mut lines = Lines { rest: text, line: 1 };
    let mut lexemes = Vec::new();
    let mut section: Option<String> = None;
    loop {
        lines.skip_to_content(section.is_some());
        let (start, line) = (lines.rest, lines.line);
        match start.chars().next() {
            None => return Ok(lexemes),
            Some('[') => section = Some(section_name(lines.next(), line)?),
            Some('#' | ';') => lines.skip_comment(),
            Some(_) => {
                let section =
                    section.clone().expect("before the first section only '[' and comments are content");
                lexemes.push(Lexeme { option: lines.option(section)?, line });
            }
        }
        assert!(lines.rest.len() < start.len(), "each turn reads a line at least");
    }
}

/// What is still to be read, line by line.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the line at which `rest` begins.
    line: usize,
}

impl<'a> Lines<'a> {
    /// Takes a line, without its end. Empty at the end of the text.
    fn next(&mut self) -> &'a str {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.line += 1;
        self.rest = rest;
        line.trim_end_matches('\r')
    }

    /// Skips to the next character that means something: blanks within a section, all but `[` and comments before the first.
    fn skip_to_content(&mut self, in_section: bool) {
        let skipped = |char: char| match in_section {
            true => char.is_whitespace(),
            false => !matches!(char, '[' | '#' | ';'),
        };
        let content = self.rest.trim_start_matches(skipped);
        let passed = &self.rest[..self.rest.len() - content.len()];
        self.line += passed.matches('\n').count();
        self.rest = content;
    }

    fn skip_comment(&mut self) {
        while !self.rest.is_empty() {
            let line = self.next();
            if !line.strip_suffix(' ').unwrap_or(line).ends_with('\\') {
                return;
            }
        }
    }

    /// Reads `name=value`, with all lines over which the value goes on.
    fn option(&mut self, section: String) -> Result<UnitOption, UnitError> {
        let at = self.line;
        let first = self.next();
        let Some((name, start)) = first.split_once('=') else {
            let shown = shorten(first.trim());
            return Err(UnitError::new(at, format!("{shown:?} is no option: write it as Name=value")));
        };
        if name.contains('\r') {
            return Err(UnitError::new(
                at,
                format!("carriage return in the name of option {:?}", shorten(name)),
            ));
        }
        let value = self.value(start);
        if value.ends_with('\\') {
            let message = "a backslash with blanks after it does not continue the line: take the blanks away, or the backslash";
            return Err(UnitError::new(self.line - 1, message.into()));
        }
        let name = name.trim().to_owned();
        assert!(!name.contains(['=', '\n', '\r']), "a name ends at the first sign of equality of its line");
        Ok(UnitOption { section, name, value })
    }

    /// The value whose first line is `start`.
    fn value(&mut self, start: &str) -> String {
        assert!(!start.contains('\n'), "the lines of a value are read one by one");
        let mut value = start.to_owned();
        let mut open = start.ends_with('\\');
        while open {
            value.push('\n');
            let line = if self.rest.is_empty() { "" } else { self.next() };
            if line.trim().is_empty() {
                // It stays open in the text as well: the blank line after it is what ends it.
                return value.trim().to_owned() + "\n";
            }
            value.push_str(line);
            open = line.ends_with('\\') || is_comment(line);
        }
        value.trim().to_owned()
    }
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(['#', ';'])
}

fn section_name(line: &str, at: usize) -> Result<String, UnitError> {
    let inner = line.strip_prefix('[').expect("the caller saw the bracket");
    let Some((name, garbage)) = inner.split_once(']') else {
        return Err(UnitError::new(at, format!("section {:?} has no closing bracket", shorten(line))));
    };
    if !garbage.trim().is_empty() {
        let garbage = shorten(garbage.trim());
        return Err(UnitError::new(
            at,
            format!("{garbage:?} after section [{name}]: put it on a line of its own"),
        ));
    }
    assert!(!name.contains([']', '\n']), "a section's name ends on its line, at the first bracket");
    Ok(name.to_owned())
}

/// As much of a text as an error shows.
pub(super) fn shorten(text: &str) -> &str {
    const SHOWN_CHARS: usize = 60;
    text.char_indices().nth(SHOWN_CHARS).map_or(text, |(end, _)| &text[..end])
}
