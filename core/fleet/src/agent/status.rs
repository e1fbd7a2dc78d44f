//! What an agent says about itself to the people of its machine.

use super::mind::Mind;
use crate::reconcile::Step;
use crate::unit::UnitName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// An agent at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// What it is about, in a sentence.
    pub summary: String,
    /// Whether the machine is present in the cluster under a lease that certainly lives.
    pub present: bool,
    /// The lease, as etcd prints it; empty when there is none.
    pub lease: String,
    /// Units here, or on their way here or away.
    pub units: usize,
    /// Units with a job under way, and which.
    pub jobs: BTreeMap<UnitName, String>,
    /// Units with which something went wrong, and what.
    pub troubles: BTreeMap<UnitName, String>,
}

impl Mind {
    /// The agent's status.
    pub fn status(&self, now: Duration) -> AgentStatus {
        let job = |step: Step| step.as_str().to_owned();
        let jobs =
            self.units.iter().filter_map(|(name, unit)| Some((name.clone(), job(unit.job.as_ref()?.step))));
        let troubles = self.units.iter().filter_map(|(name, unit)| {
            let trouble = unit.trouble.as_ref()?;
            Some((name.clone(), format!("{}: {}", trouble.step.as_str(), trouble.error)))
        });
        AgentStatus {
            summary: self.summary(now),
            present: self.tenure.is_certain(now),
            lease: self.tenure.lease().map(|lease| format!("{lease:x}")).unwrap_or_default(),
            units: self.units.len(),
            jobs: jobs.collect(),
            troubles: troubles.collect(),
        }
    }

    fn summary(&self, now: Duration) -> String {
        if self.leaving.is_some() {
            return "ending".to_owned();
        }
        if !self.look.is_known_once() {
            return "waits for systemd: is its bus reachable?".to_owned();
        }
        match (&self.foreign, self.tenure.lease()) {
            (Some(_), _) => format!(
                "waits for another presence of machine {} to end: either this machine was booted anew a moment ago, or two \
                 machines have one /etc/machine-id, which one of them must change",
                self.config.machine.id
            ),
            (None, None) => "waits for the store: no lease could be had yet; units run on".to_owned(),
            (None, Some(_)) if !self.tenure.is_certain(now) => {
                "the store does not answer: units run on, nothing new begins".to_owned()
            }
            (None, Some(_)) if !self.orders.is_of(self.tenure.term()) => "reads its orders".to_owned(),
            (None, Some(_)) => "carries out its orders".to_owned(),
        }
    }
}
