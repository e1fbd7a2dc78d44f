//! The loop that every request workload shares.

use super::stats::Outcome;
use io_real::client::Client;
use kernel::KvError;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Time between two drawings of the progress bar.
const REDRAW: Duration = Duration::from_millis(200);

/// How late the runtime's timer may wake a sleeper when nothing else is to blame.
const TIMER: Duration = Duration::from_millis(2);

/// Clients and their connections.
pub struct Load {
    clients: usize,
    connections: Vec<Client>,
}

impl Load {
    /// `clients` loops over `connections`.
    pub fn new(clients: usize, connections: Vec<Client>) -> Load {
        assert!(!connections.is_empty(), "there is at least one connection");
        Load { clients: clients.max(1), connections }
    }

    /// The connection of client `number`.
    pub fn connection(&self, number: usize) -> Client {
        self.connections[number % self.connections.len()].clone()
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Sends `total` requests. `request` gets the client's number, its connection and the request's number, counted from 0.
    /// With a `rate` above 0, request n starts no earlier than n / `rate` seconds after the first.
    pub async fn run<F>(
        &self,
        total: u64,
        rate: u64,
        request: impl Fn(usize, Client, u64) -> F + Clone + Send + 'static,
    ) -> Outcome
    where
        F: Future<Output = Result<(), KvError>> + Send + 'static,
    {
        let pace = Arc::new(Pace::new(total, rate));
        let drawing = pace.clone().draw();
        let loops = (0..self.clients).map(|number| {
            let (pace, request, client) = (pace.clone(), request.clone(), self.connection(number));
            tokio::spawn(async move {
                let mut outcome = Outcome::new(rate > 0);
                while let Some((sequence, intended)) = pace.next().await {
                    let start = Instant::now();
                    let result = request(number, client.clone(), sequence).await;
                    outcome.record(start, intended, result);
                    pace.done.fetch_add(1, Relaxed);
                }
                outcome
            })
        });
        let loops: Vec<_> = loops.collect();
        let mut outcome = Outcome::new(rate > 0);
        for one in loops {
            outcome.merge(one.await.expect("a client's loop does not panic"));
        }
        outcome.elapsed = pace.start.elapsed();
        drawing.stop();
        outcome
    }
}

/// Hands out the numbers of requests, no faster than the rate, until all are out or the user interrupts.
pub struct Pace {
    start: Instant,
    total: u64,
    rate: u64,
    handed_out: AtomicU64,
    done: AtomicU64,
    interrupted: AtomicBool,
}

impl Pace {
    /// From now on.
    pub fn new(total: u64, rate: u64) -> Pace {
        Pace {
            start: Instant::now(),
            total,
            rate,
            handed_out: AtomicU64::new(0),
            done: AtomicU64::new(0),
            interrupted: AtomicBool::new(false),
        }
    }

    /// The next request's number and intended start, at that start; `None` when there is none left.
    pub async fn next(&self) -> Option<(u64, Instant)> {
        let sequence = self.handed_out.fetch_add(1, Relaxed);
        if sequence >= self.total || self.interrupted.load(Relaxed) {
            return None;
        }
        if self.rate == 0 {
            return Some((sequence, Instant::now()));
        }
        let intended = self.start + Duration::from_secs_f64(sequence as f64 / self.rate as f64);
        if intended <= Instant::now() {
            return Some((sequence, intended));
        }
        tokio::time::sleep_until(intended.into()).await;
        // A client that was free in time and woke a little late was delayed by our timer, not by the server.
        let woken = Instant::now();
        Some((sequence, if woken - intended < TIMER { woken } else { intended }))
    }

    /// Draws the progress on a terminal and listens for an interrupt, which ends the run early but with a report.
    pub fn draw(self: Arc<Self>) -> Drawing {
        let shown = std::io::stderr().is_terminal();
        let pace = self.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => pace.interrupted.store(true, Relaxed),
                    () = tokio::time::sleep(REDRAW) => {}
                }
                if shown {
                    eprint!("{}", pace.bar());
                }
            }
        });
        Drawing { task, pace: self, shown }
    }

    /// Counts one as done, for runs that count for themselves.
    pub fn count(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    fn bar(&self) -> String {
        const WIDTH: usize = 40;
        let done = self.done.load(Relaxed);
        let filled = (done as usize * WIDTH).checked_div(self.total as usize).unwrap_or(WIDTH).min(WIDTH);
        let (full, empty) = ("#".repeat(filled), " ".repeat(WIDTH - filled));
        let rate = done as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
        format!("\r {done} / {} [{full}{empty}] {rate:.0}/s ", self.total)
    }
}

/// A progress bar being drawn.
pub struct Drawing {
    task: tokio::task::JoinHandle<()>,
    pace: Arc<Pace>,
    shown: bool,
}

impl Drawing {
    /// Draws it a last time.
    pub fn stop(self) {
        self.task.abort();
        if self.shown {
            eprintln!("{}", self.pace.bar());
        }
    }
}
