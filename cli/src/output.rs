//! Standard output that ends quietly when its reader goes away.
//!
//! `etcdctl get --prefix / | head` must not end in a panic or an error text: a closed pipe ends the program with the status
//! that a shell shows for SIGPIPE. Everything that the programs print as their result goes through here.

use std::io::{ErrorKind, Write};

/// The exit status of a program that was ended by SIGPIPE, as shells show it.
const CLOSED_PIPE: i32 = 128 + 13;

/// Writes to standard output and flushes.
pub fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("Error: cannot write to standard output: {error}");
            std::process::exit(1);
        }
        std::process::exit(CLOSED_PIPE);
    }
}

/// Writes a line to standard output.
pub fn print_line(line: &str) {
    print(format!("{line}\n").as_bytes());
}
