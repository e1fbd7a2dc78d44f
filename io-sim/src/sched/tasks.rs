//! The tasks: a slab of futures, each with a waker that puts its key into the ready list.
//!
//! A key carries the generation of its slot, so a waker that outlives its task (they end up in channels and timers
//! everywhere) wakes nobody. While a task is polled its future is out of the slab; if the task is killed meanwhile, the
//! poller notices by the generation and drops the future itself.

use super::owner::Owner;
use kernel::BoxFuture;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

/// A task's place, good for one task only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub slot: u32,
    generation: u32,
}

/// Tasks that were woken since the list was last taken.
#[derive(Default)]
pub(super) struct Ready(Mutex<Vec<Key>>);

impl Ready {
    pub fn push(&self, key: Key) {
        self.0.lock().expect("no holder panics").push(key);
    }

    /// Moves all woken keys to the end of `into`.
    pub fn drain_into(&self, into: &mut Vec<Key>) {
        into.append(&mut self.0.lock().expect("no holder panics"));
    }
}

struct TaskWaker {
    key: Key,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.push(self.key);
        }
    }
}

struct Slot {
    generation: u32,
    task: Option<Task>,
}

struct Task {
    owner: Owner,
    name: &'static str,
    future: Option<BoxFuture<'static, ()>>,
    wake: Arc<TaskWaker>,
    waker: Waker,
}

/// A task taken out to be polled.
pub(super) struct Taken {
    pub future: BoxFuture<'static, ()>,
    pub waker: Waker,
}

/// All tasks.
#[derive(Default)]
pub(super) struct Tasks {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
}

impl Tasks {
    /// Adds a task; the caller makes it ready.
    pub fn add(
        &mut self,
        owner: Owner,
        name: &'static str,
        future: BoxFuture<'static, ()>,
        ready: &Arc<Ready>,
    ) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, task: None });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        let key = Key { slot, generation: place.generation };
        let wake = Arc::new(TaskWaker { key, queued: AtomicBool::new(true), ready: ready.clone() });
        let waker = Waker::from(wake.clone());
        place.task = Some(Task { owner, name, future: Some(future), wake, waker });
        self.live += 1;
        key
    }

    /// Owner and name of a task that still lives.
    pub fn who(&self, key: Key) -> Option<(Owner, &'static str)> {
        let slot = &self.slots[key.slot as usize];
        if slot.generation != key.generation {
            return None;
        }
        slot.task.as_ref().map(|task| (task.owner, task.name))
    }

    /// Takes the future out for a poll. From here on a wake counts anew.
    pub fn take(&mut self, key: Key) -> Option<Taken> {
        let slot = &mut self.slots[key.slot as usize];
        if slot.generation != key.generation {
            return None;
        }
        let task = slot.task.as_mut()?;
        let future = task.future.take()?;
        task.wake.queued.store(false, Ordering::Relaxed);
        Some(Taken { future, waker: task.waker.clone() })
    }

    /// Puts a pending future back, or returns it to be dropped when its task was killed during the poll.
    pub fn put_back(&mut self, key: Key, future: BoxFuture<'static, ()>) -> Option<BoxFuture<'static, ()>> {
        let slot = &mut self.slots[key.slot as usize];
        match slot.task.as_mut().filter(|_| slot.generation == key.generation) {
            Some(task) => {
                task.future = Some(future);
                None
            }
            None => Some(future),
        }
    }

    /// Frees the slot of a task that has ended.
    pub fn remove(&mut self, key: Key) {
        let slot = &mut self.slots[key.slot as usize];
        if slot.generation == key.generation && slot.task.take().is_some() {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.slot);
            self.live -= 1;
        }
    }

    /// Removes every task of `owner`; the futures come back in slot order, to be dropped by the caller without any lock.
    pub fn kill(&mut self, owner: Owner) -> Vec<BoxFuture<'static, ()>> {
        let mut futures = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(task) = slot.task.take_if(|task| task.owner == owner) {
                futures.extend(task.future);
                slot.generation = slot.generation.wrapping_add(1);
                self.free.push(index as u32);
                self.live -= 1;
            }
        }
        futures
    }

    /// Tasks that live.
    pub fn len(&self) -> usize {
        self.live
    }
}
