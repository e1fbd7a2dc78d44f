//! Choices against a model that lists every subnet.

use super::*;
use crate::subnet::LeaseValue;
use std::collections::{BTreeMap, BTreeSet};

const ME: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn config(text: &str) -> NetworkConfig {
    NetworkConfig::parse(text).unwrap()
}

fn pool() -> NetworkConfig {
    config(
        r#"{"Network":"10.5.0.0/16","SubnetMin":"10.5.1.0","SubnetMax":"10.5.8.0","Backend":{"Type":"vxlan"}}"#,
    )
}

fn me() -> Me {
    Me { public_ip: Some(ME), public_ipv6: None }
}

fn key(text: &str) -> SubnetKey {
    SubnetKey::parse(text).unwrap()
}

fn lease(text: &str, public_ip: Ipv4Addr, lease: i64) -> Lease {
    let value = LeaseValue { public_ip, public_ipv6: None, backend_type: None, data: None, data_v6: None };
    Lease { key: key(text), value, lease, mod_revision: 1 }
}

fn run(config: &NetworkConfig, leases: &[Lease], previous: Option<&SubnetKey>, seed: u64) -> Choice {
    let leases: Vec<&Lease> = leases.iter().collect();
    choose(config, &leases, &[], &me(), previous, &mut Stream::new(seed, "test", 0))
}

#[test]
fn our_own_lease_is_used_again_a_reservation_first() {
    let leases = [lease("10.5.2.0-24", OTHER, 1), lease("10.5.3.0-24", ME, 2), lease("10.5.4.0-24", ME, 3)];
    assert_eq!(run(&pool(), &leases, None, 1), Choice::Reuse(leases[1].clone()));
    let last = key("10.5.4.0-24");
    assert_eq!(run(&pool(), &leases, Some(&last), 1), Choice::Reuse(leases[2].clone()));
    let reserved = [leases[1].clone(), leases[2].clone(), lease("10.5.5.0-24", ME, 0)];
    assert_eq!(run(&pool(), &reserved, Some(&last), 1), Choice::Reuse(reserved[2].clone()));
}

#[test]
fn a_lease_of_ours_outside_the_config_goes_but_a_reservation_stays() {
    let leases = [lease("10.5.9.0-24", ME, 2), lease("10.5.2.0-25", ME, 3), lease("10.5.10.0-24", ME, 0)];
    let Choice::Take { key, stale } = run(&pool(), &leases, None, 1) else { panic!("there is room") };
    assert_eq!(stale, leases[..2]);
    assert!(fits(&pool(), &key) && !leases.iter().any(|lease| lease.key.overlaps(&key)));
}

#[test]
fn the_last_subnet_is_taken_if_nobody_has_it() {
    let last = key("10.5.6.0-24");
    for seed in 0..20 {
        let choice = run(&pool(), &[], Some(&last), seed);
        assert_eq!(choice, Choice::Take { key: last, stale: Vec::new() });
    }
    let Choice::Take { key, .. } = run(&pool(), &[lease("10.5.6.0-24", OTHER, 1)], Some(&last), 1) else {
        panic!()
    };
    assert_ne!(key, last);
    let outside = self::key("10.5.99.0-24");
    assert!(!matches!(run(&pool(), &[], Some(&outside), 1), Choice::Take { key, .. } if key == outside));
}

#[test]
fn a_full_pool_is_said_with_its_bounds() {
    let leases: Vec<Lease> = (1..=8).map(|n| lease(&format!("10.5.{n}.0-24"), OTHER, n)).collect();
    let Choice::Full(text) = run(&pool(), &leases, None, 1) else { panic!("nothing is free") };
    assert!(text.starts_with("no subnet is free: all 8 from 10.5.1.0/24 to 10.5.8.0/24"), "{text}");
    let one = [lease("10.5.0.0-20", OTHER, 1)];
    assert!(matches!(run(&pool(), &one, None, 1), Choice::Full(_)));
    let ours = [lease("10.5.0.0-20", ME, 1)];
    assert_eq!(run(&pool(), &ours, None, 1), Choice::Drop(ours.to_vec()));
}

#[test]
fn a_lease_of_ours_that_came_second_is_given_up() {
    let both = |text: &str, ip, id| Lease { key: key(text), ..lease("10.5.1.0-24", ip, id) };
    let config = config(
        r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"vxlan"}}"#,
    );
    let leases = [both("10.5.1.0-24&fd00:0:0:1::-64", OTHER, 1), both("10.5.2.0-24&fd00:0:0:1::-64", ME, 2)];
    let Choice::Take { key, stale } = run(&config, &leases, None, 1) else { panic!("there is room") };
    assert_eq!(stale, leases[1..]);
    assert!(!leases.iter().any(|lease| lease.key.overlaps(&key)));
}

#[test]
fn both_families_get_the_same_number() {
    let config = config(
        r#"{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}"#,
    );
    for seed in 0..50 {
        let Choice::Take { key, .. } = run(&config, &[], None, seed) else { panic!("there is room") };
        let third = key.v4.unwrap().network().octets()[2];
        assert_eq!(key.v6.unwrap().network().segments()[3], u16::from(third));
    }
}

#[test]
fn without_ipv4_the_ipv6_address_says_whose_it_is() {
    let config = config(
        r#"{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:5::/48","Backend":{"Type":"vxlan"}}"#,
    );
    let of = |text: &str, ip: &str| {
        let mut lease = lease("10.5.1.0-24", Ipv4Addr::UNSPECIFIED, 1);
        (lease.key, lease.value.public_ipv6) = (key(text), ip.parse().ok());
        lease
    };
    let leases =
        [of("0.0.0.0-0&fd00:5:0:1::-64", "2001:db8::2"), of("0.0.0.0-0&fd00:5:0:2::-64", "2001:db8::1")];
    let me = Me { public_ip: None, public_ipv6: "2001:db8::1".parse().ok() };
    let refs: Vec<&Lease> = leases.iter().collect();
    let choice = choose(&config, &refs, &[], &me, None, &mut Stream::new(1, "test", 0));
    assert_eq!(choice, Choice::Reuse(leases[1].clone()));
}

/// Each free subnet about as often as any other, over the whole range, beside one that is taken.
#[test]
fn the_draw_is_uniform_over_the_whole_range() {
    let config = config(r#"{"Network":"10.0.0.0/8","SubnetLen":16,"Backend":{"Type":"vxlan"}}"#);
    let leases = [lease("10.7.0.0-16", OTHER, 1)];
    let mut times: BTreeMap<SubnetKey, u32> = BTreeMap::new();
    for seed in 0..25_400 {
        let Choice::Take { key, .. } = run(&config, &leases, None, seed) else { panic!("there is room") };
        *times.entry(key).or_default() += 1;
    }
    assert_eq!(times.len(), 254);
    // 100 expected of each, with a deviation of 10.
    assert!(times.values().all(|times| (50..=160).contains(times)), "{times:?}");
}

quickcheck::quickcheck! {
    /// Against the list of all subnets: what is chosen is free, and Full is said only if nothing is.
    fn a_choice_never_overlaps(taken: Vec<(u8, u8)>, blocked: Vec<u8>, previous: Option<u8>, seed: u64) -> bool {
        let config = pool();
        let length = |len: u8| 20 + len % 8;
        let of = |(third, len): &(u8, u8)| {
            let net = ipnet::Ipv4Net::new(Ipv4Addr::new(10, 5, third % 12, 0), length(*len)).unwrap();
            lease(&SubnetKey::v4(net).to_string(), OTHER, 1)
        };
        let leases: Vec<Lease> = taken.iter().map(of).collect();
        let blocked: Vec<SubnetKey> = blocked.iter().map(|third| key(&format!("10.5.{}.0-24", third % 12))).collect();
        let previous = previous.map(|third| key(&format!("10.5.{}.0-24", third % 12)));
        let all: BTreeSet<SubnetKey> = (1..=8).map(|third| key(&format!("10.5.{third}.0-24"))).collect();
        let is_taken = |key: &SubnetKey| leases.iter().map(|l| &l.key).chain(&blocked).any(|other| other.overlaps(key));
        let free: BTreeSet<SubnetKey> = all.into_iter().filter(|key| !is_taken(key)).collect();
        let refs: Vec<&Lease> = leases.iter().collect();
        let mut rng = Stream::new(seed, "test", 0);
        match choose(&config, &refs, &blocked, &me(), previous.as_ref(), &mut rng) {
            Choice::Full(_) => free.is_empty(),
            Choice::Take { key, stale } => {
                let wanted = previous.filter(|key| free.contains(key));
                stale.is_empty() && free.contains(&key) && wanted.is_none_or(|wanted| wanted == key)
            }
            _ => false,
        }
    }

    fn gaps_are_counted_as_a_list_would_count_them(spans: Vec<(u8, u8)>) -> bool {
        let spans: Vec<(u128, u128)> =
            spans.iter().map(|(a, b)| (u128::from(*a.min(b)), u128::from(*a.max(b)))).collect();
        let merged = Spans::new(spans.iter().copied());
        let is_taken = |number: &u128| spans.iter().any(|(first, last)| (first..=last).contains(&number));
        let free: Vec<u128> = (0..300).filter(|number| !is_taken(number)).collect();
        let counted = free.iter().enumerate().all(|(count, number)| merged.gap(count as u128) == *number);
        counted && merged.covered() == 300 - free.len() as u128 && (0..300).all(|n| merged.covers(n) == is_taken(&n))
    }
}
