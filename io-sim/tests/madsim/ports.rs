//! The ports over madsim's own executor, clock and network. Only disks are those of `io_sim`: madsim's lose nothing.

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use io_sim::{NodeId, World};
use kernel::net::{FrameReceiver, FrameSender};
use kernel::spawn::Job;
use kernel::{BoxFuture, Clock, Connection, Io, Listener, Net, Spawn, Worker};
use madsim::net::{Endpoint, NetSim};
use madsim::time::{TimeHandle, sleep};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What a job of a worker takes.
const JOB: Duration = Duration::from_millis(1);

/// The address of the member called `m1`, `m2` and so on.
pub fn address(member: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, member))
}

fn resolve(addr: &str) -> io::Result<SocketAddr> {
    let parsed = addr.strip_prefix('m').and_then(|rest| rest.split_once(':'));
    let parsed = parsed.and_then(|(member, port)| Some((member.parse().ok()?, port.parse().ok()?)));
    let (member, port) =
        parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, addr.to_string()))?;
    Ok(SocketAddr::new(address(member), port))
}

/// Ports of a new process on a node: its disk is that of `node` in `disks`, which is started for it.
pub fn ports(disks: &World, node: NodeId) -> Io {
    let io = disks.start(node);
    Io { clock: Arc::new(MadClock), net: Arc::new(MadNet), spawn: Arc::new(MadSpawn), ..io }
}

struct MadClock;

impl Clock for MadClock {
    fn now(&self) -> Duration {
        TimeHandle::current().elapsed()
    }

    fn wall(&self) -> Duration {
        TimeHandle::current().elapsed()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let left = deadline.saturating_sub(TimeHandle::current().elapsed());
                if left.is_zero() {
                    return;
                }
                sleep(left).await;
            }
        })
    }
}

struct MadSpawn;

impl Spawn for MadSpawn {
    fn spawn(&self, _: &'static str, task: BoxFuture<'static, ()>) {
        drop(madsim::task::spawn(task));
    }

    fn worker(&self, _: &'static str) -> Arc<dyn Worker> {
        let (queue, mut jobs) = mpsc::unbounded::<(Job, oneshot::Sender<()>)>();
        drop(madsim::task::spawn(async move {
            while let Some((job, done)) = jobs.next().await {
                sleep(JOB).await;
                job();
                let _ = done.send(());
            }
        }));
        Arc::new(MadWorker(queue))
    }
}

struct MadWorker(mpsc::UnboundedSender<(Job, oneshot::Sender<()>)>);

impl Worker for MadWorker {
    fn run(&self, job: Job) -> BoxFuture<'static, ()> {
        let (done, finished) = oneshot::channel();
        let _ = self.0.unbounded_send((job, done));
        Box::pin(async move {
            let _ = finished.await;
        })
    }
}

struct MadNet;

impl Net for MadNet {
    fn listen(&self, addr: &str) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let addr = addr.to_string();
        Box::pin(async move {
            let endpoint = Endpoint::bind(resolve(&addr)?).await?;
            Ok(Box::new(MadListener { endpoint, addr }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, addr: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let to = resolve(addr);
        Box::pin(async move {
            let endpoint = Endpoint::bind("0.0.0.0:0").await?;
            let (sender, receiver) = endpoint.connect1(to?).await?;
            Ok(connection(sender, receiver))
        })
    }
}

struct MadListener {
    endpoint: Endpoint,
    addr: String,
}

impl Listener for MadListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let (sender, receiver, _) = self.endpoint.accept1().await?;
            Ok(connection(sender, receiver))
        })
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}

type Payload = Box<dyn std::any::Any + Send + Sync>;

fn connection(sender: madsim::net::Sender, receiver: madsim::net::Receiver) -> Connection {
    Connection { sender: Box::new(MadSender(sender)), receiver: Box::new(MadReceiver(receiver)) }
}

struct MadSender(madsim::net::Sender);

impl FrameSender for MadSender {
    fn send(&mut self, frames: Vec<bytes::Bytes>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            for frame in frames {
                self.0.send(Box::new(frame) as Payload).await?;
            }
            Ok(())
        })
    }
}

struct MadReceiver(madsim::net::Receiver);

impl FrameReceiver for MadReceiver {
    fn recv(&mut self) -> BoxFuture<'_, io::Result<Option<bytes::Bytes>>> {
        Box::pin(async move {
            match self.0.recv().await {
                Ok(payload) => Ok(payload.downcast().ok().map(|frame| *frame)),
                Err(_) => Ok(None),
            }
        })
    }
}

/// Cuts a member's machine off, or lets it back.
pub fn cut_off(node: madsim::task::NodeId, cut: bool) {
    let net = NetSim::current();
    if cut { net.clog_node(node) } else { net.unclog_node(node) }
}
