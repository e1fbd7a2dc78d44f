//! The faults of a plan, done to real machines at their times, and the supervisor that starts again what ends by itself.
//!
//! One thread does one thing after the other: what takes long (an unmount, a tracer that attaches) makes the next thing late by so
//! much, and nothing else. What cannot begin does nothing, and a member is started again by the first end that finds it down,
//! as in the simulator. A class of fault that cannot be done to real machines is counted, with the reason.

use super::lan::Lan;
use super::machine::Machine;
use super::relay::Weather;
use super::summary::Happened;
use super::tracer::Wrong;
use super::witness::{self, Zero};
use io_sim::checkers::Failure;
use io_sim::plan::{Class, Fault, Plan, Target, Way};
use kernel::rng::Stream;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How long the supervisor waits before it starts a member that ended by itself.
const RESTART: Duration = Duration::from_millis(500);
/// How often it looks after the members.
const LOOK: Duration = Duration::from_millis(10);
/// Faults after which a member may rightly end by itself.
const EXCUSES: [&str; 5] = ["fail-sync", "full-disk", "power-loss-after", "write-error", "read-error"];
/// How long connections are being reset.
const RESET: Duration = Duration::from_millis(150);
/// The pause between two members of a rolling restart.
const ROLL: Duration = Duration::from_millis(1_200);

/// What happens next.
enum Due {
    Begin(usize),
    End(usize, Vec<u8>),
    Restart(u8),
    /// The member is asked to end in good order, and started again.
    Leave(u8),
    Cut(Vec<(u8, u8)>),
    Heal(Vec<(u8, u8)>),
    Calm,
}

/// The storm over real machines.
pub struct Storm {
    plan: Arc<Plan>,
    zero: Zero,
    lan: Lan,
    machines: Vec<Machine>,
    calendar: BTreeMap<(Duration, u64), Due>,
    number: u64,
    /// Faults of lines that are on: whom they strike, and what they are.
    lines: BTreeMap<usize, (Vec<u8>, Class)>,
    /// What happened so far.
    pub happened: Happened,
}

/// Something that the rig, not the store, could not do.
type Done = Result<(), String>;

/// Why a class of fault is not done here.
fn not_here(class: &Class) -> Option<&'static str> {
    match class {
        Class::Drift { .. } => {
            Some("all clocks of one kernel run at one rate; time namespaces only shift them")
        }
        Class::WallJump { .. } | Class::Skew { .. } => {
            Some("the wall clock is the whole machine's, and no namespace has its own")
        }
        Class::Suspend => Some("the monotonic clock of one process cannot be stopped; see pause"),
        Class::BadSectors { .. }
        | Class::Misread { .. }
        | Class::LostWrite { .. }
        | Class::Misplaced { .. }
        | Class::StaleRead { .. }
        | Class::ShortWrite { .. } => {
            Some("it takes a device beneath the file system, which this kernel cannot make")
        }
        Class::Partition { .. }
        | Class::Partial
        | Class::Flap { .. }
        | Class::Crash
        | Class::RollingRestart
        | Class::PowerLoss
        | Class::PowerLossAfter { .. }
        | Class::Pause
        | Class::SlowDisk { .. }
        | Class::StallDisk
        | Class::WriteError { .. }
        | Class::ReadError { .. }
        | Class::FailSync
        | Class::FullDisk
        | Class::Loss { .. }
        | Class::Reorder { .. }
        | Class::Duplicate { .. }
        | Class::Corrupt { .. }
        | Class::Reset
        | Class::Wipe
        | Class::BitRot { .. }
        | Class::LyingSync
        | Class::SlowLink { .. } => None,
        #[allow(unreachable_patterns, reason = "classes come to the simulator first")]
        _ => Some("no way is known yet to do this to a real machine"),
    }
}

/// Whether it is the weather of lines.
fn is_weather(class: &Class) -> bool {
    matches!(
        class,
        Class::Loss { .. }
            | Class::SlowLink { .. }
            | Class::Reorder { .. }
            | Class::Duplicate { .. }
            | Class::Corrupt { .. }
            | Class::Reset
    )
}

impl Storm {
    /// Over `machines` in `lan`, for a run that began at `zero`.
    pub fn new(plan: Arc<Plan>, zero: Zero, lan: Lan, machines: Vec<Machine>) -> Storm {
        let mut storm = Storm {
            zero,
            lan,
            machines,
            calendar: BTreeMap::new(),
            number: 0,
            lines: BTreeMap::new(),
            happened: Happened::default(),
            plan: plan.clone(),
        };
        let calm = Duration::from_millis(plan.calm_ms);
        for (number, fault) in plan.faults.iter().enumerate() {
            match not_here(&fault.class) {
                Some(why) => storm.happened.not_here(fault.class.name(), why),
                None if fault.at_ms < plan.calm_ms => {
                    storm.put(Duration::from_millis(fault.at_ms), Due::Begin(number));
                }
                None => {}
            }
        }
        storm.put(calm, Due::Calm);
        storm.all_lines();
        storm
    }

    fn put(&mut self, at: Duration, due: Due) {
        self.number += 1;
        self.calendar.insert((at, self.number), due);
    }

    /// Lets the plan happen until `stop` is set or the run ends. A failure is the store's, an error the rig's.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<Option<Failure>, String> {
        let end = Duration::from_millis(self.plan.end_ms);
        while self.zero.now() < end && !stop.load(Relaxed) {
            while let Some(first) = self.calendar.first_entry() {
                if first.key().0 > self.zero.now() {
                    break;
                }
                let due = first.remove();
                self.happen(due)?;
            }
            for position in 0..self.machines.len() {
                if let Some(failure) = self.look_after(position)? {
                    return Ok(Some(failure));
                }
            }
            let next = self.calendar.first_key_value().map_or(end, |((at, _), _)| *at);
            std::thread::sleep(next.saturating_sub(self.zero.now()).min(LOOK));
        }
        Ok(None)
    }

    /// What can be known only now, from lines and tracers; the machines stay.
    pub fn account(&mut self) -> Done {
        self.happened.frames_cut = self.lan.stopped()?;
        let lines: Vec<_> = self.lan.lines().iter().map(|line| line.counts()).collect();
        self.happened.lines(&lines);
        let accounts: Vec<PathBuf> = self.machines.iter().map(Machine::account).collect();
        self.happened.disks(&accounts);
        self.happened.starts = self.machines.iter().map(|machine| machine.starts).sum();
        self.happened.shifted = self.machines.iter().map(|machine| machine.shifted).sum();
        Ok(())
    }

    /// The machines.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    fn machine(&mut self, member: u8) -> &mut Machine {
        &mut self.machines[usize::from(member) - 1]
    }

    fn happen(&mut self, due: Due) -> Done {
        match due {
            Due::Begin(number) => {
                let fault = self.plan.faults[number].clone();
                let members = self.aim(&fault.target);
                self.happened.began(fault.class.name());
                self.begin(number, &fault, &members)?;
                let end = self.end_of(&fault);
                self.put(end, Due::End(number, members));
                Ok(())
            }
            Due::End(number, members) => self.end(number, &members),
            Due::Restart(member) => self.start(member),
            Due::Leave(member) => {
                self.machine(member).leave();
                Ok(())
            }
            Due::Cut(pairs) => self.cut(&pairs),
            Due::Heal(pairs) => self.lan.heal(&pairs),
            Due::Calm => (1..=self.plan.members).try_for_each(|member| self.start(member)),
        }
    }

    fn end_of(&self, fault: &Fault) -> Duration {
        let (begin, calm) = (Duration::from_millis(fault.at_ms), Duration::from_millis(self.plan.calm_ms));
        let whole = Duration::from_millis(fault.for_ms);
        let length = if fault.class == Class::Reset { whole.min(RESET) } else { whole };
        (begin + length).min(calm)
    }

    fn cut(&mut self, pairs: &[(u8, u8)]) -> Done {
        self.happened.cuts += u64::from(!pairs.is_empty());
        self.lan.cut(pairs)
    }

    fn aim(&self, target: &Target) -> Vec<u8> {
        match target {
            Target::Leader => self.leader().into_iter().collect(),
            Target::Follower => {
                let next = self.leader().map(|leader| leader % self.plan.members + 1);
                next.filter(|_| self.plan.members > 1).into_iter().collect()
            }
            Target::Members(members) => members.clone(),
        }
    }

    fn leader(&self) -> Option<u8> {
        let files: Vec<_> = self.machines.iter().map(Machine::observations).collect();
        witness::leader(&files)
    }

    /// Whether the plan takes from the disk of `member` what it had promised to keep.
    fn damages(&self, member: u8) -> bool {
        let strikes =
            |fault: &Fault| matches!(&fault.target, Target::Members(members) if members.contains(&member));
        self.plan.faults.iter().any(|fault| fault.class.damages() && strikes(fault))
    }

    fn start(&mut self, member: u8) -> Done {
        let plan = self.plan.clone();
        self.machines[usize::from(member) - 1].start(&plan, &self.lan)
    }

    fn begin(&mut self, number: usize, fault: &Fault, members: &[u8]) -> Done {
        match &fault.class {
            Class::Partition { way } => return self.cut(&self.pairs(members, *way)),
            Class::Partial => return self.cut(&among(members)),
            Class::Flap { every_ms } => {
                self.flap(members, Duration::from_millis((*every_ms).max(50)), self.end_of(fault));
                return Ok(());
            }
            Class::RollingRestart => {
                let end = self.end_of(fault);
                for (turn, member) in (0..).zip(members) {
                    let at = Duration::from_millis(fault.at_ms) + ROLL * turn;
                    if at < end {
                        self.put(at, Due::Leave(*member));
                    }
                }
                return Ok(());
            }
            class if is_weather(class) => {
                self.lines.insert(number, (members.to_vec(), fault.class));
                self.all_lines();
                return Ok(());
            }
            _ => {}
        }
        members.iter().try_for_each(|member| self.strike(number, fault, *member))
    }

    fn strike(&mut self, number: usize, fault: &Fault, member: u8) -> Done {
        match &fault.class {
            Class::Crash => {
                let killed = self.machine(member).kill();
                self.happened.kills += u64::from(killed);
            }
            Class::PowerLoss => self.cut_power(member)?,
            Class::Wipe => {
                self.cut_power(member)?;
                self.machine(member).disk.wipe()?;
                self.happened.wiped += 1;
            }
            Class::BitRot { bits } => {
                self.cut_power(member)?;
                let mut draw = Stream::new(self.plan.seed, "rot", number as u64);
                self.machine(member).disk.rot(*bits, &mut draw)?;
                self.happened.rotten += 1;
            }
            Class::Pause => {
                self.machine(member).pause();
                self.happened.pauses += 1;
            }
            Class::FullDisk if self.machine(member).is_up() => {
                self.machine(member).disk.fill()?;
                self.happened.full_disks += 1;
            }
            Class::PowerLossAfter { operations } => {
                self.machine(member).go_wrong(number, Wrong::DieAfter(*operations))?;
            }
            Class::SlowDisk { by_ms } => self.machine(member).go_wrong(number, Wrong::Slow(*by_ms))?,
            Class::StallDisk => self.machine(member).go_wrong(number, Wrong::Slow(fault.for_ms))?,
            Class::WriteError { nth } => self.machine(member).go_wrong(number, Wrong::FailWrite(*nth))?,
            Class::ReadError { nth } => self.machine(member).go_wrong(number, Wrong::FailRead(*nth))?,
            Class::FailSync => self.machine(member).go_wrong(number, Wrong::FailSync)?,
            Class::LyingSync => self.machine(member).go_wrong(number, Wrong::LyingSync)?,
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, number: usize, members: &[u8]) -> Done {
        let class = self.plan.faults[number].class;
        match &class {
            Class::Partition { way } => {
                let pairs = self.pairs(members, *way);
                return self.lan.heal(&pairs);
            }
            Class::Partial => return self.lan.heal(&among(members)),
            class if is_weather(class) => {
                self.lines.remove(&number);
                self.all_lines();
                return Ok(());
            }
            _ => {}
        }
        for member in members {
            match &class {
                Class::Crash | Class::PowerLoss | Class::Wipe | Class::BitRot { .. } => {
                    self.start(*member)?
                }
                Class::LyingSync => {
                    self.cut_power(*member)?;
                    self.machine(*member).mend(number)?;
                    self.start(*member)?;
                }
                Class::PowerLossAfter { .. } => {
                    self.machine(*member).mend(number)?;
                    self.start(*member)?;
                }
                Class::Pause => self.machine(*member).resume(),
                Class::FullDisk => self.machine(*member).disk.free(),
                Class::SlowDisk { .. }
                | Class::StallDisk
                | Class::WriteError { .. }
                | Class::ReadError { .. }
                | Class::FailSync => self.machine(*member).mend(number)?,
                Class::RollingRestart => self.start(*member)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn cut_power(&mut self, member: u8) -> Done {
        let ran = self.machines[usize::from(member) - 1].cut_power(&self.lan)?;
        self.happened.power_cuts += u64::from(ran);
        Ok(())
    }

    /// Cuts and heals in turn until `end`.
    fn flap(&mut self, members: &[u8], every: Duration, end: Duration) {
        let pairs = self.pairs(members, Way::Both);
        let mut at = self.zero.now();
        while at < end {
            self.put(at, Due::Cut(pairs.clone()));
            self.put((at + every).min(end), Due::Heal(pairs.clone()));
            at += 2 * every;
        }
    }

    /// Who is cut from whom: the members of one target still see each other.
    fn pairs(&self, inside: &[u8], way: Way) -> Vec<(u8, u8)> {
        let mut pairs = Vec::new();
        for outside in (1..=self.plan.members).filter(|member| !inside.contains(member)) {
            for member in inside {
                if way != Way::In {
                    pairs.push((*member, outside));
                }
                if way != Way::Out {
                    pairs.push((outside, *member));
                }
            }
        }
        pairs
    }

    /// Gives every line what the plan and all faults that are on make of it.
    fn all_lines(&self) {
        let knobs = &self.plan.knobs;
        for member in 1..=self.plan.members {
            let mut line = Weather {
                delay: Duration::from_micros(knobs.delay_us / 2),
                jitter: Duration::from_micros(knobs.jitter_us / 2),
                ..Weather::default()
            };
            for (_, class) in self.lines.values().filter(|(members, _)| members.contains(&member)) {
                worsen(&mut line, class);
            }
            self.lan.line(member).set(|weather| *weather = Weather { dark: weather.dark, ..line });
        }
    }

    /// Starts a member again that has ended by itself, if it was right to end.
    fn look_after(&mut self, position: usize) -> Result<Option<Failure>, String> {
        let member = self.machines[position].member;
        let is_damaged = self.damages(member);
        let machine = &mut self.machines[position];
        let Some(status) = machine.ended() else { return Ok(None) };
        if machine.has_left() {
            self.happened.restarts += 1;
            let member = machine.member;
            self.put(self.zero.now(), Due::Restart(member));
            return Ok(None);
        }
        if machine.has(|wrong| matches!(wrong, Wrong::DieAfter(_))) && status.code().is_none() {
            machine.has_happened();
            self.happened.power_cuts += 1;
            machine.cut_power(&self.lan)?;
            return Ok(None);
        }
        self.happened.ended_by_themselves += 1;
        let sync_failed = machine.has(|wrong| wrong == Wrong::FailSync);
        machine.has_happened();
        if sync_failed {
            // The disk forgets what it was to keep.
            machine.cut_power(&self.lan)?;
        } else if is_damaged {
            // What an operator does with a member whose disk is damaged beyond what it can mend by itself.
            machine.cut_power(&self.lan)?;
            machine.disk.wipe()?;
            self.happened.replaced += 1;
        } else if !self.is_excused() {
            let words = self.machines[position].last_words();
            let text =
                format!("member {member} ended by itself at {:?} ({status}): {words}", self.zero.now());
            return Ok(Some(Failure { checker: "cluster", invariant: "members-live", text }));
        }
        self.put(self.zero.now() + RESTART, Due::Restart(member));
        Ok(None)
    }

    /// Whether the plan does anything to disks that a member may see as an error, and is not long over with it.
    fn is_excused(&self) -> bool {
        let calm = Duration::from_millis(self.plan.calm_ms);
        let named = |fault: &Fault| EXCUSES.contains(&fault.class.name());
        self.zero.now() <= calm + 2 * RESTART && self.plan.faults.iter().any(named)
    }
}

/// Every pair of different members, both ways.
fn among(members: &[u8]) -> Vec<(u8, u8)> {
    let pairs = members.iter().flat_map(|from| members.iter().map(move |to| (*from, *to)));
    pairs.filter(|(from, to)| from != to).collect()
}

fn worsen(line: &mut Weather, class: &Class) {
    match class {
        // One packet in so many is lost and repeated; one in ten times as many breaks its connection.
        Class::Loss { permille } => {
            line.loss_ppm = (line.loss_ppm + permille * 1_000).min(900_000);
            line.reset_ppm = (line.reset_ppm + permille * 100).min(90_000);
        }
        Class::SlowLink { by_ms } => line.delay += Duration::from_millis(*by_ms),
        Class::Reorder { by_ms } => line.jitter += Duration::from_millis(*by_ms),
        Class::Duplicate { permille } => {
            line.duplicate_ppm = (line.duplicate_ppm + permille * 1_000).min(500_000);
        }
        Class::Corrupt { permille } => line.corrupt_ppm = (line.corrupt_ppm + permille * 1_000).min(500_000),
        Class::Reset => line.reset_ppm = 1_000_000,
        _ => {}
    }
}
