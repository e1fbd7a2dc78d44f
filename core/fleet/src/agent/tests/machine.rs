//! One machine of a test: its systemd, its fleetd that may crash, and the store that it shares with the test.

use super::room::{Process, Room};
use super::systemd::Script;
use crate::agent::calls::Ports;
use crate::agent::{Agent, AgentConfig, AgentStatus, Ending};
use crate::model::{Admission, DesiredState, Machine, MachineId, Order, Resources};
use crate::registry::Registry;
use crate::unit::{UnitFile, UnitHash};
use kernel::memory::MapKv;
use kernel::{Clock, Probe, Spawn};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub const PREFIX: &str = "/_coreos.com/fleet/";
pub const ID: &str = "a0000000000000000000000000000001";
pub const MINUTE: Duration = Duration::from_secs(60);

/// A unit that runs until it is stopped.
pub const SLEEP: &str = "[Service]\nExecStart=/bin/sleep 1000\n";

/// One machine.
pub struct Machine1 {
    pub room: Room,
    /// The store as the test sees it.
    pub store: MapKv,
    /// The machine's own line to the store.
    pub line: MapKv,
    pub systemd: Script,
    agent: Option<(Arc<Process>, Agent)>,
    instance: String,
    /// Told of the agent's rare branches.
    pub probe: Probe,
}

impl Machine1 {
    /// A machine whose fleetd runs.
    pub fn new() -> Machine1 {
        let mut machine = Machine1::off();
        machine.boot();
        machine.room.run(Duration::from_secs(2));
        assert_eq!(machine.systemd.log(), "", "an agent without orders touches nothing");
        machine
    }

    /// A machine whose fleetd does not run yet.
    pub fn off() -> Machine1 {
        let room = Room::default();
        let store = MapKv::on(Arc::new(room.clone()));
        room.process().spawn("leases", Box::pin(store.clone().keep_time()));
        let (line, systemd) = (store.client(), Script::new(&room));
        Machine1 {
            room,
            store,
            line,
            systemd,
            agent: None,
            instance: "boot-1".to_owned(),
            probe: Probe::counting(),
        }
    }

    /// fleetd starts.
    pub fn boot(&mut self) {
        assert!(self.agent.is_none(), "fleetd runs already");
        let machine = Machine {
            id: MachineId::from(ID),
            primary_ip: "10.0.0.1".to_owned(),
            metadata: BTreeMap::new(),
            capacity: Resources::default(),
            admission: Admission::Open,
            leaving: false,
            api: None,
            version: "1.0.0".to_owned(),
        };
        let config = AgentConfig { machine, instance: self.instance.clone(), ttl: Duration::from_secs(3) };
        let process = self.room.process();
        let ports = Ports {
            clock: Arc::new(self.room.clone()),
            registry: Registry::new(Arc::new(self.line.clone()), PREFIX),
            systemd: Arc::new(self.systemd.clone()),
            config: Arc::new(config),
        };
        let agent = Agent::over(process.clone(), self.probe.clone(), ports);
        self.agent = Some((process, agent));
    }

    /// fleetd is killed.
    pub fn crash(&mut self) {
        let (process, _) = self.agent.take().expect("fleetd runs");
        self.room.kill(&process);
    }

    /// The token of the next boot.
    pub fn instance(&mut self, token: &str) {
        self.instance = token.to_owned();
    }

    /// Switched off and on while fleetd does not run.
    pub fn power_cycle(&mut self) {
        assert!(self.agent.is_none(), "fleetd dies first");
        self.systemd.power_cycle();
        self.instance.push('\'');
    }

    /// From now on each install and start is checked: the store must hold the unit's report.
    pub fn watch_claims(&self) {
        let store = self.store.clone();
        self.systemd.check(move |verb, unit| {
            let report = store.dump(&format!("{PREFIX}states/{unit}/{ID}"));
            assert_eq!(report.len(), 1, "{verb} {unit} without a claim");
        });
    }

    /// fleetd is told to end, and given `time` for it; whether it did.
    pub fn stop(&mut self, ending: Ending, time: Duration) -> bool {
        let (process, agent) = self.agent.take().expect("fleetd runs");
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        process.spawn(
            "stop",
            Box::pin(async move {
                agent.stop(ending).await;
                told.store(true, Ordering::SeqCst);
            }),
        );
        self.room.run(time);
        self.room.kill(&process);
        ended.load(Ordering::SeqCst)
    }

    pub fn status(&self) -> AgentStatus {
        self.agent.as_ref().expect("fleetd runs").1.status()
    }

    /// Puts an order, as the engine would.
    pub fn order(&self, unit: &str, text: &str, state: DesiredState, run: u64) {
        let file = UnitFile::parse(text).unwrap();
        let raw = serde_json::json!({ "Raw": file.text() }).to_string();
        self.store.set(&format!("{PREFIX}unit/{}", file.hash()), &raw);
        self.order_hash(unit, file.hash(), state, run);
    }

    /// Puts an order for a text that may not be there.
    pub fn order_hash(&self, unit: &str, hash: UnitHash, state: DesiredState, run: u64) {
        let order = serde_json::to_string(&Order { hash, state, run }).unwrap();
        self.store.set(&format!("{PREFIX}agent/{ID}/{unit}"), &order);
    }

    /// Orders a unit that shall run.
    pub fn launch(&self, unit: &str) {
        self.order(unit, SLEEP, DesiredState::Launched, 0);
    }

    /// Takes an order back.
    pub fn unorder(&self, unit: &str) {
        self.store.unset(&format!("{PREFIX}agent/{ID}/{unit}"));
    }

    /// Launches a unit and waits until it runs.
    pub fn launched(unit: &str, text: &str) -> Machine1 {
        let machine = Machine1::new();
        machine.order(unit, text, DesiredState::Launched, 0);
        machine.room.run(Duration::from_secs(1));
        assert_eq!(machine.systemd.running(), [unit]);
        machine.systemd.log();
        machine
    }

    /// The reports of this machine: `unit active/sub launched run error`, one a line.
    pub fn reports(&self) -> String {
        let line = |(key, value): (String, String)| {
            let report: serde_json::Value = serde_json::from_str(&value).unwrap();
            let unit = key.split('/').nth_back(1).unwrap().to_owned();
            let word = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
            let launched = if report["launched"].as_bool().unwrap() { " launched" } else { "" };
            let run = report["run"].as_u64().map(|run| format!(" run {run}")).unwrap_or_default();
            let error = report["error"].as_str().map(|error| format!(" ({error})")).unwrap_or_default();
            format!("{unit} {}/{}{launched}{run}{error}", word("activeState"), word("subState"))
        };
        let lines: Vec<String> = self.store.dump(&format!("{PREFIX}states/")).into_iter().map(line).collect();
        lines.join("\n")
    }

    /// Whether the machine is present.
    pub fn is_present(&self) -> bool {
        !self.store.dump(&format!("{PREFIX}machines/{ID}/object")).is_empty()
    }

    /// Lets whole seconds pass.
    pub fn wait(&self, seconds: u64) {
        self.room.run(Duration::from_secs(seconds));
    }

    pub fn now(&self) -> Duration {
        self.room.now()
    }
}
