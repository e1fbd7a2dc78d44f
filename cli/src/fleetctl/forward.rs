//! `fd-forward SOCKET`: standard input and output joined to a unix socket. It is the far end of `--tunnel`.
//!
//! Two threads that block, rather than a runtime: a read of standard input cannot be called off, and the program has to end
//! when the socket's side has ended although nobody closes its input.

use super::args::Line;
use super::failure::Failure;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// Bytes that are passed on at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Joins them until the socket's side has ended. The end of our input is passed on, and what is still to come is waited for.
pub fn forward(line: &Line) -> Result<(), Failure> {
    let path = line.only_arg("Provide a single argument: the path of a unix socket")?;
    let failed = |error: std::io::Error| Failure::error(format!("{path}: {error}"));
    let mut socket = UnixStream::connect(&path).map_err(failed)?;
    let mut upwards = socket.try_clone().map_err(failed)?;
    std::thread::spawn(move || {
        // What fails here ends the socket's other side too, where it is told.
        let _ = copy(&mut std::io::stdin().lock(), &mut upwards);
        let _ = upwards.shutdown(Shutdown::Write);
    });
    match copy(&mut socket, &mut std::io::stdout().lock()) {
        // Whoever read us is gone: there is nobody to tell.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(failed),
    }
}

/// Copies piece by piece, without holding anything back.
fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                to.write_all(&piece[..length])?;
                to.flush()?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
