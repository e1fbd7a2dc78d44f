//! The discovery document: the API described for machines, in the shape that Google's client generators read.
//!
//! fleet's own methods have fleet's names; what was added since stands beside them.

use serde_json::{Map, Value, json};

/// The document. Its `rootUrl` is a placeholder, as in fleet: a server behind a socket does not know its own name.
pub fn document() -> Value {
    json!({
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "fleet:v1",
        "name": "schema",
        "version": "v1",
        "title": "fleet API",
        "description": "",
        "documentationLink": "http://github.com/coreos/fleet",
        "protocol": "rest",
        "icons": { "x16": "", "x32": "" },
        "labels": [],
        "baseUrl": "$ENDPOINT/fleet/v1/",
        "basePath": "/fleet/v1/",
        "rootUrl": "$ENDPOINT/",
        "servicePath": "fleet/v1/",
        "batchPath": "batch",
        "parameters": {},
        "auth": {},
        "schemas": schemas(),
        "resources": resources(),
    })
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let list = |of: &str| json!({ "type": "array", "items": { "$ref": of } });
    let states = json!({ "type": "string", "enum": ["inactive", "loaded", "launched"] });
    let entries = [
        ("UnitOption", json!({ "section": text(), "name": text(), "value": text() })),
        (
            "Unit",
            json!({
                "name": text(), "options": list("UnitOption"), "currentState": states, "desiredState": states,
                "machineID": { "type": "string", "required": true },
            }),
        ),
        ("UnitPage", json!({ "units": list("Unit"), "nextPageToken": text() })),
        (
            "UnitState",
            json!({
                "name": text(), "hash": text(), "machineID": text(), "systemdLoadState": text(),
                "systemdActiveState": text(), "systemdSubState": text(), "error": text(),
            }),
        ),
        ("UnitStatePage", json!({ "states": list("UnitState"), "nextPageToken": text() })),
        (
            "Machine",
            json!({
                "id": { "type": "string", "required": true }, "primaryIP": text(),
                "metadata": { "type": "object", "additionalProperties": text() },
                "admission": { "type": "string", "enum": ["open", "cordon", "drain"] },
                "leaving": { "type": "boolean" },
                "version": text(), "api": text(),
                "capacity": { "type": "object" },
            }),
        ),
        ("MachinePage", json!({ "machines": list("Machine"), "nextPageToken": text() })),
        ("Plan", json!({ "units": list("Unit"), "removals": { "type": "array", "items": text() } })),
        ("Admission", json!({ "admission": { "type": "string", "enum": ["open", "cordon", "drain"] } })),
    ];
    let schema = |(name, properties): (&str, Value)| {
        (name.to_string(), json!({ "id": name, "type": "object", "properties": properties }))
    };
    Value::Object(entries.into_iter().map(schema).collect())
}

/// One method: its name, HTTP's verb, the path with its variables, what goes in and what comes out, query parameters.
struct Method(&'static str, &'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const UNITS: &[Method] = &[
    Method("List", "GET", "units", "", "UnitPage", &["nextPageToken"]),
    Method("Get", "GET", "units/{unitName}", "", "Unit", &[]),
    Method("Set", "PUT", "units/{unitName}", "Unit", "", &[]),
    Method("Delete", "DELETE", "units/{unitName}", "", "", &[]),
    Method("Why", "GET", "units/{unitName}/why", "", "", &[]),
    Method("Restart", "POST", "units/{unitName}/restart", "", "", &[]),
    Method("Rollout", "GET", "units/{unitName}/rollout", "", "", &[]),
    Method("Journal", "GET", "units/{unitName}/journal", "", "", &["lines", "follow", "output", "machineID"]),
    Method("Status", "GET", "units/{unitName}/status", "", "", &["machineID"]),
];

const STATES: &[Method] = &[
    Method("List", "GET", "state", "", "UnitStatePage", &["nextPageToken", "machineID", "unitName"]),
    Method("Get", "GET", "state/{unitName}", "", "UnitState", &["machineID"]),
];

const MACHINES: &[Method] = &[
    Method("List", "GET", "machines", "", "MachinePage", &["nextPageToken"]),
    Method("Patch", "PATCH", "machines", "", "", &[]),
    Method("SetAdmission", "PUT", "machines/{machineID}/admission", "Admission", "", &[]),
    Method("DeclareGone", "POST", "machines/{machineID}/gone", "", "", &[]),
];

const CLUSTER: &[Method] = &[
    Method("Plan", "POST", "plan", "Plan", "", &[]),
    Method("Rebalance", "POST", "rebalance", "", "", &["dryRun"]),
    Method("Events", "GET", "events", "", "", &["from"]),
];

fn resources() -> Value {
    json!({
        "Units": { "methods": methods("Unit", UNITS) },
        "UnitState": { "methods": methods("UnitState", STATES) },
        "Machines": { "methods": methods("Machine", MACHINES) },
        "Cluster": { "methods": methods("Cluster", CLUSTER) },
    })
}

fn methods(of: &str, methods: &[Method]) -> Map<String, Value> {
    methods.iter().map(|method| (method.0.to_string(), describe(of, method))).collect()
}

fn describe(of: &str, Method(name, verb, path, takes, gives, query): &Method) -> Value {
    let mut parameters = Map::new();
    let mut order = Vec::new();
    for variable in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        parameters.insert(variable.into(), json!({ "type": "string", "location": "path", "required": true }));
        order.push(variable);
    }
    for name in *query {
        parameters.insert(name.to_string(), json!({ "type": "string", "location": "query" }));
    }
    let mut method = Map::new();
    method.insert("id".into(), json!(format!("fleet.{of}.{name}")));
    method.insert("description".into(), json!(""));
    method.insert("httpMethod".into(), json!(verb));
    method.insert("path".into(), json!(path));
    if !parameters.is_empty() {
        method.insert("parameters".into(), Value::Object(parameters));
        method.insert("parameterOrder".into(), json!(order));
    }
    for (field, reference) in [("request", takes), ("response", gives)] {
        if !reference.is_empty() {
            method.insert(field.into(), json!({ "$ref": reference }));
        }
    }
    Value::Object(method)
}
