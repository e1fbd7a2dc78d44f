//! What every command shares: the endpoints, the time limits, the format.

use super::args::{Line, TLS_FLAGS};
use super::failure::Failure;
use super::print::{Format, Reply, render};
use crate::golang::{format_duration, quote};
use crate::output;
use io_real::client::{Client, Options};
use io_real::tls::client_config;
use kernel::{Code, KvError};
use std::time::{Duration, Instant};

/// Pause between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(100);

/// The settings of one run of etcdctl.
pub struct Session {
    /// Endpoints as they were given.
    pub endpoints: Vec<String>,
    /// The output format.
    pub format: Format,
    /// Whether bytes are shown as hexadecimal.
    pub hex: bool,
    options: Options,
    command_timeout: Duration,
}

impl Session {
    /// The session that the global flags describe.
    pub fn new(line: &Line) -> Result<Session, Failure> {
        super::args::refuse_unoffered(line)?;
        let format = Format::parse(line.text("write-out"))?;
        let command_timeout = line.duration("command-timeout")?;
        let options = Options {
            dial_timeout: line.duration("dial-timeout")?,
            command_timeout: Some(command_timeout),
            keep_alive_time: line.duration("keepalive-time")?.max(Duration::from_secs(10)),
            keep_alive_timeout: line.duration("keepalive-timeout")?,
            login: super::args::login(line)?,
            ..Options::default()
        };
        let files = super::args::tls_files(line)?;
        let mut options = options.secured(&files, TLS_FLAGS).map_err(Failure::error)?;
        if !line.switch("insecure-transport")? && options.tls.is_none() {
            options.tls = Some(client_config(&files, TLS_FLAGS).map_err(Failure::error)?);
        }
        let session = Session {
            endpoints: line.endpoints(),
            format,
            hex: line.switch("hex")?,
            options,
            command_timeout,
        };
        if line.switch("debug")? {
            session.describe();
        }
        Ok(session)
    }

    fn describe(&self) {
        eprintln!("ETCDCTL_COMMAND_TIMEOUT={}", format_duration(self.command_timeout));
        eprintln!("ETCDCTL_DIAL_TIMEOUT={}", format_duration(self.options.dial_timeout));
        eprintln!("ETCDCTL_ENDPOINTS=[{}]", self.endpoints.join(" "));
        eprintln!("ETCDCTL_HEX={}", self.hex);
        eprintln!("ETCDCTL_WRITE_OUT={}", format!("{:?}", self.format).to_lowercase());
    }

    /// A connected client of all endpoints.
    pub async fn client(&self) -> Result<Client, Failure> {
        self.client_of(self.endpoints.clone()).await.map_err(Failure::from)
    }

    /// A connected client of these endpoints. Waits for a server that is about to start, as long as a command may take: a
    /// script that starts both does not fail. A server that answers with a refusal, as of a wrong password, is not asked again.
    pub async fn client_of(&self, endpoints: Vec<String>) -> Result<Client, KvError> {
        let client = Client::connect(endpoints, self.options.clone()).await?;
        let deadline = Instant::now() + self.command_timeout;
        loop {
            let connecting = tokio::time::timeout_at(deadline.into(), client.warm_up()).await;
            let why = match connecting {
                Ok(Ok(())) => return Ok(client),
                Ok(Err(error)) if !matches!(error.code, Code::Unavailable | Code::DeadlineExceeded) => {
                    return Err(error);
                }
                Ok(Err(error)) => error.message,
                Err(_) => format!("no connection within {}", format_duration(self.command_timeout)),
            };
            if Instant::now() + RECONNECT >= deadline {
                eprintln!("warning: cannot connect: {}", quote(why.as_bytes()));
                return Err(KvError::new(Code::DeadlineExceeded, "context deadline exceeded"));
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    /// Prints a reply in the chosen format.
    pub fn print(&self, reply: &Reply) -> Result<(), Failure> {
        output::print(&render(self.format, self.hex, reply)?);
        Ok(())
    }
}
