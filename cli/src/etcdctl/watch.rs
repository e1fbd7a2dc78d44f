//! `etcdctl watch`: one key or range, or an interactive session that adds watches line by line.
//!
//! All watches share one stream. When the connection is lost each is made anew on the next server, from the revision behind
//! the last event it printed, so that no event is missing and none is shown twice.

use super::args::{self, Line};
use super::failure::Failure;
use super::print::{Reply, event_name};
use super::{Session, request, txn};
use crate::golang::quote;
use bytes::Bytes;
use kernel::{Code, Kv, KvError, WatchStream};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::BufRead;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::*;

/// Pause before a lost stream is made anew.
const RETRY: Duration = Duration::from_millis(500);

/// A watch: what is asked for (the start moves on with every event), and what runs for each event.
struct Watch {
    request: WatchCreateRequest,
    exec: Vec<OsString>,
}

/// A line of an interactive session.
enum Typed {
    Watch(Box<Watch>),
    Progress,
    End,
}

pub async fn watch(line: &Line<'_>) -> Result<(), Failure> {
    let session = Session::new(line)?;
    if line.switch("interactive")? {
        return interactive(session).await;
    }
    let first = parse(line, environment_key())?;
    let client = session.client().await?;
    let (_never, typed) = mpsc::channel(1);
    let mut watching =
        Watching { watches: BTreeMap::new(), next_id: 0, typed: Some(typed), interactive: false };
    watching.add(first);
    watching.run(&session, &client).await
}

/// The key that `ETCDCTL_WATCH_KEY` and `ETCDCTL_WATCH_RANGE_END` name, for a watch without arguments.
fn environment_key() -> Vec<Bytes> {
    let variable = |name| std::env::var_os(name).map(|value| Bytes::copy_from_slice(value.as_bytes()));
    let key = variable("ETCDCTL_WATCH_KEY");
    key.into_iter().chain(variable("ETCDCTL_WATCH_RANGE_END")).collect()
}

fn parse(line: &Line, otherwise: Vec<Bytes>) -> Result<Watch, Failure> {
    let mut args = line.args();
    if args.is_empty() {
        args = otherwise;
    }
    let key = args.first().cloned().ok_or_else(|| Failure::arguments("bad number of arguments"))?;
    let prefix = line.switch("prefix")?;
    let (key, range_end) = match (args.get(1), prefix) {
        (Some(_), true) => {
            return Err(Failure::arguments("`range_end` and `--prefix` are mutually exclusive"));
        }
        (Some(range_end), false) => (key, range_end.clone()),
        (None, false) => (key, Bytes::new()),
        (None, true) if key.is_empty() => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
        (None, true) => (key.clone(), request::prefix_end(&key)),
    };
    let request = WatchCreateRequest {
        key,
        range_end,
        start_revision: line.int("rev")?,
        progress_notify: line.switch("progress-notify")?,
        prev_kv: line.switch("prev-kv")?,
        ..Default::default()
    };
    let exec = line.0.get_many::<OsString>("exec").into_iter().flatten().cloned().collect();
    Ok(Watch { request, exec })
}

async fn interactive(session: Session) -> Result<(), Failure> {
    let (sender, typed) = mpsc::channel(16);
    // Reading a terminal blocks: it has a thread of its own, which ends with the process.
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut text = String::new();
        loop {
            text.clear();
            let ended = !matches!(input.read_line(&mut text), Ok(1..));
            let line =
                if ended { Some(Ok(Typed::End)) } else { parse_line(text.trim_end_matches(['\r', '\n'])) };
            if let Some(line) = line
                && (sender.blocking_send(line).is_err() || ended)
            {
                return;
            }
        }
    });
    let client = session.client().await?;
    let mut watching =
        Watching { watches: BTreeMap::new(), next_id: 0, typed: Some(typed), interactive: true };
    watching.run(&session, &client).await
}

/// One typed line; what cannot be understood is told and skipped.
fn parse_line(text: &str) -> Option<Result<Typed, Failure>> {
    let invalid = |why: &str| {
        eprintln!("Invalid command {text} ({why})");
        None
    };
    let Some(words) = txn::split_words(text) else { return invalid("a quote is not closed") };
    match words.first().and_then(|word| word.to_str()) {
        Some("progress") => return Some(Ok(Typed::Progress)),
        Some("watch") => {}
        _ => return invalid("only support watch"),
    }
    if words.len() < 2 {
        return invalid("command type or key is not provided");
    }
    let matches = match args::watch_line().try_get_matches_from(&words[1..]) {
        Ok(matches) => matches,
        Err(error) => return Some(Err(Failure { code: 128, ..args::usage_failure(&error) })),
    };
    match parse(&Line(&matches), Vec::new()) {
        Ok(watch) => Some(Ok(Typed::Watch(Box::new(watch)))),
        Err(failure) => invalid(&failure.message),
    }
}

/// All watches of this run, by the id that they have on the stream.
struct Watching {
    watches: BTreeMap<i64, Watch>,
    next_id: i64,
    typed: Option<mpsc::Receiver<Result<Typed, Failure>>>,
    interactive: bool,
}

/// What happened next.
enum Happened {
    Response(Result<WatchResponse, KvError>),
    Typed(Result<Typed, Failure>),
}

impl Watching {
    /// Adds a watch under the next id, counted from 1 because 0 lets the server choose.
    fn add(&mut self, mut watch: Watch) -> i64 {
        self.next_id += 1;
        watch.request.watch_id = self.next_id;
        self.watches.insert(self.next_id, watch);
        self.next_id
    }

    async fn run(&mut self, session: &Session, client: &impl Kv) -> Result<(), Failure> {
        loop {
            let mut stream = client.watch().await?;
            for watch in self.watches.values() {
                create(stream.as_mut(), watch).await?;
            }
            match self.follow(session, stream.as_mut()).await {
                Err(Ended::Lost(error)) if error.code == Code::Unavailable => tokio::time::sleep(RETRY).await,
                Err(Ended::Lost(error)) => return Err(error.into()),
                Err(Ended::Failed(failure)) => return Err(failure),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Follows one stream to its end.
    async fn follow(&mut self, session: &Session, stream: &mut dyn WatchStream) -> Result<(), Ended> {
        loop {
            match self.next(stream).await {
                Happened::Response(response) => self.response(session, response?)?,
                Happened::Typed(typed) => match typed? {
                    Typed::Watch(watch) => {
                        let id = self.add(*watch);
                        create(stream, &self.watches[&id]).await?;
                    }
                    Typed::Progress => {
                        let request_union = WatchRequestUnion::ProgressRequest(WatchProgressRequest {});
                        stream.request(WatchRequest { request_union: Some(request_union) }).await?;
                    }
                    Typed::End => return Err(Failure::input("error reading watch request line: EOF").into()),
                },
            }
        }
    }

    async fn next(&mut self, stream: &mut dyn WatchStream) -> Happened {
        let Some(typed) = &mut self.typed else { return Happened::Response(stream.next().await) };
        if !self.interactive {
            return Happened::Response(stream.next().await);
        }
        tokio::select! {
            response = stream.next() => Happened::Response(response),
            Some(line) = typed.recv() => Happened::Typed(line),
        }
    }

    fn response(&mut self, session: &Session, response: WatchResponse) -> Result<(), Failure> {
        if response.created && !response.canceled {
            return Ok(());
        }
        let id = response.watch_id;
        if response.canceled {
            eprintln!("watch was canceled ({})", cancel_reason(&response));
            self.watches.remove(&id);
        }
        let revision = response.header.unwrap_or_default().revision;
        let is_progress = response.events.is_empty() && !response.canceled;
        if is_progress {
            crate::output::print_line(&format!("progress notify: {revision}"));
        }
        if let Some(watch) = self.watches.get_mut(&id)
            && !response.fragment
        {
            watch.request.start_revision = revision + 1;
        }
        session.print(&Reply::Watch(response.clone()))?;
        if let Some(watch) = self.watches.get(&id).filter(|watch| !watch.exec.is_empty()) {
            response.events.iter().try_for_each(|event| execute(&watch.exec, revision, event))?;
        }
        if response.canceled && !self.interactive {
            return Err(Failure::interrupted("watch is canceled by the server"));
        }
        Ok(())
    }
}

/// How a stream ended.
enum Ended {
    Lost(KvError),
    Failed(Failure),
}

impl From<KvError> for Ended {
    fn from(error: KvError) -> Self {
        Ended::Lost(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended::Failed(failure)
    }
}

async fn create(stream: &mut dyn WatchStream, watch: &Watch) -> Result<(), KvError> {
    let request_union = WatchRequestUnion::CreateRequest(watch.request.clone());
    stream.request(WatchRequest { request_union: Some(request_union) }).await
}

fn cancel_reason(response: &WatchResponse) -> String {
    match (response.compact_revision, response.cancel_reason.as_str()) {
        (0, "") => KvError::future_revision().message,
        (0, reason) => reason.to_string(),
        _ => KvError::compacted().message,
    }
}

/// Runs a program for one event, with the event in its environment, and waits for it.
fn execute(command: &[OsString], revision: i64, event: &Event) -> Result<(), Failure> {
    let words = command.iter().map(|word| quote(word.as_bytes())).collect::<Vec<_>>().join(" ");
    let failed = |why: String| {
        eprintln!("command [{words}] error ({why})");
        Failure::error("")
    };
    let program: &OsStr = &command[0];
    let kv = event.kv.clone().unwrap_or_default();
    let status = std::process::Command::new(program)
        .args(&command[1..])
        .env("ETCD_WATCH_REVISION", revision.to_string())
        .env("ETCD_WATCH_EVENT_TYPE", quote(event_name(event.r#type).as_bytes()))
        .env("ETCD_WATCH_KEY", quote(&kv.key))
        .env("ETCD_WATCH_VALUE", quote(&kv.value))
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string().replace("exit status: ", "exit status "))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(failed(format!("exec: {}: executable file not found in $PATH", quote(program.as_bytes()))))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}
