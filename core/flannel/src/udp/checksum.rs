//! The Internet checksum: the complement of the ones' complement sum of 16-bit words.
//!
//! The sum may be taken in any order, in any byte order and in parts, so the bytes are added as 32-bit words of this machine, in
//! lanes that the compiler puts side by side into one register.

/// Bytes added in one round.
const ROUND: usize = 32;

/// The ones' complement sum of `bytes` as big-endian words; an odd byte at the end counts as if a zero followed.
pub fn sum(bytes: &[u8]) -> u16 {
    // A lane overflows after 2^32 rounds; no packet is that long.
    debug_assert!(bytes.len() < 1 << 32);
    let mut lanes = [0; ROUND / 4];
    let (rounds, rest) = bytes.as_chunks::<ROUND>();
    rounds.iter().for_each(|round| add_round(&mut lanes, round));
    finished(&lanes, rest)
}

/// The same, and the bytes are copied on the way: each is loaded once for both.
pub fn copy(from: &[u8], to: &mut [u8]) -> u16 {
    assert_eq!(from.len(), to.len(), "a copy is as long as what is copied");
    debug_assert!(from.len() < 1 << 32);
    let mut lanes = [0; ROUND / 4];
    let ((rounds, rest), (copies, end)) = (from.as_chunks::<ROUND>(), to.as_chunks_mut::<ROUND>());
    for (round, copy) in rounds.iter().zip(copies) {
        *copy = *round;
        add_round(&mut lanes, round);
    }
    end.copy_from_slice(rest);
    finished(&lanes, rest)
}

/// The sums of one round's words, each added to its lane.
#[inline(always)]
fn add_round(lanes: &mut [u64; ROUND / 4], round: &[u8; ROUND]) {
    let (words, _) = round.as_chunks::<4>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane += u64::from(u32::from_ne_bytes(*word));
    }
}

/// The lanes and the bytes behind the last round in one sum.
fn finished(lanes: &[u64; ROUND / 4], rest: &[u8]) -> u16 {
    let mut total: u64 = lanes.iter().sum();
    let (words, odd) = rest.as_chunks::<2>();
    total += words.iter().map(|word| u64::from(u16::from_ne_bytes(*word))).sum::<u64>();
    if let [last] = odd {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    u16::from_be(fold(total))
}

/// Two sums in one.
pub fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

/// The sum of the pseudo header that TCP and UDP put before themselves. `length` is that of header and payload, in bytes.
pub fn pseudo(source: [u8; 4], destination: [u8; 4], protocol: u8, length: u16) -> u16 {
    add(add(sum(&source), sum(&destination)), add(u16::from(protocol), length))
}

/// The checksum `check` of something in which one word was `old` and is now `new`.
pub fn replaced(check: u16, old: u16, new: u16) -> u16 {
    !add(add(!check, !old), new)
}

/// Carries added back in, until 16 bits are left.
fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).expect("folded until it fits")
}
