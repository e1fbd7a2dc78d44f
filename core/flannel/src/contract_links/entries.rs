//! Addresses, routes, neighbours and forwarding entries.

use super::*;
use std::collections::BTreeSet;

pub async fn addresses(stage: Stage) {
    let address = Address { link: DEVICE.to_string(), net: net("10.201.1.0/32") };
    stage.done(&[Operation::AddLink(stage.device()), Operation::AddAddress(address.clone())]).await;
    stage.done(&[Operation::AddAddress(address.clone())]).await;
    let second = Address { link: DEVICE.to_string(), net: net("10.201.9.1/24") };
    stage.done(&[Operation::AddAddress(second.clone())]).await;
    let tables = stage.tables().await;
    assert_eq!(tables.addresses, [address.clone(), second.clone()].into());
    // The route that came with it is the kernel's own, and not told.
    assert_eq!(tables.routes, BTreeSet::new());
    stage.done(&[Operation::DeleteAddress(address)]).await;
    assert_eq!(stage.tables().await.addresses, [second].into());
    stage.clear().await;
}

pub async fn routes(stage: Stage) {
    stage.done(&[Operation::AddLink(stage.device())]).await;
    let first = route("10.201.2.0/24", "10.201.2.0");
    stage.done(&[Operation::PutRoute(first.clone()), Operation::PutRoute(first.clone())]).await;
    assert_eq!(stage.tables().await.routes, [first.clone()].into());
    // By the underlay, as where two machines share a network.
    let gateway = Some(stage.machine(2).into());
    let way = Way::Out { link: stage.underlay.clone(), gateway, onlink: false };
    let direct = Route { way, ..first.clone() };
    stage.done(&[Operation::PutRoute(direct.clone())]).await;
    assert_eq!(stage.tables().await.routes, [direct.clone()].into());
    stage.done(&[Operation::PutRoute(first.clone())]).await;
    // Without a gateway; of another protocol.
    let way = Way::Out { link: DEVICE.to_string(), gateway: None, onlink: false };
    let near = Route { destination: net("10.201.3.0/24"), way, protocol: 4 };
    stage.done(&[Operation::PutRoute(near.clone())]).await;
    assert_eq!(stage.tables().await.routes, [first.clone(), near.clone()].into());
    stage.done(&[Operation::DeleteRoute(near), Operation::DeleteRoute(first)]).await;
    assert_eq!(stage.tables().await.routes, BTreeSet::new());
    // A gateway that is on no link of ours cannot be reached, unless one says that it is on the link.
    let way = Way::Out { link: stage.underlay.clone(), gateway: Some(ip("10.201.2.0")), onlink: false };
    let outcome = stage.one(Operation::PutRoute(Route { way, ..direct })).await;
    assert!(matches!(outcome, Err(LinksError::Refused(_))), "{outcome:?}");
    stage.clear().await;
}

pub async fn blackhole(stage: Stage) {
    let drop = Route { destination: net("10.201.0.0/16"), way: Way::Blackhole, protocol: 3 };
    stage.done(&[Operation::PutRoute(drop.clone())]).await;
    assert_eq!(stage.tables().await.routes, [drop.clone()].into());
    // Beside a way out, which comes first: each goes without the other.
    stage.done(&[Operation::AddLink(stage.device())]).await;
    let out = Route { destination: drop.destination, ..route("10.201.0.0/16", "10.201.2.0") };
    stage.done(&[Operation::PutRoute(out.clone())]).await;
    assert_eq!(stage.tables().await.routes, [out.clone(), drop.clone()].into());
    stage.done(&[Operation::DeleteRoute(out.clone())]).await;
    assert_eq!(stage.tables().await.routes, [drop.clone()].into());
    stage.done(&[Operation::PutRoute(out.clone()), Operation::DeleteRoute(drop)]).await;
    assert_eq!(stage.tables().await.routes, [out].into());
    stage.clear().await;
}

pub async fn replaced(stage: Stage) {
    stage.furnish().await;
    stage.done(&[Operation::PutNeighbour(neighbour("10.201.2.0", 5))]).await;
    stage.done(&[Operation::PutForwarding(stage.forwarding(2, 3))]).await;
    let tables = stage.tables().await;
    assert_eq!(tables.neighbours, [neighbour("10.201.2.0", 5)].into());
    assert_eq!(tables.forwardings, [stage.forwarding(2, 3)].into());
    // Two MACs at one machine are two entries.
    stage.done(&[Operation::PutForwarding(stage.forwarding(4, 3))]).await;
    stage.done(&[Operation::DeleteForwarding(stage.forwarding(2, 3))]).await;
    stage.done(&[Operation::DeleteNeighbour(neighbour("10.201.2.0", 5))]).await;
    let tables = stage.tables().await;
    assert_eq!(tables.neighbours, BTreeSet::new());
    assert_eq!(tables.forwardings, [stage.forwarding(4, 3)].into());
    stage.clear().await;
}

pub async fn order(stage: Stage) {
    let nowhere = Neighbour { link: "nowhere".to_string(), ..neighbour("10.201.2.0", 2) };
    let operations = [
        Operation::DeleteLink("nowhere".to_string()),
        Operation::AddLink(stage.device()),
        Operation::PutNeighbour(neighbour("10.201.2.0", 2)),
        Operation::PutNeighbour(nowhere),
        Operation::PutNeighbour(neighbour("10.201.2.0", 3)),
        Operation::DeleteRoute(route("10.201.2.0/24", "10.201.2.0")),
        Operation::PutRoute(route("10.201.2.0/24", "10.201.2.0")),
        Operation::DeleteLink(DEVICE.to_string()),
        Operation::PutNeighbour(neighbour("10.201.2.0", 2)),
        Operation::AddLink(stage.device()),
        Operation::PutForwarding(stage.forwarding(2, 2)),
    ];
    let well = [false, true, true, false, true, false, true, true, false, true, true];
    let outcomes = stage.apply(&operations).await;
    for ((outcome, operation), well) in outcomes.into_iter().zip(&operations).zip(well) {
        match well {
            true => assert_eq!(outcome, Ok(()), "{operation:?}"),
            false => assert_not_found(outcome, &format!("{operation:?}")),
        }
    }
    let forwardings = [stage.forwarding(2, 2)].into();
    assert_eq!(
        stage.tables().await,
        Tables { links: [stage.device()].into(), forwardings, ..Tables::default() }
    );
    stage.clear().await;
}

pub async fn v6(stage: Stage) {
    let scope =
        Scope { links: [DEVICE.to_string()].into(), networks: vec![net("fd00:201::/48")], rules: false };
    let address = Address { link: DEVICE.to_string(), net: net("fd00:201:0:1::/128") };
    let peer = neighbour("fd00:201:0:2::", 2);
    let to = route("fd00:201:0:2::/64", "fd00:201:0:2::");
    let drop = Route { destination: net("fd00:201::/48"), way: Way::Blackhole, protocol: 3 };
    stage
        .done(&[
            Operation::AddLink(stage.device()),
            Operation::AddAddress(address.clone()),
            Operation::AddAddress(address.clone()),
            Operation::PutNeighbour(neighbour("fd00:201:0:2::", 3)),
            Operation::PutNeighbour(peer.clone()),
            Operation::PutRoute(route("fd00:201:0:2::/64", "fd00:201:0:3::")),
            Operation::PutRoute(to.clone()),
            Operation::PutRoute(drop.clone()),
        ])
        .await;
    let wish = Tables {
        links: [stage.device()].into(),
        addresses: [address.clone()].into(),
        routes: [to.clone(), drop.clone()].into(),
        neighbours: [peer.clone()].into(),
        ..Tables::default()
    };
    assert_eq!(stage.links.tables(&scope).await, Ok(wish));
    stage
        .done(&[
            Operation::DeleteRoute(drop),
            Operation::DeleteRoute(to),
            Operation::DeleteNeighbour(peer),
            Operation::DeleteAddress(address),
        ])
        .await;
    let wish = Tables { links: [stage.device()].into(), ..Tables::default() };
    assert_eq!(stage.links.tables(&scope).await, Ok(wish));
    stage.clear().await;
}

/// A gateway of IPv6 that lies behind another device is refused, even if it is said to be on the link, until a route to it alone
/// says otherwise. A blackhole does not count, nor does the default route.
pub async fn gateway_v6(stage: Stage) {
    let by = |destination: &str, link: &str| Route {
        destination: net(destination),
        way: Way::Out { link: link.to_string(), gateway: None, onlink: false },
        protocol: 3,
    };
    let to = route("fd00:201:0:2::/64", "fd00:201:0:2::");
    let drop = Route { destination: net("fd00:201::/48"), way: Way::Blackhole, protocol: 3 };
    let [wide, before] = ["fd00:201::/48", "fd00:201:0:2::/64"].map(|to| by(to, &stage.underlay));
    let guide = by("fd00:201:0:2::/128", DEVICE);
    stage.done(&[Operation::AddLink(stage.device()), Operation::PutRoute(drop.clone())]).await;
    stage.done(&[Operation::PutRoute(to.clone()), Operation::DeleteRoute(to.clone())]).await;
    for bar in [wide, before.clone()] {
        stage.done(&[Operation::PutRoute(bar.clone())]).await;
        let outcome = stage.one(Operation::PutRoute(to.clone())).await;
        assert!(matches!(outcome, Err(LinksError::Refused(_))), "{outcome:?}");
        let guided = [
            Operation::PutRoute(guide.clone()),
            Operation::PutRoute(to.clone()),
            Operation::DeleteRoute(guide.clone()),
        ];
        stage.done(&guided).await;
        // Now it is its own way to the gateway, and what it replaced may come back in its place.
        stage.done(&[Operation::PutRoute(to.clone())]).await;
        if bar == before {
            stage.done(&[Operation::PutRoute(bar.clone()), Operation::DeleteRoute(bar)]).await;
        } else {
            stage.done(&[Operation::DeleteRoute(to.clone()), Operation::DeleteRoute(bar)]).await;
        }
    }
    stage.done(&[Operation::DeleteRoute(drop)]).await;
    stage.clear().await;
}

pub async fn thousand(stage: Stage) {
    let mut operations = vec![Operation::AddLink(stage.device())];
    let mut wish = Tables { links: [stage.device()].into(), ..Tables::default() };
    for peer in 0..334_u32 {
        let base = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 201, 0, 0)) + (peer << 6));
        let mac = Mac([0x0e, 0xc1, 0, 0, (peer >> 8) as u8, peer as u8]);
        let neighbour = Neighbour { link: DEVICE.to_string(), address: base.into(), mac };
        let forwarding =
            Forwarding { link: DEVICE.to_string(), mac, machine: stage.machine(2 + peer % 4).into() };
        let route = route(&format!("{base}/26"), &base.to_string());
        operations.extend([
            Operation::PutNeighbour(neighbour.clone()),
            Operation::PutForwarding(forwarding.clone()),
            Operation::PutRoute(route.clone()),
        ]);
        wish.neighbours.insert(neighbour);
        wish.forwardings.insert(forwarding);
        wish.routes.insert(route);
    }
    stage.done(&operations).await;
    assert!(stage.tables().await == wish, "what is there differs");
    stage.clear().await;
}
