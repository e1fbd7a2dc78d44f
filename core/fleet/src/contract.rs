//! What the Systemd port promises, as code that runs against any implementation: `io-real` against real systemd, `io-sim`
//! against its model. Where the two worlds differ, one of them is wrong.
//!
//! The comments tell what systemd 252 was seen to do. The unit files use a small vocabulary, so that a model need not know more:
//! `ExecStart=` of `/bin/sleep N`, `/bin/true`, `/bin/false`, `/bin/sh -c 'exit 3'` and `/bin/sh -c 'sleep 1; exit 3'`;
//! `Type=simple` (the default) and `oneshot`; `RemainAfterExit=yes`, `Restart=always`, `RestartSec=`; in `[Unit]` `Requires=`
//! and `After=`; in `[Install]` `WantedBy=` and `Alias=`.
//!
//! Each case uses units of its own and takes them away again, so that all may run on one machine, one after the other.

use crate::model::SystemdState;
use crate::systemd::{Change, Changes, JobResult, Systemd, SystemdError};
use futures_util::future::{Either, join, join_all, select};
use kernel::{BoxFuture, Clock};
use std::sync::Arc;
use std::time::Duration;

/// Where a case plays.
#[derive(Clone)]
pub struct Stage {
    /// A machine whose systemd is up.
    pub systemd: Arc<dyn Systemd>,
    /// For deadlines and durations; about the machine's own pace.
    pub clock: Arc<dyn Clock>,
}

/// A case of this suite.
pub type Case = (&'static str, fn(Stage) -> BoxFuture<'static, ()>);

/// Every case.
pub const CASES: &[Case] = &[
    ("a unit lives: install, start, stop, uninstall", |stage| Box::pin(life(stage))),
    ("a file is found again as it was written", |stage| Box::pin(files_come_back(stage))),
    ("what is not there cannot start, and may be stopped", |stage| Box::pin(unknown_unit(stage))),
    ("a name that is no unit's is refused", |stage| Box::pin(bad_name(stage))),
    ("starting and stopping twice is fine", |stage| Box::pin(twice(stage))),
    ("a oneshot is started when it has ended", |stage| Box::pin(oneshot(stage))),
    ("a oneshot that fails fails its job", |stage| Box::pin(failing_oneshot(stage))),
    ("a service that fails at once is told", |stage| Box::pin(fails_at_once(stage))),
    ("a service that fails later is told", |stage| Box::pin(fails_later(stage))),
    ("a service that was killed is told", |stage| Box::pin(killed(stage))),
    ("Restart= brings a service back", |stage| Box::pin(restarted(stage))),
    ("a stop cancels a slow start", |stage| Box::pin(stop_cancels_start(stage))),
    ("a unit whose requirement fails ends with dependency", |stage| Box::pin(dependency(stage))),
    ("a changed file counts after a reload", |stage| Box::pin(changed_file(stage))),
    ("a bad unit file cannot start, and can be mended", |stage| Box::pin(bad_file(stage))),
    ("[Install] enables, and a bad one leaves nothing", |stage| Box::pin(install_section(stage))),
    ("uninstall leaves a running unit running", |stage| Box::pin(uninstall_while_running(stage))),
    ("a failed unit is remembered until it is reset", |stage| Box::pin(failed_is_remembered(stage))),
    ("each subscription hears of each unit", |stage| Box::pin(two_subscriptions(stage))),
    ("fifty units in one go", |stage| Box::pin(fifty(stage))),
    ("the machine is not going down", |stage| Box::pin(not_stopping(stage))),
];

/// Runs every case, one after the other, on one machine.
pub async fn suite(stage: Stage) {
    for (_name, case) in CASES {
        case(stage.clone()).await;
    }
}

/// How long a change may take to be told before a case gives up.
const PATIENCE: Duration = Duration::from_secs(15);

const RUNS: &str = "[Service]\nExecStart=/bin/sleep 1000\n";

impl Stage {
    async fn install(&self, name: &str, text: &str) {
        self.systemd.install(name, text).await.unwrap_or_else(|error| panic!("install {name}: {error}"));
    }

    async fn reload(&self) {
        self.systemd.reload().await.expect("reload");
    }

    async fn start(&self, name: &str) -> JobResult {
        self.systemd.start(name).await.unwrap_or_else(|error| panic!("start {name}: {error}"))
    }

    async fn stop(&self, name: &str) -> JobResult {
        self.systemd.stop(name).await.unwrap_or_else(|error| panic!("stop {name}: {error}"))
    }

    async fn state(&self, name: &str) -> SystemdState {
        let mut states = self.systemd.states(&[name.to_string()]).await.expect("states");
        let state = states.remove(name).unwrap_or_else(|| panic!("states leaves out {name}"));
        assert!(states.is_empty(), "states adds {states:?}");
        state
    }

    async fn is(&self, name: &str, load: &str, active: &str, sub: &str) {
        assert_eq!(self.state(name).await, SystemdState::new(load, active, sub), "{name}");
    }

    /// Waits until `name` is as said, and looks again only when a change is told: so the change must have been told.
    async fn becomes(&self, changes: &mut Box<dyn Changes>, name: &str, active: &str, sub: &str) {
        let deadline = self.clock.now() + PATIENCE;
        loop {
            let state = self.state(name).await;
            if (state.active.as_str(), state.sub.as_str()) == (active, sub) {
                return;
            }
            loop {
                let change = match select(changes.next(), self.clock.sleep_until(deadline)).await {
                    Either::Left((change, _)) => change,
                    Either::Right(_) => {
                        panic!("{name} is {state:?}; nobody said that it became {active}/{sub}")
                    }
                };
                if change == Change::Resync || change == Change::Unit(name.to_string()) {
                    break;
                }
            }
        }
    }

    /// Leaves no trace of these units, whatever state they are in.
    async fn clear(&self, names: &[&str]) {
        join_all(names.iter().map(|name| self.stop(name))).await;
        for name in names {
            self.systemd.uninstall(name).await.expect("uninstall");
        }
        self.reload().await;
        for name in names {
            self.systemd.reset_failed(name).await.expect("reset_failed");
            self.is(name, "not-found", "inactive", "dead").await;
        }
    }
}

async fn life(stage: Stage) {
    let name = "contract-life.service";
    stage.is(name, "not-found", "inactive", "dead").await;
    stage.install(name, RUNS).await;
    stage.reload().await;
    stage.is(name, "loaded", "inactive", "dead").await;
    assert_eq!(stage.start(name).await, JobResult::Done);
    // A simple service counts as started once its process is there.
    stage.is(name, "loaded", "active", "running").await;
    assert_eq!(stage.stop(name).await, JobResult::Done);
    stage.is(name, "loaded", "inactive", "dead").await;
    stage.systemd.uninstall(name).await.expect("uninstall");
    stage.reload().await;
    stage.is(name, "not-found", "inactive", "dead").await;
    // A new file can be started without a reload; only a changed one needs it.
    stage.install(name, RUNS).await;
    assert_eq!(stage.start(name).await, JobResult::Done);
    stage.clear(&[name]).await;
}

async fn files_come_back(stage: Stage) {
    let (one, two) = ("contract-files@1.service", "contract-files.timer");
    let text = "[Unit]\nDescription=ä, \t and no newline at the end \n\n[Service]\nExecStart=/bin/true";
    let before = stage.systemd.installed().await.expect("installed");
    assert!(!before.contains_key(one) && !before.contains_key(two), "a clean machine: {before:?}");
    stage.install(one, text).await;
    stage.install(two, "[Timer]\nOnActiveSec=1000\n").await;
    stage.install(one, text).await;
    let mut after = stage.systemd.installed().await.expect("installed");
    assert_eq!(after.remove(one).as_deref(), Some(text), "not a byte is changed");
    assert_eq!(after.remove(two).as_deref(), Some("[Timer]\nOnActiveSec=1000\n"));
    assert_eq!(after, before, "and nothing else is touched");
    stage.install(one, RUNS).await;
    let replaced = stage.systemd.installed().await.expect("installed");
    assert_eq!(replaced.get(one).map(String::as_str), Some(RUNS));
    for _ in 0..2 {
        stage.systemd.uninstall(one).await.expect("uninstalling twice is fine");
        stage.systemd.uninstall(two).await.expect("uninstalling twice is fine");
    }
    assert_eq!(stage.systemd.installed().await.expect("installed"), before);
    stage.clear(&[one, two]).await;
}

async fn unknown_unit(stage: Stage) {
    let name = "contract-nobody.service";
    let error = stage.systemd.start(name).await.expect_err("nothing to start");
    assert!(matches!(error, SystemdError::NoSuchUnit(_)), "{error:?}");
    assert_eq!(stage.stop(name).await, JobResult::Done);
    stage.systemd.kill(name).await.expect("nothing to kill is fine");
    stage.systemd.reset_failed(name).await.expect("nothing to reset is fine");
    stage.systemd.uninstall(name).await.expect("nothing to uninstall is fine");
    stage.is(name, "not-found", "inactive", "dead").await;
    assert!(stage.systemd.states(&[]).await.expect("states of nobody").is_empty());
}

async fn bad_name(stage: Stage) {
    let before = stage.systemd.installed().await.expect("installed");
    for name in
        ["", "contract", "contract.nokind", "../contract.service", "a/contract.service", "con tract.service"]
    {
        let error = stage.systemd.install(name, RUNS).await.expect_err("no unit is called so");
        assert!(matches!(error, SystemdError::Refused(_)), "{name:?}: {error:?}");
    }
    assert_eq!(stage.systemd.installed().await.expect("installed"), before);
}

async fn twice(stage: Stage) {
    let name = "contract-twice.service";
    stage.install(name, RUNS).await;
    assert_eq!(stage.start(name).await, JobResult::Done);
    assert_eq!(stage.start(name).await, JobResult::Done);
    stage.is(name, "loaded", "active", "running").await;
    // Two at the same time share one job, or the second finds the work done.
    let (one, other) = join(stage.stop(name), stage.stop(name)).await;
    assert_eq!((one, other), (JobResult::Done, JobResult::Done));
    assert_eq!(stage.stop(name).await, JobResult::Done);
    let (one, other) = join(stage.start(name), stage.start(name)).await;
    assert_eq!((one, other), (JobResult::Done, JobResult::Done));
    stage.is(name, "loaded", "active", "running").await;
    stage.clear(&[name]).await;
}

async fn oneshot(stage: Stage) {
    let (slow, stays) = ("contract-slow.service", "contract-stays.service");
    stage.install(slow, "[Service]\nType=oneshot\nExecStart=/bin/sleep 1\n").await;
    stage.install(stays, "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n").await;
    let mut changes = stage.systemd.changes();
    let begin = stage.clock.now();
    let watch = stage.becomes(&mut changes, slow, "activating", "start");
    let (result, ()) = join(stage.start(slow), watch).await;
    let took = stage.clock.now() - begin;
    assert_eq!(result, JobResult::Done);
    // Some slack, for a clock that is not quite the machine's.
    assert!(took >= Duration::from_millis(900), "ready only when the process has ended, not after {took:?}");
    stage.becomes(&mut changes, slow, "inactive", "dead").await;
    assert_eq!(stage.start(stays).await, JobResult::Done);
    stage.becomes(&mut changes, stays, "active", "exited").await;
    // It counts as running: another start does nothing.
    assert_eq!(stage.start(stays).await, JobResult::Done);
    stage.is(stays, "loaded", "active", "exited").await;
    stage.clear(&[slow, stays]).await;
}

async fn failing_oneshot(stage: Stage) {
    let name = "contract-false.service";
    stage.install(name, "[Service]\nType=oneshot\nExecStart=/bin/false\n").await;
    let mut changes = stage.systemd.changes();
    assert_eq!(stage.start(name).await, JobResult::Failed);
    stage.becomes(&mut changes, name, "failed", "failed").await;
    // Failed is at rest: a stop has nothing to do, and does not make it forget.
    assert_eq!(stage.stop(name).await, JobResult::Done);
    stage.is(name, "loaded", "failed", "failed").await;
    stage.systemd.reset_failed(name).await.expect("reset_failed");
    stage.is(name, "loaded", "inactive", "dead").await;
    assert_eq!(stage.start(name).await, JobResult::Failed);
    stage.clear(&[name]).await;
}

async fn fails_at_once(stage: Stage) {
    let name = "contract-exit.service";
    stage.install(name, "[Service]\nExecStart=/bin/sh -c 'exit 3'\n").await;
    let mut changes = stage.systemd.changes();
    // The job only says that the process was started.
    assert_eq!(stage.start(name).await, JobResult::Done);
    stage.becomes(&mut changes, name, "failed", "failed").await;
    stage.clear(&[name]).await;
}

async fn fails_later(stage: Stage) {
    let (fails, ends) = ("contract-later.service", "contract-ends.service");
    stage.install(fails, "[Service]\nExecStart=/bin/sh -c 'sleep 1; exit 3'\n").await;
    stage.install(ends, "[Service]\nExecStart=/bin/sleep 1\n").await;
    let mut changes = stage.systemd.changes();
    assert_eq!(join(stage.start(fails), stage.start(ends)).await, (JobResult::Done, JobResult::Done));
    stage.is(fails, "loaded", "active", "running").await;
    stage.becomes(&mut changes, fails, "failed", "failed").await;
    // A subscription of its own: the wait above may have passed over the news of this one.
    let mut changes = stage.systemd.changes();
    stage.becomes(&mut changes, ends, "inactive", "dead").await;
    stage.clear(&[fails, ends]).await;
}

async fn killed(stage: Stage) {
    let name = "contract-killed.service";
    stage.install(name, RUNS).await;
    assert_eq!(stage.start(name).await, JobResult::Done);
    let mut changes = stage.systemd.changes();
    stage.systemd.kill(name).await.expect("kill");
    stage.becomes(&mut changes, name, "failed", "failed").await;
    stage.systemd.kill(name).await.expect("there is nobody to kill, which is fine");
    assert_eq!(stage.start(name).await, JobResult::Done);
    stage.is(name, "loaded", "active", "running").await;
    stage.clear(&[name]).await;
}

async fn restarted(stage: Stage) {
    let name = "contract-restart.service";
    stage.install(name, "[Service]\nExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=1\n").await;
    assert_eq!(stage.start(name).await, JobResult::Done);
    let mut changes = stage.systemd.changes();
    stage.systemd.kill(name).await.expect("kill");
    stage.becomes(&mut changes, name, "activating", "auto-restart").await;
    stage.becomes(&mut changes, name, "active", "running").await;
    stage.systemd.kill(name).await.expect("kill");
    stage.becomes(&mut changes, name, "activating", "auto-restart").await;
    // A stop while it waits for its restart ends the waiting; it is not failed then.
    assert_eq!(stage.stop(name).await, JobResult::Done);
    stage.is(name, "loaded", "inactive", "dead").await;
    stage.clear(&[name]).await;
}

async fn stop_cancels_start(stage: Stage) {
    let name = "contract-cancel.service";
    stage.install(name, "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n").await;
    let mut changes = stage.systemd.changes();
    let stop = async {
        stage.becomes(&mut changes, name, "activating", "start").await;
        stage.stop(name).await
    };
    assert_eq!(join(stage.start(name), stop).await, (JobResult::Canceled, JobResult::Done));
    // A oneshot that was ended by a signal before it was done has failed.
    stage.is(name, "loaded", "failed", "failed").await;
    stage.clear(&[name]).await;
}

async fn dependency(stage: Stage) {
    let (base, user) = ("contract-base.service", "contract-user.service");
    stage.install(base, "[Service]\nType=oneshot\nExecStart=/bin/false\n").await;
    let text = format!("[Unit]\nRequires={base}\nAfter={base}\n\n{RUNS}");
    stage.install(user, &text).await;
    assert_eq!(stage.start(user).await, JobResult::Dependency);
    stage.is(base, "loaded", "failed", "failed").await;
    stage.is(user, "loaded", "inactive", "dead").await;
    stage.clear(&[user, base]).await;
}

async fn changed_file(stage: Stage) {
    let name = "contract-changed.service";
    stage.install(name, RUNS).await;
    assert_eq!(stage.start(name).await, JobResult::Done);
    stage.install(name, "[Service]\nType=oneshot\nExecStart=/bin/false\n").await;
    stage.is(name, "loaded", "active", "running").await;
    stage.reload().await;
    // A reload disturbs nothing that runs, not even where the new text would not run.
    stage.is(name, "loaded", "active", "running").await;
    assert_eq!(stage.stop(name).await, JobResult::Done);
    assert_eq!(stage.start(name).await, JobResult::Failed, "the new text runs");
    stage.clear(&[name]).await;
}

async fn bad_file(stage: Stage) {
    // No ExecStart, a path that is not absolute, no unit file at all. Installing them is fine: systemd reads them later.
    for (name, text) in [
        ("contract-bad-1.service", "[Unit]\nDescription=empty\n"),
        ("contract-bad-2.service", "[Service]\nExecStart=bin/no\n"),
        ("contract-bad-3.service", "rubbish\n"),
    ] {
        stage.install(name, text).await;
        stage.reload().await;
        stage.is(name, "bad-setting", "inactive", "dead").await;
        let error = stage.systemd.start(name).await.expect_err("cannot start");
        assert!(matches!(error, SystemdError::Refused(_)), "{error:?}");
        assert_eq!(stage.stop(name).await, JobResult::Done);
        stage.install(name, RUNS).await;
        stage.reload().await;
        assert_eq!(stage.start(name).await, JobResult::Done, "mended");
        stage.clear(&[name]).await;
    }
}

async fn install_section(stage: Stage) {
    let (good, bad) = ("contract-install.service", "contract-alias.service");
    stage
        .install(good, "[Service]\nExecStart=/bin/sleep 1000\n\n[Install]\nWantedBy=multi-user.target\n")
        .await;
    assert_eq!(stage.start(good).await, JobResult::Done);
    stage.is(good, "loaded", "active", "running").await;
    // An alias must be of the unit's own kind: enabling fails, and the file is taken back.
    let text = "[Service]\nExecStart=/bin/true\n\n[Install]\nAlias=contract-alias.socket\n";
    let error = stage.systemd.install(bad, text).await.expect_err("cannot be enabled");
    assert!(matches!(error, SystemdError::Refused(_)), "{error:?}");
    assert!(!stage.systemd.installed().await.expect("installed").contains_key(bad));
    stage.reload().await;
    stage.is(bad, "not-found", "inactive", "dead").await;
    stage.clear(&[good]).await;
}

async fn uninstall_while_running(stage: Stage) {
    let name = "contract-orphan.service";
    stage.install(name, RUNS).await;
    assert_eq!(stage.start(name).await, JobResult::Done);
    stage.systemd.uninstall(name).await.expect("uninstall");
    stage.reload().await;
    // It runs without a file, and can still be stopped.
    stage.is(name, "not-found", "active", "running").await;
    assert_eq!(stage.stop(name).await, JobResult::Done);
    stage.is(name, "not-found", "inactive", "dead").await;
    let error = stage.systemd.start(name).await.expect_err("its file is gone");
    assert!(matches!(error, SystemdError::NoSuchUnit(_)), "{error:?}");
}

async fn failed_is_remembered(stage: Stage) {
    let name = "contract-failed.service";
    stage.install(name, "[Service]\nType=oneshot\nExecStart=/bin/false\n").await;
    assert_eq!(stage.start(name).await, JobResult::Failed);
    stage.systemd.uninstall(name).await.expect("uninstall");
    stage.reload().await;
    stage.is(name, "not-found", "failed", "failed").await;
    stage.systemd.reset_failed(name).await.expect("reset_failed");
    stage.is(name, "not-found", "inactive", "dead").await;
}

async fn two_subscriptions(stage: Stage) {
    let (one, other) = ("contract-hear-1.service", "contract-hear-2.service");
    for name in [one, other] {
        stage.install(name, "[Service]\nExecStart=/bin/sh -c 'sleep 1; exit 3'\n").await;
    }
    let (mut first, mut second) = (stage.systemd.changes(), stage.systemd.changes());
    assert_eq!(join(stage.start(one), stage.start(other)).await, (JobResult::Done, JobResult::Done));
    join(
        stage.becomes(&mut first, one, "failed", "failed"),
        stage.becomes(&mut second, other, "failed", "failed"),
    )
    .await;
    drop(first);
    // One that ends takes nothing from the others.
    stage.systemd.reset_failed(one).await.expect("reset_failed");
    stage.becomes(&mut second, one, "inactive", "dead").await;
    stage.clear(&[one, other]).await;
}

async fn fifty(stage: Stage) {
    let names: Vec<String> = (0..50).map(|number| format!("contract-many-{number}.service")).collect();
    join_all(names.iter().map(|name| stage.install(name, RUNS))).await;
    stage.reload().await;
    let results = join_all(names.iter().map(|name| stage.start(name))).await;
    assert!(results.iter().all(|result| *result == JobResult::Done), "{results:?}");
    let states = stage.systemd.states(&names).await.expect("states");
    assert_eq!(states.keys().collect::<Vec<_>>().len(), names.len());
    for name in &names {
        assert_eq!(states[name], SystemdState::new("loaded", "active", "running"), "{name}");
    }
    stage.clear(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

async fn not_stopping(stage: Stage) {
    assert_eq!(stage.systemd.stopping().await, Ok(false));
}
