//! What is told of what, and where packets go.

use super::*;
use crate::links::Path;

pub async fn scope(stage: Stage) {
    stage.furnish().await;
    let by_underlay =
        Way::Out { link: stage.underlay.clone(), gateway: Some(stage.machine(2).into()), onlink: false };
    let near = Route { destination: net("10.201.5.0/24"), way: by_underlay.clone(), protocol: 3 };
    let far = Route { destination: net("10.202.5.0/24"), way: by_underlay, protocol: 3 };
    stage.done(&[Operation::PutRoute(near.clone()), Operation::PutRoute(far.clone())]).await;
    let ask = async |links: &[&str], networks: &[&str]| {
        let links = links.iter().map(|link| link.to_string()).collect();
        let networks = networks.iter().map(|network| net(network)).collect();
        stage.links.tables(&Scope { links, networks, rules: false }).await.expect("tables are told")
    };
    assert_eq!(ask(&[], &[]).await, Tables::default());
    assert_eq!(ask(&["nowhere"], &["10.203.0.0/16"]).await, Tables::default());
    // By the link, whatever the network; by the network, whatever the link.
    let ours = route("10.201.2.0/24", "10.201.2.0");
    assert_eq!(ask(&[DEVICE], &[]).await.routes, [ours.clone()].into());
    let tables = ask(&[], &[NETWORK]).await;
    assert_eq!(tables, Tables { routes: [ours, near.clone()].into(), ..Tables::default() });
    // A network holds itself, and not what is wider.
    assert_eq!(ask(&[], &["10.202.5.0/24"]).await.routes, [far.clone()].into());
    assert_eq!(ask(&[], &["10.202.5.0/25"]).await.routes, [].into());
    let tables = ask(&[&stage.underlay], &[]).await;
    assert!(tables.routes.contains(&far) && tables.routes.contains(&near), "{:?}", tables.routes);
    assert!(tables.addresses.contains(&Address { link: stage.underlay.clone(), net: stage.local.into() }));
    assert_eq!(tables.links.len(), 1);
    stage.done(&[Operation::DeleteRoute(near), Operation::DeleteRoute(far)]).await;
    stage.clear().await;
}

pub async fn paths(stage: Stage) {
    let links = &stage.links;
    let here = stage.local.addr().into();
    let interfaces = links.interfaces().await.expect("interfaces are told");
    let lo = interfaces.iter().find(|each| each.link.kind == LinkKind::Loopback).expect("a loopback");
    assert!(lo.addresses.iter().all(|(_, fitness)| !fitness.global), "{lo:?}");
    let underlay = interfaces.iter().find(|each| each.link.name == stage.underlay).expect("the underlay");
    assert!(underlay.link.up && underlay.link.mtu == 1500, "{underlay:?}");
    let (_, fitness) = underlay.addresses.iter().find(|(net, _)| net.addr() == here).expect("its address");
    assert!(fitness.global && fitness.permanent && fitness.lasting, "{fitness:?}");

    let underlay = stage.underlay.clone();
    let gateway = Some(stage.gateway.into());
    let near = Path { link: underlay.clone(), source: Some(here), gateway: None };
    assert_eq!(links.path(stage.machine(3).into()).await, Ok(near));
    let far = Path { link: underlay.clone(), source: Some(here), gateway };
    assert_eq!(links.path(ip("203.0.113.9")).await, Ok(far));
    let default = links.default_path(false).await.expect("there is a default route");
    assert_eq!((default.link, default.gateway), (underlay, gateway));

    stage.furnish().await;
    let path = links.path(ip("10.201.2.7")).await.expect("there is a route");
    assert_eq!((path.link.as_str(), path.gateway), (DEVICE, Some(ip("10.201.2.0"))));
    stage
        .done(&[Operation::PutRoute(Route {
            destination: net("10.201.0.0/16"),
            way: Way::Blackhole,
            protocol: 3,
        })])
        .await;
    let nowhere = links.path(ip("10.201.77.1")).await;
    assert!(matches!(nowhere, Err(LinksError::NotFound(_))), "{nowhere:?}");
    let drop = Route { destination: net("10.201.0.0/16"), way: Way::Blackhole, protocol: 3 };
    stage.done(&[Operation::DeleteRoute(drop)]).await;
    stage.clear().await;
}
