//! The ten bytes that the kernel puts before each packet of the device: what it left undone, for whom it hands it to.
//!
//! They are virtio's `virtio_net_hdr`, in this machine's byte order: flags, kind of super packet, length of its headers, size of a segment's
//! payload, where the checksum begins, and where in there it is kept.

/// Their number.
pub const LENGTH: usize = 10;

/// The checksum field holds the sum of the pseudo header only; the rest is still to be added.
const NEEDS_CHECKSUM: u8 = 1;

/// Kinds of super packets, as virtio numbers them.
mod kind {
    pub const NONE: u8 = 0;
    pub const TCP4: u8 = 1;
    pub const UDP4: u8 = 5;
    /// Beside another kind: the first segment tells that the network is congested.
    pub const CONGESTED: u8 = 0x80;
}

/// Whether it is a packet or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One packet.
    Plain,
    /// Segments of TCP with this many bytes of payload each.
    Tcp(u16),
    /// Datagrams of UDP with this many bytes of payload each.
    Udp(u16),
}

/// Which checksum is unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// First byte that counts.
    pub start: usize,
    /// Where the checksum is, from there.
    pub offset: usize,
}

/// What the ten bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vnet {
    /// One packet or many.
    pub kind: Kind,
    /// The unfinished checksum, if there is one.
    pub unfinished: Option<Unfinished>,
    /// Length of the headers of a super packet, in bytes. A hint: readers look for themselves.
    pub head: u16,
}

impl Vnet {
    /// Before a packet with which nothing is the matter.
    pub const PLAIN: Vnet = Vnet { kind: Kind::Plain, unfinished: None, head: 0 };

    /// Reads them; none if it is a kind that was never asked for.
    pub fn parse(bytes: &[u8; LENGTH]) -> Option<Vnet> {
        let field = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let kind = match bytes[1] & !kind::CONGESTED {
            kind::NONE => Kind::Plain,
            kind::TCP4 => Kind::Tcp(field(4)),
            kind::UDP4 => Kind::Udp(field(4)),
            _ => return None,
        };
        let unfinished = (bytes[0] & NEEDS_CHECKSUM != 0)
            .then(|| Unfinished { start: usize::from(field(6)), offset: usize::from(field(8)) });
        Some(Vnet { kind, unfinished, head: field(2) })
    }

    /// Writes them.
    pub fn bytes(&self) -> [u8; LENGTH] {
        let (kind, size) = match self.kind {
            Kind::Plain => (kind::NONE, 0),
            Kind::Tcp(size) => (kind::TCP4, size),
            Kind::Udp(size) => (kind::UDP4, size),
        };
        let narrow = |value: usize| u16::try_from(value).expect("an offset inside of a packet's headers");
        let (flags, start, offset) = match self.unfinished {
            Some(Unfinished { start, offset }) => (NEEDS_CHECKSUM, narrow(start), narrow(offset)),
            None => (0, 0, 0),
        };
        let mut bytes = [0; LENGTH];
        bytes[0] = flags;
        bytes[1] = kind;
        for (at, value) in [(2, self.head), (4, size), (6, start), (8, offset)] {
            bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}
