//! `orlop bench`: the load generator, with the commands and flags of etcd's own.
//!
//! A closed loop: each client sends its next request when the last was answered, so the load is what the server takes. With
//! `--rate` each request has an intended start, and its latency is reported from there too: a stall then counts for all
//! the requests that it held up, not for one (no coordinated omission).
//!
//! The generator often shares its processors with the server, so it must be cheap: one thread unless `--threads` says
//! otherwise, requests drawn from a counter, a latency kept as one number.

mod load;
mod ops;
mod report;
mod stats;
mod watches;

use clap::{Args, Parser, Subcommand, ValueEnum};
use io_real::client::{Client, Options};
use serde::Serialize;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// Generates load for any etcd v3 server and reports its latency.
#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone, Serialize)]
struct Global {
    /// gRPC endpoints
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:2379")]
    endpoints: Vec<String>,
    /// Total number of connections
    #[arg(long, global = true, default_value_t = 1)]
    conns: usize,
    /// Total number of clients, spread over the connections
    #[arg(long, global = true, default_value_t = 1)]
    clients: usize,
    /// Threads of the generator
    #[arg(long, global = true, default_value_t = 1)]
    threads: usize,
    /// Longest wait for an answer, in seconds
    #[arg(long, global = true, default_value_t = 30)]
    timeout: u64,
    /// Report latencies with six digits behind the point
    #[arg(long, global = true)]
    precise: bool,
    /// How the report is written
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Output {
    /// For people.
    Text,
    /// One object.
    Json,
}

#[derive(Subcommand, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Command {
    /// Benchmark put
    Put(ops::Put),
    /// Benchmark range
    Range(ops::Range),
    /// Benchmark transactions of puts
    TxnPut(ops::TxnPut),
    /// Benchmark watches: creating them, and the events that puts cause
    Watch(watches::Watch),
    /// Benchmark the time from a put to its event
    WatchLatency(watches::WatchLatency),
    /// Benchmark lease renewals
    #[command(alias = "lease")]
    LeaseKeepalive(ops::LeaseKeepalive),
}

/// Runs the load generator. `args` begins with the program's name.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let cli = Cli::parse_from(args);
    let mut builder = match cli.global.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(cli.global.threads.max(1)).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(&cli)),
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("Error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<(), String> {
    let clients = connect(&cli.global).await?;
    let load = load::Load::new(cli.global.clients, clients);
    let outcome = match &cli.command {
        Command::Put(flags) => flags.run(load).await,
        Command::Range(flags) => flags.run(load).await?,
        Command::TxnPut(flags) => flags.run(load).await?,
        Command::LeaseKeepalive(flags) => flags.run(load).await?,
        Command::Watch(flags) => flags.run(load).await?,
        Command::WatchLatency(flags) => flags.run(load).await?,
    };
    let settings = serde_json::json!({ "global": cli.global, "command": cli.command });
    let text = match cli.global.output {
        Output::Text => report::text(&outcome, cli.global.precise),
        Output::Json => report::json(&outcome, settings),
    };
    crate::output::print(text.as_bytes());
    match outcome.errors.values().sum::<u64>() {
        0 => Ok(()),
        count => Err(format!("{count} requests failed")),
    }
}

/// One client a connection, each beginning with another endpoint.
async fn connect(global: &Global) -> Result<Vec<Client>, String> {
    let mut clients = Vec::with_capacity(global.conns.max(1));
    for number in 0..global.conns.max(1) {
        let mut endpoints = global.endpoints.clone();
        let first = number % endpoints.len();
        endpoints.rotate_left(first);
        let options =
            Options { command_timeout: Some(Duration::from_secs(global.timeout)), ..Options::default() };
        let client = Client::connect(endpoints, options).await.map_err(|error| error.message)?;
        client.warm_up().await.map_err(|error| format!("cannot connect: {}", error.message))?;
        clients.push(client);
    }
    Ok(clients)
}
