//! What the Spawn port promises.

use crate::spawn::{WORKER_QUEUE, run_on};
use crate::{BoxFuture, Clock, Spawn};
use futures_channel::oneshot;
use futures_util::future::join_all;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A case of this suite.
pub type Case = (&'static str, fn(Arc<dyn Spawn>, Arc<dyn Clock>) -> BoxFuture<'static, ()>);

/// Every case.
pub const CASES: &[Case] = &[
    ("tasks run beside each other", |spawn, _| Box::pin(tasks_run(spawn))),
    ("jobs of a worker run in the order of run()", |spawn, _| Box::pin(order_is_of_the_call(spawn))),
    ("more jobs than the queue holds run in order", |spawn, _| Box::pin(more_than_the_queue(spawn))),
    ("a job runs although its future is dropped", |spawn, _| Box::pin(dropped_futures(spawn))),
    ("jobs queued before the worker is dropped run", |spawn, clock| Box::pin(dropped_worker(spawn, clock))),
    ("workers do not wait for each other", |spawn, _| Box::pin(two_workers(spawn))),
];

async fn tasks_run(spawn: Arc<dyn Spawn>) {
    let (question, asked) = oneshot::channel::<u32>();
    let (answer, answered) = oneshot::channel::<u32>();
    spawn.spawn("answers", Box::pin(async move { answer.send(asked.await.unwrap_or(0) + 1).unwrap_or(()) }));
    spawn.spawn("asks", Box::pin(async move { question.send(41).unwrap_or(()) }));
    assert_eq!(answered.await, Ok(42), "two tasks talk to each other");
}

type Log = Arc<Mutex<Vec<usize>>>;

fn note(log: &Log, number: usize) -> Box<dyn FnOnce() + Send> {
    let log = log.clone();
    Box::new(move || log.lock().expect("no holder panics").push(number))
}

fn seen(log: &Log) -> Vec<usize> {
    log.lock().expect("no holder panics").clone()
}

async fn order_is_of_the_call(spawn: Arc<dyn Spawn>) {
    let worker = spawn.worker("in order");
    let log = Log::default();
    // Made in order, polled in reverse.
    let mut futures: Vec<_> = (0..20).map(|number| worker.run(note(&log, number))).collect();
    futures.reverse();
    join_all(futures).await;
    assert_eq!(seen(&log), (0..20).collect::<Vec<_>>());
}

async fn more_than_the_queue(spawn: Arc<dyn Spawn>) {
    let worker = spawn.worker("much to do");
    let log = Log::default();
    let count = WORKER_QUEUE * 3;
    join_all((0..count).map(|number| worker.run(note(&log, number)))).await;
    assert_eq!(seen(&log), (0..count).collect::<Vec<_>>());
}

async fn dropped_futures(spawn: Arc<dyn Spawn>) {
    let worker = spawn.worker("left alone");
    let log = Log::default();
    for number in 0..5 {
        drop(worker.run(note(&log, number)));
    }
    assert_eq!(run_on(&worker, || 7).await, Some(7));
    assert_eq!(seen(&log), [0, 1, 2, 3, 4], "they ran before the job behind them");
}

async fn dropped_worker(spawn: Arc<dyn Spawn>, clock: Arc<dyn Clock>) {
    let worker = spawn.worker("goes away");
    let log = Log::default();
    let jobs: Vec<_> = (0..5).map(|number| worker.run(note(&log, number))).collect();
    drop(worker);
    join_all(jobs).await;
    clock.sleep_until(clock.now() + Duration::from_millis(1)).await;
    assert_eq!(seen(&log), [0, 1, 2, 3, 4]);
}

async fn two_workers(spawn: Arc<dyn Spawn>) {
    let workers = [spawn.worker("one"), spawn.worker("two")];
    let sums = join_all((0..10u64).map(|number| run_on(&workers[number as usize % 2], move || number))).await;
    assert_eq!(sums.into_iter().flatten().sum::<u64>(), 45);
}
