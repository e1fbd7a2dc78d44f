//! A room to run tasks in: one thread, one order, and a clock that goes on only when everybody waits.

use kernel::spawn::{Job, Worker};
use kernel::{BoxFuture, Clock, Spawn};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// More polls than any moment of any test needs: beyond, tasks keep each other awake for nothing.
const MOST_POLLS: usize = 1_000_000;

/// Tasks and time. Clones share them.
#[derive(Clone, Default)]
pub struct Room(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Duration,
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    tasks: BTreeMap<u64, Task>,
    ready: VecDeque<u64>,
}

struct Task {
    process: u64,
    future: Option<BoxFuture<'static, ()>>,
    queued: Arc<AtomicBool>,
}

struct Alarm {
    room: Room,
    id: u64,
    queued: Arc<AtomicBool>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.room.0.lock().unwrap().ready.push_back(self.id);
        }
    }
}

/// One process of the room: what it spawns ends with it.
pub struct Process {
    room: Room,
    id: u64,
}

impl Room {
    /// A process of its own.
    pub fn process(&self) -> Arc<Process> {
        let mut state = self.0.lock().unwrap();
        state.next += 1;
        Arc::new(Process { room: self.clone(), id: state.next })
    }

    /// Ends a process between two of its steps.
    pub fn kill(&self, process: &Process) {
        let mut state = self.0.lock().unwrap();
        let dead: Vec<u64> =
            state.tasks.iter().filter(|(_, task)| task.process == process.id).map(|(id, _)| *id).collect();
        let futures: Vec<Task> = dead.iter().filter_map(|id| state.tasks.remove(id)).collect();
        drop(state);
        drop(futures);
    }

    /// Lets time pass; everything that is due by then is done.
    pub fn run(&self, time: Duration) {
        let until = self.now() + time;
        loop {
            self.settle();
            let mut state = self.0.lock().unwrap();
            let due = state.sleepers.first_key_value().map(|((time, _), _)| *time);
            match due.filter(|due| *due <= until) {
                Some(due) => {
                    state.now = state.now.max(due);
                    let now = state.now;
                    let later = state.sleepers.split_off(&(now + Duration::from_nanos(1), 0));
                    let woken = std::mem::replace(&mut state.sleepers, later);
                    drop(state);
                    woken.into_values().for_each(Waker::wake);
                }
                None => {
                    state.now = until;
                    return;
                }
            }
        }
    }

    fn settle(&self) {
        for _ in 0..MOST_POLLS {
            let mut state = self.0.lock().unwrap();
            let Some(id) = state.ready.pop_front() else { return };
            let Some(task) = state.tasks.get_mut(&id) else { continue };
            task.queued.store(false, Ordering::SeqCst);
            let Some(mut future) = task.future.take() else { continue };
            let alarm = Arc::new(Alarm { room: self.clone(), id, queued: task.queued.clone() });
            drop(state);
            let polled = future.as_mut().poll(&mut Context::from_waker(&alarm.into()));
            let mut state = self.0.lock().unwrap();
            if polled.is_ready() {
                state.tasks.remove(&id);
            } else if let Some(task) = state.tasks.get_mut(&id) {
                task.future = Some(future);
            }
        }
        panic!("tasks keep each other awake at {:?}", self.now());
    }
}

impl Clock for Room {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    fn wall(&self) -> Duration {
        self.now()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        let room = self.clone();
        Box::pin(poll_fn(move |context| {
            let mut state = room.0.lock().unwrap();
            if state.now >= deadline {
                return Poll::Ready(());
            }
            state.next += 1;
            let number = state.next;
            state.sleepers.insert((deadline, number), context.waker().clone());
            Poll::Pending
        }))
    }
}

impl Spawn for Process {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        let mut state = self.room.0.lock().unwrap();
        state.next += 1;
        let id = state.next;
        let queued = Arc::new(AtomicBool::new(true));
        state.tasks.insert(id, Task { process: self.id, future: Some(task), queued });
        state.ready.push_back(id);
    }

    fn worker(&self, _name: &'static str) -> Arc<dyn Worker> {
        Arc::new(AtOnce)
    }
}

struct AtOnce;

impl Worker for AtOnce {
    fn run(&self, job: Job) -> BoxFuture<'static, ()> {
        job();
        Box::pin(std::future::ready(()))
    }
}
