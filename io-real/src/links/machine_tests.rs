use super::{LocalMachine, expand, words};
use flannel::local::{Command, Local, OUTPUT_LIMIT};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn command(line: &str, stdin: &str) -> Command {
    Command {
        line: line.to_string(),
        env: env(&[("SUBNET", "10.5.1.0/24"), ("TWO", "a b")]),
        stdin: stdin.to_string(),
    }
}

#[test]
fn variables_are_replaced_within_words() {
    let env = env(&[("SUBNET", "10.5.1.0/24"), ("TWO", "a b")]);
    assert_eq!(
        words("ip  route\tadd $SUBNET via ${TWO}", &env),
        ["ip", "route", "add", "10.5.1.0/24", "via", "a b"]
    );
    assert_eq!(expand("x$SUBNET.y${TWO}z", &env), "x10.5.1.0/24.ya bz");
    assert_eq!(expand("$ORLOP_NO_SUCH_VARIABLE!$", &env), "!$");
}

#[tokio::test]
async fn commands_run_without_a_shell() {
    let machine = LocalMachine::new("/nowhere/subnet.env");
    assert_eq!(machine.run(&command("echo $SUBNET ; ${TWO}", "")).await.unwrap(), "10.5.1.0/24 ; a b\n");
    assert_eq!(machine.run(&command("cat", "told")).await.unwrap(), "told");
    assert_eq!(machine.run(&command("true", &"x".repeat(1 << 20))).await.unwrap(), "");
    let failed = machine.run(&command("ls /nowhere-at-all", "")).await.unwrap_err().to_string();
    assert!(failed.contains("ls /nowhere-at-all") && failed.contains("No such file"), "{failed}");
    let missing = machine.run(&command("no-such-program-here", "")).await.unwrap_err().to_string();
    assert!(missing.contains("cannot start"), "{missing}");
    assert!(machine.run(&command("  ", "")).await.unwrap_err().to_string().contains("no program"));
}

#[tokio::test]
async fn a_talkative_command_is_cut_and_does_not_hang() {
    let machine = LocalMachine::new("/nowhere/subnet.env");
    let output = machine.run(&command("head -c 1000000 /dev/zero", "")).await.unwrap();
    assert_eq!(output.len(), OUTPUT_LIMIT);
}

#[tokio::test]
async fn the_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/flannel/subnet.env");
    let machine = LocalMachine::new(&path);
    assert_eq!(machine.read_env().await.unwrap(), None);
    machine.write_env("FLANNEL_MTU=1450\n").await.unwrap();
    machine.write_env("FLANNEL_MTU=1400\n").await.unwrap();
    assert_eq!(machine.read_env().await.unwrap().as_deref(), Some("FLANNEL_MTU=1400\n"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let wrong = LocalMachine::new(folder.path().join("run")).read_env().await.unwrap_err().to_string();
    assert!(wrong.contains("run: cannot read"), "{wrong}");
}

#[tokio::test]
async fn a_key_is_drawn_once_and_kept_where_only_root_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/subnet.env");
    let machine = LocalMachine::new(&path);
    let key = machine.wireguard_key().await.unwrap();
    let file = folder.path().join("run/wgkey");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(LocalMachine::new(&path).wireguard_key().await.unwrap(), key);
    assert_eq!((key.0[0] & 7, key.0[31] & 0xc0), (0, 0x40), "as the kernel would make it");
    std::fs::remove_file(&file).unwrap();
    assert_ne!(machine.wireguard_key().await.unwrap(), key);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "hunter2").unwrap();
    let why = machine.wireguard_key().await.unwrap_err().to_string();
    assert!(why.contains("wgkey") && why.contains("wg genkey") && !why.contains("hunter2"), "{why}");
}
