//! What the network does to connections when things go wrong.

use bytes::Bytes;
use io_sim::{LinkConfig, NodeId, World};
use kernel::net::WINDOW_FRAMES;
use kernel::{Connection, Io, Listener, Planted, Probe};
use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const END: Duration = Duration::from_secs(1000);

struct Pair {
    world: World,
    a: NodeId,
    b: NodeId,
    ios: [Io; 2],
    _listener: Box<dyn Listener>,
    here: Connection,
    there: Connection,
}

fn pair(seed: u64) -> Pair {
    let world = World::new(seed, Probe::default(), Planted::none());
    let (a, b) = (world.add_node("a"), world.add_node("b"));
    let ios = [world.start(a), world.start(b)];
    let (from, to) = (ios[0].net.clone(), ios[1].net.clone());
    let (listener, here, there) = world
        .complete(END, async move {
            let mut listener = to.listen("b:1").await.unwrap();
            let (here, there) = futures_util::future::join(from.connect("b:1"), listener.accept()).await;
            (listener, here.unwrap(), there.unwrap())
        })
        .unwrap();
    Pair { world, a, b, ios, _listener: listener, here, there }
}

fn frame(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

impl Pair {
    fn send(mut self, text: &'static str) -> (Pair, std::io::Result<()>) {
        let world = self.world.clone();
        world
            .complete(END, async move {
                let sent = self.here.sender.send(frame(text)).await;
                (self, sent)
            })
            .unwrap()
    }

    /// Receives at the other end until world time `by`.
    fn recv_by(mut self, by: Duration) -> (Option<Pair>, Option<std::io::Result<Option<Bytes>>>) {
        let world = self.world.clone();
        let got = world.complete(by, async move {
            let got = self.there.receiver.recv().await;
            (self, got)
        });
        match got {
            Some((pair, got)) => (Some(pair), Some(got)),
            None => (None, None),
        }
    }
}

#[test]
fn a_short_cut_delays_and_loses_nothing() {
    for seed in 0..20 {
        let pair = pair(seed);
        let (world, a, b) = (pair.world.clone(), pair.a, pair.b);
        world.cut(a, b);
        let (pair, sent) = pair.send("late");
        sent.expect("it waits at the cut, and nobody knows");
        world.after(ms(3000), move |world| world.heal(a, b));
        let start = world.now();
        let (pair, got) = pair.recv_by(END);
        assert_eq!(got.unwrap().unwrap().as_deref(), Some(&b"late"[..]));
        assert!(world.now() - start >= ms(3000));
        drop(pair);
    }
}

#[test]
fn what_was_under_way_when_the_link_is_cut_is_held_too() {
    let pair = pair(1);
    let (world, a, b) = (pair.world.clone(), pair.a, pair.b);
    let (pair, _) = pair.send("under way");
    world.cut(a, b);
    world.cut(a, b);
    world.after(ms(1000), move |world| world.heal(a, b));
    world.after(ms(2000), move |world| world.heal(a, b));
    let start = world.now();
    let (_pair, got) = pair.recv_by(END);
    assert!(got.unwrap().unwrap().is_some());
    assert!(world.now() - start >= ms(2000), "cuts count");
}

#[test]
fn a_long_cut_breaks_a_connection_that_has_something_to_say() {
    let pair = pair(2);
    let (world, a, b) = (pair.world.clone(), pair.a, pair.b);
    let idle_until = world.now() + ms(100_000);
    world.cut(a, b);
    world.run_until(idle_until);
    world.heal(a, b);
    let (pair, sent) = pair.send("still there");
    sent.expect("an idle connection survives a cut");
    let (pair, got) = pair.recv_by(END);
    assert!(got.unwrap().unwrap().is_some());

    world.cut(a, b);
    let (pair, _) = pair.unwrap().send("lost");
    world.run_until(world.now() + ms(30_000));
    world.heal(a, b);
    let (_, sent) = pair.send("after that");
    assert!(sent.is_err(), "it gave up");
}

#[test]
fn a_one_way_cut_is_one_way() {
    let Pair { world, a, b, mut here, mut there, .. } = pair(3);
    world.cut(b, a);
    let got = world.complete(END, async move {
        here.sender.send(frame("there")).await.unwrap();
        let there_got = there.receiver.recv().await.unwrap();
        there.sender.send(frame("back")).await.unwrap();
        (there_got, here, there)
    });
    let (got, mut here, _there) = got.unwrap();
    assert!(got.is_some());
    let back = world.complete(world.now() + ms(4000), async move { here.receiver.recv().await.map(|_| ()) });
    assert!(back.is_none(), "nothing comes back over the cut");
}

#[test]
fn a_connection_attempt_over_a_cut_waits_for_the_heal() {
    let pair = pair(4);
    let (world, a, b) = (pair.world.clone(), pair.a, pair.b);
    world.cut(b, a);
    world.after(ms(2500), move |world| world.heal(b, a));
    let (net, start) = (pair.ios[0].net.clone(), world.now());
    let connected = world.complete(END, async move { net.connect("b:1").await }).unwrap();
    assert!(connected.is_ok());
    assert!(world.now() - start >= ms(2500));
}

#[test]
fn a_machine_without_power_says_nothing_until_it_is_asked_again() {
    let mut pair = pair(5);
    let (world, b) = (pair.world.clone(), pair.b);
    world.power_loss(b);
    let silent = world.now() + ms(60_000);
    let mut receiver = std::mem::replace(&mut pair.here.receiver, Box::new(Never));
    let got = world.complete(silent, async move { receiver.recv().await.map(|_| ()) });
    assert!(got.is_none(), "a half-open connection stays silent");
    world.start(b);
    let (pair, asked) = pair.send("anybody?");
    asked.expect("it left");
    world.run_until(world.now() + ms(100));
    let (pair, told) = pair.send("anybody?");
    assert!(told.is_err(), "the machine is up again, and knows of no such connection");
    let net = pair.ios[0].net.clone();
    let refused =
        world.complete(END, async move { net.connect("b:1").await.err().map(|error| error.kind()) });
    assert_eq!(
        refused,
        Some(Some(std::io::ErrorKind::ConnectionRefused)),
        "nobody listens since the restart"
    );
}

struct Never;

impl kernel::net::FrameReceiver for Never {
    fn recv(&mut self) -> kernel::BoxFuture<'_, std::io::Result<Option<Bytes>>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_sender_to_a_dead_machine_finds_out() {
    let pair = pair(6);
    let (world, b) = (pair.world.clone(), pair.b);
    world.power_loss(b);
    let (pair, first) = pair.send("into the void");
    first.expect("it left");
    world.run_until(world.now() + ms(21_000));
    let (_, second) = pair.send("and now?");
    assert!(second.is_err());
}

#[test]
fn a_sender_that_waits_for_room_finds_out_too() {
    let die: [fn(&World, NodeId, NodeId); 2] =
        [|world, a, b| world.half_open(a, b), |world, _, b| world.power_loss(b)];
    for die in die {
        for waits_first in [true, false] {
            let Pair { world, a, b, ios, _listener, here, there } = pair(8);
            let Connection { mut sender, receiver } = here;
            let fills = world.complete(world.now() + ms(1000), async move {
                sender.send(vec![Bytes::from_static(b"x"); WINDOW_FRAMES]).await.unwrap();
                sender
            });
            let mut sender = fills.expect("the window is as long as that");
            world.run_until(world.now() + ms(100));
            if !waits_first {
                die(&world, a, b);
            }
            let died = world.clone();
            if waits_first {
                world.after(ms(500), move |_| die(&died, a, b));
            }
            let sent =
                world.complete(world.now() + ms(21_000), async move { sender.send(frame("more")).await });
            assert!(sent.expect("it is told in the end").is_err());
            drop((ios, receiver, there));
        }
    }
}

#[test]
fn datagrams_are_lost_doubled_and_overtake() {
    let world = World::new(7, Probe::default(), Planted::none());
    let (a, b) = (world.add_node("a"), world.add_node("b"));
    let bad =
        LinkConfig { jitter: ms(5), loss_ppm: 300_000, duplicate_ppm: 300_000, ..LinkConfig::default() };
    world.set_all_links(&bad);
    let sent: Vec<Vec<Duration>> = (0..1000).map(|_| world.link(a, b, 100)).collect();
    let copies = |count: usize| sent.iter().filter(|delays| delays.len() == count).count();
    assert!((200..400).contains(&copies(0)), "{} were lost", copies(0));
    assert!((120..300).contains(&copies(2)), "{} were doubled", copies(2));
    assert!(
        sent.iter().flatten().any(|delay| *delay < ms(1))
            && sent.iter().flatten().any(|delay| *delay > ms(4))
    );
    world.cut(a, b);
    assert!(world.link(a, b, 100).is_empty());
    assert!(!(0..50).all(|_| world.link(b, a, 100).is_empty()), "the way back is open");
}

#[test]
fn bandwidth_is_a_queue() {
    let pair = pair(8);
    let (world, a, b) = (pair.world.clone(), pair.a, pair.b);
    world.set_link(a, b, LinkConfig { bytes_per_second: 1000, ..LinkConfig::default() });
    let start = world.now();
    let (pair, _) = pair.send("0123456789012345678901234567890123456789012345678901234567890123456789");
    let (pair, _) = pair.send("01234567890123456789012345678901234567890123456789");
    let (pair, _) = pair.recv_by(END);
    assert!(world.now() - start >= ms(70));
    let _ = pair.unwrap().recv_by(END);
    assert!(world.now() - start >= ms(120));
}

#[test]
fn what_a_narrow_link_has_queued_leaves_when_it_is_wide_again() {
    let Pair { world, a, b, ios, _listener, here, there } = pair(9);
    world.set_link(a, b, LinkConfig { bytes_per_second: 1_000, ..LinkConfig::default() });
    let Connection { mut sender, receiver } = here;
    let Connection { receiver: mut got, .. } = there;
    let start = world.now();
    let sent = world.complete(start + ms(100), async move {
        for _ in 0..20 {
            sender.send(vec![Bytes::from(vec![7; 1_000])]).await.unwrap();
        }
        sender
    });
    let mut sender = sent.expect("there is room for it");
    world.after(ms(2_500), move |world| world.set_link(a, b, LinkConfig::default()));
    let all = world.complete(start + ms(2_600), async move {
        for _ in 0..20 {
            assert_eq!(got.recv().await.unwrap().unwrap().len(), 1_000);
        }
        sender.send(frame("and more")).await.unwrap();
        assert_eq!(got.recv().await.unwrap().as_deref(), Some(&b"and more"[..]));
        sender
    });
    assert!(all.is_some(), "it took twenty seconds for what was sent in one");
    assert!(world.now() >= start + ms(2_500), "and none while it was narrow");
    drop((ios, receiver));
}
