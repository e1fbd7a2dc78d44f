//! The Tun port for this machine: a TUN device, a UDP socket, and two threads that move batches between them.
//!
//! What is moved and how is decided in `flannel::udp`; here are only the two ends and the waiting. One thread reads the device and sends, the
//! other receives and writes to the device. Neither shares anything with the other that changes with a packet, except counters. Each
//! sleeps in `poll` on its end and on an eventfd, by which dropping the device ends both.
//!
//! A TUN crate is not used: the maintained one that knows super packets chooses offloads when it is built and cannot give
//! them up while it runs, which some kernels ask for. What is needed of the kernel is three calls, in [`device`] and [`socket`].

mod device;
mod socket;

use device::TunEnd;
use flannel::tun::{Tun, TunConfig, TunCounters, TunDevice, TunError};
use flannel::udp::ends::Step;
use flannel::udp::inward::Inward;
use flannel::udp::outward::Outward;
use flannel::udp::routes::Routes;
use flannel::udp::shared::Shared;
use ipnet::Ipv4Net;
use kernel::BoxFuture;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use socket::SocketEnd;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// Steps after which a thread that always finds something to do looks whether it should end.
const STEPS: usize = 256;

/// The niceness that both threads ask for, because the kernel's own tunnels run before every process. Where that is not allowed they
/// go on without.
const NICENESS: i32 = -15;

/// Makes TUN devices on this machine, in the network namespace of the thread that polls `open`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealTun;

impl Tun for RealTun {
    fn open<'a>(&'a self, config: &'a TunConfig) -> BoxFuture<'a, Result<Box<dyn TunDevice>, TunError>> {
        Box::pin(async move { Ok(Box::new(Running::start(config)?) as Box<dyn TunDevice>) })
    }
}

/// An open device and its threads.
struct Running {
    name: String,
    shared: Arc<Shared>,
    stop: Arc<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(config: &TunConfig) -> Result<Running, TunError> {
        let shared = Arc::new(Shared::default());
        let socket = Arc::new(SocketEnd::open(SocketAddrV4::new(config.local, config.port), &shared)?);
        let device = Arc::new(TunEnd::open(&config.name, &shared)?);
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let stop = Arc::new(stop.map_err(|error| refused("an eventfd", error.into()))?);
        let name = device.name().to_string();
        let mut running = Running { name, shared: shared.clone(), stop, threads: Vec::new() };
        let (out_device, out_socket) = (device.clone(), socket.clone());
        let mut out = Outward::new(shared.clone(), config.address, config.mtu, socket.sends_together());
        let begin = Instant::now();
        running.thread("tun-out", move |stop| {
            until_stopped(out_device.as_fd(), stop, || out.step(&*out_device, &*out_socket, begin.elapsed()))
        })?;
        let mut inward = Inward::new(shared, device.joins());
        running.thread("tun-in", move |stop| {
            until_stopped(socket.as_fd(), stop, || inward.step(&*socket, &*device))
        })?;
        Ok(running)
    }

    /// Runs `carry` on a thread until it is stopped, or says why it ended.
    fn thread<F>(&mut self, name: &'static str, carry: F) -> Result<(), TunError>
    where
        F: FnOnce(BorrowedFd<'_>) -> Option<String> + Send + 'static,
    {
        let (stop, shared) = (self.stop.clone(), self.shared.clone());
        let run = move || {
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
            let carried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| carry(stop.as_fd())));
            let why = carried.unwrap_or_else(|_| Some(format!("a panic in {name}")));
            if let Some(why) = why {
                shared.fail(why);
                // Half a device is worse than none: the other direction ends too.
                signal(&stop);
            }
        };
        let thread = Builder::new().name(name.to_string()).spawn(run);
        self.threads.push(thread.map_err(|error| refused(name, error))?);
        Ok(())
    }
}

impl TunDevice for Running {
    fn name(&self) -> &str {
        &self.name
    }

    fn set_peers(&self, peers: BTreeMap<Ipv4Net, SocketAddrV4>) {
        self.shared.set_routes(Routes::new(&peers));
    }

    fn counters(&self) -> TunCounters {
        self.shared.counts.now()
    }

    fn failure(&self) -> Option<String> {
        self.shared.failure()
    }

    fn notes(&self) -> Vec<String> {
        self.shared.notes()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signal(&self.stop);
        for thread in self.threads.drain(..) {
            // A panic of the thread was told as a failure already.
            let _ = thread.join();
        }
    }
}

/// Repeats `step` until `stop` is signalled; waits for `end` where there is nothing to do. Returns why it ended by itself.
fn until_stopped(
    end: BorrowedFd<'_>,
    stop: BorrowedFd<'_>,
    mut step: impl FnMut() -> Step,
) -> Option<String> {
    loop {
        // A flood must not keep it from ending: look at least once in so many steps.
        let mut moved = false;
        for _ in 0..STEPS {
            match step() {
                Step::Moved => moved = true,
                // Whoever sends more may wait for this processor: given a turn, it makes a larger batch of what follows, and the way
                // into the kernel and out of it that waiting costs is saved.
                Step::Idle if moved => {
                    moved = false;
                    rustix::thread::sched_yield();
                }
                Step::Idle => break,
                Step::Ended(why) => return Some(why),
            }
        }
        let mut waits =
            [PollFd::from_borrowed_fd(end, PollFlags::IN), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
        match poll(&mut waits, None) {
            Ok(_) if !waits[1].revents().is_empty() => return None,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Some(format!("cannot wait for packets: {error}")),
        }
    }
}

/// Ends both threads.
fn signal(stop: &OwnedFd) {
    // Fails only if it was signalled 2^64 times.
    let _ = rustix::io::write(stop, &1_u64.to_ne_bytes());
}

/// What the kernel's refusal of `what` means.
fn refused(what: &str, error: io::Error) -> TunError {
    let text = format!("{what}: {error}");
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => TunError::NotPermitted(text),
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TunError::Unsupported(text),
        Some(libc::EBUSY | libc::EADDRINUSE | libc::EADDRNOTAVAIL | libc::EEXIST) => TunError::Taken(text),
        _ => TunError::Refused(text),
    }
}
