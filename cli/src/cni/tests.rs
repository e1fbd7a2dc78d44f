//! The plugin against a delegate that is a script: it notes its order and its configuration, and answers as it is told.

use super::answer;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const ENV: &str =
    "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

/// A folder with subnet.env, the delegate `bridge` and the plugin's data.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Stage {
        let stage = Stage(tempfile::tempdir().expect("a folder"));
        fs::create_dir(stage.path("bin")).expect("a folder");
        fs::write(stage.path("subnet.env"), ENV).expect("a file");
        stage.delegate("echo '{\"cniVersion\":\"1.0.0\",\"ips\":[]}'");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the delegate does after it has noted what it was given.
    fn delegate(&self, then: &str) {
        let (order, config) = (self.path("order"), self.path("config"));
        let script = format!(
            "#!/bin/sh\necho \"$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME\" >> {}\ncat > {}\n{then}\n",
            order.display(),
            config.display()
        );
        // A new file each time: one that runs cannot be written to.
        let path = self.path("bin/bridge");
        let _ = fs::remove_file(&path);
        fs::write(&path, script).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn call(&self, command: &str, more: &Value) -> Result<String, Value> {
        self.call_for(command, "c1", more)
    }

    fn call_for(&self, command: &str, container: &str, more: &Value) -> Result<String, Value> {
        let mut config = json!({
            "cniVersion": "1.0.0", "name": "cbr0", "type": "flannel",
            "subnetFile": self.path("subnet.env"), "dataDir": self.path("data"),
        });
        for (name, value) in more.as_object().expect("an object") {
            config[name] = value.clone();
        }
        let bin = self.path("bin").display().to_string();
        let variables = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", container),
            ("CNI_NETNS", "/proc/1/ns/net"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", &bin),
        ];
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string()));
        match answer(&variables, config.to_string().as_bytes()) {
            Ok(text) => Ok(String::from_utf8(text).expect("text")),
            Err(text) => Err(serde_json::from_slice(&text).expect("an error in JSON")),
        }
    }

    fn given(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("config")).expect("the delegate ran")).expect("JSON")
    }

    fn orders(&self) -> String {
        fs::read_to_string(self.path("order")).unwrap_or_default()
    }
}

#[test]
fn add_gives_the_delegate_what_flannels_own_plugin_gives() {
    let stage = Stage::new();
    let printed = stage.call("ADD", &json!({})).unwrap();
    assert_eq!(printed, "{\"cniVersion\":\"1.0.0\",\"ips\":[]}\n");
    let expected = json!({
        "cniVersion": "1.0.0", "name": "cbr0", "type": "bridge", "isGateway": true, "ipMasq": false, "mtu": 1450,
        "ipam": {
            "type": "host-local", "ranges": [[{ "subnet": "10.5.72.0/24" }]], "routes": [{ "dst": "10.5.0.0/16" }],
        },
    });
    assert_eq!(stage.given(), expected);
    assert_eq!(stage.orders(), "ADD c1 eth0\n");
    let saved = stage.path("data/c1");
    assert_eq!(fs::metadata(&saved).unwrap().mode() & 0o777, 0o600);
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(saved).unwrap()).unwrap(), expected);
}

#[test]
fn what_the_configuration_says_stays() {
    let stage = Stage::new();
    fs::write(
        stage.path("subnet.env"),
        "FLANNEL_NETWORK=10.5.0.0/16,10.6.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_IPV6_NETWORK=fd00::/48\n\
         FLANNEL_IPV6_SUBNET=fd00:0:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n",
    )
    .unwrap();
    fs::copy(stage.path("bin/bridge"), stage.path("bin/ptp")).unwrap();
    let more = json!({
        "delegate": { "type": "ptp", "mtu": 1400, "hairpinMode": true },
        "ipam": { "type": "other", "routes": [{ "dst": "192.168.0.0/16" }] },
        "runtimeConfig": { "portMappings": [] },
    });
    stage.call("ADD", &more).unwrap();
    let expected = json!({
        "cniVersion": "1.0.0", "name": "cbr0", "type": "ptp", "ipMasq": true, "mtu": 1400, "hairpinMode": true,
        "runtimeConfig": { "portMappings": [] },
        "ipam": {
            "type": "other",
            "ranges": [[{ "subnet": "10.5.72.0/24" }], [{ "subnet": "fd00:0:0:1::/64" }]],
            "routes": [
                { "dst": "192.168.0.0/16" }, { "dst": "10.5.0.0/16" }, { "dst": "10.6.0.0/16" }, { "dst": "fd00::/48" },
            ],
        },
    });
    assert_eq!(stage.given(), expected);
}

#[test]
fn del_undoes_with_what_was_kept_and_may_come_twice() {
    let stage = Stage::new();
    stage.call("ADD", &json!({})).unwrap();
    fs::remove_file(stage.path("subnet.env")).unwrap();
    let added = stage.given();

    stage.delegate("echo '{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"busy\"}'; exit 1");
    let error = stage.call("DEL", &json!({})).unwrap_err();
    assert_eq!((&error["code"], &error["msg"]), (&json!(11), &json!("busy")));
    assert!(stage.path("data/c1").exists(), "it is needed again");

    stage.delegate("");
    assert_eq!(stage.call("DEL", &json!({ "delegate": { "type": "another" } })).unwrap(), "");
    assert_eq!(stage.given(), added);
    assert!(!stage.path("data/c1").exists());
    assert_eq!(stage.call("DEL", &json!({})).unwrap(), "");
    assert_eq!(stage.orders(), "ADD c1 eth0\nDEL c1 eth0\nDEL c1 eth0\n");
}

#[test]
fn a_kept_configuration_that_is_damaged_does_not_hold_the_container() {
    let stage = Stage::new();
    fs::create_dir(stage.path("data")).unwrap();
    fs::write(stage.path("data/c1"), "{").unwrap();
    assert_eq!(stage.call("DEL", &json!({})).unwrap(), "");
    assert_eq!((stage.orders().as_str(), stage.path("data/c1").exists()), ("", false));
}

#[test]
fn errors_are_told_in_cnis_form() {
    let stage = Stage::new();
    let refused = |more: Value| stage.call("ADD", &more).unwrap_err();
    let cases = [
        (json!({ "cniVersion": "9.0.0" }), 1, "incompatible CNI versions"),
        (json!({ "delegate": { "type": 1 } }), 7, "(string) 'type'"),
        (json!({ "delegate": { "name": "x" } }), 7, "'name'"),
        (json!({ "delegate": { "ipam": {} } }), 7, "'ipam'"),
        (json!({ "delegate": { "type": "../bridge" } }), 7, "../bridge"),
        (json!({ "delegate": { "type": "absent" } }), 999, "failed to find plugin \"absent\""),
        (json!({ "name": "a/b" }), 7, "a/b"),
        (json!({ "delegate": [] }), 6, "standard input"),
        (json!({ "subnetFile": "/nonexistent" }), 11, "open /nonexistent: no such file or directory"),
    ];
    for (more, code, text) in cases {
        let error = refused(more.clone());
        assert_eq!(error["code"], code, "{more}: {error}");
        assert!(error["msg"].as_str().unwrap().contains(text), "{more}: {error}");
    }
    fs::write(stage.path("subnet.env"), "FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_MTU=1450\n").unwrap();
    let error = refused(json!({}));
    assert!(error["msg"].as_str().unwrap().contains("missing FLANNEL_SUBNET, FLANNEL_IPMASQ"), "{error}");
    stage.delegate("echo oops >&2; exit 3");
    fs::write(stage.path("subnet.env"), ENV).unwrap();
    let error = refused(json!({}));
    assert_eq!((&error["code"], &error["details"]), (&json!(999), &json!("oops")));
}

#[test]
fn no_id_of_a_container_leads_out_of_the_folder() {
    let stage = Stage::new();
    for id in ["../c1", "", ".c1", "a/b"] {
        let error = stage.call_for("ADD", id, &json!({})).unwrap_err();
        assert_eq!(error["code"], 4, "{id:?}: {error}");
    }
    assert_eq!(stage.orders(), "");
}

#[test]
fn versions_status_check_and_collection() {
    let stage = Stage::new();
    let version: Value = serde_json::from_str(&stage.call("VERSION", &json!({})).unwrap()).unwrap();
    assert_eq!(version["cniVersion"], "1.0.0");
    assert!(version["supportedVersions"].as_array().unwrap().contains(&json!("1.1.0")));
    assert_eq!(stage.call("CHECK", &json!({})).unwrap(), "");
    assert_eq!(stage.call("NONSENSE", &json!({})).unwrap_err()["code"], 4);
    for (order, version) in [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "0.4.0")] {
        let error = stage.call(order, &json!({ "cniVersion": version })).unwrap_err();
        assert_eq!((&error["code"], &error["cniVersion"]), (&json!(1), &json!(version)), "{error}");
        assert!(error["msg"].as_str().unwrap().contains(order), "{error}");
    }
    let old: Value =
        serde_json::from_str(&stage.call("VERSION", &json!({ "cniVersion": "0.3.1" })).unwrap()).unwrap();
    assert_eq!(old["cniVersion"], "0.3.1");

    ["c1", "c2"].iter().for_each(|id| drop(stage.call_for("ADD", id, &json!({})).unwrap()));
    stage.call_for("ADD", "c3", &json!({ "name": "another" })).unwrap();
    let valid = json!([{ "containerID": "c2", "ifname": "eth0" }]);
    stage.call("GC", &json!({ "cniVersion": "1.1.0", "cni.dev/valid-attachments": valid.clone() })).unwrap();
    assert_eq!(stage.given()["cni.dev/valid-attachments"], valid);
    assert!(!stage.path("data/c1").exists());
    assert!(stage.path("data/c2").exists() && stage.path("data/c3").exists());

    stage.call("STATUS", &json!({ "cniVersion": "1.1.0" })).unwrap();
    assert!(stage.orders().ends_with("STATUS c1 eth0\n"), "{}", stage.orders());
    fs::remove_file(stage.path("subnet.env")).unwrap();
    assert_eq!(stage.call("STATUS", &json!({ "cniVersion": "1.1.0" })).unwrap_err()["code"], 50);
    assert!(Path::new(&stage.path("data")).exists());
}
