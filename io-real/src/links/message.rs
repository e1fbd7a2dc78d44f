//! Messages in netlink's own language, for the parts of the kernel that no crate has words for: nftables.
//!
//! ```text
//! message    kind u16 | flags u16 | body
//! attribute  length u16 | kind u16 | value, padded to 4;  the value may be attributes again
//! ```
//!
//! A [`Message`] goes out and comes in over netlink-proto, which adds the head and the numbers; so the messages of nftables
//! travel as those of rtnetlink do. A body is kept as bytes, and each attribute is looked for by its kind: what a newer kernel
//! adds, or one attribute that makes no sense, takes nothing from the rest.

use rtnetlink::packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use std::convert::Infallible;

/// An attribute whose value is attributes.
const NESTED: u16 = 0x8000;

/// The bits of an attribute's kind that are flags.
const KIND_FLAGS: u16 = 0xc000;

/// A message that goes out or has come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: u16,
    /// The flags of a request, beside the one that says that it is one.
    pub flags: u16,
    /// What follows the head.
    body: Vec<u8>,
}

impl Message {
    /// A message of this kind with a fixed part, and no attribute yet.
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut message = Message { kind, flags, body: Vec::with_capacity(128) };
        message.body.extend_from_slice(fixed);
        message.pad();
        message
    }

    /// Adds an attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).expect("attributes are small");
        self.body.extend_from_slice(&length.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.pad();
    }

    /// Adds a number in the network's order of bytes.
    pub fn put_be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    /// Adds a text with the zero at its end that the kernel wants.
    pub fn put_text(&mut self, kind: u16, text: &str) {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value);
    }

    /// Adds an attribute whose value is the attributes that `inner` adds.
    pub fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Message)) {
        let start = self.body.len();
        self.put(kind | NESTED, &[]);
        inner(self);
        let length = u16::try_from(self.body.len() - start).expect("attributes are small");
        self.body[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// The attributes after a fixed part of `fixed` bytes; none if the message is shorter than that.
    pub fn attributes(&self, fixed: usize) -> Attributes<'_> {
        Attributes(self.body.get(fixed.next_multiple_of(4)..).unwrap_or_default())
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Message, Infallible> {
        Ok(Message { kind: header.message_type, flags: header.flags, body: payload.to_vec() })
    }
}

/// Attributes, read one after the other. Ends at the first whose length makes no sense.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of this kind.
    pub fn find(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self;
        Iterator::find(&mut all, |(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The attributes in the value of the first of this kind; none if there is none.
    pub fn inside(self, kind: u16) -> Attributes<'a> {
        Attributes(self.find(kind).unwrap_or_default())
    }

    /// The number of this kind, in the network's order of bytes.
    pub fn be32(self, kind: u16) -> Option<u32> {
        let value = self.find(kind)?;
        Some(u32::from_be_bytes(*value.first_chunk()?))
    }

    /// Whether there is one of this kind, with a value other than 0 or with none at all.
    pub fn flag(self, kind: u16) -> bool {
        self.find(kind).is_some_and(|value| value.is_empty() || value.iter().any(|byte| *byte != 0))
    }

    /// The text of this kind, up to its zero.
    pub fn text(self, kind: u16) -> Option<String> {
        let value = self.find(kind)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [l0, l1, k0, k1] = *self.0.first_chunk::<4>()?;
        let length = u16::from_ne_bytes([l0, l1]) as usize;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & !KIND_FLAGS, value))
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
