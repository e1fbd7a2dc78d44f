//! A rule in the words of nftables: a list of small steps over registers, the last of which is the verdict.
//!
//! ```text
//! meta mark → 1 · cmp 1 = 0x4000                                    the packet is marked
//! payload address → 1 · bitwise 1 & mask → 1 · cmp 1 =|≠ network    its source or destination is (not) in a network
//! immediate return|accept · masq [flags]                            what then
//! ```
//!
//! Read back, a list of exactly this shape is the rule again; every other is [`Verdict::Foreign`].

use crate::links::address::{address, octets};
use crate::links::message::{Attributes, Message};
use flannel::rules::{Rule, Verdict};
use ipnet::IpNet;
use std::net::IpAddr;

/// The mark that kube-proxy gives to packets that it masquerades itself.
pub const MARK: u32 = 0x4000;

const ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
const CODE: u16 = 1;

/// The register for verdicts, and the one that we work in.
const TO_VERDICT: u32 = 0;
const REGISTER: u32 = 1;

const ACCEPT: u32 = 1;
/// -5.
const RETURN: u32 = u32::MAX - 4;
const META_MARK: u32 = 3;
const NETWORK_HEADER: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const FULLY_RANDOM: u32 = 1 << 4;

/// Where the header has the source and the destination, and how long they are, in bytes.
fn place(v6: bool, source: bool) -> (u32, u32) {
    match (v6, source) {
        (false, true) => (12, 4),
        (false, false) => (16, 4),
        (true, true) => (8, 16),
        (true, false) => (24, 16),
    }
}

/// Adds a rule's steps, in their list. Not for a rule that is [`Verdict::Foreign`].
pub fn put(list: &mut Message, v6: bool, rule: &Rule) {
    if rule.marked {
        step(list, "meta", |data| {
            data.put_be32(1, REGISTER);
            data.put_be32(2, META_MARK);
        });
        compare(list, true, &MARK.to_ne_bytes());
    }
    for (net, source) in [(rule.source, true), (rule.destination, false)] {
        if let Some((net, inside)) = net {
            put_net(list, v6, net, inside, source);
        }
    }
    match rule.verdict {
        Verdict::Return => verdict(list, RETURN),
        Verdict::Accept => verdict(list, ACCEPT),
        Verdict::Masquerade { random_fully } => step(list, "masq", |data| {
            if random_fully {
                data.put_be32(1, FULLY_RANDOM);
            }
        }),
        Verdict::Foreign => unreachable!("nobody wishes for a rule of somebody else"),
    }
}

fn put_net(list: &mut Message, v6: bool, net: IpNet, inside: bool, source: bool) {
    let net = net.trunc();
    assert_eq!(net.addr().is_ipv6(), v6, "a rule is of one family");
    let (offset, length) = place(v6, source);
    step(list, "payload", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, NETWORK_HEADER);
        data.put_be32(3, offset);
        data.put_be32(4, length);
    });
    if net.prefix_len() < net.max_prefix_len() {
        step(list, "bitwise", |data| {
            data.put_be32(1, REGISTER);
            data.put_be32(2, REGISTER);
            data.put_be32(3, length);
            data.nest(4, |mask| mask.put(VALUE, &octets(net.netmask())));
            data.nest(5, |flip| flip.put(VALUE, &vec![0; length as usize]));
        });
    }
    compare(list, inside, &octets(net.addr()));
}

fn step(list: &mut Message, name: &str, data: impl FnOnce(&mut Message)) {
    list.nest(ELEMENT, |element| {
        element.put_text(NAME, name);
        element.nest(DATA, data);
    });
}

fn compare(list: &mut Message, equal: bool, value: &[u8]) {
    step(list, "cmp", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, if equal { EQUAL } else { UNEQUAL });
        data.nest(3, |inner| inner.put(VALUE, value));
    });
}

fn verdict(list: &mut Message, code: u32) {
    step(list, "immediate", |data| {
        data.put_be32(1, TO_VERDICT);
        data.nest(2, |inner| inner.nest(VERDICT, |verdict| verdict.put_be32(CODE, code)));
    });
}

/// The rule that somebody else has put there.
pub const FOREIGN: Rule = Rule { marked: false, source: None, destination: None, verdict: Verdict::Foreign };

/// The rule that a list of steps means.
pub fn read(list: Attributes<'_>, v6: bool) -> Rule {
    let steps: Vec<_> = list
        .filter(|(kind, _)| *kind == ELEMENT)
        .map(|(_, element)| Attributes(element))
        .map(|element| (element.text(NAME).unwrap_or_default(), element.inside(DATA)))
        .collect();
    understand(&steps, v6).unwrap_or(FOREIGN)
}

type Step<'a> = (String, Attributes<'a>);

fn understand(mut steps: &[Step<'_>], v6: bool) -> Option<Rule> {
    let mut rule = Rule { marked: false, source: None, destination: None, verdict: Verdict::Foreign };
    while let [(name, data), rest @ ..] = steps {
        steps = match name.as_str() {
            "meta" if !rule.marked => {
                rule.marked = true;
                marked(*data, rest)?
            }
            "payload" => {
                let (source, net, inside, rest) = net(*data, rest, v6)?;
                let place = if source { &mut rule.source } else { &mut rule.destination };
                if place.replace((net, inside)).is_some() {
                    return None;
                }
                rest
            }
            // A verdict is the end: nothing after it is ever looked at.
            "immediate" | "masq" => {
                rule.verdict = ending(name, *data)?;
                return rest.is_empty().then_some(rule);
            }
            _ => return None,
        };
    }
    None
}

fn marked<'a, 'b>(data: Attributes<'_>, rest: &'a [Step<'b>]) -> Option<&'a [Step<'b>]> {
    let (equal, value, rest) = compared(rest)?;
    let exactly = equal && value == MARK.to_ne_bytes() && data.be32(2)? == META_MARK;
    exactly.then_some(rest)
}

/// The outcome of a comparison: whether it is for being equal, and with what.
fn compared<'a, 'b>(steps: &'a [Step<'b>]) -> Option<(bool, &'b [u8], &'a [Step<'b>])> {
    let [(name, data), rest @ ..] = steps else {
        return None;
    };
    let operation = data.be32(2)?;
    let known = name == "cmp" && matches!(operation, EQUAL | UNEQUAL);
    known.then_some((operation == EQUAL, data.inside(3).find(VALUE)?, rest))
}

/// Whether it is about the source, which network, whether inside it, and what follows.
type Net<'a, 'b> = (bool, IpNet, bool, &'a [Step<'b>]);

fn net<'a, 'b>(data: Attributes<'_>, rest: &'a [Step<'b>], v6: bool) -> Option<Net<'a, 'b>> {
    let (offset, length) = (data.be32(3)?, data.be32(4)?);
    let source = [true, false].into_iter().find(|source| place(v6, *source).0 == offset)?;
    let whole = place(v6, source).1;
    if data.be32(2)? != NETWORK_HEADER || length == 0 || length > whole {
        return None;
    }
    // The program nft compares only the first bytes, where a prefix ends between bytes.
    let (bits, rest) = match rest {
        [(name, data), rest @ ..] if name == "bitwise" => (mask(*data, length)?, rest),
        rest => (u8::try_from(length * 8).ok()?, rest),
    };
    let (inside, value, rest) = compared(rest)?;
    if value.len() != length as usize {
        return None;
    }
    let mut bytes = value.to_vec();
    bytes.resize(whole as usize, 0);
    Some((source, IpNet::new(address(&bytes)?, bits).ok()?, inside, rest))
}

/// The length of the prefix that a mask stands for.
fn mask(data: Attributes<'_>, length: u32) -> Option<u8> {
    let mut bytes = data.inside(4).find(VALUE)?.to_vec();
    if bytes.len() != length as usize || data.inside(5).flag(VALUE) || data.be32(6).unwrap_or(0) != 0 {
        return None;
    }
    bytes.resize(if length > 4 { 16 } else { 4 }, 0);
    let mask: IpAddr = address(&bytes)?;
    ipnet::ip_mask_to_prefix(mask).ok()
}

fn ending(name: &str, data: Attributes<'_>) -> Option<Verdict> {
    if name == "masq" {
        let flags = data.be32(1).unwrap_or(0);
        let ports = data.find(2).is_some() || data.find(3).is_some();
        return match flags {
            _ if ports => None,
            0 => Some(Verdict::Masquerade { random_fully: false }),
            FULLY_RANDOM => Some(Verdict::Masquerade { random_fully: true }),
            _ => None,
        };
    }
    match data.inside(2).inside(VERDICT).be32(CODE)? {
        RETURN => Some(Verdict::Return),
        ACCEPT => Some(Verdict::Accept),
        _ => None,
    }
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
