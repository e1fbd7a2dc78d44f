//! A netlink socket: requests go out many at a time, and each answer finds its request by number.
//!
//! The kernel works on a request while it is being sent, so the order of sending is the order of doing. Requests go out in
//! windows: as many as have room for their answers in the socket's buffer.

use super::message::{Message, Received, flags, messages};
use flannel::links::{LinksError, LinksResult};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Most requests that wait for their answers at the same time. An answer takes about a kilobyte of the buffer below.
pub const WINDOW: usize = 256;

/// The socket's buffer for what it receives, in bytes.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Longest datagram; the kernel makes none longer than 32 KiB.
const DATAGRAM_MOST: usize = 64 * 1024;

/// An answer comes while the request is being sent. If it has not come by then, it was lost.
const ANSWER_MOST: Duration = Duration::from_secs(10);

/// How often a dump is tried when what it lists changes meanwhile.
const DUMP_TRIES: usize = 4;

/// `NLMSG_ERROR`: an outcome.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a list.
const DONE: u16 = 3;
/// In an outcome: what was asked is not repeated.
const CAPPED: u16 = 0x100;
/// In an outcome: attributes follow.
const TOLD_MORE: u16 = 0x200;

/// Why the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number.
    pub errno: Errno,
    /// The kernel's own words, if it has some.
    pub text: Option<String>,
}

/// What came for one request.
pub type Answer = Result<Vec<Received>, Refusal>;

/// rtnetlink, which is the part of the kernel that one speaks to unless one says another.
pub const ROUTE: Option<Protocol> = None;

/// The part that has the rules.
pub const NETFILTER: Option<Protocol> = Some(netlink::NETFILTER);

/// A socket to one part of the kernel, in the network namespace of the thread that opened it.
pub struct Socket {
    fd: AsyncFd<OwnedFd>,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Short outcomes, the kernel's own words in them, and lists that hold only what is asked for.
const OPTIONS: [libc::c_int; 3] =
    [libc::NETLINK_CAP_ACK, libc::NETLINK_EXT_ACK, libc::NETLINK_GET_STRICT_CHK];

impl Socket {
    /// Opens a socket that hears of these groups (a bit for each, counted from 1). Wants a runtime of tokio around it.
    pub fn open(protocol: Option<Protocol>, groups: u32) -> LinksResult<Socket> {
        let lost = |what: &str, error: Errno| match error {
            Errno::PERM | Errno::ACCESS => LinksError::NotPermitted(format!("netlink {what}")),
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => LinksError::Unsupported(format!("netlink {what}")),
            error => LinksError::Lost(format!("netlink {what}: {error}")),
        };
        let options = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, options, protocol)
            .map_err(|error| lost("socket", error))?;
        // A smaller buffer works too; then less can be lost before it is noticed.
        if sockopt::set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER);
        }
        for option in OPTIONS {
            // Kernels before 4.20 lack some. They tell less then, and list more; what is asked for is picked out here too.
            set_option(&fd, option);
        }
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(|error| lost("bind", error))?;
        // Sound: `AsyncFd` owns the descriptor and keeps it open, under the same number, until it has itself let go of it.
        #[allow(unsafe_code)]
        let fd = unsafe { AsyncFd::register(fd) };
        let fd = fd.map_err(|error| LinksError::Lost(format!("netlink socket: {error}")))?;
        Ok(Socket { fd, sequence: 0, buffer: vec![0; DATAGRAM_MOST] })
    }

    /// Sends requests in this order, many in flight; the answer to each. An error of the connection stands for each that has
    /// no answer.
    pub async fn ask(&mut self, requests: &mut [Message]) -> Vec<LinksResult<Answer>> {
        let mut answers = Vec::with_capacity(requests.len());
        for window in requests.chunks_mut(WINDOW) {
            answers.extend(self.exchange(window).await);
        }
        assert_eq!(answers.len(), requests.len(), "one answer each");
        answers
    }

    /// Sends one request.
    pub async fn ask_one(&mut self, request: Message) -> LinksResult<Answer> {
        let mut answers = self.ask(&mut [request]).await;
        answers.pop().expect("one answer each")
    }

    /// Asks for a list; again if it changed while it was read. After some tries it is taken as it is.
    pub async fn dump(&mut self, request: &Message) -> LinksResult<Answer> {
        let mut last = Ok(Vec::new());
        for _ in 0..DUMP_TRIES {
            last = self.ask_one(request.clone()).await?;
            let torn = |list: &[Received]| list.iter().any(|each| each.flags & flags::DUMP_INTERRUPTED != 0);
            match &last {
                Ok(list) if torn(list) => continue,
                _ => break,
            }
        }
        Ok(last)
    }

    /// One window: all out in one datagram, then all answers.
    pub async fn exchange(&mut self, requests: &mut [Message]) -> Vec<LinksResult<Answer>> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        for request in requests.iter_mut() {
            self.sequence = self.sequence.wrapping_add(1);
            datagram.extend_from_slice(request.sealed(self.sequence));
        }
        let mut answers = BTreeMap::new();
        let outcome = match self.send(&datagram).await {
            Ok(()) => {
                let count = requests.len();
                self.collect(first, count, &mut answers, |answers| answers.len() >= count).await
            }
            Err(error) => Err(error),
        };
        let missing = outcome.err().unwrap_or_else(|| LinksError::Lost("no answer".to_string()));
        (0..requests.len()).map(|index| answers.remove(&index).ok_or_else(|| missing.clone())).collect()
    }

    /// Sends a transaction: a first and a last message that have no answer of their own, and requests between them. The
    /// outcome of each that has one; an outcome of the first stands for the whole.
    pub async fn transact(&mut self, batch: &mut [Message]) -> LinksResult<Vec<Answer>> {
        assert!(batch.len() > 2, "a beginning, an end, and something between");
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        for message in batch.iter_mut() {
            self.sequence = self.sequence.wrapping_add(1);
            datagram.extend_from_slice(message.sealed(self.sequence));
        }
        self.send(&datagram).await?;
        let mut answers = BTreeMap::new();
        let ends =
            |answers: &BTreeMap<usize, Answer>| answers.contains_key(&0) || answers.len() + 2 >= batch.len();
        self.collect(first, batch.len(), &mut answers, ends).await?;
        Ok(answers.into_values().collect())
    }

    async fn send(&self, datagram: &[u8]) -> LinksResult<()> {
        loop {
            let sent = rustix::net::send(&self.fd, datagram, SendFlags::empty());
            match sent {
                Ok(sent) => {
                    assert_eq!(sent, datagram.len(), "datagrams are sent whole");
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut ready =
                        self.fd.writable().await.map_err(|error| LinksError::Lost(error.to_string()))?;
                    ready.clear_ready();
                }
                Err(error) => return Err(LinksError::Lost(format!("netlink send: {error}"))),
            }
        }
    }

    /// Receives outcomes of `count` requests from number `first` on, until there are enough.
    async fn collect(
        &mut self,
        first: u32,
        count: usize,
        answers: &mut BTreeMap<usize, Answer>,
        enough: impl Fn(&BTreeMap<usize, Answer>) -> bool,
    ) -> LinksResult<()> {
        let mut lists: BTreeMap<usize, Vec<Received>> = BTreeMap::new();
        while !enough(answers) {
            let received = tokio::time::timeout(ANSWER_MOST, self.receive()).await;
            let received =
                received.map_err(|_| LinksError::Lost(format!("no answer within {ANSWER_MOST:?}")))?;
            for message in received? {
                let index = message.sequence.wrapping_sub(first) as usize;
                // Others answer a request whose asker did not wait.
                if index >= count {
                    continue;
                }
                match message.kind {
                    ERROR | DONE => {
                        let list = lists.remove(&index).unwrap_or_default();
                        answers.insert(index, outcome(&message).map_or(Ok(list), Err));
                    }
                    _ => lists.entry(index).or_default().push(message),
                }
            }
        }
        Ok(())
    }

    /// The next datagram's messages. `Busy` if some before it were lost. Cancel-safe.
    pub async fn receive(&mut self) -> LinksResult<Vec<Received>> {
        loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((filled, _)) => return Ok(messages(&self.buffer[..filled])),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut ready =
                        self.fd.readable().await.map_err(|error| LinksError::Lost(error.to_string()))?;
                    ready.clear_ready();
                }
                Err(Errno::NOBUFS) => {
                    return Err(LinksError::Busy("netlink: messages were lost".to_string()));
                }
                Err(error) => return Err(LinksError::Lost(format!("netlink receive: {error}"))),
            }
        }
    }
}

/// The refusal that an outcome tells; none if it was done.
fn outcome(message: &Received) -> Option<Refusal> {
    let number = i32::from_ne_bytes(message.word(0).to_ne_bytes());
    if number == 0 {
        return None;
    }
    // The number, then the head of the request, then perhaps the request itself; a list's end has none of these.
    let fixed = match message.kind {
        DONE => 4,
        _ if message.flags & CAPPED != 0 => 4 + 16,
        _ => 4 + (message.word(4) as usize).max(16),
    };
    let told = (message.flags & TOLD_MORE != 0).then(|| message.attributes(fixed).text(1)).flatten();
    Some(Refusal { errno: Errno::from_raw_os_error(number.saturating_neg()), text: told })
}

fn set_option(fd: &OwnedFd, option: libc::c_int) {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).expect("four bytes");
    // Sound: the descriptor is open for as long as `fd` is borrowed; the kernel reads `size` bytes from `on`, which is as long as
    // that and outlives the call, and keeps no pointer.
    #[allow(unsafe_code)]
    unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), size);
    }
}
