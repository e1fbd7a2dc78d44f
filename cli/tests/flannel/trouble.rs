//! What goes wrong around a flanneld: the config, the store, the rights, a second daemon; and what it says of itself meanwhile.

use crate::stage::{PREFIX, Stage, program};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

const VXLAN: &str = r#"{"Network":"10.5.0.0/16","EnableNFTables":true,"Backend":{"Type":"vxlan"}}"#;
/// Where the pages are.
const PORT: u16 = 8471;

/// The status and the text of a page of a machine's flanneld.
fn page(stage: &Stage, machine: usize, path: &str) -> (u16, String) {
    let address = format!("{}:{PORT}", stage.net.address(machine));
    stage.net.inside(machine, || {
        let mut stream = TcpStream::connect(&address).expect("flanneld listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: flanneld\r\nConnection: close\r\n\r\n")
            .expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_string()))
    })
}

fn status(stage: &Stage, machine: usize) -> Value {
    serde_json::from_str(&page(stage, machine, "/status").1).expect("the status is JSON")
}

#[test]
fn a_config_that_is_missing_or_wrong_is_told_and_waited_for() {
    let Some(mut stage) = Stage::up(1, "") else { return };
    stage.start(0, &["--iface=eth0", &format!("--healthz-port={PORT}")]);
    stage.until("it says what is missing", || stage.log(0).contains("there is no network config"));
    assert!(stage.log(0).contains(&format!("{PREFIX}/config")), "{}", stage.log(0));
    assert_eq!(page(&stage, 0, "/healthz").0, 200);
    let (code, why) = page(&stage, 0, "/readyz");
    assert_eq!(code, 503);
    assert!(why.contains("network config"), "{why}");
    let wrong = [
        ("{", "is not JSON"),
        (r#"{"Backend":{"Type":"vxlan"}}"#, "Network: is missing"),
        (r#"{"Network":"10.5.0.0/16","SubnetLen":31}"#, "SubnetLen 31: must be 30 or less"),
        (r#"{"Network":"10.5.0.0/16","SubnetMin":"10.6.0.0"}"#, "SubnetMin 10.6.0.0: is not in the network"),
        (r#"{"Network":"10.5.0.0/16","Backend":{"Type":"ipsec"}}"#, "Backend.Type \"ipsec\""),
        (r#"{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":"1"}}"#, "VNI \"1\""),
    ];
    for (config, said) in wrong {
        stage.put("config", config);
        stage.until(&format!("{config} is refused"), || stage.log(0).contains(said));
    }
    stage.put("config", VXLAN);
    stage.until("it is ready", || page(&stage, 0, "/readyz").0 == 200);
    assert_eq!(status(&stage, 0)["agent"]["ready"], true);
}

#[test]
fn a_config_that_changes_is_followed_or_refused_in_one_line() {
    let Some(mut stage) = Stage::up(1, VXLAN) else { return };
    stage.start(0, &["--iface=eth0", &format!("--healthz-port={PORT}")]);
    let subnet = stage.subnet(0);
    let with = |more: &str| {
        format!(r#"{{"Network":"10.5.0.0/16","EnableNFTables":true,"Backend":{{"Type":"vxlan"{more}}}}}"#)
    };
    stage.put("config", &with(r#","MTU":1400"#));
    stage.until("the MTU is followed", || {
        let link = stage.run(0, &["ip", "link", "show", "flannel.1"]);
        link.contains("mtu 1350") && stage.env(0).contains("FLANNEL_MTU=1350")
    });
    for (config, field) in [
        (with(r#","VNI":7"#), "VNI"),
        (with(r#","Port":4789"#), "Port"),
        (r#"{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}"#.to_string(), "Backend.Type"),
        (r#"{"Network":"10.6.0.0/16","Backend":{"Type":"vxlan"}}"#.to_string(), "Network"),
    ] {
        stage.put("config", &config);
        let refused =
            || status(&stage, 0)["agent"]["config_refused"].as_str().unwrap_or_default().to_string();
        stage.until(&format!("{config} is refused"), || refused().starts_with(field));
        assert!(refused().contains("restart") && !refused().contains('\n'), "{}", refused());
        assert!(stage.log(0).contains(&refused()), "{}", stage.log(0));
    }
    stage.etcdctl(&["del", &format!("{PREFIX}/config")]).expect("a delete");
    stage.until("the loss is told", || stage.log(0).contains("the network config was deleted"));
    stage.put("config", VXLAN);
    stage.until("the first config is in force", || {
        status(&stage, 0)["agent"]["config_refused"].is_null() && stage.env(0).contains("FLANNEL_MTU=1450")
    });
    assert_eq!(stage.subnet(0), subnet);
}

#[test]
fn packets_go_on_while_the_store_is_away_and_repairs_too() {
    let Some(mut stage) = Stage::up_with_three(3, VXLAN) else { return };
    stage.start_all(&["--iface=eth0"]);
    (0..3).for_each(|machine| stage.container(machine));
    stage.until("0 reaches 1 and 2", || stage.reaches(0, 1) && stage.reaches(0, 2));
    // One of three is no loss: a peer that comes then is served.
    stage.store.kill_member(0);
    stage.put(
        "subnets/10.5.200.0-24",
        r#"{"PublicIP":"172.31.0.2","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:01"}}"#,
    );
    let served =
        |machine: usize| stage.run(machine, &["ip", "route", "show", "10.5.200.0/24"]).contains("flannel.1");
    stage.until("all serve the peer", || (0..3).all(served));
    stage.store.kill_member(1);
    stage.store.kill_member(2);
    let route = format!("{}.0/24", stage.subnet(1));
    stage.run(0, &["ip", "route", "delete", &route]);
    stage.until("the route is back", || stage.run(0, &["ip", "route", "show", &route]).contains("flannel.1"));
    assert!(stage.reaches(0, 1) && stage.reaches(1, 2) && stage.reaches(2, 0));
    let Stage { net, store, .. } = &mut stage;
    (0..3).for_each(|member| store.start_member(net, member));
    stage.until("the store answers", || stage.etcdctl(&["endpoint", "health"]).is_ok());
    stage.etcdctl(&["del", &format!("{PREFIX}/subnets/10.5.200.0-24")]).expect("a delete");
    stage.until("all hear of it", || {
        let gone = |machine: usize| stage.run(machine, &["ip", "route", "show", "10.5.200.0/24"]).is_empty();
        (0..3).all(gone)
    });
    assert!(stage.reaches(0, 1) && stage.reaches(1, 2) && stage.reaches(2, 0));
}

#[test]
fn it_shows_itself_and_refuses_a_second_one() {
    let Some(mut stage) = Stage::up(2, VXLAN) else { return };
    stage.start_all(&["--iface=eth0", &format!("--healthz-port={PORT}")]);
    stage.until("it is ready", || page(&stage, 0, "/readyz").0 == 200);
    stage.until("it serves the other", || {
        let metrics = page(&stage, 0, "/metrics").1;
        ["flannel_ready 1", "flannel_peers 1"].iter().all(|line| metrics.lines().any(|other| other == *line))
    });
    let agent = status(&stage, 0)["agent"].clone();
    assert_eq!(agent["external"]["public"][0], "192.168.99.1");
    assert_eq!(agent["devices"][0]["name"], "flannel.1");
    assert_eq!(agent["rules"], "nftables");
    let mut second = stage.net.command(0, program());
    second.arg("flanneld").arg(format!("--etcd-endpoints={}", stage.store.endpoints()));
    let output = second.output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another flanneld"), "{said}");
}
