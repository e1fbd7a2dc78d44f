//! fleetctl with `--driver etcd`: no fleetd at all, the store alone.

use crate::common::{Cluster, Server, orlop};
use crate::fake::{Ran, ran};
use std::path::Path;
use std::process::Command;

/// Client port of the store's member.
const PORT: u16 = 24871;

fn fleetctl(dir: &Path, endpoint: &str, args: &[&str]) -> Ran {
    let mut command = Command::new(orlop());
    command.arg("fleetctl").args(args).args(["--driver", "etcd", "--endpoint", endpoint]).current_dir(dir);
    command.env_clear().env("HOME", dir);
    ran(command.output().expect("fleetctl runs"))
}

#[test]
fn the_store_alone_is_enough_to_say_what_is_wanted() {
    let cluster = Cluster::start(Server::Orlop, 1, PORT);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let endpoint = format!("http://{}", cluster.endpoint(0));
    let run = |args: &[&str]| fleetctl(dir.path(), &endpoint, args);
    // A comment, so that the text that comes back is the canonical one.
    std::fs::write(dir.path().join("a.service"), "# first\n[Service]\nExecStart=/bin/true\n")
        .expect("a file");
    let ran = run(&["submit", "a"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "Unit a.service inactive\n", ""));
    let ran = run(&["list-unit-files", "--no-legend", "--fields=unit,dstate,state,target"]);
    assert_eq!(ran.out, "a.service\tinactive\tinactive\t-\n");
    assert_eq!(run(&["cat", "a"]).out, "[Service]\nExecStart=/bin/true\n");
    let ran = run(&["start", "--no-block", "a"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "Triggered unit a.service start\n"));
    let ran = run(&["start", "--block-attempts=1", "a.service", "--output=json"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "the wish stands already: {ran:?}");
    assert_eq!(run(&["list-units", "--output=json"]).out, "[]\n");
    let ran = run(&["plan", "a"]);
    assert!(
        ran.code == 1 && ran.out.starts_with("a.service would be nowhere: "),
        "no machine is there: {ran:?}"
    );
    assert!(run(&["plan", "--destroy", "a"]).out.contains("Nothing would change."), "it is on no machine");
    let ran = run(&["why", "a"]);
    assert!(ran.code == 0 && ran.out.contains("machine"), "{ran:?}");
    let ran = run(&["why", "a", "--output", "json"]);
    let why: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(why["unit"], "a.service");
    let ran = run(&["rebalance", "--dry-run"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "Nothing to move.\n"));
    let ran = run(&["rollout", "a"]);
    assert!(ran.code == 0 && ran.out.starts_with("a.service: 0 of 0 "), "{ran:?}");
    let ran = run(&["restart", "a", "--no-block"]);
    assert!(ran.code == 1 && ran.err.contains("in state inactive"), "{ran:?}");
    let ran = run(&["declare-gone", "--yes", "0123456789abcdef0123456789abcdef"]);
    assert!(ran.code == 0 && ran.out.contains("declared gone"), "{ran:?}");
    let ran = run(&["status", "a"]);
    assert!(ran.code == 1 && ran.err.contains("does not appear to be loaded"), "{ran:?}");
    let ran = run(&["destroy", "*"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "Destroyed a.service\n"));
    assert_eq!(run(&["list-unit-files", "--no-legend"]).out, "");
    let ran = run(&["list-units", "--tunnel", "h"]);
    assert!(ran.code == 2 && ran.err.contains("--tunnel"), "{ran:?}");
}
