//! Units that must be together.
//!
//! `MachineOf` says: beside one of these. A unit whose leader is already somewhere can only go there. One whose leader is free too
//! is placed together with it, and with its leader's leader, and so on: that is the group's *core*; two units that name
//! each other are the simplest case. To that are added, as far as some machine can take them all, the units which in turn want
//! to be beside a member; so a leader does not go where its followers cannot. Followers that are still leaving elsewhere take part in
//! the choice, and follow when they are free.

use super::bits::Bits;
use super::ids::{MachineIx, PatternIx, UnitIx};
use super::view::View;
use crate::model::Resources;

/// Units to be placed on one machine, and where they could go.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The unit that asked, then the others.
    pub members: Vec<UnitIx>,
    /// The machines that meet all constraints of all members, room aside.
    pub set: Bits,
    /// What they take together.
    pub demand: Resources,
}

/// Why a unit's core cannot be placed anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoGroup {
    /// No unit that the pattern of this member means is placed, or can be placed with it.
    Alone(UnitIx, PatternIx),
    /// This member still leaves another machine.
    Leaving(UnitIx),
    /// These two members do not go together.
    AtOdds(UnitIx, UnitIx),
}

impl View {
    /// The core of a free unit.
    pub fn core(&self, unit: UnitIx) -> Result<Group, NoGroup> {
        let mut members = vec![unit];
        let mut outside = Vec::new();
        let mut next = 0;
        while let Some(member) = members.get(next).copied() {
            next += 1;
            let Some(wish) = &self.units.at(member).wish else { continue };
            for pattern in &wish.machine_of {
                if self.is_met_by(&members, member, *pattern) {
                    continue;
                }
                if !self.patterns.at(*pattern).staying.is_empty() {
                    outside.push((member, *pattern));
                } else {
                    members.push(self.leader(member, *pattern).ok_or(NoGroup::Alone(member, *pattern))?);
                }
            }
        }
        if let Some(leaving) = members.iter().find(|member| !self.units.at(**member).is_free()) {
            return Err(NoGroup::Leaving(*leaving));
        }
        let mut group =
            Group { set: self.machines.open().clone(), members: Vec::new(), demand: Resources::default() };
        for member in members {
            if let Some(other) = group.members.iter().find(|other| self.at_odds(**other, member)) {
                return Err(NoGroup::AtOdds(*other, member));
            }
            group.add(self, member, self.candidates(member));
        }
        for (member, pattern) in outside {
            if !self.is_met_by(&group.members, member, pattern) {
                group.set.keep(self.patterns.at(pattern).staying.machines());
            }
        }
        group.keep_viable(self);
        Ok(group)
    }

    /// The core with as many followers as some machine can take as well.
    pub fn with_followers(&self, mut group: Group) -> Group {
        let mut next = 0;
        while let Some(member) = group.members.get(next).copied() {
            next += 1;
            for pattern in &self.units.at(member).matched_by {
                for follower in &self.patterns.at(*pattern).followers {
                    if let Some(larger) = self.enlarged(&group, *follower) {
                        group = larger;
                    }
                }
            }
        }
        group
    }

    fn enlarged(&self, group: &Group, follower: UnitIx) -> Option<Group> {
        if group.members.contains(&follower) || !self.units.at(follower).will_be_free() {
            return None;
        }
        if group.members.iter().any(|member| self.at_odds(*member, follower)) {
            return None;
        }
        let mut larger = group.clone();
        larger.add(self, follower, self.candidates(follower));
        let wish = self.units.at(follower).wish.as_ref()?;
        // A free follower goes at once; a member that is still leaving elsewhere is no company for it yet.
        let mut company = group.members.clone();
        company.retain(|member| !self.units.at(follower).is_free() || self.units.at(*member).is_free());
        for pattern in &wish.machine_of {
            if !self.is_met_by(&company, follower, *pattern) {
                larger.set.keep(self.patterns.at(*pattern).staying.machines());
            }
        }
        larger.keep_viable(self);
        let has_room = |at| self.machines.at(MachineIx(at)).has_room(larger.demand, Resources::default());
        let fits = larger.set.iter().any(has_room);
        fits.then_some(larger)
    }

    fn is_met_by(&self, members: &[UnitIx], unit: UnitIx, pattern: PatternIx) -> bool {
        members.iter().any(|member| *member != unit && self.units.means(&[pattern], *member))
    }

    /// The unit to place together with one that must be beside what the pattern means: free if possible, else leaving; the
    /// first by name.
    fn leader(&self, unit: UnitIx, pattern: PatternIx) -> Option<UnitIx> {
        let meant = self.patterns.at(pattern).units.iter().copied();
        meant
            .filter(|other| *other != unit && self.units.at(*other).will_be_free())
            .min_by_key(|other| (!self.units.at(*other).is_free(), &self.units.at(*other).name))
    }

    fn at_odds(&self, one: UnitIx, other: UnitIx) -> bool {
        self.units.conflict(one, other) || self.replaces(one, other) || self.replaces(other, one)
    }
}

impl Group {
    /// Leaves out machines on which a member would drive away what another must be beside.
    fn keep_viable(&mut self, view: &View) {
        let wishes = || self.members.iter().filter_map(|unit| view.units.at(*unit).wish.as_ref());
        if wishes().all(|wish| wish.replaces.is_empty()) || wishes().all(|wish| wish.machine_of.is_empty()) {
            return;
        }
        for machine in self.set.clone().iter() {
            let viable = view.would_lack_company(&self.members, MachineIx(machine)).is_none();
            self.set.set(machine, viable);
        }
    }

    fn add(&mut self, view: &View, unit: UnitIx, candidates: Bits) {
        let demand = view.units.at(unit).demand();
        self.members.push(unit);
        self.set.keep(&candidates);
        self.demand.cpu_millis = self.demand.cpu_millis.saturating_add(demand.cpu_millis);
        self.demand.memory_bytes = self.demand.memory_bytes.saturating_add(demand.memory_bytes);
    }
}
