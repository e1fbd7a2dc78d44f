//! A store, machines with a holder each, and time.

use super::*;
use crate::room::{Process, Room};
use crate::subnet::VxlanData;
use futures_util::FutureExt;
use kernel::Kv;
use kernel::lease::{LeaseGrantRequest, LeaseRevokeRequest};
use kernel::memory::MapKv;
use kernel::types::{CompactionRequest, PutRequest};
use std::net::Ipv4Addr;

/// 255 subnets.
pub const WIDE: &str = r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}"#;

pub struct World {
    pub room: Room,
    pub kv: MapKv,
    text: String,
    keeper: Arc<Process>,
}

pub struct Machine {
    room: Room,
    process: Arc<Process>,
    pub line: MapKv,
    pub holder: Holder,
    pub pokes: Arc<Mutex<u64>>,
    /// Notes that were taken with pictures and not asked for yet.
    said: Mutex<Vec<String>>,
}

/// The subnets from 10.5.1.0/24 to 10.5.<last>.0/24.
pub fn narrow(last: u32) -> String {
    format!(r#"{{"Network":"10.5.0.0/16","SubnetMax":"10.5.{last}.0","Backend":{{"Type":"vxlan"}}}}"#)
}

pub fn key(text: &str) -> SubnetKey {
    SubnetKey::parse(text).unwrap()
}

pub fn name(key: &str) -> String {
    format!("/coreos.com/network/subnets/{key}")
}

fn ip(machine: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 0, 2, 0)) + machine)
}

pub fn with_mac(machine: u32, mac: &str) -> LeaseValue {
    let data = VxlanData { vni: Some(1), mac: mac.parse().unwrap() }.to_value();
    LeaseValue {
        public_ip: ip(machine),
        public_ipv6: None,
        backend_type: Some("vxlan".to_owned()),
        data: Some(data),
        data_v6: None,
    }
}

pub fn value(machine: u32) -> LeaseValue {
    with_mac(machine, "0a:00:00:00:00:00")
}

pub fn offer(machine: u32, config: &str) -> Offer {
    let config = NetworkConfig::parse(config).unwrap();
    Offer { config, me: Me { public_ip: Some(ip(machine)), public_ipv6: None }, value: value(machine) }
}

impl World {
    pub fn new(config: &str) -> World {
        let room = Room::default();
        let kv = MapKv::on(Arc::new(room.clone()));
        kv.set("/coreos.com/network/config", config);
        let keeper = room.process();
        keeper.spawn("store", Box::pin(kv.clone().keep_time()));
        World { room, kv, text: config.to_owned(), keeper }
    }

    /// A machine with this number as its address; it offers at once.
    pub fn machine(&self, number: u32) -> Machine {
        self.machine_with(number, HolderConfig::default())
    }

    pub fn machine_with(&self, number: u32, config: HolderConfig) -> Machine {
        let (process, line) = (self.room.process(), self.kv.client());
        let registry = Registry::new(Arc::new(line.clone()), "/coreos.com/network");
        let pokes = Arc::new(Mutex::new(0));
        let counted = pokes.clone();
        let poke = Box::new(move || *counted.lock().unwrap() += 1);
        let clock = Arc::new(self.room.clone());
        // Each start of a process draws anew.
        let seed = u64::from(number) << 32 | self.room.now().as_secs();
        let holder = Holder::start(process.clone(), clock, registry, config, seed, Probe::default(), poke);
        let text = if NetworkConfig::parse(&self.text).is_ok() { &self.text } else { WIDE };
        holder.offer(offer(number, text));
        Machine { room: self.room.clone(), process, line, holder, pokes, said: Mutex::default() }
    }

    pub fn pass(&self, seconds: u64) {
        assert!(Arc::strong_count(&self.keeper) > 0);
        self.room.run(Duration::from_secs(seconds));
    }

    pub fn pass_millis(&self, millis: u64) {
        self.room.run(Duration::from_millis(millis));
    }

    /// A lease as a flanneld of another machine would make it, for a day and more.
    pub fn foreign(&self, key: &str, machine: u32) -> i64 {
        let text = format!(r#"{{"PublicIP":"{}","PublicIPv6":null}}"#, ip(machine));
        self.put_leased(key, &text, 100_000)
    }

    pub fn put_leased(&self, key: &str, text: &str, ttl: i64) -> i64 {
        let granted = self.kv.lease_grant(LeaseGrantRequest { ttl, id: 0 }).now_or_never().unwrap().unwrap();
        let request = PutRequest {
            key: name(key).into(),
            value: text.to_owned().into(),
            lease: granted.id,
            ..Default::default()
        };
        self.kv.put(request).now_or_never().unwrap().unwrap();
        granted.id
    }

    pub fn revoke(&self, id: i64) {
        self.kv.lease_revoke(LeaseRevokeRequest { id }).now_or_never().unwrap().unwrap();
    }

    pub fn value(&self, key: &str) -> String {
        self.kv.dump(&name(key)).pop().map(|(_, value)| value).unwrap_or_default()
    }

    /// Drops the whole history, with the machine's stream cut off so that it has to begin anew.
    pub fn compact(&self, machine: &Machine) {
        machine.line.cut();
        self.kv.set("/unrelated", "1");
        let request = CompactionRequest { revision: self.kv.revision(), physical: false };
        self.kv.compact(request).now_or_never().unwrap().unwrap();
        machine.line.mend();
    }
}

impl Machine {
    pub fn picture(&self) -> Picture {
        let picture = self.holder.take();
        self.said.lock().unwrap().extend(picture.notes.iter().cloned());
        picture
    }

    pub fn standing(&self) -> Standing {
        self.picture().standing
    }

    /// The lease and until when, by the clock.
    pub fn held(&self) -> (Lease, Duration) {
        match self.standing() {
            Standing::Held { lease, until } => (lease, until),
            other => panic!("nothing is held at {:?}: {other:?}", self.room.now()),
        }
    }

    pub fn is_held(&self) -> bool {
        matches!(self.standing(), Standing::Held { .. })
    }

    pub fn notes(&self) -> Vec<String> {
        self.picture();
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    pub fn offer(&self, offer: Offer) {
        self.holder.offer(offer);
    }

    /// kill -9.
    pub fn die(self) {
        self.room.kill(&self.process);
    }
}
