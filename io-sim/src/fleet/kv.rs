//! The Kv port as a program on another machine has it: calls over links, to one member at a time, each tried once.
//!
//! A call is a message to the member, a task of the member's process, and a message back; each may be lost, be late, or die
//! with a process. The caller waits for [`PATIENCE`] and then knows nothing: the error is not definite, and the call may still
//! be carried out. After such an error the next call goes to the next member. Nothing is ever tried again by itself.
//!
//! A stream of watchers is a connection: responses arrive in order. The member sends a sign of life every [`ALIVE`]; a client
//! that has heard nothing for [`SILENCE`] gives the stream up. A cut link holds what is under way, as TCP does, until then.

use crate::cluster::Cluster;
use crate::sched::NodeId;
use crate::world::World;
use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use kernel::kv::{KvResult, WatchStream};
use kernel::lease::*;
use kernel::txn::{TxnRequest, TxnResponse};
use kernel::types::*;
use kernel::watch::{WatchRequest, WatchResponse};
use kernel::{BoxFuture, Code, Kv, KvError};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use store::Member;

/// How long a caller waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How often a stream's member shows that it lives.
const ALIVE: Duration = Duration::from_millis(500);
/// How long a client believes in a stream that it hears nothing of.
const SILENCE: Duration = Duration::from_millis(2_500);
/// How often what is held at a cut link is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Responses that may wait between a member and a slow reader, as in a connection's buffers.
const PIPE: usize = 64;
/// What a request and an answer weigh on the link, in bytes.
const WEIGHT: u64 = 400;
/// What a refused connection takes.
const REFUSED: Duration = Duration::from_millis(1);

/// A client of the cluster on one machine.
#[derive(Clone)]
pub struct SimKv {
    cluster: Cluster,
    node: NodeId,
    member: Arc<AtomicU8>,
    calls: Arc<AtomicU64>,
    deaf: Arc<AtomicBool>,
}

type Answer<T> = oneshot::Receiver<KvResult<T>>;

fn unavailable(text: &str) -> KvError {
    KvError::new(Code::Unavailable, text)
}

impl SimKv {
    /// A client on `node`, which begins with `member`.
    pub fn new(cluster: &Cluster, node: NodeId, member: u8) -> SimKv {
        assert!((1..=cluster.plan().members).contains(&member), "there is no member {member}");
        let member = Arc::new(AtomicU8::new(member));
        SimKv { cluster: cluster.clone(), node, member, calls: Arc::default(), deaf: Arc::default() }
    }

    /// Requests that this client and its clones have made; a stream of watchers is one.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// From now on its streams show signs of life only, as behind a proxy that is stuck; what they would have said comes later.
    pub fn deafen(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Relaxed);
    }

    fn member(&self) -> u8 {
        self.member.load(Ordering::Relaxed)
    }

    /// From now on another member is asked, unless somebody has changed it since `tried` was.
    fn elsewhere(&self, tried: u8) {
        let next = tried % self.cluster.plan().members + 1;
        let _ = self.member.compare_exchange(tried, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Sends a request. It goes its way even if the caller dies.
    fn send<T: Send + 'static>(
        &self,
        member: u8,
        run: impl FnOnce(Member) -> BoxFuture<'static, KvResult<T>> + Send + 'static,
    ) -> Answer<T> {
        let (answer, answered) = oneshot::channel();
        let (world, cluster) = (self.cluster.world().clone(), self.cluster.clone());
        let (from, to) = (self.node, cluster.node(member));
        let Some(there) = world.link(from, to, WEIGHT).first().copied() else {
            // Lost: the sender lives on in a call that never comes, so that the caller hears nothing.
            world.after(PATIENCE * 2, move |_| drop(answer));
            return answered;
        };
        world.after(there, move |world| {
            let Some(running) = cluster.member(member) else {
                return world.after(REFUSED, move |_| drop(answer));
            };
            let back = world.clone();
            world.spawn_on(to, "request", async move {
                let result = run(running).await;
                match back.link(to, from, WEIGHT).first().copied() {
                    Some(delay) => back.after(delay, move |_| drop(answer.send(result))),
                    None => back.after(PATIENCE * 2, move |_| drop(answer)),
                }
            });
        });
        answered
    }

    fn call<T: Send + 'static>(
        &self,
        run: impl FnOnce(Member) -> BoxFuture<'static, KvResult<T>> + Send + 'static,
    ) -> BoxFuture<'static, KvResult<T>> {
        let kv = self.clone();
        kv.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let (world, member) = (kv.cluster.world().clone(), kv.member());
            let answer = kv.send(member, run);
            let result = match select(answer, world.sleep_until(world.now() + PATIENCE)).await {
                Either::Left((Ok(result), _)) => result,
                Either::Left((Err(_), _)) => Err(unavailable("the connection is broken")),
                Either::Right(_) => Err(unavailable("no answer in time")),
            };
            if result.as_ref().is_err_and(|error| !error.is_definite()) {
                kv.elsewhere(member);
            }
            result
        })
    }
}

impl Kv for SimKv {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, KvResult<RangeResponse>> {
        self.call(move |member| Box::pin(async move { member.range(request).await }))
    }

    fn put(&self, request: PutRequest) -> BoxFuture<'_, KvResult<PutResponse>> {
        self.call(move |member| Box::pin(async move { member.put(request).await }))
    }

    fn delete_range(&self, request: DeleteRangeRequest) -> BoxFuture<'_, KvResult<DeleteRangeResponse>> {
        self.call(move |member| Box::pin(async move { member.delete_range(request).await }))
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, KvResult<TxnResponse>> {
        self.call(move |member| Box::pin(async move { member.txn(request).await }))
    }

    fn compact(&self, request: CompactionRequest) -> BoxFuture<'_, KvResult<CompactionResponse>> {
        self.call(move |member| Box::pin(async move { member.compact(request).await }))
    }

    fn lease_grant(&self, request: LeaseGrantRequest) -> BoxFuture<'_, KvResult<LeaseGrantResponse>> {
        self.call(move |member| Box::pin(async move { member.lease_grant(request).await }))
    }

    fn lease_revoke(&self, request: LeaseRevokeRequest) -> BoxFuture<'_, KvResult<LeaseRevokeResponse>> {
        self.call(move |member| Box::pin(async move { member.lease_revoke(request).await }))
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseKeepAliveResponse>> {
        self.call(move |member| Box::pin(async move { member.lease_keep_alive(request).await }))
    }

    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'_, KvResult<LeaseTimeToLiveResponse>> {
        self.call(move |member| Box::pin(async move { member.lease_time_to_live(request).await }))
    }

    fn lease_leases(&self, request: LeaseLeasesRequest) -> BoxFuture<'_, KvResult<LeaseLeasesResponse>> {
        self.call(move |member| Box::pin(async move { member.lease_leases(request).await }))
    }

    fn watch(&self) -> BoxFuture<'_, KvResult<Box<dyn WatchStream>>> {
        let kv = self.clone();
        Box::pin(async move {
            let (requests, asked) = pipe(&kv, kv.node, kv.cluster.node(kv.member()));
            let (frames, arriving) = pipe(&kv, kv.cluster.node(kv.member()), kv.node);
            let (world, member) = (kv.cluster.world().clone(), kv.member());
            let to = kv.cluster.node(member);
            kv.call(move |running| {
                Box::pin(async move {
                    let stream = running.watch().await?;
                    world.clone().spawn_on(to, "watch stream", serve(world, stream, asked, frames));
                    Ok(())
                })
            })
            .await?;
            let heard = kv.cluster.world().now();
            Ok(Box::new(SimWatch { kv, member, requests, arriving, heard }) as Box<dyn WatchStream>)
        })
    }
}

/// What travels from a member to a watching client.
enum Frame {
    Alive,
    Response(KvResult<WatchResponse>),
}

/// The sending end of one direction of a connection.
struct Sender<T> {
    world: World,
    from: NodeId,
    to: NodeId,
    /// When the last thing sent arrives: order is kept.
    last: Duration,
    under_way: Arc<AtomicUsize>,
    queue: mpsc::UnboundedSender<T>,
}

/// The receiving end.
struct Receiver<T> {
    under_way: Arc<AtomicUsize>,
    queue: mpsc::UnboundedReceiver<T>,
}

fn pipe<T>(kv: &SimKv, from: NodeId, to: NodeId) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::unbounded();
    let (world, under_way) = (kv.cluster.world().clone(), Arc::new(AtomicUsize::new(0)));
    let sender =
        Sender { world, from, to, last: Duration::ZERO, under_way: under_way.clone(), queue: sender };
    (sender, Receiver { under_way, queue: receiver })
}

impl<T: Send + 'static> Sender<T> {
    /// Passes something on, in order; waits for room, and while the link is cut. False when the connection is no more.
    async fn send(&mut self, what: T) -> bool {
        let began = self.world.now();
        loop {
            if self.queue.is_closed() || self.world.now() - began > SILENCE * 2 {
                return false;
            }
            if self.under_way.load(Ordering::Relaxed) < PIPE
                && let Some(delay) = self.world.link(self.from, self.to, WEIGHT).first().copied()
            {
                self.deliver(delay, what);
                return true;
            }
            self.world.sleep_until(self.world.now() + TRY_AGAIN).await;
        }
    }

    fn deliver(&mut self, delay: Duration, what: T) {
        self.last = (self.world.now() + delay).max(self.last + Duration::from_nanos(1));
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let queue = self.queue.clone();
        self.world.at(self.last, move |_| drop(queue.unbounded_send(what)));
    }
}

impl<T> Receiver<T> {
    async fn next(&mut self) -> Option<T> {
        let next = self.queue.next().await;
        self.under_way.fetch_sub(usize::from(next.is_some()), Ordering::Relaxed);
        next
    }
}

/// Serves one stream of watchers, as part of the member's process.
async fn serve(
    world: World,
    mut stream: Box<dyn WatchStream>,
    mut asked: Receiver<WatchRequest>,
    mut frames: Sender<Frame>,
) {
    loop {
        let sign = world.sleep_until(world.now() + ALIVE);
        let event = match select(pin!(asked.next()), select(stream.next(), sign)).await {
            Either::Left((request, _)) => Either::Left(request),
            Either::Right((Either::Left((response, _)), _)) => Either::Right(Frame::Response(response)),
            Either::Right((Either::Right(_), _)) => Either::Right(Frame::Alive),
        };
        let frame = match event {
            Either::Left(None) => return,
            Either::Left(Some(request)) => match stream.request(request).await {
                Ok(()) => continue,
                Err(error) => Frame::Response(Err(error)),
            },
            Either::Right(frame) => frame,
        };
        let ends = matches!(frame, Frame::Response(Err(_)));
        if !frames.send(frame).await || ends {
            return;
        }
    }
}

/// The client's end of a stream.
struct SimWatch {
    kv: SimKv,
    member: u8,
    requests: Sender<WatchRequest>,
    arriving: Receiver<Frame>,
    /// When anything was last heard.
    heard: Duration,
}

impl SimWatch {
    fn breaks(&self, text: &str) -> KvResult<WatchResponse> {
        self.kv.elsewhere(self.member);
        Err(unavailable(text))
    }

    /// What arrives meanwhile stays in the connection.
    async fn wait_out_deafness(&mut self) {
        while self.kv.deaf.load(Ordering::Relaxed) {
            let world = self.kv.cluster.world();
            world.sleep_until(world.now() + TRY_AGAIN).await;
            self.heard = self.kv.cluster.world().now();
        }
    }

    async fn hear(&mut self) -> KvResult<WatchResponse> {
        loop {
            self.wait_out_deafness().await;
            let world = self.kv.cluster.world();
            let silence = world.sleep_until(self.heard + SILENCE);
            let heard = match select(pin!(self.arriving.next()), silence).await {
                Either::Left((frame, _)) => Some(frame),
                Either::Right(_) => None,
            };
            let Some(frame) = heard else { return self.breaks("nothing was heard on the stream") };
            self.heard = self.kv.cluster.world().now();
            match frame {
                Some(Frame::Alive) => {}
                Some(Frame::Response(Ok(response))) => return Ok(response),
                Some(Frame::Response(Err(error))) => {
                    self.kv.elsewhere(self.member);
                    return Err(error);
                }
                None => return self.breaks("the stream's connection is broken"),
            }
        }
    }
}

impl WatchStream for SimWatch {
    fn request(&mut self, request: WatchRequest) -> BoxFuture<'_, KvResult<()>> {
        Box::pin(async move {
            let sent = self.requests.send(request).await;
            if sent { Ok(()) } else { Err(unavailable("the stream's connection is broken")) }
        })
    }

    fn next(&mut self) -> BoxFuture<'_, KvResult<WatchResponse>> {
        Box::pin(self.hear())
    }
}
