//! Requests to the kernel: many at a time, and each answer finds its request.
//!
//! rtnetlink's connection numbers the requests and sorts the answers, in a task of its own ([`Pump`]); its handle takes requests
//! without waiting for those before. The kernel works on a request while it is being sent, so the order of sending is the order
//! of doing. Requests go out in windows: as many as have room for their answers in the socket's buffer.
//!
//! An answer ends with an outcome that the kernel tells. One that ends without it, because the connection broke, is no answer:
//! nobody takes silence for success.

use super::message::Attributes;
use super::socket;
use flannel::links::{LinksError, LinksResult};
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use rtnetlink::packet_core::{ErrorMessage, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader};
use rtnetlink::packet_core::{NetlinkDeserializable, NetlinkMessage, NetlinkPayload, NetlinkSerializable};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::proto::{Connection as Protocol, ConnectionHandle, NetlinkCodec, ReplyExpectation};
use rtnetlink::sys::{SocketAddr, TokioSocket, protocols};
use rustix::io::Errno;
use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Most requests that wait for their answers at the same time. An answer takes about a kilobyte of the socket's buffer.
const WINDOW: usize = 256;

/// An answer comes while the request is being sent. If it has not come by then, it was lost.
const ANSWER_MOST: Duration = Duration::from_secs(10);

/// How often a dump is tried when what it lists changes meanwhile.
const DUMP_TRIES: usize = 4;

/// In an outcome's flags: what was asked is not repeated.
const CAPPED: u16 = 0x100;
/// In an outcome's flags: attributes follow.
const TOLD_MORE: u16 = 0x200;
/// Of those, the kernel's own words.
const WORDS: u16 = 1;

/// Why the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number.
    pub errno: Errno,
    /// The kernel's own words, if it has some.
    pub text: Option<String>,
}

/// What came for one request.
pub type Answer<T> = Result<Vec<T>, Refusal>;

/// Where requests are handed in.
pub trait Line {
    /// What is said over it.
    type Message: Send + 'static;

    /// Hands in a request, which goes out after those before it. Its answer comes by the stream.
    fn send(
        &mut self,
        request: NetlinkMessage<Self::Message>,
    ) -> LinksResult<BoxStream<'static, NetlinkMessage<Self::Message>>>;
}

impl Line for rtnetlink::Handle {
    type Message = RouteNetlinkMessage;

    fn send(
        &mut self,
        request: NetlinkMessage<RouteNetlinkMessage>,
    ) -> LinksResult<BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>> {
        let answer = self.request(request).map_err(|error| broken(&error.to_string()))?;
        Ok(answer.boxed())
    }
}

impl<T: Debug + Send + 'static> Line for ConnectionHandle<T> {
    type Message = T;

    fn send(&mut self, request: NetlinkMessage<T>) -> LinksResult<BoxStream<'static, NetlinkMessage<T>>> {
        let answer = self.request(request, SocketAddr::new(0, 0));
        Ok(answer.map_err(|error| broken(&error.to_string()))?.boxed())
    }
}

fn broken(why: &str) -> LinksError {
    LinksError::Lost(format!("netlink: {why}"))
}

/// A connection to one part of the kernel, in the network namespace of the thread that opened it.
pub struct Connection<L: Line> {
    line: L,
    pump: JoinHandle<()>,
    /// Messages that answer no request; none for who does not want them.
    strays: Option<UnboundedReceiver<(NetlinkMessage<L::Message>, SocketAddr)>>,
}

/// To the part with links, addresses, routes and neighbours.
pub type Route = Connection<rtnetlink::Handle>;

/// To a part whose messages are `T`.
pub type Other<T> = Connection<ConnectionHandle<T>>;

impl Route {
    /// Opens it. Wants a runtime of tokio around it.
    pub fn open() -> LinksResult<Route> {
        let (protocol, line, _) = rtnetlink::from_socket(socket::open(protocols::NETLINK_ROUTE, &[])?);
        Ok(Connection { line, pump: Pump::start(protocol), strays: None })
    }
}

impl<T> Other<T>
where
    T: NetlinkSerializable + NetlinkDeserializable + Debug + Send + Unpin + 'static,
{
    /// Opens it. Wants a runtime of tokio around it.
    pub fn open(protocol: isize) -> LinksResult<Other<T>> {
        let socket = socket::open(protocol, &[])?;
        let (protocol, line, strays) = rtnetlink::proto::from_socket_with_codec::<T, _, NetlinkCodec>(socket);
        Ok(Connection { line, pump: Pump::start(protocol), strays: Some(strays) })
    }

    /// Sends a transaction in one datagram: a first and a last message that have no outcome of their own, and requests between
    /// them. The error is the first that the kernel tells; an outcome of the first message stands for the whole.
    pub async fn transact(&mut self, batch: Vec<NetlinkMessage<T>>) -> LinksResult<Result<(), Refusal>> {
        assert!(batch.len() > 2, "a beginning, an end, and something between");
        let (last, between) = (batch.len() - 1, batch.len() - 2);
        let expected = batch.into_iter().enumerate().map(|(index, message)| match index {
            0 => (message, ReplyExpectation::NotExpected),
            index if index == last => (message, ReplyExpectation::NotExpected),
            _ => (message, ReplyExpectation::Expected),
        });
        let expected: Vec<_> = expected.collect();
        let strays = self.strays.as_mut().expect("this sort has them");
        while strays.try_recv().is_ok() {}
        let answers = self.line.request_batch_with_expectation(expected, SocketAddr::new(0, 0));
        let mut answers = answers.map_err(|error| broken(&error.to_string()))?;
        // An answer to the first or the last message answers no request.
        let mut whole_batch = strays.map(|(message, _)| message);
        for _ in 0..between {
            let outcome = async {
                tokio::select! {
                    each = gather(&mut answers) => each,
                    all = gather(&mut whole_batch) => all,
                }
            };
            let outcome = tokio::time::timeout(ANSWER_MOST, outcome).await;
            if let Err(refusal) = outcome.map_err(|_| late())?? {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }
}

impl<L: Line> Connection<L> {
    /// Whether the task that serves it has ended: it answers nothing any more.
    pub fn is_broken(&self) -> bool {
        self.pump.is_finished()
    }

    /// Sends requests in this order, many in flight; the answer to each. An error of the connection stands for each that has
    /// no answer.
    pub async fn ask(
        &mut self,
        requests: Vec<NetlinkMessage<L::Message>>,
    ) -> Vec<LinksResult<Answer<L::Message>>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let sent: Vec<_> =
                requests.by_ref().take(WINDOW).map(|request| self.line.send(request)).collect();
            for answer in sent {
                answers.push(match answer {
                    Ok(mut answer) => whole(&mut answer).await.map(|answer| answer.map(|list| list.messages)),
                    Err(error) => Err(error),
                });
            }
        }
        answers
    }

    /// Sends one request.
    pub async fn ask_one(&mut self, request: NetlinkMessage<L::Message>) -> LinksResult<Answer<L::Message>> {
        let mut answer = self.line.send(request)?;
        Ok(whole(&mut answer).await?.map(|list| list.messages))
    }

    /// Asks for a list; again if it changed while it was read. After some tries it is taken as it is.
    pub async fn dump(&mut self, request: NetlinkMessage<L::Message>) -> LinksResult<Answer<L::Message>>
    where
        L::Message: Clone,
    {
        let mut last = Ok(Vec::new());
        for _ in 0..DUMP_TRIES {
            let mut answer = self.line.send(request.clone())?;
            match whole(&mut answer).await? {
                Ok(List { messages, torn }) => {
                    last = Ok(messages);
                    if !torn {
                        break;
                    }
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(last)
    }
}

impl<L: Line> Drop for Connection<L> {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// A request with these flags, beside the one that says that it is one.
pub fn request<T: NetlinkSerializable>(message: T, flags: u16) -> NetlinkMessage<T> {
    let mut header = NetlinkHeader::default();
    header.flags = flags | NLM_F_REQUEST;
    NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message))
}

fn late() -> LinksError {
    LinksError::Lost(format!("no answer within {ANSWER_MOST:?}"))
}

async fn whole<T>(
    answer: &mut (impl Stream<Item = NetlinkMessage<T>> + Unpin),
) -> LinksResult<Result<List<T>, Refusal>> {
    tokio::time::timeout(ANSWER_MOST, gather(answer)).await.map_err(|_| late())?
}

/// What came before an outcome.
struct List<T> {
    messages: Vec<T>,
    /// What it lists changed while it was read.
    torn: bool,
}

/// Reads up to the next outcome.
async fn gather<T>(
    answer: &mut (impl Stream<Item = NetlinkMessage<T>> + Unpin),
) -> LinksResult<Result<List<T>, Refusal>> {
    let mut list = List { messages: Vec::new(), torn: false };
    while let Some(message) = answer.next().await {
        let flags = message.header.flags;
        list.torn |= flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            NetlinkPayload::InnerMessage(inner) => list.messages.push(inner),
            NetlinkPayload::Done(done) if done.code == 0 => return Ok(Ok(list)),
            NetlinkPayload::Done(done) => return Ok(Err(refusal(done.code, flags, &done.extended_ack))),
            NetlinkPayload::Error(ErrorMessage { code: None, .. }) => return Ok(Ok(list)),
            NetlinkPayload::Error(error) => {
                // The head of the request, then perhaps the request itself, before more is told.
                let asked =
                    error.header.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length) as usize);
                let told = if flags & CAPPED != 0 { 16 } else { asked.max(16) };
                let told = error.header.get(told.next_multiple_of(4)..).unwrap_or_default();
                return Ok(Err(refusal(error.raw_code(), flags, told)));
            }
            _ => {}
        }
    }
    Err(broken("the connection ended"))
}

fn refusal(code: i32, flags: u16, told: &[u8]) -> Refusal {
    let text = (flags & TOLD_MORE != 0).then(|| Attributes(told).text(WORDS)).flatten();
    Refusal { errno: Errno::from_raw_os_error(code.saturating_neg()), text }
}

/// The task that serves a connection. The connection by itself sends one request each time that it is woken, and then waits for
/// the kernel; this sends all that wait.
struct Pump<T: NetlinkSerializable + NetlinkDeserializable + Debug>(Protocol<T, TokioSocket>);

impl<T> Pump<T>
where
    T: NetlinkSerializable + NetlinkDeserializable + Debug + Send + Unpin + 'static,
{
    fn start(mut protocol: Protocol<T, TokioSocket>) -> JoinHandle<()> {
        protocol.set_forward_ack(true);
        protocol.set_forward_done(true);
        tokio::spawn(Pump(protocol))
    }
}

impl<T> Future for Pump<T>
where
    T: NetlinkSerializable + NetlinkDeserializable + Debug + Send + Unpin + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let protocol = &mut self.get_mut().0;
        protocol.poll_read_messages(context);
        protocol.forward_unsolicited_messages();
        protocol.forward_responses();
        protocol.poll_requests(context);
        for _ in 0..WINDOW {
            // Each call sends what was handed in at once, if anything waits.
            protocol.poll_send_messages(context);
        }
        if protocol.should_shut_down() { Poll::Ready(()) } else { Poll::Pending }
    }
}
