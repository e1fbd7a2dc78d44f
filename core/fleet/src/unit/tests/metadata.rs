//! Terms on metadata: what they mean, and what is refused.

use crate::unit::{MetadataTerm, MetadataTest};
use quickcheck::quickcheck;
use std::collections::BTreeMap;

fn term(text: &str) -> MetadataTerm {
    MetadataTerm::parse(text).expect(text)
}

#[test]
fn operators() {
    // Term, values that hold, values that do not, whether it holds without the key.
    let table: [(&str, &[&str], &[&str], bool); 11] = [
        ("k=a", &["a"], &["A", "", "ab"], false),
        ("k = a b ", &["a b"], &["a"], false),
        ("k!=a", &["b", ""], &["a"], true),
        ("k<5", &["4", "-9", " 4 "], &["5", "6", "x", "", "4.5"], false),
        ("k<=5", &["5"], &["6", "x"], false),
        ("k>5", &["6"], &["5", "x"], false),
        ("k>=5", &["5", "50"], &["4", "x"], false),
        ("k>=-5", &["-5", "0"], &["-6"], false),
        ("k~eu-*", &["eu-", "eu-west"], &["us", "eu"], false),
        ("k", &["", "x"], &[], false),
        ("!k", &[], &["", "x"], true),
    ];
    for (text, holds, fails, without) in table {
        let term = term(text);
        assert_eq!(term.key, "k", "{text}");
        let with = |value: &str| BTreeMap::from([("k".to_string(), value.to_string())]);
        assert!(holds.iter().all(|value| term.holds(&with(value))), "{text}");
        assert!(!fails.iter().any(|value| term.holds(&with(value))), "{text}");
        assert_eq!(term.holds(&BTreeMap::new()), without, "{text}");
    }
}

#[test]
fn refused_with_a_remedy() {
    let table = [
        ("", "no key: write key=value"),
        ("!", "no key: write key=value"),
        ("=a", "no key: write key=value"),
        ("a=", "no value after \"=\": to ask for the key alone, write the key alone"),
        ("a>=", "no value after \">=\""),
        ("a=b=c", "one term has one operator"),
        ("a==b", "one term has one operator"),
        ("a=>5", "\">5\" is no value"),
        ("a=b c=d", "put several terms in quotes each, as in \"a=b\" \"c=d\""),
        ("a b", "put several terms in quotes each"),
        ("!a=b", "\"a=b\" is no metadata key"),
        ("a!b", "a \"!\" stands before a key"),
        ("a<x", "\"x\" is no whole number: \"<\" compares numbers"),
        ("a>=1.5", "\"1.5\" is no whole number"),
        ("a>=1 b>=2", "is no whole number"),
        ("a~[", "\"[\" is no glob: a \"[\" is not closed"),
    ];
    for (text, reason) in table {
        let error = MetadataTerm::parse(text).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn values_of_one_key_are_alternatives() {
    let mut terms = Vec::new();
    for text in ["k=b", "j>1", "k=a", "k!=x", "k=b", "k!=y", "j>1", "j<9"] {
        term(text).add_to(&mut terms);
    }
    let shown: Vec<String> = terms.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["k=a or k=b", "j>1", "k!=x and k!=y", "j<9"]);
    assert_eq!(terms[0].test, MetadataTest::In(vec!["a".into(), "b".into()]));
}

quickcheck! {
    fn shown_and_read_again_it_is_the_same(text: String) -> bool {
        MetadataTerm::parse(&text).map_or(true, |term| term == self::term(&term.to_string()))
    }

    fn numbers_compare_as_numbers(bound: i64, value: i64) -> bool {
        let machine = BTreeMap::from([("k".to_string(), value.to_string())]);
        let holds = |operator: &str| term(&format!("k{operator}{bound}")).holds(&machine);
        holds("<") == (value < bound) && holds("<=") == (value <= bound) && holds(">") == (value > bound)
            && holds(">=") == (value >= bound) && holds("=") == (value == bound) && holds("!=") == (value != bound)
    }
}
