//! Tasks on tokio, workers on threads of their own.
//!
//! A worker's thread asks for a raised priority ([`crate::process::raise_priority`]), because an fsync whose thread waits behind
//! busy processes takes a multiple of its time.

use crate::process::raise_priority;
use futures_channel::oneshot;
use kernel::spawn::Job;
use kernel::{BoxFuture, Spawn, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::runtime::Handle;

type Queued = (Job, oneshot::Sender<()>);

/// Spawns on a tokio runtime.
pub struct RealSpawn {
    runtime: Handle,
}

impl RealSpawn {
    /// Spawns on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        RealSpawn { runtime }
    }
}

impl Spawn for RealSpawn {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(async move {
            let guard = PanicGuard(name);
            task.await;
            drop(guard);
        });
    }

    fn worker(&self, name: &'static str) -> Arc<dyn Worker> {
        let (jobs, queue) = mpsc::channel::<Queued>();
        let queued = Arc::new(AtomicUsize::new(0));
        let left = queued.clone();
        let run = move || {
            let guard = PanicGuard(name);
            raise_priority();
            // The thread ends when the last handle of the worker is dropped.
            for (job, done) in queue {
                job();
                left.fetch_sub(1, Ordering::Release);
                let _ = done.send(());
            }
            drop(guard);
        };
        let thread = std::thread::Builder::new().name(name.to_string());
        // Without a thread the queue is closed, and every job is refused: the caller sees a worker that has gone.
        if let Err(error) = thread.spawn(run) {
            eprintln!("cannot start a thread for {name:?}: {error}");
        }
        Arc::new(RealWorker { jobs, queued })
    }
}

struct RealWorker {
    jobs: mpsc::Sender<Queued>,
    /// Jobs that have not ended.
    queued: Arc<AtomicUsize>,
}

impl Worker for RealWorker {
    fn run(&self, job: Job) -> BoxFuture<'static, ()> {
        let (done, ended) = oneshot::channel();
        self.queued.fetch_add(1, Ordering::Relaxed);
        let _ = self.jobs.send((job, done));
        Box::pin(async move {
            let _ = ended.await;
        })
    }

    fn run_inline(&self, job: Job) -> Result<(), Job> {
        if self.queued.load(Ordering::Acquire) > 0 {
            return Err(job);
        }
        job();
        Ok(())
    }
}

/// A panic in a task or a job ends the process: half of a member is worse than none.
struct PanicGuard(&'static str);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("a panic in {:?} ends the process", self.0);
            std::process::abort();
        }
    }
}
