//! flannel, decided: which subnet a machine holds, what its kernel should hold for that, and the difference.
//!
//! Inside decide pure values: `config`, `subnet`, `choose`, `desired`, `plan`, `udp`. Around them waits one loop, `agent`, over the
//! ports `Kv` (kernel), [`links::Links`], `tun` and `local`. The picture is docs/decisions/0007-flannel.md.
#![forbid(unsafe_code)]

pub mod agent;
pub mod choose;
pub mod config;
#[cfg(feature = "contract")]
pub mod contract_links;
pub mod daemon;
pub mod desired;
pub mod env;
mod fields;
pub mod holder;
pub mod interface;
pub mod links;
pub mod local;
pub mod plan;
pub mod registry;
#[cfg(test)]
pub(crate) mod room;
pub mod rules;
pub mod subnet;
pub mod tun;
pub mod udp;
