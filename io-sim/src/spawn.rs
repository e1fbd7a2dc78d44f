//! Tasks and workers.
//!
//! A worker is a task that takes jobs in order. Before each job a latency passes, asked of the node's disk (that is what
//! jobs are for); then the job runs from beginning to end at one simulated instant, and its future resolves. So a crash
//! falls before a job or after it, and a power loss inside of one is a fault armed on the disk.

use crate::sched::{Owner, Sched};
use futures_channel::oneshot;
use kernel::{BoxFuture, Spawn, Worker};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// How long the next job has to wait, in ns of world time, given the time now.
pub(crate) type Latency = Arc<dyn Fn(u64) -> u64 + Send + Sync>;

/// The Spawn port of one process.
pub(crate) struct SimSpawn {
    pub sched: Sched,
    pub owner: Owner,
    pub latency: Latency,
}

impl Spawn for SimSpawn {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.sched.spawn(self.owner, name, task);
    }

    fn worker(&self, name: &'static str) -> Arc<dyn Worker> {
        let queue = Arc::new(Mutex::new(Queue::default()));
        let task = work(self.sched.clone(), self.owner, self.latency.clone(), queue.clone());
        self.sched.spawn(self.owner, name, Box::pin(task));
        Arc::new(SimWorker(queue))
    }
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Job, oneshot::Sender<()>)>,
    waker: Option<Waker>,
    closed: bool,
}

impl Queue {
    fn take_waker(queue: &Mutex<Queue>, change: impl FnOnce(&mut Queue)) {
        let mut queue = queue.lock().expect("no holder panics");
        change(&mut queue);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct SimWorker(Arc<Mutex<Queue>>);

impl Worker for SimWorker {
    fn run(&self, job: Job) -> BoxFuture<'static, ()> {
        let (done, resolved) = oneshot::channel();
        Queue::take_waker(&self.0, |queue| queue.jobs.push_back((job, done)));
        // Resolved or gone, the caller goes on.
        Box::pin(async move { resolved.await.unwrap_or(()) })
    }
}

impl Drop for SimWorker {
    fn drop(&mut self) {
        Queue::take_waker(&self.0, |queue| queue.closed = true);
    }
}

async fn work(sched: Sched, owner: Owner, latency: Latency, queue: Arc<Mutex<Queue>>) {
    // A worker that dies with its process takes the waiting jobs with it, so that their futures resolve.
    let queue = Emptied(queue);
    while let Some((job, done)) = next(&queue.0).await {
        let now = sched.now_ns();
        sched.sleep(owner, now.saturating_add(latency(now))).await;
        job();
        let _ = done.send(());
    }
}

struct Emptied(Arc<Mutex<Queue>>);

impl Drop for Emptied {
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut self.0.lock().expect("no holder panics").jobs);
        drop(jobs);
    }
}

async fn next(queue: &Mutex<Queue>) -> Option<(Job, oneshot::Sender<()>)> {
    poll_fn(|context| {
        let mut queue = queue.lock().expect("no holder panics");
        if let Some(next) = queue.jobs.pop_front() {
            return Poll::Ready(Some(next));
        }
        if queue.closed {
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}
