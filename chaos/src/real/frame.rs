//! Ethernet frames that carry TCP, as far as a relay must understand them to harm them: which bytes are payload, how to turn a
//! bit of it so that TCP does not notice, and how to make a segment break its connection.

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The shortest headers of IPv4 and of TCP.
const SHORTEST: usize = 20;
/// Where the flags and the checksum stand in a TCP header.
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;
/// The flags of a segment that breaks its connection.
const RST_ACK: u8 = 0x14;

/// Where things are in a frame that carries a TCP segment over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    tcp: usize,
    payload: usize,
    end: usize,
    /// The ports, from and to.
    pub ports: (u16, u16),
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

impl Segment {
    /// Reads the headers; `None` for everything else than an unfragmented TCP segment over IPv4.
    pub fn of(frame: &[u8]) -> Option<Segment> {
        if frame.len() < ETHERNET + 2 * SHORTEST || word(frame, 12) != 0x0800 || frame[ETHERNET] >> 4 != 4 {
            return None;
        }
        let header = usize::from(frame[ETHERNET] & 15) * 4;
        let fragment = word(frame, ETHERNET + 6) & 0x3fff;
        let end = ETHERNET + usize::from(word(frame, ETHERNET + 2));
        let tcp = ETHERNET + header;
        if header < SHORTEST || fragment != 0 || frame[ETHERNET + 9] != 6 || end > frame.len() {
            return None;
        }
        if tcp + SHORTEST > end {
            return None;
        }
        let payload = tcp + usize::from(frame[tcp + 12] >> 4) * 4;
        let ports = (word(frame, tcp), word(frame, tcp + 2));
        (payload >= tcp + SHORTEST && payload <= end).then_some(Segment { tcp, payload, end, ports })
    }

    /// Bytes of payload.
    pub fn len(&self) -> usize {
        self.end - self.payload
    }

    /// Whether either end of it is `port`.
    pub fn is_of(&self, port: u16) -> bool {
        self.ports.0 == port || self.ports.1 == port
    }

    /// Turns one bit of the payload over, counted from its first, and makes the checksum fit: only whoever reads the bytes can
    /// notice.
    pub fn flip(&self, frame: &mut [u8], bit: usize) {
        assert!(bit < 8 * self.len(), "bit {bit} of {} bytes", self.len());
        frame[self.payload + bit / 8] ^= 1 << (bit % 8);
        self.seal(frame);
    }

    /// Makes the segment one that breaks its connection: whoever gets it is told that the other end knows nothing of it.
    pub fn reset(&self, frame: &mut Vec<u8>) {
        let total = (self.payload - ETHERNET) as u16;
        frame.truncate(self.payload);
        frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&total.to_be_bytes());
        frame[self.tcp + FLAGS] = RST_ACK;
        frame[ETHERNET + 10..ETHERNET + 12].fill(0);
        let sum = finish(sum(&frame[ETHERNET..self.tcp]));
        frame[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        Segment { end: self.payload, ..*self }.seal(frame);
    }

    /// Computes TCP's checksum anew.
    fn seal(&self, frame: &mut [u8]) {
        let at = self.tcp + CHECKSUM;
        frame[at..at + 2].fill(0);
        let sum = finish(self.sum(frame));
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// TCP's sum over the addresses, the protocol, the length and the segment.
    fn sum(&self, frame: &[u8]) -> u32 {
        let length = (self.end - self.tcp) as u32;
        sum(&frame[ETHERNET + 12..ETHERNET + 20]) + 6 + length + sum(&frame[self.tcp..self.end])
    }
}

/// The sum of 16-bit words that the internet's checksums are made of.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn finish(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((2 * SHORTEST as u16 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 99, 0, 1, 10, 99, 0, 2]);
        frame.extend([0x09, 0x4c, 0x80, 0x00, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        Segment::of(&frame).unwrap().seal(&mut frame);
        frame
    }

    fn is_sealed(frame: &[u8]) -> bool {
        finish(Segment::of(frame).unwrap().sum(frame)) == 0
    }

    quickcheck::quickcheck! {
        fn a_turned_bit_is_seen_by_the_reader_only(payload: Vec<u8>, bit: usize) -> bool {
            let payload = &payload[..payload.len().min(1_400)];
            let before = frame(payload);
            let mut after = before.clone();
            let segment = Segment::of(&before).unwrap();
            if payload.is_empty() {
                return segment.len() == 0 && is_sealed(&before);
            }
            segment.flip(&mut after, bit % (8 * payload.len()));
            let turned: u32 = before[54..].iter().zip(&after[54..]).map(|(a, b)| (a ^ b).count_ones()).sum();
            turned == 1 && is_sealed(&before) && is_sealed(&after)
        }

        fn whatever_comes_is_read_without_a_panic(bytes: Vec<u8>) -> bool {
            Segment::of(&bytes).is_none_or(|segment| segment.end <= bytes.len())
        }
    }

    #[test]
    fn a_reset_has_no_payload_and_fits() {
        let mut frame = frame(b"hello");
        let segment = Segment::of(&frame).unwrap();
        assert!(segment.is_of(2380) && segment.is_of(32_768) && !segment.is_of(2379));
        segment.reset(&mut frame);
        let after = Segment::of(&frame).unwrap();
        assert_eq!((after.len(), frame[after.tcp + FLAGS]), (0, RST_ACK));
        assert!(is_sealed(&frame));
        assert_eq!(finish(sum(&frame[ETHERNET..after.tcp])), 0, "the header of IPv4 fits too");
    }
}
