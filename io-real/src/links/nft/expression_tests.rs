use super::{FOREIGN, put, read, step, verdict};
use crate::links::message::{Attributes, Message};
use flannel::rules::{Rule, Verdict};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug)]
struct Drawn {
    v6: bool,
    rule: Rule,
}

fn net(g: &mut Gen, v6: bool) -> Option<(IpNet, bool)> {
    let net = match v6 {
        false => IpNet::from(Ipv4Net::new(Ipv4Addr::arbitrary(g), u8::arbitrary(g) % 33).unwrap()),
        true => IpNet::from(Ipv6Net::new(Ipv6Addr::arbitrary(g), u8::arbitrary(g) % 129).unwrap()),
    };
    bool::arbitrary(g).then(|| (net.trunc(), bool::arbitrary(g)))
}

impl Arbitrary for Drawn {
    fn arbitrary(g: &mut Gen) -> Drawn {
        let v6 = bool::arbitrary(g);
        let masquerade = Verdict::Masquerade { random_fully: bool::arbitrary(g) };
        let verdict = *g.choose(&[Verdict::Return, Verdict::Accept, masquerade]).unwrap();
        let rule = Rule { marked: bool::arbitrary(g), source: net(g, v6), destination: net(g, v6), verdict };
        Drawn { v6, rule }
    }
}

/// Reads the list that `fill` makes.
fn read_back(v6: bool, fill: impl FnOnce(&mut Message)) -> Rule {
    let mut message = Message::new(0, 0, &[]);
    message.nest(4, fill);
    read(message.attributes(0).inside(4), v6)
}

quickcheck! {
    fn a_rule_comes_back(drawn: Drawn) -> bool {
        read_back(drawn.v6, |list| put(list, drawn.v6, &drawn.rule)) == drawn.rule
    }

    fn any_bytes_are_a_rule_of_somebody(bytes: Vec<u8>, v6: bool) -> bool {
        read(Attributes(&bytes), v6) == FOREIGN
    }
}

#[test]
fn what_we_would_not_say_is_foreign() {
    // A counter before a verdict; a drop; nothing at all.
    let counted = read_back(false, |list| {
        step(list, "counter", |_| ());
        verdict(list, 1);
    });
    assert_eq!(counted, FOREIGN);
    assert_eq!(read_back(false, |list| verdict(list, 0)), FOREIGN);
    assert_eq!(read_back(false, |_| ()), FOREIGN);
    // Two sources.
    let rule = Rule {
        marked: false,
        source: Some(("10.5.0.0/16".parse().unwrap(), true)),
        destination: None,
        verdict: Verdict::Accept,
    };
    let twice = read_back(false, |list| {
        super::put_net(list, false, rule.source.unwrap().0, true, true);
        put(list, false, &rule);
    });
    assert_eq!(twice, FOREIGN);
}
