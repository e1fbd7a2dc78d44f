//! The Spawn port: tasks that wait, and workers that block.

use crate::BoxFuture;
use futures_channel::oneshot;
use std::sync::Arc;

/// Jobs that may wait for a worker; `run` beyond it waits for room.
pub const WORKER_QUEUE: usize = 64;

/// Starts concurrent work.
pub trait Spawn: Send + Sync {
    /// Runs `task` beside the others until it ends by itself or the process ends. A panic in it ends the process.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);

    /// A new worker: jobs given to one worker run one after the other, in order, off the tasks' threads.
    fn worker(&self, name: &'static str) -> Arc<dyn Worker>;
}

/// A piece of blocking work.
pub type Job = Box<dyn FnOnce() + Send>;

/// One thread's worth of blocking work (a Disk verb, a long computation).
pub trait Worker: Send + Sync {
    /// Queues `job`; it takes its place in the order when `run` is called, not when the future is first polled, and runs
    /// even if the future is dropped. Ready when the job has run, or when the worker is gone.
    fn run(&self, job: Job) -> BoxFuture<'static, ()>;

    /// Runs `job` at once on the caller's own thread, if the worker has nothing to do and this world lets the caller block;
    /// gives it back otherwise. Saves two changes of thread where nobody else waits for the caller.
    fn run_inline(&self, job: Job) -> Result<(), Job> {
        Err(job)
    }
}

/// Runs `job` on `worker` and returns its value; `None` when the worker went away before running it.
pub fn run_on<T: Send + 'static>(
    worker: &Arc<dyn Worker>,
    job: impl FnOnce() -> T + Send + 'static,
) -> BoxFuture<'static, Option<T>> {
    let (sender, receiver) = oneshot::channel();
    let done = worker.run(Box::new(move || {
        let _ = sender.send(job());
    }));
    Box::pin(async move {
        done.await;
        receiver.await.ok()
    })
}
