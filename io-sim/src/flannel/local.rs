//! The Local port over the model: subnet.env, which lies under `/run` and so is gone after a power loss; and the containers'
//! network, which is set up from it as a network plug-in would. Commands of the extension backend are not modelled.

use crate::links::SimLinks;
use crate::world::World;
use flannel::env::SubnetEnv;
use flannel::local::{Command, Local, LocalError};
use kernel::BoxFuture;
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
}

impl SimLocal {
    /// Those of a machine that has just booted.
    pub fn new(world: &World, links: &SimLinks) -> SimLocal {
        SimLocal { world: world.clone(), links: links.clone(), env: Arc::default() }
    }

    /// What subnet.env says.
    pub fn env(&self) -> Option<String> {
        self.env.lock().expect("no holder panics").clone()
    }

    /// The machine has lost its power.
    pub fn power_loss(&self) {
        *self.env.lock().expect("no holder panics") = None;
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

    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<String, LocalError>> {
        Box::pin(async move { Err(LocalError(format!("{}: no such program here", command.line))) })
    }
}
