//! flannel's tables in nftables: made in one transaction, and read back.
//!
//! The tables are wholly ours, so a change is: remove the table if there is one, and make it anew. The kernel does
//! it at once or not at all; no packet sees half of it.
//!
//! ```text
//! table ip flannel-ipv4
//!   chain postrtg   type nat hook postrouting priority srcnat     masquerading
//!   chain forward   type filter hook forward priority filter      letting through
//! ```

mod expression;

pub use expression::FOREIGN;

use super::address::{V4, V6};
use super::connection::{Other, request};
use super::failure::failure;
use super::message::Message;
use flannel::links::{LinksError, LinksResult};
use flannel::rules::{Means, Rule, RuleSet};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NetlinkMessage};
use rustix::io::Errno;

/// The part of netfilter that nftables is, as the upper half of a message's kind.
const NFTABLES: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = NFTABLES;
const DELETE_TABLE: u16 = NFTABLES | 2;
const NEW_CHAIN: u16 = NFTABLES | 3;
const GET_CHAIN: u16 = NFTABLES | 4;
const NEW_RULE: u16 = NFTABLES | 6;
const GET_RULE: u16 = NFTABLES | 7;
const GET_TABLE: u16 = NFTABLES | 1;
/// Kinds of changes: of tables, chains and rules, made or removed.
const CHANGES: [u16; 6] = [NEW_TABLE, DELETE_TABLE, NEW_CHAIN, NFTABLES | 5, NEW_RULE, NFTABLES | 8];

/// Bytes of `nfgenmsg`: family, version, part of netfilter.
const FIXED: usize = 4;
const TABLE: u16 = 1;

mod chain {
    pub const NAME: u16 = 3;
    pub const HOOK: u16 = 4;
    pub const POLICY: u16 = 5;
    pub const KIND: u16 = 7;
    pub const NOTES: u16 = 12;
    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;
}

mod rule {
    pub const CHAIN: u16 = 2;
    pub const STEPS: u16 = 4;
}

/// Of a table's attributes: notes for programs, among them the comment.
const TABLE_NOTES: u16 = 6;

/// Policies of chains.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// What makes one of our chains.
struct Chain {
    name: &'static str,
    kind: &'static str,
    hook: u32,
    priority: u32,
    comment: &'static str,
}

const POSTROUTING: Chain = Chain {
    name: "postrtg",
    kind: "nat",
    hook: 4,
    priority: 100,
    comment: "chain to manage traffic masquerading by flannel",
};

const FORWARD: Chain = Chain {
    name: "forward",
    kind: "filter",
    hook: 2,
    priority: 0,
    comment: "chain to accept flannel traffic",
};

/// The name of our table.
fn table(v6: bool) -> &'static str {
    if v6 { "flannel-ipv6" } else { "flannel-ipv4" }
}

fn message(kind: u16, flags: u16, v6: bool) -> Message {
    Message::new(kind, flags, &[if v6 { V6 } else { V4 }, 0, 0, 0])
}

fn sealed(message: Message) -> NetlinkMessage<Message> {
    let flags = message.flags;
    request(message, flags)
}

fn about_table(kind: u16, flags: u16, v6: bool) -> Message {
    let mut message = message(kind, flags, v6);
    message.put_text(TABLE, table(v6));
    message
}

/// Makes exactly these rules.
pub async fn put(kernel: &mut Other<Message>, rules: &RuleSet) -> LinksResult<()> {
    assert_eq!(rules.means, Means::Nftables, "the other means has its own file");
    let what = table(rules.v6);
    let mut all = rules.postrouting.iter().chain(&rules.forward);
    if all.any(|rule| *rule == FOREIGN) {
        return Err(LinksError::Refused(format!("table {what}: a rule of somebody else cannot be made")));
    }
    transact(kernel, what, whole(rules)).await
}

/// The changes that make a table, whatever there was before.
fn whole(rules: &RuleSet) -> Vec<Message> {
    let (v6, create) = (rules.v6, NLM_F_ACK | NLM_F_CREATE);
    // Made first, so that there is one to be removed.
    let mut changes = vec![about_table(NEW_TABLE, create, v6), about_table(DELETE_TABLE, NLM_F_ACK, v6)];
    let mut table = about_table(NEW_TABLE, create, v6);
    table.put(TABLE_NOTES, &note(&format!("rules for {}", self::table(v6))));
    changes.push(table);
    for (chain, rules) in [(POSTROUTING, &rules.postrouting), (FORWARD, &rules.forward)] {
        if rules.is_empty() {
            continue;
        }
        changes.push(new_chain(&chain, v6));
        for rule in rules {
            let mut message = about_table(NEW_RULE, create | NLM_F_APPEND, v6);
            message.put_text(rule::CHAIN, chain.name);
            message.nest(rule::STEPS, |list| expression::put(list, v6, rule));
            changes.push(message);
        }
    }
    changes
}

fn new_chain(wish: &Chain, v6: bool) -> Message {
    let mut message = about_table(NEW_CHAIN, NLM_F_ACK | NLM_F_CREATE, v6);
    message.put_text(chain::NAME, wish.name);
    message.nest(chain::HOOK, |hook| {
        hook.put_be32(chain::HOOK_NUMBER, wish.hook);
        hook.put_be32(chain::HOOK_PRIORITY, wish.priority);
    });
    message.put_be32(chain::POLICY, ACCEPT);
    message.put_text(chain::KIND, wish.kind);
    message.put(chain::NOTES, &note(wish.comment));
    message
}

/// A comment as the program nft keeps it: kind 0, its length, the text and a zero.
fn note(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).expect("comments are short");
    [&[0, length], comment.as_bytes(), &[0]].concat()
}

/// Removes our table. `NotFound` if there is none.
pub async fn delete(kernel: &mut Other<Message>, v6: bool) -> LinksResult<()> {
    transact(kernel, table(v6), vec![about_table(DELETE_TABLE, NLM_F_ACK, v6)]).await
}

/// Does all of these or none. The error is the first that the kernel tells.
async fn transact(kernel: &mut Other<Message>, what: &str, changes: Vec<Message>) -> LinksResult<()> {
    let [high, low] = (NFTABLES >> 8).to_be_bytes();
    let edge = |kind| Message::new(kind, 0, &[0, 0, high, low]);
    let mut batch = vec![edge(BATCH_BEGIN)];
    batch.extend(changes);
    batch.push(edge(BATCH_END));
    let what = format!("table {what}");
    let batch = batch.into_iter().map(sealed).collect();
    kernel.transact(batch).await?.map_err(|refusal| failure(&what, refusal))
}

/// What our table holds; none if there is no such table, or no nftables in this kernel.
pub async fn read(kernel: &mut Other<Message>, v6: bool) -> LinksResult<Option<RuleSet>> {
    let what = format!("table {}", table(v6));
    match kernel.ask_one(sealed(about_table(GET_TABLE, NLM_F_ACK, v6))).await? {
        Ok(_) => {}
        Err(refusal) if absent(refusal.errno) => return Ok(None),
        Err(refusal) => return Err(failure(&what, refusal)),
    }
    let mut rules = RuleSet { v6, means: Means::Nftables, postrouting: Vec::new(), forward: Vec::new() };
    for chain in chains(kernel, v6).await?.iter().filter(|chain| text(chain, TABLE) == table(v6)) {
        // A chain of ours with other settings, or one that is not ours at all, stands as one rule of somebody else.
        match text(chain, chain::NAME).as_str() {
            "postrtg" if is(chain, &POSTROUTING) => {}
            "forward" if is(chain, &FORWARD) => {}
            "forward" => rules.forward.push(FOREIGN),
            _ => rules.postrouting.push(FOREIGN),
        }
    }
    let listed = kernel.dump(sealed(about_table(GET_RULE, NLM_F_DUMP, v6))).await?;
    for message in listed.map_err(|refusal| failure(&what, refusal))? {
        let attributes = message.attributes(FIXED);
        if text(&message, TABLE) != table(v6) {
            continue;
        }
        let rule: Rule = expression::read(attributes.inside(rule::STEPS), v6);
        match text(&message, rule::CHAIN).as_str() {
            "forward" => rules.forward.push(rule),
            "postrtg" => rules.postrouting.push(rule),
            _ => {}
        }
    }
    Ok(Some(rules))
}

/// Whether an error says that there is none of what was asked for.
fn absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT)
}

async fn chains(kernel: &mut Other<Message>, v6: bool) -> LinksResult<Vec<Message>> {
    let listed = kernel.dump(sealed(message(GET_CHAIN, NLM_F_DUMP, v6))).await?;
    match listed {
        Err(refusal) if absent(refusal.errno) => Ok(Vec::new()),
        listed => listed.map_err(|refusal| failure("chains", refusal)),
    }
}

fn is(found: &Message, wish: &Chain) -> bool {
    let attributes = found.attributes(FIXED);
    let hook = attributes.inside(chain::HOOK);
    hook.be32(chain::HOOK_NUMBER) == Some(wish.hook)
        && hook.be32(chain::HOOK_PRIORITY) == Some(wish.priority)
        && attributes.text(chain::KIND).as_deref() == Some(wish.kind)
        && attributes.be32(chain::POLICY) == Some(ACCEPT)
}

fn text(message: &Message, kind: u16) -> String {
    message.attributes(FIXED).text(kind).unwrap_or_default()
}

/// A chain that the iptables programs have made by way of nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IptablesChain {
    /// Its table: `nat`, `filter`, ...
    pub table: String,
    /// Its name.
    pub name: String,
    /// A packet that comes to its end is dropped.
    pub drops: bool,
}

/// The chains of a family that are not in our table.
pub async fn other_chains(kernel: &mut Other<Message>, v6: bool) -> LinksResult<Vec<IptablesChain>> {
    let chains = chains(kernel, v6).await?;
    let chains = chains.iter().filter(|chain| text(chain, TABLE) != table(v6));
    Ok(chains
        .map(|chain| IptablesChain {
            table: text(chain, TABLE),
            name: text(chain, chain::NAME),
            drops: chain.attributes(FIXED).be32(chain::POLICY) == Some(DROP),
        })
        .collect())
}

/// Whether a change told by the kernel may concern us: our tables, and of those of the iptables programs the chains in which
/// our rules or their fate are. A machine with kube-proxy changes the others all day.
pub fn concerns(change: &Message) -> bool {
    if !CHANGES.contains(&change.kind) {
        return false;
    }
    let of_rule = matches!(change.kind, NEW_RULE) || change.kind == NFTABLES | 8;
    let chain = text(change, if of_rule { rule::CHAIN } else { chain::NAME });
    match text(change, TABLE).as_str() {
        "flannel-ipv4" | "flannel-ipv6" => true,
        "nat" | "filter" => {
            matches!(chain.as_str(), "FORWARD" | "POSTROUTING" | "FLANNEL-FWD" | "FLANNEL-POSTRTG")
        }
        _ => false,
    }
}
