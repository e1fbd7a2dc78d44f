//! The lease of this machine: got, kept, lost and got again; and with it, since both need one watch, what the peers hold.
//!
//! A [`Holder`] is a loop of its own over the [`Registry`]. It reads the store and follows it. Once it is told who we are and what to say
//! ([`Holder::offer`]) it takes a subnet, and from then on keeps it. Its user is poked when something is another than before, and takes
//! the whole [`Picture`]: a level, not a series of events, so nothing can overflow and nothing can be missed.
//!
//! The time of a lease counts from when the request was *sent*, by our own clock, and it is given up a slack before its end: then,
//! and only then, nobody else can hold the subnet yet. It is renewed by keep-alive, which costs the store no write and the peers no event.
//!
//! Inside, [`mind`] decides and never waits; [`calls`] carries out; [`run`] is the loop.

mod calls;
mod keep;
mod mind;
mod notes;
mod run;
#[cfg(test)]
mod tests;
mod view;

use crate::choose::Me;
use crate::config::NetworkConfig;
use crate::registry::Registry;
use crate::subnet::{Lease, LeaseValue, SubnetKey};
use kernel::inbox::{Inbox, Refused};
use kernel::{Clock, Probe, Spawn};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a lease lives without renewal, as in flannel.
pub const LEASE_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// flannel's default of `-subnet-lease-renew-margin`.
pub const RENEW_MARGIN: Duration = Duration::from_secs(60 * 60);
/// A lease is given up so long before its end (a tenth of it if that is less): what two clocks drift apart in a day, and what it
/// takes to bring the device down.
pub const EXPIRY_SLACK: Duration = Duration::from_secs(60);
/// A lease is renewed this long after the last renewal, if the margin does not say sooner. So the store may be away for nearly
/// the whole time of a lease, whenever that begins.
pub const RENEW_PERIOD: Duration = Duration::from_secs(60 * 60);
/// Pause after a renewal that failed (a twelfth of the lease's time if that is less).
pub const RENEW_RETRY: Duration = Duration::from_secs(60);
/// First pause after a call that failed; doubled each time.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
/// Longest such pause.
pub const RETRY_MOST: Duration = Duration::from_secs(10);
/// Longest pause, drawn from half of it up, after the first race for a subnet that was lost; doubled each time up to
/// [`RACE_MOST`].
pub const RACE_FIRST: Duration = Duration::from_millis(50);
/// See [`RACE_FIRST`].
pub const RACE_MOST: Duration = Duration::from_secs(5);
/// First pause before a lease that somebody else has overwritten is put again; doubled each time up to [`CONTEST_MOST`].
pub const CONTEST_FIRST: Duration = Duration::from_secs(1);
/// See [`CONTEST_FIRST`].
pub const CONTEST_MOST: Duration = Duration::from_secs(60);
/// After so long without another, an overwriting is a new one, and is told of again.
pub const CONTEST_CALM: Duration = Duration::from_secs(600);
/// How long one call may take.
pub const STORE_LIMIT: Duration = Duration::from_secs(5);
/// Events that may wait for the loop; the store's watch waits beyond it.
pub const INBOX: usize = 256;
/// Notes that may wait to be taken; older ones are dropped first.
pub const NOTES: usize = 256;

/// The numbers of a holder.
#[derive(Clone, Debug)]
pub struct HolderConfig {
    /// How long a lease lives without renewal. Whole seconds count.
    pub ttl: Duration,
    /// A lease is renewed so long before its end at the latest.
    pub margin: Duration,
    /// The subnets of the last time, from subnet.env.
    pub previous: Option<SubnetKey>,
}

impl Default for HolderConfig {
    fn default() -> Self {
        HolderConfig { ttl: LEASE_TTL, margin: RENEW_MARGIN, previous: None }
    }
}

/// What the agent wants a lease for. Offered again when any of it changes: a changed value is put at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The config that is in force on this machine.
    pub config: NetworkConfig,
    /// Who we are.
    pub me: Me,
    /// What the lease says.
    pub value: LeaseValue,
}

/// How it stands with our lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Not held yet; the text says what is waited for.
    Waiting(String),
    /// Held.
    Held {
        /// The lease as it is in the store.
        lease: Lease,
        /// Until when it certainly is ours, by our clock. No packet of the subnet may leave this machine from then on.
        until: Duration,
    },
    /// It was held and is no more: traffic must stop. The holder is about to get one again, the same if it is still free.
    Lost(String),
}

/// What is known now.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The last network config in the store that could be read.
    pub config: Option<NetworkConfig>,
    /// All leases in the store, our own among them. One that was spoilt is as it was before.
    pub leases: Arc<BTreeMap<SubnetKey, Arc<Lease>>>,
    /// The revision of the store that this shows; 0 before the first answer.
    pub revision: i64,
    /// Our lease.
    pub standing: Standing,
    /// What an operator should be told beside the standing, each once, oldest first; among them every loss, as a picture may come
    /// too late to show it. Taken: they are not in the next picture.
    pub notes: Vec<String>,
}

/// The holder's loop, seen from outside. Ends with it; the lease stays in the store, so that the data path goes on over a restart.
pub struct Holder {
    events: Inbox<run::Event>,
    shared: Arc<Shared>,
}

/// What the loop shows.
struct Shared {
    picture: Mutex<(Picture, bool)>,
    poke: Box<dyn Fn() + Send + Sync>,
}

impl Holder {
    /// Starts the loop. `poke` is called when there is a new picture and the one before it was taken; it must not block.
    pub fn start(
        spawn: Arc<dyn Spawn>,
        clock: Arc<dyn Clock>,
        registry: Registry,
        config: HolderConfig,
        seed: u64,
        probe: Probe,
        poke: Box<dyn Fn() + Send + Sync>,
    ) -> Holder {
        let picture = Picture {
            config: None,
            leases: Arc::default(),
            revision: 0,
            standing: Standing::Waiting(mind::NO_ANSWER.to_owned()),
            notes: Vec::new(),
        };
        let shared = Arc::new(Shared { picture: Mutex::new((picture, false)), poke });
        let mut mind = mind::Mind::new(config, registry.config_key(), seed, probe);
        mind.plant(registry.planted);
        let ports = calls::Ports { clock, registry, ttl: mind.ttl() };
        let events = run::start(spawn, ports, mind, shared.clone(), seed);
        Holder { events, shared }
    }

    /// Tells what to hold a lease for, from now on.
    pub fn offer(&self, offer: Offer) {
        self.events.push(run::Event::Offer(Box::new(offer)));
    }

    /// What is known now, and the notes since it was taken last.
    pub fn take(&self) -> Picture {
        let mut shown = self.shared.picture.lock().expect("no holder panics");
        shown.1 = false;
        let notes = std::mem::take(&mut shown.0.notes);
        Picture { notes, ..shown.0.clone() }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.events.close();
    }
}

impl Shared {
    /// Shows a new picture.
    fn show(&self, mut picture: Picture) {
        let mut shown = self.picture.lock().expect("no holder panics");
        let mut notes = std::mem::take(&mut shown.0.notes);
        notes.append(&mut picture.notes);
        notes.drain(..notes.len().saturating_sub(NOTES));
        picture.notes = notes;
        if shown.0 == picture {
            return;
        }
        let was_told = std::mem::replace(&mut shown.1, true);
        shown.0 = picture;
        drop(shown);
        if !was_told {
            (self.poke)();
        }
    }
}

/// Whether an event found room; it comes again if not.
fn is_taken<T>(outcome: Result<(), Refused<T>>) -> Result<bool, T> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Refused::Closed(_)) => Ok(false),
        Err(Refused::Full(event)) => Err(event),
    }
}
