//! Whatever somebody takes away by hand comes back within a second, on a machine that is not busy with all other tests.

use crate::stage::Stage;
use std::time::Duration;

/// How long a damage may last here: looking alone takes half a dozen processes each time.
const SOON: Duration = Duration::from_secs(3);

/// Between two damages, so that the next one finds a machine at rest.
const REST: Duration = Duration::from_secs(1);

const CONFIG: &str = r#"{"Network":"10.5.0.0/16","EnableNFTables":true,"Backend":{"Type":"vxlan"}}"#;

/// Everything that flannel made on a machine, as text: two equal texts are two equal tables.
fn snapshot(stage: &Stage, machine: usize) -> String {
    let shown: [&[&str]; 6] = [
        &["ip", "-d", "-o", "link", "show", "flannel.1"],
        &["ip", "-4", "-o", "address", "show", "dev", "flannel.1"],
        &["ip", "route", "show", "dev", "flannel.1"],
        &["ip", "-4", "neighbour", "show", "dev", "flannel.1", "nud", "permanent"],
        &["bridge", "fdb", "show", "dev", "flannel.1"],
        &["nft", "list", "ruleset"],
    ];
    let mut text = String::new();
    for argv in shown {
        let mut lines: Vec<String> = (stage.net.exec(machine, argv).unwrap_or_default().lines())
            // The number of a device that was made anew is another one, and counters count.
            .map(|line| line.split_once(": flannel.1").map_or(line, |(_, rest)| rest).trim_end().to_string())
            .collect();
        // Rules are in order, entries are not.
        if argv[0] != "nft" {
            lines.sort();
        }
        text += &format!("== {argv:?}\n{}\n", lines.join("\n"));
    }
    text
}

#[test]
fn any_entry_that_is_deleted_is_back_soon() {
    let Some(mut stage) = Stage::up(2, CONFIG) else { return };
    stage.start_all(&["--iface=eth0", "--ip-masq"]);
    (0..2).for_each(|machine| stage.container(machine));
    stage.until("0 reaches 1", || stage.reaches(0, 1) && stage.reaches(1, 0));
    let (own, peer) = (stage.subnet(0), stage.subnet(1));
    let mac = stage.list(1, &["ip", "-j", "link", "show", "flannel.1"])[0]["address"].clone();
    let mac = mac.as_str().expect("a MAC").to_string();
    let (route, base, address) = (format!("{peer}.0/24"), format!("{peer}.0"), format!("{own}.0/32"));
    let machine = stage.net.address(1);
    let mut damages: Vec<Vec<&str>> = vec![
        vec!["ip", "route", "delete", &route],
        vec!["ip", "neighbour", "delete", &base, "dev", "flannel.1"],
        vec!["bridge", "fdb", "delete", &mac, "dev", "flannel.1", "dst", &machine, "self"],
        vec!["ip", "address", "delete", &address, "dev", "flannel.1"],
        vec!["ip", "link", "set", "flannel.1", "down"],
        vec!["ip", "link", "set", "flannel.1", "mtu", "1200"],
        vec!["ip", "route", "replace", &route, "dev", "eth0"],
        vec!["ip", "link", "delete", "flannel.1"],
    ];
    if stage.net.exec(0, &["nft", "--version"]).is_ok() {
        damages.push(vec!["nft", "flush", "chain", "ip", "flannel-ipv4", "postrtg"]);
        damages.push(vec!["nft", "delete", "table", "ip", "flannel-ipv4"]);
    } else {
        println!("nft is not installed: rules are not damaged");
    }
    let whole = snapshot(&stage, 0);
    assert!(whole.contains(&base) && whole.contains(&mac) && whole.contains(&address[..address.len() - 3]));
    for damage in damages {
        stage.run(0, &damage);
        let mut now = String::new();
        let took = stage.within(SOON, &format!("{damage:?} is mended"), || {
            now = snapshot(&stage, 0);
            now == whole
        });
        println!("{damage:?}: mended after {took:?}");
        assert!(stage.reaches(0, 1), "{damage:?}");
        std::thread::sleep(REST);
    }
}
