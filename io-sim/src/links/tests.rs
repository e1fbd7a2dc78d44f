//! The model against what is known of Linux, and packets through it.

use super::*;
use crate::room::Room;
use ::kernel::{Planted, Probe};
use flannel::contract_links;

fn within(act: impl FnOnce(&World) + Send + 'static) {
    let room = Room { seed: 1, probe: Probe::counting(), planted: Planted::none() };
    room.run(move |world| act(world));
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

/// Machines with bridges of 10.5.n.0/24, and no daemon.
fn machines(world: &World, count: u16) -> Vec<SimLinks> {
    let machine = |number: u16| {
        let node = world.add_node(&format!("m{number}"));
        let links = SimLinks::new(world, node, underlay_address(number));
        links.set_bridge(net(&format!("10.5.{number}.0/24")));
        links
    };
    (1..=count).map(machine).collect()
}

fn vxlan(links: &SimLinks, mac: u8) {
    let kind = LinkKind::Vxlan(Vxlan {
        vni: 1,
        port: 8472,
        device: EXTERNAL.to_owned(),
        local: links.address().into(),
        learning: false,
        gbp: false,
    });
    let link = Link {
        name: "flannel.1".to_owned(),
        kind,
        mac: Some(Mac([2, 0, 0, 0, 0, mac])),
        mtu: 1450,
        up: true,
    };
    links.by_somebody(&Operation::AddLink(link)).unwrap();
}

/// What a peer needs, in the order in which it is made.
fn peer(mac: u8) -> [Operation; 3] {
    let (link, address) = ("flannel.1".to_owned(), IpAddr::from([10, 5, mac, 0]));
    let (machine, hardware) = (underlay_address(mac.into()).into(), Mac([2, 0, 0, 0, 0, mac]));
    let way = Way::Out { link: link.clone(), gateway: Some(address), onlink: true };
    let destination = IpNet::new(address, 24).unwrap();
    [
        Operation::PutForwarding(Forwarding { link: link.clone(), mac: hardware, machine }),
        Operation::PutNeighbour(Neighbour { link, address, mac: hardware }),
        Operation::PutRoute(Route { destination, way, protocol: 3 }),
    ]
}

#[test]
fn a_packet_needs_every_entry_and_says_which_is_missing() {
    within(|world| {
        let machines = machines(world, 2);
        let to = IpAddr::from([10, 5, 2, 7]);
        let lost = || Underlay::new(&machines).walk(0, to).end.unwrap_err();
        assert!(lost().why.contains("which is no machine"), "by the default route: {}", lost());
        vxlan(&machines[0], 1);
        let [forwarding, neighbour, route] = peer(2);
        machines[0].by_somebody(&route).unwrap();
        assert!(lost().why.contains("no neighbour"), "{}", lost());
        machines[0].by_somebody(&neighbour).unwrap();
        assert!(lost().why.contains("no forwarding"), "{}", lost());
        machines[0].by_somebody(&forwarding).unwrap();
        assert_eq!((lost().machine, lost().why.contains("no device")), (1, true));
        vxlan(&machines[1], 9);
        assert!(lost().why.contains("the frame is for"), "{}", lost());
        machines[1].by_somebody(&Operation::DeleteLink("flannel.1".to_owned())).unwrap();
        vxlan(&machines[1], 2);
        assert_eq!(Underlay::new(&machines).walk(0, to).machines, [0, 1]);
        assert_eq!(Underlay::new(&machines).walk(0, to).end, Ok(()));
    });
}

#[test]
fn a_link_that_goes_down_takes_routes_and_neighbours_and_leaves_forwarding_entries() {
    within(|world| {
        let machines = machines(world, 2);
        vxlan(&machines[0], 1);
        peer(2).iter().for_each(|operation| machines[0].by_somebody(operation).unwrap());
        machines[0].meddle(Meddling::Down);
        let kernel = machines[0].kernel();
        assert_eq!((kernel.neighbours.len(), kernel.forwardings.len()), (0, 1));
        assert!(kernel.routes.values().all(|route| route.protocol != 3));
        let [_, _, route] = peer(2);
        assert!(matches!(machines[0].by_somebody(&route), Err(LinksError::Refused(_))));
    });
}

#[test]
fn a_route_by_a_gateway_needs_the_gateway_on_its_link() {
    within(|world| {
        let machines = machines(world, 2);
        let by = |gateway: IpAddr| {
            let way = Way::Out { link: EXTERNAL.to_owned(), gateway: Some(gateway), onlink: false };
            Operation::PutRoute(Route { destination: net("10.5.2.0/24").into(), way, protocol: 3 })
        };
        assert!(matches!(machines[0].by_somebody(&by([172, 16, 0, 1].into())), Err(LinksError::Refused(_))));
        machines[0].by_somebody(&by(underlay_address(2).into())).unwrap();
        assert_eq!(Underlay::new(&machines).walk(0, [10, 5, 2, 3].into()).end, Ok(()));
        machines[0].meddle(Meddling::Flap);
        assert!(
            Underlay::new(&machines).walk(0, [10, 5, 2, 3].into()).end.is_err(),
            "the flap took the route"
        );
    });
}

#[test]
fn the_link_below_takes_the_device_along_and_power_loss_everything() {
    within(|world| {
        let machines = machines(world, 1);
        vxlan(&machines[0], 1);
        machines[0].by_somebody(&Operation::DeleteLink(EXTERNAL.to_owned())).unwrap();
        assert!(machines[0].kernel().link("flannel.1").is_none());
        machines[0].power_loss();
        let names: Vec<String> = machines[0].kernel().links().map(|link| link.name.clone()).collect();
        assert_eq!(names, [EXTERNAL, "lo"]);
    });
}

#[test]
fn hints_arrive_and_what_is_lost_becomes_a_resync() {
    within(|world| {
        let links = machines(world, 1).remove(0);
        let listener = links.clone();
        let (first, second) = world
            .complete(Duration::from_secs(5), async move {
                let mut changes = listener.changes().await.unwrap();
                vxlan(&listener, 1);
                let first = changes.next().await;
                listener.faults(|faults| faults.hint_lost_permille = 1_000);
                listener.meddle(Meddling::ChangeMtu);
                let second = changes.next().await;
                listener.sever();
                assert!(changes.next().await.is_err());
                (first, second)
            })
            .unwrap();
        assert_eq!((first, second), (Ok(Hint::Link("flannel.1".to_owned())), Ok(Hint::Resync)));
    });
}

/// The same suite that this machine's kernel is held to.
#[test]
fn the_model_keeps_the_contract() {
    within(|world| {
        for (name, case) in contract_links::CASES {
            let node = world.add_node(name);
            let clock = world.start(node).clock.clone();
            let links = SimLinks::new(world, node, underlay_address(1));
            let stage = contract_links::Stage {
                links: Arc::new(links.clone()),
                other: Arc::new(links),
                clock,
                underlay: EXTERNAL.to_owned(),
                local: "192.168.0.1/16".parse().unwrap(),
                gateway: Ipv4Addr::new(192, 168, 255, 254),
            };
            let limit = world.now() + Duration::from_secs(60);
            let done = world.complete(limit, case(stage));
            assert_eq!(world.failures(), [], "{name}");
            assert!(done.is_some(), "{name}: does not end");
        }
    });
}

#[test]
fn wireguard_lets_in_whom_it_knows() {
    within(|world| {
        let machines = machines(world, 2);
        let device = |number: u8| WireguardDevice {
            link: "wg".to_owned(),
            secret: Secret([number; 32]),
            port: 51_820,
        };
        let to = IpAddr::from([10, 5, 2, 7]);
        let lost = || Underlay::new(&machines).walk(0, to).end.unwrap_err();
        for (machine, number) in machines.iter().zip([1, 2]) {
            let kind = LinkKind::Wireguard;
            let link = Link { name: "wg".to_owned(), kind, mac: None, mtu: 1420, up: true };
            machine.by_somebody(&Operation::AddLink(link)).unwrap();
            let way = Way::Out { link: "wg".to_owned(), gateway: None, onlink: false };
            let destination = net(&format!("10.5.{}.0/24", 3 - number)).into();
            machine.by_somebody(&Operation::PutRoute(Route { destination, way, protocol: 3 })).unwrap();
        }
        assert!(lost().why.contains("it has no key"), "{}", lost());
        machines[0].by_somebody(&Operation::SetWireguard(device(1))).unwrap();
        assert!(lost().why.contains("behind no peer"), "{}", lost());
        let peer = |number: u8, psk| WireguardPeer {
            link: "wg".to_owned(),
            key: device(number).secret.public(),
            endpoint: Some((underlay_address(number.into()), 51_820).into()),
            psk,
            keepalive: 0,
            allowed: [net(&format!("10.5.{number}.0/24")).into()].into(),
        };
        machines[0].by_somebody(&Operation::PutWireguardPeer(peer(2, None))).unwrap();
        assert!(lost().why.contains("nobody listens"), "{}", lost());
        machines[1].by_somebody(&Operation::SetWireguard(device(9))).unwrap();
        assert!(lost().why.contains("another key"), "{}", lost());
        machines[1].by_somebody(&Operation::SetWireguard(device(2))).unwrap();
        assert!(lost().why.contains("is unknown"), "{}", lost());
        let psk = Some(Secret([7; 32]));
        machines[1].by_somebody(&Operation::PutWireguardPeer(peer(1, psk))).unwrap();
        assert!(lost().why.contains("both share"), "{}", lost());
        let from_elsewhere = WireguardPeer { allowed: [].into(), ..peer(1, None) };
        machines[1].by_somebody(&Operation::PutWireguardPeer(from_elsewhere)).unwrap();
        assert!(lost().why.contains("may not send"), "{}", lost());
        machines[1].by_somebody(&Operation::PutWireguardPeer(peer(1, None))).unwrap();
        assert_eq!(Underlay::new(&machines).walk(0, to).machines, [0, 1]);
        assert_eq!(Underlay::new(&machines).walk(0, to).end, Ok(()));
    });
}
