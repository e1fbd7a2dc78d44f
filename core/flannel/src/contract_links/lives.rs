//! Devices, and what becomes of what hangs on them.

use super::*;
use crate::rules::{Means, RuleSet};

pub async fn made(stage: Stage) {
    stage.done(&[Operation::AddLink(stage.device())]).await;
    let tables = stage.tables().await;
    assert_eq!(tables, Tables { links: [stage.device()].into(), ..Tables::default() });
    stage.clear().await;
    // Each setting is seen.
    let mut device = stage.device();
    device.up = false;
    device.mtu = 1300;
    let LinkKind::Vxlan(vxlan) = &mut device.kind else { panic!("a vxlan device") };
    (vxlan.vni, vxlan.port, vxlan.learning, vxlan.gbp) = (9, 4789, true, true);
    stage.done(&[Operation::AddLink(device.clone())]).await;
    assert_eq!(stage.tables().await.links, [device.clone()].into());
    stage.clear().await;
    // Without a wish, it has some MAC.
    device.mac = None;
    stage.done(&[Operation::AddLink(device.clone())]).await;
    let found = stage.tables().await.links.pop_first().expect("it is there");
    assert!(found.mac.is_some());
    assert_eq!(Link { mac: None, ..found }, device);
    stage.clear().await;
}

pub async fn twice(stage: Stage) {
    stage.furnish().await;
    let before = stage.tables().await;
    let other = Link { mtu: 1200, ..stage.device() };
    let outcome = stage.one(Operation::AddLink(other)).await;
    assert!(matches!(outcome, Err(LinksError::Exists(_))), "{outcome:?}");
    // Another name, but the same network and port: these are taken too.
    let outcome =
        stage.one(Operation::AddLink(Link { name: "contract.8".to_string(), ..stage.device() })).await;
    assert!(matches!(outcome, Err(LinksError::Exists(_))), "{outcome:?}");
    assert_eq!(stage.tables().await, before);
    // Its underlay has to be there.
    let mut lost = Link { name: "contract.8".to_string(), ..stage.device() };
    let LinkKind::Vxlan(vxlan) = &mut lost.kind else { panic!("a vxlan device") };
    (vxlan.vni, vxlan.device) = (8, "nowhere".to_string());
    assert_not_found(stage.one(Operation::AddLink(lost)).await, "the underlay");
    stage.clear().await;
}

pub async fn set(stage: Stage) {
    stage.furnish().await;
    let before = stage.tables().await;
    let wish = Link { mtu: 1400, ..stage.device() };
    stage.done(&[Operation::SetLink(wish.clone())]).await;
    // What hangs on it stays.
    assert_eq!(stage.tables().await, Tables { links: [wish.clone()].into(), ..before.clone() });
    let wish = Link { mac: Some(mac(3)), ..wish };
    stage.done(&[Operation::SetLink(wish.clone())]).await;
    // With the MAC, the kernel forgets all neighbours, permanent ones too.
    let left = Tables { links: [wish.clone()].into(), neighbours: Default::default(), ..before };
    assert_eq!(stage.tables().await, left);
    // No wish for a MAC leaves the one that it has.
    stage.done(&[Operation::SetLink(Link { mac: None, ..wish.clone() })]).await;
    assert_eq!(stage.tables().await.links, [wish].into());
    stage.clear().await;
}

pub async fn not_found(stage: Stage) {
    let address = Address { link: DEVICE.to_string(), net: net("10.201.1.0/32") };
    let gone = [
        Operation::DeleteLink(DEVICE.to_string()),
        Operation::SetLink(stage.device()),
        Operation::AddAddress(address.clone()),
        Operation::DeleteAddress(address.clone()),
        Operation::PutRoute(route("10.201.2.0/24", "10.201.2.0")),
        Operation::DeleteRoute(route("10.201.2.0/24", "10.201.2.0")),
        Operation::PutNeighbour(neighbour("10.201.2.0", 2)),
        Operation::DeleteNeighbour(neighbour("10.201.2.0", 2)),
        Operation::PutForwarding(stage.forwarding(2, 2)),
        Operation::DeleteForwarding(stage.forwarding(2, 2)),
    ];
    // Without the device, and then without the entries.
    for (outcome, operation) in stage.apply(&gone).await.into_iter().zip(&gone) {
        assert_not_found(outcome, &format!("{operation:?}"));
    }
    stage.done(&[Operation::AddLink(stage.device())]).await;
    let gone = [
        Operation::DeleteAddress(address),
        Operation::DeleteRoute(route("10.201.2.0/24", "10.201.2.0")),
        Operation::DeleteNeighbour(neighbour("10.201.2.0", 2)),
        Operation::DeleteForwarding(stage.forwarding(2, 2)),
        Operation::DeleteRules(RuleSet {
            v6: false,
            means: Means::Nftables,
            postrouting: vec![],
            forward: vec![],
        }),
    ];
    for (outcome, operation) in stage.apply(&gone).await.into_iter().zip(&gone) {
        assert_not_found(outcome, &format!("{operation:?}"));
    }
    // An entry that differs is another one.
    stage.done(&[Operation::PutForwarding(stage.forwarding(2, 2))]).await;
    // Linux says that this one went well. It did nothing.
    let _ = stage.one(Operation::DeleteForwarding(stage.forwarding(2, 3))).await;
    assert_eq!(stage.tables().await.forwardings, [stage.forwarding(2, 2)].into());
    stage.done(&[Operation::PutRoute(route("10.201.2.0/24", "10.201.2.0"))]).await;
    assert_not_found(
        stage.one(Operation::DeleteRoute(route("10.201.2.0/24", "10.201.3.0"))).await,
        "another way",
    );
    stage.clear().await;
}

pub async fn deleted(stage: Stage) {
    stage.furnish().await;
    let tables = stage.tables().await;
    assert_eq!(tables.addresses.len(), 1);
    assert_eq!(tables.neighbours, [neighbour("10.201.2.0", 2)].into());
    assert_eq!(tables.forwardings, [stage.forwarding(2, 2)].into());
    assert_eq!(tables.routes, [route("10.201.2.0/24", "10.201.2.0")].into());
    // Nothing of it is there when it comes back.
    stage.clear().await;
    stage.done(&[Operation::AddLink(stage.device())]).await;
    assert_eq!(stage.tables().await, Tables { links: [stage.device()].into(), ..Tables::default() });
    stage.clear().await;
}

pub async fn down(stage: Stage) {
    stage.furnish().await;
    let before = stage.tables().await;
    let down = Link { up: false, ..stage.device() };
    stage.done(&[Operation::SetLink(down.clone())]).await;
    let left =
        Tables { links: [down].into(), routes: Default::default(), neighbours: Default::default(), ..before };
    assert_eq!(stage.tables().await, left);
    // A route cannot be made on a device that is down.
    assert!(stage.one(Operation::PutRoute(route("10.201.2.0/24", "10.201.2.0"))).await.is_err());
    // They do not come back with it.
    stage.done(&[Operation::SetLink(stage.device())]).await;
    assert_eq!(stage.tables().await, Tables { links: [stage.device()].into(), ..left });
    stage.clear().await;
}
