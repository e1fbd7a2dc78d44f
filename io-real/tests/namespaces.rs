//! The harness itself: machines reach each other, what runs in one is in it, and nothing stays.

use io_real::namespaces::Namespaces;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn machines_reach_each_other_until_one_is_cut() {
    if Namespaces::skip() {
        return;
    }
    let machines = Namespaces::up_dual(2).unwrap();
    let listener = machines.inside(1, || TcpListener::bind("0.0.0.0:7").unwrap());
    machines.inside(0, || TcpStream::connect("192.168.99.2:7").unwrap());
    listener.accept().unwrap();
    let listener = machines.inside(0, || TcpListener::bind("[::]:7").unwrap());
    machines.inside(1, || TcpStream::connect("[fd99::1]:7").unwrap());
    listener.accept().unwrap();
    machines.cut(0).unwrap();
    let refused = machines.inside(0, || {
        TcpStream::connect_timeout(&"192.168.99.2:7".parse().unwrap(), Duration::from_millis(200))
    });
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn what_runs_in_a_machine_ends_with_it() {
    if Namespaces::skip() {
        return;
    }
    let machines = Namespaces::up(1).unwrap();
    let shown = machines.exec(0, &["ip", "-o", "-4", "address", "show", "dev", "eth0"]).unwrap();
    assert!(shown.contains("192.168.99.1/24"), "{shown}");
    machines.exec(0, &["touch", "/run/only-here"]).unwrap();
    assert!(!std::path::Path::new("/run/only-here").exists());
    let mut sleeper = machines.command(0, "sleep").arg("infinity").spawn().unwrap();
    let directory = machines.directory().to_path_buf();
    drop(machines);
    let deadline = Instant::now() + Duration::from_secs(10);
    while sleeper.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the process outlives its machine");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!directory.exists());
}
