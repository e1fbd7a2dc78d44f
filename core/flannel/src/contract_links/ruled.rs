//! The rules. Only by nftables' messages: the iptables programs are not everywhere.

use super::*;
use crate::rules::{Means, Rule, RuleSet, Verdict};
use std::collections::BTreeSet;

impl Stage {
    async fn rules(&self) -> BTreeSet<RuleSet> {
        let scope = Scope { rules: true, ..Scope::default() };
        let tables = self.links.tables(&scope).await.expect("tables are told");
        assert_eq!(Tables { rules: BTreeSet::new(), ..tables.clone() }, Tables::default());
        tables.rules
    }
}

/// The rules as flannel has them: of our own subnet and the network that it is in.
fn usual(v6: bool) -> RuleSet {
    let (own, all, multicast) = match v6 {
        false => (net("10.201.1.0/24"), net("10.201.0.0/16"), net("224.0.0.0/4")),
        true => (net("fd00:201:0:1::/64"), net("fd00:201::/48"), net("ff00::/8")),
    };
    let rule = |source, destination, verdict| Rule { marked: false, source, destination, verdict };
    let masquerade = Verdict::Masquerade { random_fully: true };
    let postrouting = vec![
        Rule { marked: true, source: None, destination: None, verdict: Verdict::Return },
        rule(Some((own, true)), Some((all, true)), Verdict::Return),
        rule(Some((all, true)), Some((own, true)), Verdict::Return),
        rule(Some((own, false)), Some((all, true)), Verdict::Return),
        rule(Some((all, true)), Some((multicast, false)), masquerade),
        rule(Some((all, false)), Some((all, true)), Verdict::Masquerade { random_fully: false }),
    ];
    let forward =
        vec![rule(Some((all, true)), None, Verdict::Accept), rule(None, Some((all, true)), Verdict::Accept)];
    RuleSet { v6, means: Means::Nftables, postrouting, forward }
}

pub async fn whole(stage: Stage) {
    assert_eq!(stage.rules().await, BTreeSet::new());
    let rules = usual(false);
    stage.done(&[Operation::PutRules(rules.clone())]).await;
    assert_eq!(stage.rules().await, [rules.clone()].into());
    // Again is no change; another wish takes the place of the first as a whole.
    stage.done(&[Operation::PutRules(rules.clone())]).await;
    assert_eq!(stage.rules().await, [rules.clone()].into());
    let mut other = rules.clone();
    other.postrouting.remove(3);
    other.forward.clear();
    stage.done(&[Operation::PutRules(other.clone())]).await;
    assert_eq!(stage.rules().await, [other.clone()].into());
    // A rule of somebody else cannot be wished for, and the wish changes nothing.
    let mut foreign = rules.clone();
    foreign.forward.push(Rule { marked: false, source: None, destination: None, verdict: Verdict::Foreign });
    let outcome = stage.one(Operation::PutRules(foreign)).await;
    assert!(matches!(outcome, Err(LinksError::Refused(_))), "{outcome:?}");
    assert_eq!(stage.rules().await, [other.clone()].into());
    stage.done(&[Operation::DeleteRules(other)]).await;
    assert_eq!(stage.rules().await, BTreeSet::new());
    // They are not told unless asked for.
    stage.done(&[Operation::PutRules(rules.clone())]).await;
    assert_eq!(stage.tables().await, Tables::default());
    stage.done(&[Operation::DeleteRules(rules)]).await;
}

pub async fn families(stage: Stage) {
    let (v4, v6) = (usual(false), usual(true));
    stage.done(&[Operation::PutRules(v4.clone()), Operation::PutRules(v6.clone())]).await;
    assert_eq!(stage.rules().await, [v4.clone(), v6.clone()].into());
    stage.done(&[Operation::DeleteRules(v4)]).await;
    assert_eq!(stage.rules().await, [v6.clone()].into());
    stage.done(&[Operation::DeleteRules(v6)]).await;
    assert_eq!(stage.rules().await, BTreeSet::new());
}
