//! The overlay of `orlop node`: the network's config in the node's own store, and a flanneld in the same process.

use crate::etcd::Refusal;
use crate::flanneld::Parts;
use crate::flanneld::config::FlanneldConfig;
use crate::flanneld::options::{Asked, Settings};
use crate::log::Log;
use flannel::config::NetworkConfig;
use flannel::registry::{DEFAULT_PREFIX, Registry};
use kernel::txn::{
    Compare, CompareResult, CompareTarget, Op, OpResponse, RequestOp, TargetUnion, TxnRequest,
};
use kernel::types::{PutRequest, RangeRequest};
use kernel::{Kv, KvError};
use serde_json::json;
use std::sync::Arc;

/// The config that `--network` asks for.
pub fn configuration(network: &str) -> Result<String, Refusal> {
    let text = json!({ "Network": network, "Backend": { "Type": "vxlan" } }).to_string();
    match NetworkConfig::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Refusal::usage(format!("--network={network}: {error}"))),
    }
}

/// Starts the daemon over this store, with the defaults of every flag, once the store has a config. What is to be said first.
pub async fn start(kv: Arc<dyn Kv>, config: &str, log: &Log) -> Result<(Parts, Option<String>), Refusal> {
    let settings = match Settings::read(&[], &[])? {
        Asked::Run(settings) => FlanneldConfig::new(&settings)?,
        Asked::Help | Asked::Version => unreachable!("nothing was asked"),
    };
    let parts = Parts::start(&settings, kv.clone(), log).await?;
    let found = establish(&kv, config).await;
    let found = found.map_err(|error| Refusal::start(format!("the network's config: {}", error.message)))?;
    let note = found.filter(|found| found != config).map(|found| {
        let key = Registry::new(kv, DEFAULT_PREFIX).config_key();
        format!(
            "--network has no effect, the store has a network already: {found} (etcdctl del {key} removes it)"
        )
    });
    Ok((parts, note))
}

/// Writes the config where there is none; the one that was there.
async fn establish(kv: &Arc<dyn Kv>, config: &str) -> Result<Option<String>, KvError> {
    let key = bytes::Bytes::from(Registry::new(kv.clone(), DEFAULT_PREFIX).config_key());
    let absent = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Version.into(),
        key: key.clone(),
        target_union: Some(TargetUnion::Version(0)),
        range_end: bytes::Bytes::new(),
    };
    let put = PutRequest { key: key.clone(), value: config.to_string().into(), ..PutRequest::default() };
    let read = RangeRequest { key, ..RangeRequest::default() };
    let request = TxnRequest {
        compare: vec![absent],
        success: vec![RequestOp { request: Some(Op::RequestPut(put)) }],
        failure: vec![RequestOp { request: Some(Op::RequestRange(read)) }],
    };
    let response = kv.txn(request).await?;
    let found = response.responses.into_iter().find_map(|response| match response.response {
        Some(OpResponse::ResponseRange(range)) => range.kvs.into_iter().next(),
        _ => None,
    });
    Ok(found.map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
}
