//! Hints.

use super::*;
use crate::links::{Changes, Hint};
use crate::rules::{Means, Rule, RuleSet, Verdict};
use futures_util::future::{Either, select};
use std::time::Duration;

/// How long the kernel may take to tell.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn of_others(stage: Stage) {
    let mut changes = stage.links.changes().await.expect("changes are told");
    let link = Hint::Link(DEVICE.to_string());
    let address = Address { link: DEVICE.to_string(), net: net("10.201.1.0/32") };
    let accept = Rule {
        marked: false,
        source: Some((net(NETWORK), true)),
        destination: None,
        verdict: Verdict::Accept,
    };
    let rules = RuleSet { v6: false, means: Means::Nftables, postrouting: Vec::new(), forward: vec![accept] };
    let to = route("10.201.2.0/24", "10.201.2.0");
    let steps = [
        (Operation::AddLink(stage.device()), link.clone()),
        (Operation::SetLink(Link { mtu: 1400, ..stage.device() }), link.clone()),
        (Operation::AddAddress(address.clone()), link.clone()),
        (Operation::PutNeighbour(neighbour("10.201.2.0", 2)), link.clone()),
        (Operation::PutForwarding(stage.forwarding(2, 2)), link.clone()),
        (Operation::PutRoute(to.clone()), Hint::Route(to.destination)),
        (Operation::DeleteRoute(to.clone()), Hint::Route(to.destination)),
        (Operation::DeleteForwarding(stage.forwarding(2, 2)), link.clone()),
        (Operation::DeleteNeighbour(neighbour("10.201.2.0", 2)), link.clone()),
        (Operation::DeleteAddress(address), link.clone()),
        (Operation::PutRules(rules.clone()), Hint::Rules),
        (Operation::DeleteRules(rules), Hint::Rules),
        (Operation::DeleteLink(DEVICE.to_string()), link),
    ];
    for (operation, hint) in steps {
        // What earlier steps still have to tell must not pass for an answer to this one.
        quiet(&stage, &mut *changes).await;
        let outcomes = stage.other.apply(std::slice::from_ref(&operation)).await;
        assert_eq!(outcomes, [Ok(())], "{operation:?}");
        wait(&stage, &mut *changes, &hint, &operation).await;
    }
    // Our own are told too.
    quiet(&stage, &mut *changes).await;
    let add = Operation::AddLink(stage.device());
    stage.done(std::slice::from_ref(&add)).await;
    wait(&stage, &mut *changes, &Hint::Link(DEVICE.to_string()), &add).await;
    stage.clear().await;
}

/// Takes hints until none comes for a while.
async fn quiet(stage: &Stage, changes: &mut dyn Changes) {
    loop {
        let pause = stage.clock.sleep_until(stage.clock.now() + Duration::from_millis(50));
        match select(changes.next(), pause).await {
            Either::Left((hint, _)) => drop(hint.expect("the stream goes on")),
            Either::Right(_) => return,
        }
    }
}

/// Waits for a hint, among others.
async fn wait(stage: &Stage, changes: &mut dyn Changes, wish: &Hint, operation: &Operation) {
    let deadline = stage.clock.now() + PATIENCE;
    loop {
        match select(changes.next(), stage.clock.sleep_until(deadline)).await {
            Either::Left((hint, _)) => {
                let hint = hint.expect("the stream goes on");
                if hint == *wish || hint == Hint::Resync {
                    return;
                }
            }
            Either::Right(_) => panic!("nobody told {wish:?} after {operation:?}"),
        }
    }
}
