//! What the store's own log says of each subnet, and what the daemons believed.
//!
//! Verifies, by a replay of the applied log: nobody writes over a lease of another machine (a subnet passes on only after its key was
//! gone); and no running daemon goes on believing in a lease that has ended. One that ended by time is not believed in for a moment
//! longer, because a holder gives it up before; one that somebody took away by hand may be believed in until it would have ended by
//! itself; and where the kernel is slow for the time of its answers. Does not verify what a daemon believes between two looks of the onlooker.

use super::exclusive::{Onlooker, was_robbed};
use crate::checkers::replay::Replay;
use crate::checkers::{Checked, ensure};
use crate::flannel::machines::Machines;
use flannel::registry::DEFAULT_PREFIX;
use flannel::subnet::LeaseValue;
use kernel::types::KeyValue;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "flannel-ledger";

/// How long after the end of a lease that was taken away by hand a daemon may have heard of it: its own time is over then, but for
/// the time that the kernel or the store took to answer.
const HEARD: Duration = Duration::from_secs(3);

/// A subnet's key while it hung on one lease of the store.
pub type Tenancy = (String, i64);

/// Checks the run's log against the onlooker's notes.
pub fn check(machines: &Machines, onlooker: &Onlooker, replay: &Replay) -> Checked {
    let mut ended: BTreeMap<Tenancy, Duration> = BTreeMap::new();
    for (revision, events) in replay.model.changes() {
        let at = replay.time_of(*revision).expect("a change has a log entry");
        for event in events {
            let (Some(now), Some(before)) = (&event.kv, &event.prev_kv) else { continue };
            let Some(subnet) = subnet_of(now) else { continue };
            one_writer(machines, &subnet, before, now, at)?;
            if before.lease != now.lease {
                ended.insert((subnet, before.lease), at);
            }
        }
    }
    for ((machine, subnet, lease), last) in onlooker.beliefs() {
        let Some(end) = ended.get(&(subnet.to_string(), lease)) else { continue };
        let grace = match was_robbed(machines, machine, *end) {
            true => Duration::from_secs(machines.plan().ttl_s) + HEARD,
            false if machines.is_slow(machine) => HEARD,
            false => Duration::ZERO,
        };
        ensure(last <= *end + grace, NAME, "belief-ends-with-the-lease", || {
            format!(
                "machine {machine} believed at {last:?} to hold {subnet} by lease {lease:x}, which ended at {end:?}"
            )
        })?;
    }
    Ok(())
}

/// The last part of a lease's key.
fn subnet_of(kv: &KeyValue) -> Option<String> {
    let key = std::str::from_utf8(&kv.key).ok()?;
    Some(key.strip_prefix(DEFAULT_PREFIX)?.strip_prefix("/subnets/")?.to_owned())
}

/// Whether one machine of the plan wrote over what another had written.
fn one_writer(machines: &Machines, subnet: &str, before: &KeyValue, now: &KeyValue, at: Duration) -> Checked {
    let (Some(before), Some(after)) = (writer(machines, before), writer(machines, now)) else {
        return Ok(());
    };
    ensure(before == after, NAME, "one-writer", || {
        format!("at {at:?} machine {after} wrote over the lease of {subnet}, which machine {before} had")
    })
}

/// The machine of the plan whose lease a value is.
fn writer(machines: &Machines, kv: &KeyValue) -> Option<u16> {
    let value = LeaseValue::parse(std::str::from_utf8(&kv.value).ok()?).ok()?;
    machines.plan().machine_of(&value)
}
