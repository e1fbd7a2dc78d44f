//! Whatever happens: no unit is installed or started without a claim, and in calm all is as it was ordered.

use super::machine::*;
use crate::agent::Ending;
use crate::model::DesiredState;
use crate::unit::UnitFile;
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::collections::BTreeMap;
use std::time::Duration;

const UNITS: [&str; 3] = ["a.service", "b.service", "c.service"];
const TEXTS: [&str; 3] = [
    "[Service]\nExecStart=/bin/sleep 1000\n",
    "[Service]\nExecStart=/bin/sleep 2000\n",
    "[Service]\nExecStart=/bin/sleep 3000\n[X-Fleet]\nPartition=stop\nStopGrace=2\n",
];
/// Longer than any pause, and any ending, of the agent.
const CALM: u64 = 200;

#[derive(Clone, Debug)]
enum Happening {
    Order { unit: usize, text: usize, launched: bool, run: u64 },
    Unorder(usize),
    Crash { away: u64 },
    Leave { away: u64 },
    Reboot,
    Cut,
    Mend,
    LoseAnswers(u64),
    Fails(usize),
    Refused(usize, bool),
    Stubborn(usize, bool),
    Slow(usize, u64),
    Bus(bool),
    Wait(u64),
}

impl Arbitrary for Happening {
    fn arbitrary(g: &mut Gen) -> Happening {
        let number = |g: &mut Gen, below: u64| u64::arbitrary(g) % below;
        let unit = number(g, 3) as usize;
        match number(g, 20) {
            0..=4 => Happening::Order {
                unit,
                text: number(g, 3) as usize,
                launched: number(g, 4) > 0,
                run: number(g, 3),
            },
            5..=6 => Happening::Unorder(unit),
            7 => Happening::Crash { away: number(g, 6_000) },
            8 => Happening::Leave { away: number(g, 6_000) },
            9 => Happening::Reboot,
            10 => Happening::Cut,
            11 => Happening::Mend,
            12 => Happening::LoseAnswers(number(g, 4)),
            13 => Happening::Fails(unit),
            14 => Happening::Refused(unit, bool::arbitrary(g)),
            15 => Happening::Stubborn(unit, bool::arbitrary(g)),
            16 => Happening::Slow(unit, number(g, 5_000)),
            17 => Happening::Bus(bool::arbitrary(g)),
            _ => Happening::Wait(1 << number(g, 14)),
        }
    }
}

type Orders = BTreeMap<&'static str, (usize, bool)>;

fn happen(machine: &mut Machine1, orders: &mut Orders, happening: &Happening) {
    match *happening {
        Happening::Order { unit, text, launched, run } => {
            let state = if launched { DesiredState::Launched } else { DesiredState::Loaded };
            machine.order(UNITS[unit], TEXTS[text], state, run);
            orders.insert(UNITS[unit], (text, launched));
        }
        Happening::Unorder(unit) => {
            machine.unorder(UNITS[unit]);
            orders.remove(UNITS[unit]);
        }
        Happening::Crash { away } => {
            machine.crash();
            machine.room.run(Duration::from_millis(away));
            machine.boot();
        }
        Happening::Leave { away } => {
            machine.stop(Ending::Leave, Duration::from_secs(6));
            machine.room.run(Duration::from_millis(away));
            machine.boot();
        }
        Happening::Reboot => {
            machine.crash();
            machine.power_cycle();
            machine.boot();
        }
        Happening::Cut => machine.line.cut(),
        Happening::Mend => machine.line.mend(),
        Happening::LoseAnswers(count) => machine.line.lose_answers(count),
        Happening::Fails(unit) if machine.systemd.running().contains(&UNITS[unit].to_owned()) => {
            machine.systemd.set(UNITS[unit], "failed", "failed");
        }
        Happening::Fails(_) => {}
        Happening::Refused(unit, yes) => machine.systemd.refuse(UNITS[unit], yes),
        Happening::Stubborn(unit, yes) => machine.systemd.stubborn(UNITS[unit], yes),
        Happening::Slow(unit, millis) => machine.systemd.slow(UNITS[unit], Duration::from_millis(millis)),
        Happening::Bus(away) => bus(machine, away),
        Happening::Wait(millis) => machine.room.run(Duration::from_millis(millis)),
    }
}

fn bus(machine: &Machine1, away: bool) {
    machine.systemd.faults(|faults| faults.gone = away);
    if !away {
        machine.systemd.resync();
    }
}

fn calm_down(machine: &Machine1) {
    machine.line.mend();
    machine.line.lose_answers(0);
    bus(machine, false);
    for unit in UNITS {
        machine.systemd.refuse(unit, false);
        machine.systemd.stubborn(unit, false);
        machine.systemd.slow(unit, Duration::from_millis(1));
    }
    machine.wait(CALM);
}

fn tell(happenings: Vec<Happening>) {
    let mut machine = Machine1::new();
    machine.watch_claims();
    let mut orders = Orders::new();
    for happening in &happenings {
        happen(&mut machine, &mut orders, happening);
    }
    calm_down(&machine);
    let expected: BTreeMap<String, String> = orders
        .iter()
        .map(|(unit, (text, _))| ((*unit).to_owned(), UnitFile::parse(TEXTS[*text]).unwrap().text()))
        .collect();
    assert_eq!(machine.systemd.texts(), expected, "files");
    let reports = machine.reports();
    assert_eq!(reports.lines().count(), orders.len(), "{reports}");
    for (unit, (_, launched)) in &orders {
        let report = reports.lines().find(|line| line.starts_with(unit)).expect("each order has a report");
        // What has failed stays so until somebody acts.
        let fine = match launched {
            true => [format!("{unit} active/running launched"), format!("{unit} failed/failed launched")],
            false => [format!("{unit} inactive/dead"), format!("{unit} failed/failed")],
        };
        assert!(fine.iter().any(|start| report.starts_with(start.as_str())), "{report}: {orders:?}");
        assert!(!report.contains('('), "no trouble in calm: {report}");
    }
    let revision = machine.store.revision();
    machine.wait(CALM);
    assert_eq!(machine.store.revision(), revision, "nothing is written in calm");
}

#[test]
fn all_is_as_ordered_in_calm() {
    QuickCheck::new().quickcheck(tell as fn(Vec<Happening>));
}

#[test]
fn a_stop_that_an_agent_did_not_live_to_do_is_done_by_the_next() {
    for away in [0, 5, 10, 14, 20, 50, 500] {
        for (before, after) in [(2, 0), (0, 0), (0, 2), (1, 2)] {
            tell(vec![
                Happening::Order { unit: 0, text: 0, launched: true, run: before },
                Happening::Wait(2_048),
                Happening::Order { unit: 0, text: 0, launched: false, run: after },
                Happening::Crash { away },
            ]);
        }
    }
}
