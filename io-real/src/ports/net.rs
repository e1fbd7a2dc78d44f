//! Frames over TCP: length (4 bytes, little endian), CRC-32 of the payload (4 bytes), payload.
//!
//! TCP gives order and, by its windows, back-pressure; the checksum catches what its own 16 bits let through. Both halves of
//! a connection share the socket, and dropping either shuts it down, so that the other end learns of it at once.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kernel::net::{FrameReceiver, FrameSender, MAX_FRAME_BYTES};
use kernel::{BoxFuture, Connection, Listener, Net};
use rustix::net::Shutdown;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// Length and checksum.
const HEADER_BYTES: usize = 8;
/// How long sent bytes may go unacknowledged until the connection counts as broken, in milliseconds. Without it a connection
/// that lived through a partition would wait for the kernel's own repetitions, minutes apart, when the way is free again.
const UNACKNOWLEDGED_MS: u32 = 5_000;
/// Room made in the receive buffer for one read.
const READ_BYTES: usize = 64 << 10;

/// The machine's TCP.
pub struct RealNet;

impl Net for RealNet {
    fn listen(&self, addr: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let addr = addr.to_string();
        Box::pin(async move {
            let listener = TcpListener::bind(&addr).await?;
            let local = listener.local_addr()?.to_string();
            Ok(Box::new(RealListener { listener, local }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, addr: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let addr = addr.to_string();
        Box::pin(async move { connection(TcpStream::connect(&addr).await?) })
    }
}

struct RealListener {
    listener: TcpListener,
    local: String,
}

impl Listener for RealListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move { connection(self.listener.accept().await?.0) })
    }

    fn local_addr(&self) -> String {
        self.local.clone()
    }
}

fn connection(stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MS)?;
    let stream = Arc::new(stream);
    Ok(Connection {
        sender: Box::new(Sender { half: Half(stream.clone()), buffer: BytesMut::new() }),
        receiver: Box::new(Receiver { half: Half(stream), buffer: BytesMut::new() }),
    })
}

/// One half of a connection; dropping it ends both directions.
struct Half(Arc<TcpStream>);

impl Drop for Half {
    fn drop(&mut self) {
        // An error says that the other end was faster.
        let _ = rustix::net::shutdown(&*self.0, Shutdown::Both);
    }
}

struct Sender {
    half: Half,
    buffer: BytesMut,
}

impl FrameSender for Sender {
    fn send(&mut self, frames: Vec<Bytes>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            if let Some(large) = frames.iter().find(|frame| frame.len() > MAX_FRAME_BYTES) {
                let text =
                    format!("a frame of {} bytes is larger than the limit of {MAX_FRAME_BYTES}", large.len());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            for frame in frames {
                self.buffer.put_u32_le(frame.len() as u32);
                self.buffer.put_u32_le(crc32fast::hash(&frame));
                self.buffer.put_slice(&frame);
            }
            // What a cancelled send has left in the buffer goes out with the next one: frames stay whole.
            while !self.buffer.is_empty() {
                self.half.0.writable().await?;
                match self.half.0.try_write(&self.buffer) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => self.buffer.advance(written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }
}

struct Receiver {
    half: Half,
    buffer: BytesMut,
}

impl Receiver {
    /// A whole frame from the buffer, if there is one.
    fn take_frame(&mut self) -> io::Result<Option<Bytes>> {
        if self.buffer.len() < HEADER_BYTES {
            return Ok(None);
        }
        let mut header = &self.buffer[..HEADER_BYTES];
        let (length, crc) = (header.get_u32_le() as usize, header.get_u32_le());
        if length > MAX_FRAME_BYTES {
            return Err(broken(format!("a frame claims {length} bytes, the limit is {MAX_FRAME_BYTES}")));
        }
        if self.buffer.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        let frame = self.buffer.split_to(length).freeze();
        if crc32fast::hash(&frame) != crc {
            return Err(broken("a frame's checksum does not fit".to_string()));
        }
        Ok(Some(frame))
    }
}

fn broken(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl FrameReceiver for Receiver {
    fn recv(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            loop {
                if let Some(frame) = self.take_frame()? {
                    return Ok(Some(frame));
                }
                self.half.0.readable().await?;
                self.buffer.reserve(READ_BYTES);
                match self.half.0.try_read_buf(&mut self.buffer) {
                    Ok(0) if self.buffer.is_empty() => return Ok(None),
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }
}
