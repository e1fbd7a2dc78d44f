//! Once calm, what machines report is what is so.
//!
//! Verifies: for each order there is a report of that machine, and it says of the unit what the machine's systemd says: active,
//! inactive, failed or on its way; and no machine reports a unit for which it has no order. Does not verify: the words of
//! errors; nor the truth of reports in a run whose store was in trouble. There, a report whose outcome was unknown may be held by
//! a member that stands still, and land behind the newer one that its agent wrote through another: it then stays until
//! the unit changes again. (An agent that compared the revision of what it replaces would not be overtaken.)

use super::Seen;
use crate::checkers::{Checked, ensure};
use crate::fleet::plan::{machine_id, unit_name};

const NAME: &str = "fleet-reports";

/// Checks every order and every report.
pub fn check(seen: &Seen) -> Checked {
    let machines = seen.plan.all_machines().filter(|_| seen.store_troubles.is_empty());
    for machine in machines {
        for unit in seen.ordered_on(machine) {
            let key = (unit_name(*unit), machine_id(machine));
            let said = seen.registry.reports.get(&key).map(|report| report.value.state.active.as_str());
            let is = seen.states.get(&(machine, *unit)).map_or("inactive", |state| state.active.as_str());
            ensure(said == Some(is), NAME, "report-is-true", || {
                format!("u{unit} on machine {machine} is {is}, and is reported as {said:?}")
            })?;
        }
    }
    let unordered = seen.registry.reports.keys().find(|key| !seen.registry.orders.contains_key(key));
    ensure(unordered.is_none(), NAME, "let-go", || format!("{unordered:?} is reported without an order"))
}
