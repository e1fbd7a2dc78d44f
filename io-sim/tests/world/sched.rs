//! Properties of the scheduler and of the clocks, seen through a world.

use futures_channel::oneshot;
use io_sim::{End, NodeId, Stop, World};
use kernel::{Planted, Probe};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn world(seed: u64) -> World {
    World::new(seed, Probe::default(), Planted::none())
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, line: impl Into<String>) {
    log.lock().unwrap().push(line.into());
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().unwrap().clone()
}

/// Three nodes that sleep, spawn and die; returns the digest and what was seen.
fn busy_run(seed: u64) -> ((u64, u64), Vec<String>) {
    let world = world(seed);
    let log = Log::default();
    for number in 1..=3 {
        let node = world.add_node(&format!("n{number}"));
        let io = world.start(node);
        for task in 0..4u64 {
            let (clock, log) = (io.clock.clone(), log.clone());
            world.spawn_on(node, "sleeper", async move {
                for round in 0..20 {
                    clock.sleep_until(clock.now() + ms(10)).await;
                    note(&log, format!("{number} {task} {round}"));
                }
            });
        }
    }
    world.at(ms(105), |world| world.crash(NodeId(2)));
    world.at(ms(120), |world| _ = world.start(NodeId(2)));
    world.at(ms(155), |world| world.power_loss(NodeId(3)));
    assert_eq!(world.run_until(ms(1000)), Stop::Deadline);
    assert_eq!(world.now(), ms(1000));
    (world.digest(), lines(&log))
}

quickcheck::quickcheck! {
    fn a_seed_is_a_run(seed: u64) -> bool {
        busy_run(seed) == busy_run(seed)
    }

    fn another_seed_is_another_order(seed: u64) -> bool {
        let (first, second) = (busy_run(seed), busy_run(seed ^ 1));
        let sorted = |mut lines: Vec<String>| { lines.sort(); lines };
        first != second && sorted(first.1) == sorted(second.1)
    }
}

#[test]
fn idle_time_is_skipped() {
    let world = world(1);
    let year = Duration::from_secs(365 * 86_400);
    let log = Log::default();
    let seen = log.clone();
    world.at(year, move |world| note(&seen, format!("{:?}", world.now())));
    assert_eq!(world.run_until(year * 2), Stop::Deadline);
    assert_eq!(lines(&log), [format!("{year:?}")]);
    assert_eq!(world.digest().1, 1, "one event in two years");
}

/// Wakes a task of another node, and starts and arms things, when it is dropped.
struct Meddler {
    wakes: Option<oneshot::Sender<()>>,
    io: kernel::Io,
    log: Log,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        let log = self.log.clone();
        note(&log, "dropped");
        self.io.spawn.spawn("too late", Box::pin(async move { note(&log, "a dead process runs") }));
        drop(self.io.clock.sleep_until(self.io.clock.now() + ms(1)));
        let write = self.io.disk.open("from beyond", kernel::Open::Any);
        assert!(write.is_err(), "a dead process reaches the disk");
        let _ = self.wakes.take().unwrap().send(());
    }
}

#[test]
fn destructors_of_a_killed_process_may_meddle() {
    let world = world(2);
    let (a, b) = (world.add_node("a"), world.add_node("b"));
    let log = Log::default();
    let (wakes, woken) = oneshot::channel();
    let io = world.start(a);
    let meddler = Meddler { wakes: Some(wakes), io: io.clone(), log: log.clone() };
    world.spawn_on(a, "holds", async move {
        io.clock.sleep_until(Duration::MAX).await;
        drop(meddler);
    });
    world.start(b);
    let seen = log.clone();
    world.spawn_on(b, "waits", async move {
        woken.await.unwrap();
        note(&seen, "woken");
    });
    world.at(ms(5), move |world| world.crash(a));
    assert_eq!(world.run_until(ms(10)), Stop::Deadline);
    assert_eq!(lines(&log), ["dropped", "woken"]);
    assert!(world.files(a).is_empty());
    world.shut_down();
}

#[test]
fn a_task_may_end_its_own_process() {
    let world = world(3);
    let node = world.add_node("a");
    world.start(node);
    let (handle, log) = (world.clone(), Log::default());
    let seen = log.clone();
    world.spawn_on(node, "ends itself", async move {
        handle.crash(node);
        note(&seen, "runs on to its next wait");
        std::future::pending::<()>().await;
    });
    world.run_until(ms(1));
    assert!(!world.is_up(node));
    assert_eq!(lines(&log), ["runs on to its next wait"]);
    assert_eq!(world.sched().tasks(), 0, "its future was dropped after the poll");
}

#[test]
fn a_panic_ends_the_process_and_fails_the_run() {
    let world = world(4);
    let node = world.add_node("a");
    world.start(node);
    let deaths = Arc::new(Mutex::new(Vec::new()));
    let seen = deaths.clone();
    world.on_death(move |_, death| seen.lock().unwrap().push((death.node, death.end)));
    world.spawn_on(node, "careless", async { panic!("the {} broke", "invariant") });
    assert_eq!(world.run_until(ms(1)), Stop::Failed);
    let failures = world.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].node, node);
    let text = &failures[0].text;
    assert!(text.contains("\"careless\"") && text.contains("the invariant broke"), "{text}");
    assert!(text.contains("sched.rs:"), "it says where: {text}");
    assert_eq!(*deaths.lock().unwrap(), [(node, End::Crash)]);
}

#[test]
fn a_panic_of_the_world_itself_fails_the_run() {
    let world = world(8);
    world.spawn_on(NodeId::WORLD, "runner", async { panic!("no process to end") });
    assert_eq!(world.run_until(ms(1)), Stop::Failed);
    let world = self::world(8);
    world.at(ms(1), |_| panic!("in a call"));
    assert_eq!(world.run_until(ms(2)), Stop::Failed);
    assert!(world.failures()[0].text.contains("in a call"));
}

#[test]
fn a_node_may_be_started_from_its_own_death() {
    let world = world(9);
    let node = world.add_node("a");
    world.start(node);
    world.on_death(|world, death| _ = world.start(death.node));
    world.disk_faults(node, |faults| faults.power_loss_in = Some(1));
    let disk = world.io(node).unwrap().disk;
    world.spawn_on(node, "writes", async move { assert!(disk.create_dir("d").is_err()) });
    world.at(ms(5), move |world| world.crash(node));
    world.at(ms(6), move |world| world.power_loss(node));
    assert_eq!(world.run_until(ms(10)), Stop::Deadline);
    assert_eq!(world.sched().owner(node).map(|owner| owner.incarnation), Some(4));
}

#[test]
fn a_pause_holds_tasks_and_lets_timers_come_due() {
    let world = world(5);
    let node = world.add_node("a");
    let clock = world.start(node).clock;
    let (log, handle) = (Log::default(), world.clone());
    let seen = log.clone();
    world.spawn_on(node, "ticks", async move {
        for _ in 0..3 {
            clock.sleep_until(clock.now() + ms(10)).await;
            note(&seen, format!("{}", handle.now().as_millis()));
        }
    });
    world.at(ms(15), move |world| world.pause(node));
    world.at(ms(95), move |world| world.resume(node));
    world.run_until(ms(200));
    assert_eq!(lines(&log), ["10", "95", "105"]);
}

#[test]
fn a_livelock_fails_the_run() {
    let world = world(6);
    world.spawn_on(NodeId::WORLD, "spins", async {
        loop {
            let mut yielded = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        }
    });
    assert_eq!(world.run_until(ms(1)), Stop::Failed);
    assert!(world.failures()[0].text.contains("no time passes"));
}

#[test]
fn drift_moves_sleepers_and_time_never_goes_back() {
    let world = world(7);
    let node = world.add_node("a");
    let clock = world.start(node).clock;
    let (log, handle) = (Log::default(), world.clone());
    let (seen, watched) = (log.clone(), clock.clone());
    world.spawn_on(node, "sleeps", async move {
        let deadline = watched.now() + ms(1000);
        watched.sleep_until(deadline).await;
        note(&seen, format!("{}", handle.now().as_micros()));
    });
    // 500 ms at the right rate, then 10 % fast: the other 500 ms of local time take 454.545 ms.
    world.at(ms(500), move |world| world.set_drift(node, 100_000));
    let mut last = Duration::ZERO;
    for step in 1..200 {
        world.run_until(ms(step * 10));
        let now = clock.now();
        assert!(now > last);
        last = now;
    }
    assert_eq!(lines(&log), ["954545"]);
    let wall = clock.wall();
    world.jump_wall(node, -5_000);
    assert_eq!(wall - clock.wall(), ms(5000));
    world.power_loss(node);
    let rebooted = world.start(node).clock;
    assert_eq!(rebooted.wall(), clock.wall(), "a reboot does not touch the wall clock");
}
