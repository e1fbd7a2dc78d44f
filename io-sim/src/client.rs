//! Simulated clients: machines of their own that call members, give up, go elsewhere, and write down what they saw.
//!
//! A call travels over the link to the member with delay and loss, runs as a task of the member's process (so it stops
//! with a pause and dies with a crash), and its answer travels back. The client knows no more than a real one: no
//! answer in time, or a broken connection, is an unknown outcome. A watcher outlives its streams: it goes on at
//! another member from one behind the last event.

use crate::cluster::Cluster;
use crate::history::*;
use crate::plan::{self, Deed};
use crate::sched::NodeId;
use crate::workload::*;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use kernel::kv::KvResult;
use kernel::watch::*;
use kernel::{BoxFuture, Clock, Kv, WatchStream};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::Member;

/// How long a client waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// What a request and an answer weigh on the link, in bytes.
const WEIGHT: u64 = 200;
/// How long a watcher waits before it tries the next member.
const RECONNECT: Duration = Duration::from_millis(200);
/// Responses that may wait between a member and a slow reader, as in a connection's buffers.
const PIPE: usize = 4;
/// How often a watcher asks for progress by itself.
const ASK_PROGRESS: Duration = Duration::from_millis(2_500);

/// All clients of a run.
#[derive(Clone)]
pub struct Clients(Arc<Inner>);

struct Inner {
    cluster: Cluster,
    nodes: Vec<NodeId>,
    minds: Mutex<Vec<Mind>>,
    operations: Mutex<Vec<Operation>>,
    watches: Mutex<BTreeMap<Tag, WatchRecord>>,
}

/// What a client remembers between its calls.
#[derive(Clone, Default)]
struct Mind {
    known: Knowledge,
    member: u8,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

impl Clients {
    /// Adds the plan's clients to the cluster's world.
    pub fn new(cluster: &Cluster) -> Clients {
        let (world, plan) = (cluster.world(), cluster.plan());
        let nodes = (1..=plan.clients).map(|client| world.add_node(&format!("c{client}"))).collect();
        let minds =
            (0..plan.clients).map(|client| Mind { member: client % plan.members + 1, ..Mind::default() });
        Clients(Arc::new(Inner {
            cluster: cluster.clone(),
            nodes,
            minds: Mutex::new(minds.collect()),
            operations: Mutex::default(),
            watches: Mutex::default(),
        }))
    }

    /// Puts every operation of the plan on the calendar.
    pub fn schedule(&self) {
        let world = self.0.cluster.world();
        for operation in &self.0.cluster.plan().operations {
            let (clients, operation) = (self.clone(), operation.clone());
            world.at(Duration::from_millis(operation.at_ms), move |world| {
                world.spawn_on(NodeId::WORLD, "client", clients.perform(operation));
            });
        }
    }

    /// What the clients saw. Calls under way have an unknown outcome.
    pub fn history(&self) -> History {
        let watches = std::mem::take(&mut *locked(&self.0.watches));
        History {
            operations: std::mem::take(&mut *locked(&self.0.operations)),
            watches: watches.into_values().collect(),
        }
    }

    fn mind<T>(&self, client: u8, f: impl FnOnce(&mut Mind) -> T) -> T {
        f(&mut locked(&self.0.minds)[usize::from(client) - 1])
    }

    fn now(&self) -> Duration {
        self.0.cluster.world().now()
    }

    async fn sleep(&self, duration: Duration) {
        let world = self.0.cluster.world();
        world.sleep_until(world.now() + duration).await;
    }

    /// Another member than `member`, in turn.
    fn elsewhere(&self, client: u8, member: u8) -> u8 {
        let next = member % self.0.cluster.plan().members + 1;
        self.mind(client, |mind| mind.member = next);
        next
    }

    async fn perform(self, operation: plan::Operation) {
        if let Deed::Watch { for_ms, .. } = operation.deed {
            let until = if for_ms == 0 { Duration::MAX } else { self.now() + Duration::from_millis(for_ms) };
            return self.watch(operation, until).await;
        }
        let plan::Operation { tag, client, deed, .. } = operation;
        let (call, member) =
            self.mind(client, |mind| (call_of(tag, &deed, &mind.known).expect("not a watch"), mind.member));
        let invoked = self.now();
        let outcome = self.call(client, member, call.clone()).await;
        self.mind(client, |mind| match &outcome {
            Outcome::Ok(reply) => mind.known.learn(&call, reply),
            Outcome::Refused(_) => {}
            Outcome::Unknown => mind.member = member % self.0.cluster.plan().members + 1,
        });
        let returned = self.now();
        let world = self.0.cluster.world();
        world
            .sched()
            .trace(self.0.nodes[usize::from(client) - 1], || format!("op {tag} on m{member}: {outcome:?}"));
        let member = member.into();
        let done = Operation { tag, client: client.into(), member, invoked, returned, call, outcome };
        locked(&self.0.operations).push(done);
    }

    async fn call(&self, client: u8, member: u8, call: Call) -> Outcome {
        let world = self.0.cluster.world();
        let patience = world.sleep_until(world.now() + PATIENCE);
        match select(Box::pin(self.travel(client, member, call)), patience).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Outcome::Unknown,
        }
    }

    async fn travel(&self, client: u8, member: u8, call: Call) -> Outcome {
        let world = self.0.cluster.world();
        let (from, to) = (self.0.nodes[usize::from(client) - 1], self.0.cluster.node(member));
        let Some(there) = world.link(from, to, WEIGHT).first().copied() else {
            return std::future::pending().await;
        };
        self.sleep(there).await;
        // Nobody serves there: the connection is refused, and it is certain that nothing was done; but a client cannot
        // tell that from a connection that broke later.
        let Some(running) = self.0.cluster.member(member) else { return Outcome::Unknown };
        let (answer, answered) = oneshot::channel();
        world.spawn_on(to, "request", async move {
            let _ = answer.send(serve(&running, call).await);
        });
        let outcome = answered.await.unwrap_or(Outcome::Unknown);
        let Some(back) = world.link(to, from, WEIGHT).first().copied() else {
            return std::future::pending().await;
        };
        self.sleep(back).await;
        outcome
    }

    async fn watch(&self, operation: plan::Operation, until: Duration) {
        let plan::Operation { tag, client, deed, .. } = operation;
        let Deed::Watch { key, last, from, slow_ms, prev, only, beside, .. } = deed else { return };
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
                record.spans.push(WatchSpan {
                    member,
                    invoked,
                    start_revision: start,
                    responses: Vec::new(),
                });
            });
            let wanted = Wanted { request, beside, slow, until };
            start = self.span(tag, client, member, wanted).await;
            if self.now() < until {
                self.sleep(RECONNECT).await;
                member = self.elsewhere(client, member);
            }
        }
        self.record(tag, |record| record.open = false);
    }

    fn record(&self, tag: Tag, change: impl FnOnce(&mut WatchRecord)) {
        if let Some(record) = locked(&self.0.watches).get_mut(&tag) {
            change(record);
        }
    }

    /// One stream of a watcher; returns the revision from which the next has to go on.
    async fn span(&self, tag: Tag, client: u8, member: u8, wanted: Wanted) -> i64 {
        let Wanted { request, beside, slow, until } = wanted;
        let world = self.0.cluster.world();
        let calm = Duration::from_millis(self.0.cluster.plan().calm_ms);
        let (from, to) = (self.0.nodes[usize::from(client) - 1], self.0.cluster.node(member));
        let mut next = request.start_revision;
        let (Some(running), Some(io)) = (self.0.cluster.member(member), world.io(to)) else { return next };
        let (responses, mut arriving) = mpsc::channel(PIPE);
        world.spawn_on(to, "watch stream", pump(running, io.clock, request, beside, responses));
        while let Some(response) = self.before(until, arriving.next()).await.flatten() {
            if let Some(delay) = world.link(to, from, WEIGHT).first() {
                self.sleep(*delay).await;
            }
            next = after(&response, next);
            let ended = response.canceled;
            let now = self.now();
            world.sched().trace(from, || format!("watch {tag} from m{member}: {response:?}"));
            self.record(tag, |record| {
                let span = record.spans.last_mut().expect("a span was begun");
                span.responses.push((now, response));
            });
            if ended {
                break;
            }
            if now < calm {
                self.sleep(slow).await;
            }
        }
        next
    }

    async fn before<T>(&self, until: Duration, future: impl Future<Output = T> + Unpin) -> Option<T> {
        match select(future, self.0.cluster.world().sleep_until(until)).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(_) => None,
        }
    }
}

/// From where a watcher goes on that has seen `response`.
pub fn after(response: &WatchResponse, next: i64) -> i64 {
    if response.canceled {
        return next.max(response.compact_revision);
    }
    let header = response.header.map_or(0, |header| header.revision);
    let last = response.events.last().and_then(|event| event.kv.as_ref()).map_or(0, |kv| kv.mod_revision);
    match (response.created, next, last) {
        // "From now" is decided when the watcher is made.
        (true, 0, _) => header + 1,
        (true, ..) => next,
        // Progress: everything up to the header has been delivered.
        (false, _, 0) => next.max(header + 1),
        _ => last + 1,
    }
}

/// What a watcher asks of one stream.
struct Wanted {
    request: WatchCreateRequest,
    /// Further watchers on the stream.
    beside: u8,
    /// How long it takes over each response.
    slow: Duration,
    until: Duration,
}

/// The member's side of a watch: passes responses on as long as somebody takes them, and asks for progress now and
/// then. What the watchers beside the first are told is read and dropped: watchers with streams of their own are judged.
async fn pump(
    member: Member,
    clock: Arc<dyn Clock>,
    request: WatchCreateRequest,
    beside: u8,
    mut responses: mpsc::Sender<WatchResponse>,
) {
    let Ok(mut stream) = member.watch().await else { return };
    for _ in 0..=beside {
        let create = WatchRequestUnion::CreateRequest(request.clone());
        if stream.request(WatchRequest { request_union: Some(create) }).await.is_err() {
            return;
        }
    }
    // Asked before anything was read: a watcher that has the past to catch up with must not be told that it is complete.
    let at_once = WatchRequestUnion::ProgressRequest(WatchProgressRequest {});
    if stream.request(WatchRequest { request_union: Some(at_once) }).await.is_err() {
        return;
    }
    let mut ask = clock.sleep_until(clock.now() + ASK_PROGRESS);
    loop {
        match next_or(&mut stream, &mut ask).await {
            // Ids count from 0; -1 means all of the stream.
            Some(Ok(response)) if response.watch_id > 0 => {}
            Some(Ok(response)) => {
                let room = poll_fn(|context| responses.poll_ready(context)).await;
                if room.and_then(|()| responses.start_send(response)).is_err() {
                    return;
                }
            }
            Some(Err(_)) => return,
            None => {
                let progress = WatchRequestUnion::ProgressRequest(WatchProgressRequest {});
                if stream.request(WatchRequest { request_union: Some(progress) }).await.is_err() {
                    return;
                }
                ask = clock.sleep_until(clock.now() + ASK_PROGRESS);
            }
        }
    }
}

async fn next_or(
    stream: &mut Box<dyn WatchStream>,
    timer: &mut BoxFuture<'static, ()>,
) -> Option<KvResult<WatchResponse>> {
    match select(stream.next(), timer).await {
        Either::Left((response, _)) => Some(response),
        Either::Right(_) => None,
    }
}

/// A request at whoever serves, and what its caller may conclude from the answer.
pub async fn serve(member: &(impl Kv + ?Sized), call: Call) -> Outcome {
    let answer = match call {
        Call::Range(request) => member.range(request).await.map(Reply::Range),
        Call::Put(request) => member.put(request).await.map(Reply::Put),
        Call::Delete(request) => member.delete_range(request).await.map(Reply::Delete),
        Call::Txn(request) => member.txn(request).await.map(Reply::Txn),
        Call::Compact(request) => member.compact(request).await.map(Reply::Compact),
        Call::Grant(request) => member.lease_grant(request).await.map(Reply::Grant),
        Call::Revoke(request) => member.lease_revoke(request).await.map(Reply::Revoke),
        Call::KeepAlive(request) => member.lease_keep_alive(request).await.map(Reply::KeepAlive),
    };
    match answer {
        Ok(reply) => Outcome::Ok(reply),
        Err(error) if error.is_definite() => Outcome::Refused(error),
        Err(_) => Outcome::Unknown,
    }
}
