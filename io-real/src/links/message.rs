//! Netlink's own language: messages with a head, and attributes in them. Pure: bytes in, bytes out.
//!
//! ```text
//! message    length u32 | kind u16 | flags u16 | sequence u32 | port u32 | body, padded to 4
//! attribute  length u16 | kind u16 | value, padded to 4;  the value may be attributes again
//! ```
//!
//! Each message of an answer is read on its own, and each attribute is looked for by its kind. So what a newer kernel adds, or
//! one message that makes no sense, takes nothing from the rest. That is why these are read by hand.

/// Bytes of a message's head.
const HEAD: usize = 16;

/// An attribute whose value is attributes.
const NESTED: u16 = 0x8000;

/// The bits of an attribute's kind that are flags.
const KIND_FLAGS: u16 = 0xc000;

/// What a request says of itself.
pub mod flags {
    /// Set in each request.
    pub const REQUEST: u16 = 0x1;
    /// The kernel tells the outcome.
    pub const ACK: u16 = 0x4;
    /// All entries are asked for.
    pub const DUMP: u16 = 0x300;
    /// In place of what is there.
    pub const REPLACE: u16 = 0x100;
    /// Only if there is none.
    pub const EXCLUSIVE: u16 = 0x200;
    /// Make it if there is none.
    pub const CREATE: u16 = 0x400;
    /// After what is there.
    pub const APPEND: u16 = 0x800;
    /// In an answer to a dump: what was dumped changed meanwhile.
    pub const DUMP_INTERRUPTED: u16 = 0x10;
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message of this kind with a fixed part, and no attribute yet.
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Message {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | flags::REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        debug_assert_eq!(bytes.len(), HEAD);
        bytes.extend_from_slice(fixed);
        let mut message = Message { bytes };
        message.pad();
        message
    }

    /// Adds an attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(4 + value.len()).expect("attributes are small");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// Adds an attribute of one byte.
    pub fn put_u8(&mut self, kind: u16, value: u8) {
        self.put(kind, &[value]);
    }

    /// Adds a number in the machine's own order of bytes.
    pub fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
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
        let start = self.bytes.len();
        self.put(kind | NESTED, &[]);
        inner(self);
        let length = u16::try_from(self.bytes.len() - start).expect("attributes are small");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// The message as it is sent, under this number.
    pub fn sealed(&mut self, sequence: u32) -> &[u8] {
        let length = u32::try_from(self.bytes.len()).expect("messages are small");
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        &self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it is.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// The number of the request that it answers.
    pub sequence: u32,
    /// What follows the head.
    pub body: Vec<u8>,
}

impl Received {
    /// The attributes after a fixed part of `fixed` bytes; none if the message is shorter than that.
    pub fn attributes(&self, fixed: usize) -> Attributes<'_> {
        Attributes(self.body.get(fixed.next_multiple_of(4)..).unwrap_or_default())
    }

    /// The byte at this place of the body; 0 if it is shorter.
    pub fn byte(&self, at: usize) -> u8 {
        self.body.get(at).copied().unwrap_or_default()
    }

    /// The number at this place of the body; 0 if it is shorter.
    pub fn word(&self, at: usize) -> u32 {
        self.body.get(at..).and_then(number).unwrap_or_default()
    }
}

/// The messages of a datagram. Ends at the first whose length makes no sense.
pub fn messages(mut datagram: &[u8]) -> Vec<Received> {
    let mut found = Vec::new();
    while let Some(head) = datagram.first_chunk::<HEAD>() {
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *head;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = datagram.get(HEAD..length) else {
            break;
        };
        found.push(Received {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body: body.to_vec(),
        });
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
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

    /// The number of this kind, in the machine's own order of bytes.
    pub fn number(self, kind: u16) -> Option<u32> {
        self.find(kind).and_then(number)
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

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*value.first_chunk()?))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
