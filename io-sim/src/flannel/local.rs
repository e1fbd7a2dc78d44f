//! The Local port over the model: subnet.env, which lies under `/run` and so is gone after a power loss; and the containers'
//! network, which is set up from it as a network plug-in would. Commands of the extension backend are not modelled.

use crate::links::SimLinks;
use crate::world::World;
use flannel::env::SubnetEnv;
use flannel::links::Secret;
use flannel::local::{Command, Local, LocalError};
use kernel::BoxFuture;
use kernel::rng::Stream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a file takes.
const FILE: Duration = Duration::from_micros(100);

/// One machine's files; clones share it.
#[derive(Clone)]
pub struct SimLocal {
    world: World,
    links: SimLinks,
    env: Arc<Mutex<Option<String>>>,
    keys: Arc<Mutex<Keys>>,
}

/// The private key of WireGuard, which lies beside subnet.env.
struct Keys {
    draw: Stream,
    held: Option<Secret>,
}

impl SimLocal {
    /// Those of a machine that has just booted.
    pub fn new(world: &World, links: &SimLinks) -> SimLocal {
        let draw = Stream::new(world.seed(), "flannel: wireguard key", links.address().to_bits().into());
        let keys = Arc::new(Mutex::new(Keys { draw, held: None }));
        SimLocal { world: world.clone(), links: links.clone(), env: Arc::default(), keys }
    }

    /// What subnet.env says.
    pub fn env(&self) -> Option<String> {
        self.env.lock().expect("no holder panics").clone()
    }

    /// The machine has lost its power.
    pub fn power_loss(&self) {
        *self.env.lock().expect("no holder panics") = None;
        self.keys.lock().expect("no holder panics").held = None;
    }

    async fn pass(&self) {
        self.world.sleep_until(self.world.now() + FILE).await;
    }
}

impl Local for SimLocal {
    fn read_env(&self) -> BoxFuture<'_, Result<Option<String>, LocalError>> {
        Box::pin(async move {
            self.pass().await;
            Ok(self.env())
        })
    }

    fn write_env<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), LocalError>> {
        Box::pin(async move {
            self.pass().await;
            *self.env.lock().expect("no holder panics") = Some(text.to_owned());
            let key = SubnetEnv::parse(text).previous();
            key.iter().flat_map(super::checkers::nets).for_each(|subnet| self.links.set_bridge(subnet));
            Ok(())
        })
    }

    fn wireguard_key(&self) -> BoxFuture<'_, Result<Secret, LocalError>> {
        Box::pin(async move {
            self.pass().await;
            let mut keys = self.keys.lock().expect("no holder panics");
            let Keys { draw, held } = &mut *keys;
            let drawn = || Secret(std::array::from_fn(|_| draw.next_u64().to_be_bytes()[0]));
            Ok(*held.get_or_insert_with(drawn))
        })
    }

    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<String, LocalError>> {
        Box::pin(async move { Err(LocalError(format!("{}: no such program here", command.line))) })
    }
}
