//! The plan's clients over gRPC: they do what the simulated ones do, with the client that `etcdctl` and fleet have, and write
//! down what they saw in the same form.
//!
//! A client knows no more than a real one: no answer within its patience, or a broken connection, is an unknown outcome, and it
//! goes to another member, on a new connection. In the calm every client connects anew once, so that no call there pays for a
//! connection that was lost before.

use super::lan::{self, CLIENT_PORT};
use super::witness::Zero;
use io_real::client::{Client, Options};
use io_sim::client::{PATIENCE, after, serve};
use io_sim::history::*;
use io_sim::plan::{self, Deed, Plan};
use io_sim::workload::*;
use kernel::watch::*;
use kernel::{Kv, KvError, WatchStream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long a watcher waits before it tries the next member.
const RECONNECT: Duration = Duration::from_millis(200);
/// How often a watcher asks for progress by itself.
const ASK_PROGRESS: Duration = Duration::from_millis(2_500);
/// Longest wait for a connection.
const DIAL: Duration = Duration::from_secs(1);
/// Silence after which a watcher's connection is probed, and longest wait for the answer.
const PROBE: Duration = Duration::from_secs(5);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// All clients of a run; clones share them.
#[derive(Clone)]
pub struct Clients(Arc<Inner>);

struct Inner {
    zero: Zero,
    /// The same moment by tokio's clock.
    began: Instant,
    plan: Arc<Plan>,
    minds: Mutex<Vec<Mind>>,
    operations: Mutex<Vec<Operation>>,
    watches: Mutex<BTreeMap<Tag, WatchRecord>>,
}

/// What a client remembers between its calls.
#[derive(Default)]
struct Mind {
    known: Knowledge,
    member: u8,
    /// Its connections, by member.
    links: BTreeMap<u8, Client>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

/// A client of one member.
pub async fn connect(member: u8) -> Result<Client, KvError> {
    let options = Options {
        dial_timeout: DIAL,
        command_timeout: Some(PATIENCE),
        keep_alive_time: PROBE,
        keep_alive_timeout: PROBE_TIMEOUT,
        ..Options::default()
    };
    Client::connect(vec![format!("{}:{CLIENT_PORT}", lan::address(member))], options).await
}

impl Clients {
    /// The plan's clients, for a run that begins now. To be made inside of a runtime.
    pub fn new(plan: Arc<Plan>, zero: Zero) -> Clients {
        let minds =
            (0..plan.clients).map(|client| Mind { member: client % plan.members + 1, ..Mind::default() });
        Clients(Arc::new(Inner {
            zero,
            began: Instant::now(),
            minds: Mutex::new(minds.collect()),
            operations: Mutex::default(),
            watches: Mutex::default(),
            plan,
        }))
    }

    /// Does everything that the plan has, until the run ends; `calm` is when every client connects anew.
    pub async fn run(&self, calm: Duration) {
        for operation in &self.0.plan.operations {
            let (clients, operation) = (self.clone(), operation.clone());
            tokio::spawn(async move {
                clients.until(Duration::from_millis(operation.at_ms)).await;
                clients.perform(operation).await;
            });
        }
        self.until(calm).await;
        locked(&self.0.minds).iter_mut().for_each(|mind| mind.links.clear());
        self.until(self.end()).await;
    }

    /// How many calls have ended.
    pub fn calls(&self) -> usize {
        locked(&self.0.operations).len()
    }

    /// What the clients saw. Calls under way have an unknown outcome.
    pub fn history(&self) -> History {
        History {
            operations: locked(&self.0.operations).clone(),
            watches: locked(&self.0.watches).values().cloned().collect(),
        }
    }

    fn now(&self) -> Duration {
        self.0.zero.now()
    }

    fn end(&self) -> Duration {
        Duration::from_millis(self.0.plan.end_ms)
    }

    async fn until(&self, time: Duration) {
        sleep_until(self.0.began + time).await;
    }

    fn mind<T>(&self, client: u8, f: impl FnOnce(&mut Mind) -> T) -> T {
        f(&mut locked(&self.0.minds)[usize::from(client) - 1])
    }

    /// The client's connection to `member`.
    async fn link(&self, client: u8, member: u8) -> Result<Client, KvError> {
        if let Some(link) = self.mind(client, |mind| mind.links.get(&member).cloned()) {
            return Ok(link);
        }
        let link = connect(member).await?;
        self.mind(client, |mind| mind.links.insert(member, link.clone()));
        Ok(link)
    }

    /// Leaves `member`, whose connection is not trusted again, for another, in turn.
    fn elsewhere(&self, client: u8, member: u8) -> u8 {
        let next = member % self.0.plan.members + 1;
        self.mind(client, |mind| {
            mind.links.remove(&member);
            mind.member = next;
        });
        next
    }

    async fn perform(self, operation: plan::Operation) {
        if let Deed::Watch { for_ms, .. } = operation.deed {
            let until = if for_ms == 0 { self.end() } else { self.now() + Duration::from_millis(for_ms) };
            return self.watch(operation, until.min(self.end())).await;
        }
        let plan::Operation { tag, client, deed, .. } = operation;
        let (call, member) =
            self.mind(client, |mind| (call_of(tag, &deed, &mind.known).expect("not a watch"), mind.member));
        let invoked = self.now();
        let outcome = self.call(client, member, call.clone()).await;
        let returned = self.now();
        match &outcome {
            Outcome::Ok(reply) => self.mind(client, |mind| mind.known.learn(&call, reply)),
            Outcome::Refused(_) => {}
            Outcome::Unknown => drop(self.elsewhere(client, member)),
        }
        let member = member.into();
        let done = Operation { tag, client: client.into(), member, invoked, returned, call, outcome };
        locked(&self.0.operations).push(done);
    }

    async fn call(&self, client: u8, member: u8, call: Call) -> Outcome {
        let calling = async {
            match self.link(client, member).await {
                Ok(link) => serve(&link, call).await,
                Err(_) => Outcome::Unknown,
            }
        };
        timeout(PATIENCE, calling).await.unwrap_or(Outcome::Unknown)
    }

    async fn watch(&self, operation: plan::Operation, until: Duration) {
        let plan::Operation { tag, client, deed, .. } = operation;
        let Deed::Watch { key, last, from, slow_ms, prev, only, .. } = deed else { return };
        let (mut member, mut start) = self.mind(client, |mind| (mind.member, start_of(from, &mind.known)));
        let request = watch_of(key, last, start, prev, only);
        let (key, range_end) = (request.key.clone(), request.range_end.clone());
        let record = WatchRecord { tag, key, range_end, only, prev_kv: prev, open: true, spans: Vec::new() };
        locked(&self.0.watches).insert(tag, record);
        let slow = Duration::from_millis(slow_ms);
        while self.now() < until {
            let request = WatchCreateRequest { start_revision: start, ..request.clone() };
            self.record(tag, |record| {
                let (member, invoked) = (member.into(), self.now());
                let span = WatchSpan { member, invoked, start_revision: start, responses: Vec::new() };
                record.spans.push(span);
            });
            start = self.span(tag, member, request, slow, until).await;
            if self.now() < until {
                sleep(RECONNECT).await;
                member = self.elsewhere(client, member);
            }
        }
        // One that ends with the run was open when it ended.
        let open = until == self.end();
        self.record(tag, |record| record.open = open);
    }

    fn record(&self, tag: Tag, change: impl FnOnce(&mut WatchRecord)) {
        if let Some(record) = locked(&self.0.watches).get_mut(&tag) {
            change(record);
        }
    }

    /// One stream of a watcher, on a connection of its own; returns the revision from which the next has to go on.
    async fn span(
        &self,
        tag: Tag,
        member: u8,
        request: WatchCreateRequest,
        slow: Duration,
        until: Duration,
    ) -> i64 {
        let mut next = request.start_revision;
        let end = self.0.began + until;
        let Ok(Some(mut stream)) = timeout(PATIENCE, open(member, request)).await else { return next };
        let mut ask = Instant::now() + ASK_PROGRESS;
        loop {
            let response = tokio::select! {
                response = stream.next() => response,
                () = sleep_until(ask) => {
                    ask = Instant::now() + ASK_PROGRESS;
                    match stream.request(progress()).await {
                        Ok(()) => continue,
                        Err(_) => return next,
                    }
                }
                () = sleep_until(end) => return next,
            };
            let Ok(response) = response else { return next };
            next = after(&response, next);
            let ended = response.canceled;
            let now = self.now();
            self.record(tag, |record| {
                let span = record.spans.last_mut().expect("a span was begun");
                span.responses.push((now, response));
            });
            if ended {
                return next;
            }
            if now < Duration::from_millis(self.0.plan.calm_ms) {
                sleep(slow).await;
            }
        }
    }
}

fn progress() -> WatchRequest {
    WatchRequest { request_union: Some(WatchRequestUnion::ProgressRequest(WatchProgressRequest {})) }
}

/// A watcher on `member`, which is asked for its progress at once: one that has the past to catch up with must not be told
/// that it is complete.
async fn open(member: u8, request: WatchCreateRequest) -> Option<Box<dyn WatchStream>> {
    let mut stream = connect(member).await.ok()?.watch().await.ok()?;
    let create = WatchRequest { request_union: Some(WatchRequestUnion::CreateRequest(request)) };
    stream.request(create).await.ok()?;
    stream.request(progress()).await.ok()?;
    Some(stream)
}
