//! The data path of the udp backend on this machine's kernel: two machines, and what flannel's own proxy would send.

use flannel::tun::{Tun, TunConfig, TunDevice};
use flannel::udp::ipv4::{Header, put, set_length_and_id};
use io_real::namespaces::Namespaces;
use io_real::tun::RealTun;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const PORT: u16 = 8285;

/// Opens the device of `machine`, whose subnet is 10.5.(machine + 1).0/24, and makes it ready.
fn open(machines: &Namespaces, machine: usize) -> Box<dyn TunDevice> {
    let address = Ipv4Addr::new(10, 5, u8::try_from(machine).unwrap() + 1, 0);
    let local: Ipv4Addr = machines.address(machine).parse().unwrap();
    let config = TunConfig { name: "flannel%d".to_string(), mtu: 1472, port: PORT, local, address };
    let device = machines.inside(machine, || {
        let mut opening = RealTun.open(&config);
        match opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(opened) => opened.expect("opens"),
            Poll::Pending => panic!("opening does not wait"),
        }
    });
    let name = device.name().to_string();
    for argv in [
        ["ip", "address", "add", &format!("{address}/32"), "dev", &name].as_slice(),
        &["ip", "link", "set", &name, "mtu", "1472", "up"],
        &["ip", "route", "add", "10.5.0.0/16", "dev", &name],
    ] {
        machines.exec(machine, argv).expect("is set");
    }
    device
}

fn peer(machines: &Namespaces, machine: usize) -> BTreeMap<ipnet::Ipv4Net, SocketAddrV4> {
    let net = format!("10.5.{}.0/24", machine + 1).parse().unwrap();
    let to = SocketAddrV4::new(machines.address(machine).parse().unwrap(), PORT);
    BTreeMap::from([(net, to)])
}

/// A socket in `machine`, which does not wait for ever.
fn socket(machines: &Namespaces, machine: usize, address: &str) -> UdpSocket {
    let socket = machines.inside(machine, || UdpSocket::bind(address)).expect("binds");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("is set");
    socket
}

#[test]
fn two_machines_reach_each_other_and_follow_a_change_of_peers() {
    if Namespaces::skip() {
        return;
    }
    let machines = Namespaces::up(2).expect("machines");
    let (one, two) = (open(&machines, 0), open(&machines, 1));
    assert_eq!(one.name(), "flannel0");
    one.set_peers(peer(&machines, 1));
    two.set_peers(peer(&machines, 0));
    let (a, b) = (socket(&machines, 0, "10.5.1.0:7000"), socket(&machines, 1, "10.5.2.0:7000"));
    // 60,000 bytes are cut by the kernel, and put together again at the other end.
    for length in [1, 1_444, 1_445, 60_000] {
        let sent: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
        a.send_to(&sent, "10.5.2.0:7000").expect("sends");
        let mut got = vec![0; 65_536];
        let (length, from) = b.recv_from(&mut got).expect("arrives");
        assert_eq!((&got[..length], from.to_string()), (&sent[..], "10.5.1.0:7000".to_string()));
    }
    one.set_peers(BTreeMap::new());
    let told = machines.exec(0, &["sh", "-c", "ping -c 1 -W 5 10.5.2.0 || true"]).expect("ping is there");
    assert!(told.contains("Destination Net Unreachable"), "the sender is told: {told}");
    assert_eq!((one.counters().no_peer, one.counters().answers, one.failure()), (1, 1, None));
    drop(two);
    assert!(machines.exec(1, &["ip", "link", "show", "flannel0"]).is_err(), "the device went with its owner");
    machines.exec(0, &["ip", "link", "delete", "flannel0"]).expect("is deleted");
    for _ in 0..1_000 {
        if one.failure().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(one.failure().is_some_and(|why| why.contains("was removed")));
}

#[test]
fn what_flannels_proxy_sends_arrives_and_the_other_way() {
    if Namespaces::skip() {
        return;
    }
    let machines = Namespaces::up(2).expect("machines");
    let device = open(&machines, 0);
    device.set_peers(peer(&machines, 1));
    let proxy = socket(&machines, 1, &format!("{}:{PORT}", machines.address(1)));
    let inner = socket(&machines, 0, "10.5.1.0:7000");
    inner.send_to(b"out", "10.5.2.9:9").expect("sends");
    let mut got = [0; 2_000];
    let (length, from) = proxy.recv_from(&mut got).expect("arrives");
    let mut packet = got[..length].to_vec();
    let header = Header::parse(&packet).expect("one whole packet, and nothing else");
    assert_eq!((header.total, header.ttl, from.port()), (length, 63, PORT));
    assert!(flannel::udp::transport::is_right(&packet, &header), "its checksum is finished");
    assert_eq!(&packet[28..], b"out");
    // The answer: addresses and ports the other way round leave every sum as it is, but for the length and the number.
    packet[12..20].rotate_left(4);
    packet[20..24].rotate_left(2);
    put(&mut packet, 26, 0);
    set_length_and_id(&mut packet, 20, length, 7);
    proxy.send_to(b"no packet", from).expect("sends");
    proxy.send_to(&packet, from).expect("sends");
    let (length, from) = inner.recv_from(&mut got).expect("arrives");
    assert_eq!((&got[..length], from.to_string()), (&b"out"[..], "10.5.2.9:9".to_string()));
    assert_eq!((device.counters().malformed_in, device.counters().received_packets), (1, 1));
}
