//! The way to systemd: one connection, made anew whenever it ends.
//!
//! One task owns it. It connects, tells the bus which signals it wants, and hears them until the connection ends or systemd
//! leaves the bus (it does so for a moment when it executes itself anew). Then every wait ends with `Gone`, verbs fail at once,
//! and it tries again after a pause that doubles up to [`PAUSE_MOST`]. Once back, subscribers are told to look at everything.
//!
//! systemd also listens on a socket of its own, `/run/systemd/private`, for root where there is no bus. It signs its messages
//! there with a name that the D-Bus specification does not allow in that place, and zbus refuses them: a bus is needed.

use super::changes::Hub;
use super::jobs::Jobs;
use super::proxy::ManagerProxy;
use super::signals::{Heard, Signals};
use super::{BusConfig, RETRY_HINT};
use fleet::systemd::{Change, SystemdError, SystemdResult};
use futures_util::{StreamExt, TryFutureExt, future::try_join_all};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use zbus::connection::Builder;
use zbus::{Connection, MatchRule, MessageStream, fdo::DBusProxy, message};

/// systemd's name on the bus.
pub const SYSTEMD: &str = "org.freedesktop.systemd1";

/// The pause before the first and the longest pause before any further try to connect.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(2);

/// How long systemd may take for a reply. A reload of a large machine takes many seconds, and all other calls wait for it.
const REPLY_MOST: Duration = Duration::from_secs(90);

/// How long it may take to connect and to subscribe.
const CONNECT_MOST: Duration = Duration::from_secs(10);

/// Messages that wait in this process before the socket is read no further.
const MESSAGES: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// What the verbs and the task share.
pub struct Shared {
    way: Mutex<Way>,
    pub jobs: Jobs,
    pub hub: Hub,
    /// Every unit that was ever installed here. Grows with their names only.
    known: Mutex<BTreeSet<String>>,
    /// Reloads asked for here of which systemd has not said yet that they began.
    pub own_reloads: AtomicUsize,
}

enum Way {
    Up(ManagerProxy<'static>),
    /// And why.
    Down(String),
}

/// A connection that is ready.
struct Ready {
    manager: ManagerProxy<'static>,
    messages: MessageStream,
    /// systemd's unique name.
    owner: String,
}

/// The error of a bus that is away.
pub fn gone(text: impl ToString) -> SystemdError {
    SystemdError::Gone(text.to_string())
}

impl Shared {
    /// systemd's manager.
    pub fn manager(&self) -> SystemdResult<ManagerProxy<'static>> {
        match &*self.way.lock().expect("no holder panics") {
            Way::Up(manager) => Ok(manager.clone()),
            Way::Down(why) => Err(gone(why)),
        }
    }

    /// Changes of this unit shall be told from now on.
    pub fn know(&self, unit: &str) {
        let mut known = self.known.lock().expect("no holder panics");
        if !known.contains(unit) {
            known.insert(unit.to_string());
        }
    }

    /// Whether changes of this unit are told.
    pub fn is_known(&self, unit: &str) -> bool {
        self.known.lock().expect("no holder panics").contains(unit)
    }

    fn set(&self, way: Way) {
        *self.way.lock().expect("no holder panics") = way;
    }
}

/// Connects, and keeps connected until the task is aborted. Tells changes of the `known` units. Errors: the first try failed.
pub async fn open(
    config: BusConfig,
    known: BTreeSet<String>,
) -> SystemdResult<(Arc<Shared>, tokio::task::JoinHandle<()>)> {
    let ready = connect(&config).await?;
    let shared = Arc::new(Shared {
        way: Mutex::new(Way::Up(ready.manager.clone())),
        jobs: Jobs::default(),
        hub: Hub::default(),
        known: Mutex::new(known),
        own_reloads: AtomicUsize::new(0),
    });
    let task = tokio::spawn(keep(config, shared.clone(), ready));
    Ok((shared, task))
}

async fn keep(config: BusConfig, shared: Arc<Shared>, mut ready: Ready) {
    loop {
        let why = hear(&shared, ready).await;
        shared.set(Way::Down(why));
        shared.jobs.forget();
        shared.own_reloads.store(0, Ordering::Relaxed);
        ready = connect_again(&config, &shared).await;
        shared.set(Way::Up(ready.manager.clone()));
        shared.hub.tell(&Change::Resync);
    }
}

/// Hears signals until the connection is of no use any more; says why.
async fn hear(shared: &Shared, ready: Ready) -> String {
    let mut signals = Signals::new(shared, ready.owner);
    let mut messages = ready.messages;
    while let Some(message) = messages.next().await {
        let message = match message {
            Ok(message) => message,
            Err(error) => return error.to_string(),
        };
        if let Heard::Lost(why) = signals.hear(&message) {
            return why;
        }
    }
    "the connection was closed".to_string()
}

async fn connect_again(config: &BusConfig, shared: &Shared) -> Ready {
    let mut pause = PAUSE_FIRST;
    loop {
        match connect(config).await {
            Ok(ready) => return ready,
            Err(error) => shared.set(Way::Down(match error {
                SystemdError::Gone(text) => text,
                other => other.to_string(),
            })),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MOST);
    }
}

async fn connect(config: &BusConfig) -> SystemdResult<Ready> {
    let late = |_| Err(zbus::Error::Failure(format!("no answer for {CONNECT_MOST:?}")));
    let outcome = tokio::time::timeout(CONNECT_MOST, subscribe(config)).await.unwrap_or_else(late);
    outcome.map_err(|error| gone(format!("{}: {error}; {RETRY_HINT}", config.place())))
}

async fn subscribe(config: &BusConfig) -> zbus::Result<Ready> {
    let builder = match (&config.address, config.user) {
        (Some(address), _) => Builder::address(address.as_str()),
        (None, false) => Builder::system(),
        (None, true) => Builder::session(),
    };
    let connection = builder.method_timeout(REPLY_MOST).max_queued(MESSAGES).build().await?;
    let messages = MessageStream::from(&connection);
    let bus = DBusProxy::new(&connection).await?;
    try_join_all(rules()?.into_iter().map(|rule| bus.add_match_rule(rule).map_err(zbus::Error::from)))
        .await?;
    let owner = bus.get_name_owner(SYSTEMD.try_into()?).await?;
    let manager = manager(&connection).await?;
    Ok(Ready { manager, messages, owner: owner.to_string() })
}

/// systemd's manager over `connection`, asked to send signals.
async fn manager(connection: &Connection) -> zbus::Result<ManagerProxy<'static>> {
    let manager =
        ManagerProxy::builder(connection).cache_properties(zbus::proxy::CacheProperties::No).build().await?;
    manager.subscribe().await?;
    Ok(manager)
}

/// The signals that are wanted: what the manager says, the states of units, and whether systemd is on the bus.
fn rules() -> zbus::Result<[MatchRule<'static>; 3]> {
    let signal = || MatchRule::builder().msg_type(message::Type::Signal);
    Ok([
        signal().sender(SYSTEMD).interface("org.freedesktop.systemd1.Manager").build()?,
        signal()
            .sender(SYSTEMD)
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .path_namespace("/org/freedesktop/systemd1/unit")
            .arg(0, "org.freedesktop.systemd1.Unit")
            .build()?,
        signal()
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, SYSTEMD)
            .build()?,
    ])
}
