//! The Net port: framed, ordered connections between members.
//!
//! Within a connection frames arrive whole, unchanged and first-in first-out. A connection may break at any moment; then an
//! unknown part of what was sent never arrives, and what arrives on the next connection is whatever the sender sends again.
//! There is no other loss, reordering or repetition: Raft's progress tracking depends on it.

use crate::BoxFuture;
use bytes::Bytes;
use std::io;

/// The largest frame that a connection carries, in bytes. Larger ones are refused with `InvalidInput` and break nothing.
pub const MAX_FRAME_BYTES: usize = 8 << 20;

/// Frames that may wait in a connection between the two ends; a `send` beyond it waits (back-pressure).
pub const WINDOW_FRAMES: usize = 4096;

/// The network as one machine sees it.
pub trait Net: Send + Sync {
    /// Listens on `addr` ("host:port"; port 0 picks one). `AddrInUse` when it is taken.
    fn listen(&self, addr: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;

    /// Connects to `addr`. Fails or hangs when nobody listens or the way is cut: callers set their own deadline.
    fn connect(&self, addr: &str) -> BoxFuture<'static, io::Result<Connection>>;
}

/// Takes connections in the order in which they were made.
pub trait Listener: Send {
    /// The next connection. Errors are of this one attempt; the listener stays usable.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>>;

    /// The address it listens on, with the real port.
    fn local_addr(&self) -> String;
}

/// The two halves of a connection, each owned by one task. Dropping either half breaks the connection for both ends.
pub struct Connection {
    /// The half that sends.
    pub sender: Box<dyn FrameSender>,
    /// The half that receives.
    pub receiver: Box<dyn FrameReceiver>,
}

/// Sends frames.
pub trait FrameSender: Send {
    /// Sends `frames` in order. Waits while the window is full. Success says that they left, not that they arrived.
    fn send(&mut self, frames: Vec<Bytes>) -> BoxFuture<'_, io::Result<()>>;
}

/// Receives frames.
pub trait FrameReceiver: Send {
    /// The next frame; `None` once the other end has closed and everything before was taken. Cancel-safe.
    fn recv(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>>;
}
