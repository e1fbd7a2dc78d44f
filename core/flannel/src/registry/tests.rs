//! The registry over a store in memory.

use super::*;
use futures_util::FutureExt;
use kernel::memory::MapKv;
use kernel::types::{CompactionRequest, PutRequest};

const VALUE: &str = r#"{"PublicIP":"172.31.0.9","PublicIPv6":null}"#;

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

fn store() -> (MapKv, MapKv, Registry) {
    let kv = MapKv::new();
    let line = kv.client();
    let registry = Registry::new(Arc::new(line.clone()), "/coreos.com/network/");
    (kv, line, registry)
}

fn key(text: &str) -> SubnetKey {
    SubnetKey::parse(text).unwrap()
}

fn value(text: &str) -> LeaseValue {
    LeaseValue::parse(text).unwrap()
}

fn put(kv: &MapKv, name: &str) {
    kv.set(&format!("{DEFAULT_PREFIX}/subnets/{name}"), VALUE);
}

fn fill(kv: &MapKv, leases: usize) {
    for n in 0..leases {
        put(kv, &format!("10.{}.{}.0-24", n / 256, n % 256));
    }
}

#[test]
fn everything_is_read_in_one_transaction() {
    let (kv, line, registry) = store();
    kv.set("/coreos.com/network/config", "{}");
    kv.set("/coreos.com/network/subnets-x", "not ours");
    fill(&kv, 1_000);
    let loaded = now(registry.load()).unwrap();
    assert_eq!(line.calls(), 1);
    assert_eq!(
        (loaded.config.as_deref(), loaded.leases.len(), loaded.revision),
        (Some("{}"), 1_000, kv.revision())
    );
    assert!(loaded.spoilt.is_empty());
}

#[test]
fn what_does_not_fit_a_page_follows_as_of_the_same_revision() {
    let (kv, line, registry) = store();
    fill(&kv, PAGE + 3);
    let loaded = now(registry.load()).unwrap();
    assert_eq!((loaded.leases.len(), line.calls()), (PAGE + 3, 2));
}

const PAGE: usize = load::PAGE_LEASES as usize;

#[test]
fn what_is_spoilt_is_told_and_costs_nobody_else() {
    let (kv, _, registry) = store();
    put(&kv, "10.5.1.0-24");
    kv.set("/coreos.com/network/subnets/10.5.2.0-24", "{");
    kv.set("/coreos.com/network/subnets/hello", VALUE);
    let loaded = now(registry.load()).unwrap();
    assert_eq!(loaded.leases.len(), 1);
    let keys: Vec<Option<SubnetKey>> = loaded.spoilt.iter().map(|spoilt| spoilt.key).collect();
    assert_eq!(keys, [Some(key("10.5.2.0-24")), None]);
    assert!(loaded.spoilt[1].why.contains("hello"), "{:?}", loaded.spoilt);
}

fn create(registry: &Registry, name: &str, seen: i64, stale: &[Lease]) -> Created {
    let (lease, _) = now(registry.grant(60)).unwrap();
    now(registry.create(&key(name), &value(VALUE), lease, seen, stale)).unwrap()
}

#[test]
fn a_subnet_is_made_once() {
    let (kv, _, registry) = store();
    let seen = kv.revision();
    assert_eq!(create(&registry, "10.5.1.0-24", seen, &[]), Created::Done(seen + 1));
    assert_eq!(create(&registry, "10.5.1.0-24", seen, &[]), Created::Taken);
    assert_eq!(create(&registry, "10.5.1.0-26", seen, &[]), Created::Taken, "the same base");
    let name = "/coreos.com/network/subnets/10.5.1.0-24".to_owned();
    assert_eq!(kv.dump("/"), [(name, VALUE.to_owned())]);
}

#[test]
fn an_overlap_that_keys_do_not_show_is_found_by_whoever_comes_second() {
    let (kv, _, registry) = store();
    let seen = kv.revision();
    assert_eq!(create(&registry, "10.5.1.0-24&fd00:0:0:1::-64", seen, &[]), Created::Done(seen + 1));
    let with = key("10.5.1.0-24&fd00:0:0:1::-64");
    let second = create(&registry, "10.5.2.0-24&fd00:0:0:1::-64", seen, &[]);
    assert_eq!(second, Created::Collided { revision: seen + 2, with });
    assert_eq!(create(&registry, "10.5.0.0-22", seen, &[]), Created::Collided { revision: seen + 3, with });
    assert_eq!(create(&registry, "10.5.9.0-24&fd00:0:0:9::-64", seen, &[]), Created::Done(seen + 4));
}

#[test]
fn stale_leases_go_in_the_same_step_or_nothing_happens() {
    let (kv, _, registry) = store();
    assert!(matches!(create(&registry, "10.9.1.0-24", 1, &[]), Created::Done(_)));
    let loaded = now(registry.load()).unwrap();
    let old = &loaded.leases[0];
    now(registry.update(&old.key, &old.value, old.lease, old.mod_revision)).unwrap();
    assert_eq!(create(&registry, "10.5.1.0-24", loaded.revision, &loaded.leases), Created::Taken);
    let loaded = now(registry.load()).unwrap();
    assert!(matches!(create(&registry, "10.5.1.0-24", loaded.revision, &loaded.leases), Created::Done(_)));
    assert_eq!(kv.dump("/coreos.com/network/subnets/").len(), 1);
}

#[test]
fn updates_and_deletes_need_what_was_seen() {
    let (kv, _, registry) = store();
    put(&kv, "10.5.1.0-24");
    let seen = kv.revision();
    let one = key("10.5.1.0-24");
    assert_eq!(now(registry.update(&one, &value(VALUE), 0, seen - 1)), Ok(Written::Moved));
    assert_eq!(now(registry.update(&one, &value(VALUE), 0, seen)), Ok(Written::Done(seen + 1)));
    assert_eq!(now(registry.delete(&one, seen)), Ok(Written::Moved));
    assert_eq!(now(registry.delete(&one, seen + 1)), Ok(Written::Done(seen + 2)));
}

#[test]
fn a_watch_goes_on_over_streams_and_says_when_it_cannot() {
    let (kv, line, registry) = store();
    let mut watch = registry.watch(kv.revision() + 1);
    put(&kv, "10.5.1.0-24");
    kv.set("/coreos.com/network/config", "{}");
    kv.set("/coreos.com/network/subnets/hello", "x");
    kv.unset("/coreos.com/network/subnets/hello");
    let mut events = Vec::new();
    while events.len() < 4 {
        let Batch::Events(revision, batch) = now(watch.next()).unwrap() else { panic!("nothing was lost") };
        assert!(revision <= kv.revision());
        events.extend(batch);
    }
    assert!(
        matches!(&events[..], [Event::Put(_), Event::Config(Some(_)), Event::Spoilt(_), Event::Cleared(_)])
            || matches!(
                &events[..],
                [Event::Config(Some(_)), Event::Put(_), Event::Spoilt(_), Event::Cleared(_)]
            ),
        "{events:?}"
    );
    line.cut();
    assert!(now(watch.next()).is_err());
    kv.unset("/coreos.com/network/subnets/10.5.1.0-24");
    line.mend();
    let gone = Batch::Events(kv.revision(), vec![Event::Gone(key("10.5.1.0-24"))]);
    assert_eq!(now(watch.next()), Ok(gone));
    line.cut();
    assert!(now(watch.next()).is_err());
    put(&kv, "10.5.2.0-24");
    put(&kv, "10.5.3.0-24");
    let request = CompactionRequest { revision: kv.revision(), physical: false };
    now(kernel::Kv::compact(&kv, request)).unwrap();
    line.mend();
    assert_eq!(now(watch.next()), Ok(Batch::Resync));
}

#[test]
fn a_reservation_is_told_from_a_lease() {
    let (kv, _, registry) = store();
    put(&kv, "10.5.1.0-24");
    let (lease, _) = now(registry.grant(60)).unwrap();
    let request = PutRequest {
        key: registry.lease_key(&key("10.5.2.0-24")).into(),
        value: VALUE.into(),
        lease,
        ..Default::default()
    };
    now(kernel::Kv::put(&kv, request)).unwrap();
    let leases = now(registry.load()).unwrap().leases;
    assert_eq!(leases.iter().map(Lease::is_reservation).collect::<Vec<_>>(), [true, false]);
}
