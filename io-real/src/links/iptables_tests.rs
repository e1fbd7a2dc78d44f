use super::{PLACES, change, line, parse, rule, version};
use crate::links::nft::FOREIGN;
use flannel::rules::{Rule, Verdict};
use ipnet::{IpNet, Ipv4Net};
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::net::Ipv4Addr;

#[derive(Clone, Debug)]
struct Drawn(Rule);

impl Arbitrary for Drawn {
    fn arbitrary(g: &mut Gen) -> Drawn {
        let net = |g: &mut Gen| {
            let net = Ipv4Net::new(Ipv4Addr::arbitrary(g), u8::arbitrary(g) % 33).unwrap().trunc();
            bool::arbitrary(g).then(|| (IpNet::from(net), bool::arbitrary(g)))
        };
        let masquerade = Verdict::Masquerade { random_fully: bool::arbitrary(g) };
        let verdict = *g.choose(&[Verdict::Return, Verdict::Accept, masquerade]).unwrap();
        Drawn(Rule { marked: bool::arbitrary(g), source: net(g), destination: net(g), verdict })
    }
}

quickcheck! {
    fn a_rule_comes_back(drawn: Drawn) -> bool {
        rule(&line(&drawn.0, &PLACES[0]), &PLACES[0]) == Some(drawn.0)
    }
}

#[test]
fn what_we_would_not_say_is_foreign() {
    let foreign = |text: &str| rule(text, &PLACES[1]);
    assert_eq!(foreign("-N FLANNEL-FWD"), None);
    assert_eq!(foreign("-A FLANNEL-FWD -s 10.5.0.0/16 -j DROP"), Some(FOREIGN));
    // Ours but for the comment, and ours but for a condition more.
    assert_eq!(foreign("-A FLANNEL-FWD -s 10.5.0.0/16 -j ACCEPT"), Some(FOREIGN));
    let more = "-A FLANNEL-FWD -s 10.5.0.0/16 -p tcp -m comment --comment \"flanneld forward\" -j ACCEPT";
    assert_eq!(foreign(more), Some(FOREIGN));
    assert_eq!(parse("-A X -s nonsense -j ACCEPT"), None);
}

#[test]
fn a_change_says_what_is_missing_and_no_more() {
    let accept = Rule {
        marked: false,
        source: Some(("10.5.0.0/16".parse().unwrap(), true)),
        destination: None,
        verdict: Verdict::Accept,
    };
    let text = change(&PLACES[1], std::slice::from_ref(&accept), false, 0);
    assert_eq!(
        text,
        "*filter\n:FLANNEL-FWD - [0:0]\n\
         -A FORWARD -m comment --comment \"flanneld forward\" -j FLANNEL-FWD\n\
         -A FLANNEL-FWD -s 10.5.0.0/16 -m comment --comment \"flanneld forward\" -j ACCEPT\nCOMMIT\n"
    );
    // The jump stays where it is; a second one goes.
    assert!(!change(&PLACES[1], std::slice::from_ref(&accept), true, 1).contains("FORWARD -m"));
    assert_eq!(change(&PLACES[1], std::slice::from_ref(&accept), true, 2).matches("-D FORWARD").count(), 2);
    assert_eq!(change(&PLACES[1], &[], false, 0), "");
    assert!(change(&PLACES[1], &[], true, 1).ends_with("-F FLANNEL-FWD\n-X FLANNEL-FWD\nCOMMIT\n"));
}

#[test]
fn versions_are_read() {
    assert_eq!(version("iptables v1.8.9 (nf_tables)"), Some([1, 8, 9]));
    assert_eq!(version("iptables v1.6.0"), Some([1, 6, 0]));
    assert_eq!(version("no such thing"), None);
}
