//! The API over a registry in memory: what reference clients of fleet see, and what was added.

use super::*;
use crate::local::{JournalRequest, Lines, LocalError, StatusText};
use crate::model::{DesiredState, Report, SystemdState};
use crate::registry::Presence;
use crate::unit::{UnitFile, UnitHash, UnitName};
use futures_util::FutureExt;
use kernel::memory::MapKv;
use std::collections::BTreeMap;

const HERE: &str = "a0000000000000000000000000000000";
const THERE: &str = "b0000000000000000000000000000000";

struct World {
    kv: MapKv,
    link: Arc<MapKv>,
    registry: Registry,
    api: Api,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

/// Says what it was asked.
struct Echo;

struct Once(Option<Vec<u8>>);

impl Lines for Once {
    fn next(&mut self) -> BoxFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move { self.0.take() })
    }
}

impl Local for Echo {
    fn journal(&self, request: JournalRequest) -> BoxFuture<'_, Result<Box<dyn Lines>, LocalError>> {
        let said = format!("{} {} {} {}", request.unit, request.lines, request.follow, request.output);
        Box::pin(async move { Ok(Box::new(Once(Some(said.into_bytes()))) as Box<dyn Lines>) })
    }

    fn status<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<StatusText, LocalError>> {
        Box::pin(async move { Ok(StatusText { text: unit.into(), code: 3 }) })
    }
}

impl Peers for Echo {
    fn ask<'a>(&'a self, api: &'a str, request: &'a Request) -> BoxFuture<'a, Result<Response, String>> {
        let said = format!("{api}{}?{}", request.path, request.query);
        Box::pin(
            async move { Ok(Response { status: 200, headers: Vec::new(), body: Body::Text(said.into()) }) },
        )
    }
}

impl World {
    fn new(limit: u16) -> World {
        let kv = MapKv::new();
        let link = Arc::new(kv.client());
        let registry = Registry::new(link.clone(), "/fleet/");
        let config = ApiConfig { machine: HERE.into(), token_limit: limit };
        let api = Api::new(registry.clone(), config).with_local(Arc::new(Echo)).with_peers(Arc::new(Echo));
        World { kv, link, registry, api }
    }

    fn ask(&self, request: Request) -> (u16, String) {
        let response = now(self.api.handle(request));
        (response.status, response.text().into())
    }

    fn get(&self, path_and_query: &str) -> (u16, String) {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        self.ask(Request::get(&format!("/fleet/v1{path}"), query))
    }

    fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.ask(Request::json(method, &format!("/fleet/v1{path}"), body))
    }

    fn message(&self, answer: (u16, String)) -> String {
        let document: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
        assert_eq!(document["error"]["code"], answer.0);
        document["error"]["message"].as_str().unwrap().into()
    }

    fn submit(&self, name: &str, options: &str) -> u16 {
        self.send("PUT", &format!("/units/{name}"), &format!(r#"{{"options":[{options}]}}"#)).0
    }

    fn place(&self, unit: &str, machine: &str) {
        self.kv.set(&format!("/fleet/job/{unit}/target"), machine);
    }

    fn say(&self, unit: &str, machine: &str, launched: bool) {
        let state = SystemdState::new("loaded", "active", "running");
        let report = Report {
            state,
            hash: UnitHash([7; 20]),
            launched,
            starting: false,
            run: 0,
            error: String::new(),
        };
        self.kv.set(&format!("/fleet/states/{unit}/{machine}"), &serde_json::to_string(&report).unwrap());
    }

    fn arrive(&self, id: &str, api: Option<&str>) {
        let metadata = BTreeMap::from([("disk".to_string(), "ssd".to_string())]);
        let presence = Presence {
            id: id.into(),
            primary_ip: "10.0.0.1".into(),
            metadata,
            version: "1".into(),
            api: api.map(Into::into),
            ..Presence::default()
        };
        self.kv.set(&format!("/fleet/machines/{id}/object"), &serde_json::to_string(&presence).unwrap());
    }
}

const SLEEP: &str = r#"{"section":"Service","name":"ExecStart","value":"/bin/sleep 1"}"#;
const AWAKE: &str = r#"{"section":"Service","name":"ExecStart","value":"/bin/sleep 2"}"#;
const GLOBAL: &str = r#"{"section":"X-Fleet","name":"Global","value":"true"}"#;

#[test]
fn a_unit_is_created_changed_replaced_and_destroyed() {
    let world = World::new(100);
    assert_eq!(world.get("/units"), (200, "{}".into()));
    assert_eq!(world.get("/units/a.service").0, 404);
    let put = |body: &str| world.send("PUT", "/units/a.service", body).0;
    assert_eq!(put(&format!(r#"{{"name":"a.service","options":[{SLEEP}],"desiredState":"launched"}}"#)), 201);
    let unit = format!(
        r#"{{"name":"a.service","options":[{SLEEP}],"desiredState":"launched","currentState":"inactive"}}"#
    );
    assert_eq!(world.get("/units/a.service"), (200, unit.clone()));
    assert_eq!(world.get("/units"), (200, format!(r#"{{"units":[{unit}]}}"#)));
    assert_eq!(put(r#"{"desiredState":"loaded"}"#), 204);
    // The same text again changes the wish only; another text replaces the unit and keeps the wish.
    assert_eq!(put(&format!(r#"{{"options":[{SLEEP}],"desiredState":"inactive"}}"#)), 204);
    assert_eq!(put(&format!(r#"{{"options":[{AWAKE}]}}"#)), 201);
    let (_, text) = world.get("/units/a.service");
    assert!(text.contains("/bin/sleep 2") && text.contains(r#""desiredState":"inactive""#), "{text}");
    assert_eq!(world.send("DELETE", "/units/a.service", "").0, 204);
    assert_eq!(world.send("DELETE", "/units/a.service", "").0, 404);
    assert_eq!(world.get("/units"), (200, "{}".into()));
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let world = World::new(100);
    let put = |name: &str, body: &str| world.send("PUT", &format!("/units/{name}"), body);
    let before = world.kv.revision();
    for (name, body, code, text) in [
        ("a.service", "no json".to_string(), 400, "unable to decode body"),
        ("a.service", r#"{"name":"b.service"}"#.into(), 400, "differs from unit name"),
        ("a.service", "{}".into(), 409, "options field empty"),
        ("a.service", r#"{"desiredState":"bogus"}"#.into(), 400, "none of inactive, loaded, launched"),
        ("a.service", format!(r#"{{"options":[{SLEEP}],"desiredState":"bogus"}}"#), 400, "\"bogus\""),
        ("a", format!(r#"{{"options":[{SLEEP}]}}"#), 400, "\"a\""),
        ("a@.service", format!(r#"{{"options":[{SLEEP}],"desiredState":"launched"}}"#), 400, "cannot activate template"),
        (
            "a.service",
            r#"{"options":[{"section":"X-Fleet","name":"MachineMetadata","value":"a=b=c=="},{"section":"X-Fleet","name":"Global","value":"true"},{"section":"X-Fleet","name":"MachineOf","value":"b.service"}]}"#.into(),
            400,
            "options of a.service",
        ),
    ] {
        let answer = put(name, &body);
        assert_eq!(answer.0, code, "{body}: {}", answer.1);
        let message = world.message(answer);
        assert!(message.contains(text), "{body}: {message}");
    }
    let mut request =
        Request::json("PUT", "/fleet/v1/units/a.service", &format!(r#"{{"options":[{SLEEP}]}}"#));
    for types in [vec![], vec!["text/plain".to_string()], vec![message::JSON.into(), message::JSON.into()]] {
        request.content_types = types;
        assert_eq!(world.ask(request.clone()).0, 415);
    }
    assert_eq!(world.kv.revision(), before);
    assert_eq!(world.submit("a.service", SLEEP), 201);
    assert_eq!(put("a.service", "{}").0, 409);
    assert_eq!(put("a.service", r#"{"desiredState":"bogus"}"#).0, 400);
    assert_eq!(world.submit("a@.service", SLEEP), 201);
    assert_eq!(put("a@.service", r#"{"desiredState":"loaded"}"#).0, 400);
}

#[test]
fn current_states_come_from_reports() {
    let world = World::new(100);
    let current = |name: &str| {
        let unit: UnitDocument = serde_json::from_str(&world.get(&format!("/units/{name}")).1).unwrap();
        (unit.current_state, unit.machine_id)
    };
    assert_eq!(world.submit("a.service", SLEEP), 201);
    assert_eq!(current("a.service"), ("inactive".into(), "".into()));
    world.place("a.service", HERE);
    assert_eq!(current("a.service"), ("inactive".into(), HERE.into()));
    world.say("a.service", HERE, false);
    assert_eq!(current("a.service").0, "loaded");
    world.say("a.service", HERE, true);
    assert_eq!(current("a.service").0, "launched");
    assert_eq!(world.submit("g.service", GLOBAL), 201);
    world.say("g.service", HERE, true);
    assert_eq!(current("g.service"), ("".into(), "".into()));
}

/// All pages of a listing, row by row, with the number of pages.
fn pages(
    world: &World,
    what: &str,
    rows: &str,
    name: impl Fn(&serde_json::Value) -> String,
) -> (Vec<String>, usize) {
    let (mut all, mut count, mut query) = (Vec::new(), 0, String::new());
    loop {
        let (status, text) = world.get(&format!("/{what}?{query}"));
        assert_eq!(status, 200, "{text}");
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        all.extend(page[rows].as_array().into_iter().flatten().map(&name));
        count += 1;
        match page["nextPageToken"].as_str() {
            Some(token) => query = format!("nextPageToken={}", token.replace('=', "%3D")),
            None => return (all, count),
        }
    }
}

#[test]
fn listings_go_by_pages_without_an_empty_one_at_the_end() {
    let world = World::new(3);
    let names: Vec<String> = (0..9).map(|number| format!("unit{number}.service")).collect();
    for name in &names {
        assert_eq!(world.submit(name, SLEEP), 201);
        world.say(name, HERE, true);
        world.say(name, THERE, true);
        world.arrive(&name.replace(".service", ""), None);
    }
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    assert_eq!(pages(&world, "units", "units", |row| text(&row["name"])), (names.clone(), 3));
    let machines = names.iter().map(|name| name.replace(".service", "")).collect();
    assert_eq!(pages(&world, "machines", "machines", |row| text(&row["id"])), (machines, 3));
    let (states, count) =
        pages(&world, "state", "states", |row| format!("{} {}", text(&row["name"]), text(&row["machineID"])));
    assert_eq!((states.len(), count), (18, 6));
    assert!(states.is_sorted() && states[1] == format!("unit0.service {THERE}"), "{states:?}");
    // A token as fleet made them: its second page begins with the fourth row.
    let old = token::PageToken { limit: 3, page: 2, after: None }.encode();
    assert!(world.get(&format!("/units?nextPageToken={old}")).1.contains("unit3.service"));
    assert_eq!(world.get("/units?nextPageToken=x&nextPageToken=y").0, 400);
    assert_eq!(world.get("/units?nextPageToken=ZAACAA%3D%3D").0, 400);
}

#[test]
fn a_page_costs_the_same_wherever_it_is() {
    let world = World::new(10);
    for number in 0..400 {
        assert_eq!(world.submit(&format!("unit{number:04}.service"), SLEEP), 201);
    }
    let cost = |query: &str| {
        let before = world.link.calls();
        assert_eq!(world.get(&format!("/units?{query}")).0, 200);
        world.link.calls() - before
    };
    let late = token::PageToken::first(10).next("unit0380.service").encode();
    assert_eq!(cost(&format!("nextPageToken={late}")), cost(""));
}

#[test]
fn states_are_filtered() {
    let world = World::new(100);
    for (unit, machine) in [("a.service", HERE), ("b.service", HERE), ("b.service", THERE)] {
        world.say(unit, machine, true);
    }
    let count = |query: &str| world.get(&format!("/state?{query}")).1.matches("systemdLoadState").count();
    assert_eq!((count(""), count("unitName=b.service"), count(&format!("machineID={HERE}"))), (3, 2, 2));
    assert_eq!((count(&format!("unitName=b.service&machineID={THERE}")), count("unitName=no")), (1, 0));
    assert_eq!(world.get("/state/none.service").0, 404);
    let (status, text) = world.get(&format!("/state/b.service?machineID={THERE}"));
    assert!(status == 200 && text.contains(THERE) && text.contains(&"07".repeat(20)), "{text}");
}

#[test]
fn machines_have_metadata_and_doors() {
    let world = World::new(100);
    world.arrive(HERE, None);
    let machine =
        format!(r#"{{"id":"{HERE}","primaryIP":"10.0.0.1","metadata":{{"disk":"ssd"}},"version":"1"}}"#);
    assert_eq!(world.get("/machines"), (200, format!(r#"{{"machines":[{machine}]}}"#)));
    let body = format!(
        r#"[{{"op":"add","path":"/{HERE}/metadata/zone","value":"z1"}},{{"op":"remove","path":"/{HERE}/metadata/disk"}}]"#
    );
    assert_eq!(world.send("PATCH", "/machines", &body).0, 204);
    assert!(world.get("/machines").1.contains(r#""metadata":{"zone":"z1"}"#));
    let door = format!("/machines/{HERE}/admission");
    assert_eq!(world.send("PUT", &door, r#"{"admission":"drain"}"#).0, 204);
    assert!(world.get("/machines").1.contains(r#""admission":"drain""#));
    assert_eq!(world.send("PUT", &door, r#"{"admission":"open"}"#).0, 204);
    assert!(!world.get("/machines").1.contains("admission"));
    assert_eq!(world.send("PUT", &door, r#"{"admission":"shut"}"#).0, 400);
    assert_eq!(world.send("PUT", &format!("/machines/{THERE}/admission"), r#"{"admission":"drain"}"#).0, 404);
    let refused = world.message(world.send("POST", &format!("/machines/{HERE}/gone"), ""));
    assert!(refused.contains("is there"), "{refused}");
    assert_eq!(world.send("POST", &format!("/machines/{THERE}/gone"), "").0, 204);
}

#[test]
fn journals_are_read_where_the_unit_is() {
    let world = World::new(100);
    let get = |path: &str| now(world.api.handle(Request::get(&format!("/fleet/v1/units/{path}"), "")));
    assert_eq!(get("a.service/journal").status, 404);
    assert_eq!(world.submit("a.service", SLEEP), 201);
    assert_eq!(get("a.service/status").status, 409);
    world.say("a.service", HERE, true);
    let status = get("a.service/status");
    assert_eq!((status.status, status.text()), (200, "a.service"));
    assert_eq!(status.headers, [("fleet-exit-code", "3".to_string())]);
    let journal = Request::get("/fleet/v1/units/a.service/journal", "lines=5&follow=true&output=cat");
    let Body::Stream(mut lines, _) = now(world.api.handle(journal)).body else {
        panic!("a stream was expected")
    };
    assert_eq!(now(lines.next()).unwrap(), b"a.service 5 true cat");
    assert_eq!(world.get("/units/a.service/journal?output=--user").0, 400);

    assert_eq!(world.submit("b.service", SLEEP), 201);
    world.say("b.service", THERE, true);
    world.arrive(THERE, None);
    let refused = get("b.service/journal");
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains(&format!(r#""machineID":"{THERE}""#)) && refused.text().contains("10.0.0.1")
    );
    world.arrive(THERE, Some("http://10.0.0.1:49153"));
    assert_eq!(get("b.service/status").text(), "http://10.0.0.1:49153/fleet/v1/units/b.service/status?");
    // Of a unit with copies on several machines the one here is meant, if there is one.
    world.say("a.service", THERE, true);
    assert_eq!(get("a.service/status").text(), "a.service");
    world.say("b.service", "c", true);
    let which = world.get("/units/b.service/status");
    assert_eq!(which.0, 400);
    assert!(which.1.contains(THERE));
}

#[test]
fn a_restart_is_asked_of_what_is_launched() {
    let world = World::new(100);
    assert_eq!(world.send("POST", "/units/a.service/restart", "").0, 404);
    assert_eq!(world.submit("a.service", SLEEP), 201);
    assert_eq!(world.send("POST", "/units/a.service/restart", "").0, 409);
    assert_eq!(world.send("PUT", "/units/a.service", r#"{"desiredState":"launched"}"#).0, 204);
    assert_eq!(world.send("POST", "/units/a.service/restart", "").0, 204);
    let name = UnitName::parse("a.service").unwrap();
    assert_eq!(now(world.registry.unit(&name)).unwrap().unwrap().job.run, 1);
}

#[test]
fn events_tell_what_changes() {
    let world = World::new(100);
    let response = now(world.api.handle(Request::get("/fleet/v1/events", "")));
    let Body::Stream(mut lines, kind) = response.body else { panic!("a stream was expected") };
    assert_eq!(kind, "application/x-ndjson");
    assert!(now(lines.next()).unwrap().starts_with(br#"{"revision":"#));
    assert!(lines.next().now_or_never().is_none());
    let file = UnitFile::parse("[Service]\nExecStart=/bin/true\n").unwrap();
    let name = UnitName::parse("a.service").unwrap();
    now(world.registry.put_job(&name, file.hash(), &file.text(), Some(crate::model::DesiredState::Loaded)))
        .unwrap();
    let told = String::from_utf8(now(lines.next()).unwrap()).unwrap();
    assert!(told.contains(r#""desiredState":"loaded""#) && told.contains(r#""unit":"a.service""#), "{told}");
    assert_eq!(world.get("/events?from=x").0, 400);
    world.link.cut();
    assert!(String::from_utf8(now(lines.next()).unwrap()).unwrap().contains(r#""type":"lost""#));
    assert_eq!(now(lines.next()), None);
}

#[test]
fn event_streams_are_bounded() {
    let world = World::new(100);
    let open = || now(world.api.handle(Request::get("/fleet/v1/events", "")));
    let streams: Vec<Response> = (0..EVENT_STREAMS_MAX).map(|_| open()).collect();
    assert!(streams.iter().all(|stream| stream.status == 200));
    assert_eq!(open().status, 503);
    drop(streams);
    assert_eq!(open().status, 200);
}

#[test]
fn a_store_that_is_away_is_503() {
    let world = World::new(100);
    world.link.cut();
    for path in ["/units", "/units/a.service", "/state", "/machines", "/events"] {
        let answer = world.get(path);
        assert_eq!(answer.0, 503, "{path}");
        assert!(world.message(answer).starts_with("fleet server unable to communicate with etcd"), "{path}");
    }
    assert_eq!(world.get("/discovery").0, 200);
}

#[test]
fn why_tells_what_is_in_the_way() {
    let world = World::new(100);
    assert_eq!(world.get("/units/a.service/why").0, 404);
    world.arrive(HERE, None);
    let needs = r#"{"section":"X-Fleet","name":"MachineMetadata","value":"disk=tape"}"#;
    let body = format!(r#"{{"options":[{SLEEP},{needs}],"desiredState":"launched"}}"#);
    assert_eq!(world.send("PUT", "/units/a.service", &body).0, 201);
    let (status, text) = world.get("/units/a.service/why");
    assert!(
        status == 200 && text.contains("disk=tape") && text.contains(r#""standing":"unplaceable""#),
        "{text}"
    );
    assert_eq!(
        world
            .send("PUT", "/units/b.service", &format!(r#"{{"options":[{SLEEP}],"desiredState":"launched"}}"#))
            .0,
        201
    );
    assert!(world.get("/units/b.service/why").1.contains(r#""standing":"placeable""#));
}

#[test]
fn a_text_that_cannot_be_followed_is_told_of() {
    let world = World::new(100);
    world.arrive(HERE, None);
    let text = "[Service]\nExecStart=/bin/sleep 1\n[X-Fleet]\nPartition=perhaps\n";
    let (unit, file) = (UnitName::parse("a.service").unwrap(), UnitFile::parse(text).unwrap());
    now(world.registry.put_job(&unit, file.hash(), text, Some(DesiredState::Launched))).unwrap();
    for path in ["/units", "/units/a.service", "/units/a.service/why"] {
        let (status, answer) = world.get(path);
        assert!(status == 200 && answer.contains("line 4: [X-Fleet] Partition=perhaps"), "{path}: {answer}");
    }
    assert!(world.get("/units/a.service/why").1.contains(r#""standing":"unreadable""#));
}

#[test]
fn a_plan_tells_and_changes_nothing() {
    let world = World::new(100);
    world.arrive(HERE, None);
    let unit = |name: &str, option: &str| {
        format!(r#"{{"name":"{name}","options":[{option}],"desiredState":"launched"}}"#)
    };
    let never = r#"{"section":"X-Fleet","name":"MachineID","value":"nobody"}"#;
    let body = format!(r#"{{"units":[{},{}]}}"#, unit("a.service", SLEEP), unit("b.service", never));
    let before = world.kv.revision();
    let (status, text) = world.send("POST", "/plan", &body);
    assert_eq!((status, world.kv.revision()), (200, before));
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["steps"][0]["unit"], "a.service");
    assert_eq!((&plan["steps"][0]["action"], &plan["steps"][0]["machine"]), (&"start".into(), &HERE.into()));
    assert_eq!(plan["refused"][0][0], "b.service");
    assert_eq!(world.send("POST", "/plan", r#"{"removals":["no.service"]}"#).0, 404);
    assert_eq!(world.send("POST", "/plan", r#"{"units":[{"name":"a.service"}]}"#).0, 400);
    assert_eq!(world.send("POST", "/plan", "{}"), (200, r#"{"steps":[],"refused":[]}"#.into()));
}

#[test]
fn a_rebalance_is_tried_or_asked_for() {
    let world = World::new(100);
    world.arrive(HERE, None);
    for number in 0..4 {
        let name = format!("unit{number}.service");
        let body = format!(r#"{{"options":[{SLEEP}],"desiredState":"launched"}}"#);
        assert_eq!(world.send("PUT", &format!("/units/{name}"), &body).0, 201);
        let row = now(world.registry.unit(&UnitName::parse(&name).unwrap())).unwrap().unwrap();
        world.place(&name, HERE);
        world.kv.set(
            &format!("/fleet/agent/{HERE}/{name}"),
            &format!(r#"{{"hash":"{}","state":"launched"}}"#, row.hash),
        );
        world.say(&name, HERE, true);
    }
    assert_eq!(world.send("POST", "/rebalance", ""), (202, r#"{"moves":[]}"#.into()));
    world.arrive(THERE, None);
    let before = world.kv.revision();
    let dry =
        world.ask(Request { method: "POST".into(), ..Request::get("/fleet/v1/rebalance", "dryRun=true") });
    assert_eq!((dry.0, dry.1.matches(THERE).count(), world.kv.revision()), (200, 2, before), "{}", dry.1);
    assert_eq!(world.send("POST", "/rebalance", "").0, 202);
    assert!(world.kv.revision() > before);
    let (_, rollout) = world.get("/units/unit0.service/rollout");
    assert!(
        rollout.contains("0 of 1 copy runs the text that is wanted") && rollout.contains(r#""done":false"#),
        "{rollout}"
    );
}
