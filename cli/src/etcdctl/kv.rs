//! The commands that read and write keys.

use super::args::Line;
use super::failure::Failure;
use super::print::{Format, Reply};
use super::{Session, request, txn};
use crate::golang::parse_int;
use crate::output;
use kernel::Kv;
use std::io::BufRead;
use wire::CompactionRequest;

pub async fn get(line: &Line<'_>) -> Result<(), Failure> {
    let request = request::get(line)?;
    let session = Session::new(line)?;
    let value_only = line.switch("print-value-only")?;
    if request.count_only && session.format != Format::Fields {
        return Err(Failure::arguments("--count-only is only for `--write-out=fields`"));
    }
    if value_only && session.format != Format::Simple {
        return Err(Failure::arguments("print-value-only is only for `--write-out=simple`"));
    }
    let response = session.client().await?.range(request).await?;
    session.print(&Reply::Get { response, value_only })
}

pub async fn put(line: &Line<'_>) -> Result<(), Failure> {
    let request = request::put(line, request::standard_input)?;
    let session = Session::new(line)?;
    let response = session.client().await?.put(request).await?;
    session.print(&Reply::Put(response))
}

pub async fn delete(line: &Line<'_>) -> Result<(), Failure> {
    let request = request::delete(line)?;
    let session = Session::new(line)?;
    let response = session.client().await?.delete_range(request).await?;
    session.print(&Reply::Delete(response))
}

pub async fn txn(line: &Line<'_>) -> Result<(), Failure> {
    if !line.args().is_empty() {
        return Err(Failure::arguments("txn command does not accept argument"));
    }
    let session = Session::new(line)?;
    let interactive = line.switch("interactive")?;
    let mut input = std::io::stdin().lock();
    let read_line = || {
        let mut text = String::new();
        input.read_line(&mut text).map(|_| text)
    };
    let request = txn::read(read_line, |title| {
        if interactive {
            output::print_line(title);
        }
    })?;
    let response = session.client().await?.txn(request).await?;
    session.print(&Reply::Txn(response))
}

pub async fn compaction(line: &Line<'_>) -> Result<(), Failure> {
    let text = line.only_arg("compaction command needs 1 argument")?;
    let revision = parse_int(&text, 10).map_err(Failure::error)?;
    let physical = line.switch("physical")?;
    let session = Session::new(line)?;
    session.client().await?.compact(CompactionRequest { revision, physical }).await?;
    output::print_line(&format!("compacted revision {revision}"));
    Ok(())
}
