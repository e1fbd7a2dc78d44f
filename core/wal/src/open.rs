//! Opening: reading what is there, judging it, and only then changing anything.
//!
//! Reading changes nothing, so a refusal leaves the evidence as it was, and an old program leaves a newer log alone. Changing
//! is done in steps that may each be cut off by a crash and are simply done again at the next start:
//!
//! - An orderly end. What no later record vouches for is written *again*, the same bytes to the same place, and synced, and what lies
//!   behind it is made zeros. Writing it again matters: after a failed sync the page cache may hold bytes that the disk
//!   never got but that count as clean, and a sync alone would not write them.
//! - A repair. One new segment, made durable by its rename, links to the end of what is kept, carries the newest hard
//!   state and the quarantine, and thereby voids everything behind. Void segments are renamed, and removed when the quarantine ends.

use crate::error::{Damage, Error, failed, fatal};
use crate::log::{Wal, segment_size};
use crate::make::{Current, Plan};
use crate::record::{Position, Tag, scan};
use crate::replay::record;
use crate::segment::{
    ASIDE, Carried, FIRST_BLOCK, Link, METADATA_LIMIT, Name, SPARE, UNFINISHED, VERSION, head, version,
};
use crate::survey::{Data, Loaded, Survey, evidence, survey};
use crate::types::{Kind, OnDamage, Options, Recovered, Torn};
use bytes::Bytes;
use kernel::{Disk, File, Open, Probe};
use std::io;
use std::sync::Arc;

/// How much of a file is read at a time.
const READ: usize = 1 << 20;

/// What is given up where a file cannot be read, in bytes.
const SECTOR: usize = 512;

impl Wal {
    /// Whether `dir` holds a log.
    pub fn exists(disk: &dyn Disk, dir: &str) -> io::Result<bool> {
        match disk.list(dir) {
            Ok(names) => Ok(names.iter().any(|name| Name::parse(name).is_some())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the log in `dir` was created with, read without changing anything; none if there is no log, or none of its
    /// segments has kept its first block. Whoever opens a log that may be somebody else's asks this first.
    pub fn metadata(disk: &dyn Disk, dir: &str) -> Result<Option<Bytes>, Error> {
        if !Wal::exists(disk, dir).map_err(fatal("listing", dir))? {
            return Ok(None);
        }
        for name in names(disk, dir)?.into_iter().rev() {
            let path = name.path(dir);
            let file = disk.open(&path, Open::Existing).map_err(fatal("opening segment", &path))?;
            let mut block = vec![0; FIRST_BLOCK];
            // One that cannot be read is damaged, as one that reads wrong.
            let got = file.read_at(0, &mut block).unwrap_or(0);
            if let Some(head) = head(&block[..got], name.sequence) {
                return Ok(Some(head.metadata));
            }
        }
        Ok(None)
    }

    /// Makes an empty log in `dir`, which is created if need be. `metadata` (at most 2 KiB) is given back by every
    /// [`Wal::open`]. A crash before it returns leaves no log, or an empty one.
    pub fn create(disk: Arc<dyn Disk>, dir: &str, metadata: Bytes, options: Options) -> Result<Wal, Error> {
        if metadata.len() > METADATA_LIMIT {
            return Err(Error::TooLarge { bytes: metadata.len() as u64, limit: METADATA_LIMIT as u64 });
        }
        if Wal::exists(&*disk, dir).map_err(fatal("listing", dir))? {
            return Err(Error::Exists(true, dir.to_string()));
        }
        disk.create_dir(dir).map_err(failed("creating directory", dir))?;
        for (end, _) in dir.match_indices('/') {
            disk.sync_dir(&dir[..end]).map_err(fatal("syncing directory", &dir[..end]))?;
        }
        disk.sync_dir("").map_err(fatal("syncing the root", ""))?;
        let carried = Carried::default();
        let current = Plan {
            disk: &*disk,
            dir,
            sequence: 1,
            link: Link::default(),
            last: 0,
            metadata: &metadata,
            carried: &carried,
            size: segment_size(&options),
            room: 0,
            spare: false,
            planted: options.planted,
        }
        .make()?;
        Ok(assemble(disk, dir, options, metadata, carried, current))
    }

    /// Puts a log out of the way that can never be trusted again, so that `dir` holds none. What it was is kept beside, for
    /// whoever wants to look at it, until a quarantine of the next one ends. A crash on the way leaves a part of it, which is as
    /// little worth.
    pub fn set_aside(disk: &dyn Disk, dir: &str) -> Result<(), Error> {
        for name in names(disk, dir)? {
            let path = name.path(dir);
            disk.rename(&path, &format!("{path}{ASIDE}")).map_err(fatal("setting aside segment", &path))?;
        }
        disk.sync_dir(dir).map_err(fatal("syncing directory", dir))
    }

    /// Reads the log in `dir` and makes it ready for more. What was never acknowledged is cut; damage to what was is treated
    /// as `on_damage` says. Everything that is returned as recovered is durable.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &str,
        on_damage: OnDamage,
        options: Options,
    ) -> Result<(Wal, Recovered), Error> {
        let segments = load(&*disk, dir, &options.probe)?;
        let survey = survey(&segments, options.planted);
        let Some(why) = survey.damage else {
            return settle(disk, dir, options, segments, survey);
        };
        let damage = describe(dir, &segments, &survey, why);
        if on_damage == OnDamage::Refuse {
            options.probe.sometimes("wal: damage refused");
            return Err(Error::Corrupt(damage));
        }
        repair(disk, dir, options, segments, survey, damage)
    }
}

fn assemble(
    disk: Arc<dyn Disk>,
    dir: &str,
    options: Options,
    metadata: Bytes,
    carried: Carried,
    current: Current,
) -> Wal {
    Wal {
        disk,
        dir: dir.to_string(),
        options,
        metadata,
        sealed: Default::default(),
        next_sequence: current.name.sequence + 1,
        current,
        carried,
        spare: false,
        unmarked: false,
        dirty: None,
        poisoned: false,
        before_last: Link::default(),
        buffer: Vec::new(),
    }
}

/// Reads every segment, oldest first. Into memory, and not by a map: a page of a map that cannot be read ends the process.
fn load(disk: &dyn Disk, dir: &str, probe: &Probe) -> Result<Vec<Loaded>, Error> {
    if !Wal::exists(disk, dir).map_err(fatal("listing", dir))? {
        return Err(Error::Exists(false, dir.to_string()));
    }
    let names = names(disk, dir)?;
    let mut segments = Vec::with_capacity(names.len());
    for name in names {
        let path = name.path(dir);
        let file = disk.open(&path, Open::Existing).map_err(fatal("opening segment", &path))?;
        let loaded = Loaded::new(name, read(&*file).map_err(fatal("reading segment", &path))?);
        if !loaded.data.holes.is_empty() {
            probe.sometimes("wal: a segment that cannot be read everywhere");
        }
        if let Some(found) = version(loaded.bytes()).filter(|found| *found > VERSION) {
            return Err(Error::Version { segment: path, found, known: VERSION });
        }
        segments.push(loaded);
    }
    Ok(segments)
}

/// The segments in `dir`, oldest first.
fn names(disk: &dyn Disk, dir: &str) -> Result<Vec<Name>, Error> {
    let listed = disk.list(dir).map_err(fatal("listing", dir))?;
    let mut names: Vec<Name> = listed.iter().filter_map(|name| Name::parse(name)).collect();
    names.sort();
    Ok(names)
}

/// The bytes of a file. What cannot be read is narrowed down to single sectors, which stand as zeros.
fn read(file: &dyn File) -> io::Result<Data> {
    let len = usize::try_from(file.len()?.min(u64::from(u32::MAX))).expect("four GiB fit in memory's range");
    let mut data = Data { bytes: vec![0; len], holes: Vec::new() };
    for at in (0..len).step_by(READ) {
        read_part(file, &mut data, at, READ.min(len - at))?;
    }
    Ok(data)
}

fn read_part(file: &dyn File, data: &mut Data, at: usize, len: usize) -> io::Result<()> {
    let part = &mut data.bytes[at..at + len];
    match file.read_at(at as u64, part) {
        Ok(got) if got < len => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(()),
        Err(_) if len > SECTOR => {
            let smaller = if len > FIRST_BLOCK { FIRST_BLOCK } else { SECTOR };
            (at..at + len)
                .step_by(smaller)
                .try_for_each(|from| read_part(file, data, from, smaller.min(at + len - from)))
        }
        Err(_) => {
            part.fill(0);
            data.holes.push(at..at + len);
            Ok(())
        }
    }
}

fn describe(dir: &str, segments: &[Loaded], survey: &Survey, why: &'static str) -> Damage {
    Damage {
        segment: segments[survey.live[survey.end.segment]].name.path(dir),
        offset: survey.end.offset as u64,
        lost_from: survey.replay.last() + 1,
        lost_to: evidence(segments, survey).acknowledged,
        why,
    }
}

/// Goes on in the newest segment, whose end is in order.
fn settle(
    disk: Arc<dyn Disk>,
    dir: &str,
    options: Options,
    segments: Vec<Loaded>,
    survey: Survey,
) -> Result<(Wal, Recovered), Error> {
    let newest = &segments[segments.len() - 1];
    let mut at = survey.end.at.expect("a segment without a first block is damaged");
    let head = newest.head.clone().expect("a segment without a first block is damaged");
    let path = newest.name.path(dir);
    let torn = is_torn(newest.bytes(), &at).then(|| Torn { segment: path.clone(), offset: at.tail as u64 });
    if torn.is_some() {
        options.probe.sometimes("wal: torn tail cut");
    }
    let file = disk.open(&path, Open::Existing).map_err(fatal("opening segment", &path))?;
    let again = tail_again(newest.bytes(), &at);
    file.write_at(at.synced as u64, &again).map_err(failed("writing the tail again of segment", &path))?;
    file.sync().map_err(fatal("syncing segment", &path))?;
    let unmarked = at.synced < at.tail;
    at.synced = at.tail;
    let current = Current { name: newest.name, file, size: newest.bytes().len() as u64, at };
    let kept: Vec<Name> = survey.live.iter().map(|place| segments[*place].name).collect();
    set_aside(
        &*disk,
        dir,
        &options,
        segments.iter().map(|segment| segment.name).filter(|name| !kept.contains(name)),
    )?;
    drop(segments);
    let mut wal = assemble(disk, dir, options, head.metadata, survey.replay.carried, current);
    wal.sealed.extend(&kept[..kept.len() - 1]);
    wal.unmarked = unmarked;
    let recovered = recovered(&wal, survey.replay.entries, torn);
    Ok((wal, recovered))
}

fn recovered(wal: &Wal, entries: Vec<crate::Record>, torn: Option<Torn>) -> Recovered {
    let carried = wal.carried.clone();
    Recovered {
        metadata: wal.metadata.clone(),
        hard_state: carried.hard_state,
        snapshot: carried.snapshot,
        entries,
        torn,
        quarantine: carried.quarantine,
    }
}

/// Whether a write of this segment began behind the end. What an earlier use of the file left there does not count.
fn is_torn(segment: &[u8], at: &Position) -> bool {
    let begun = segment.get(at.tail + 8..at.tail + 16) == Some(&at.identity.sequence.to_le_bytes());
    begun || scan(segment, at.tail, at.identity).next().is_some()
}

/// What is to be written again from the last byte that is known durable: the rest of the log, then zeros over everything behind.
fn tail_again(segment: &[u8], at: &Position) -> Vec<u8> {
    let used = segment.iter().rposition(|byte| *byte != 0).map_or(at.tail, |place| place + 1);
    let mut again = segment[at.synced..at.tail].to_vec();
    again.resize(used.max(at.tail) - at.synced, 0);
    again
}

/// Renames void segments and removes what a crash left half made.
fn set_aside(
    disk: &dyn Disk,
    dir: &str,
    options: &Options,
    void: impl Iterator<Item = Name>,
) -> Result<(), Error> {
    for name in void {
        let path = name.path(dir);
        disk.rename(&path, &format!("{path}{ASIDE}")).map_err(failed("setting aside segment", &path))?;
        options.probe.sometimes("wal: void segment set aside");
    }
    let listed = disk.list(dir).map_err(fatal("listing", dir))?;
    for name in listed.iter().filter(|name| [SPARE, UNFINISHED].contains(&name.as_str())) {
        let path = format!("{dir}/{name}");
        disk.remove(&path).map_err(failed("removing", &path))?;
    }
    disk.sync_dir(dir).map_err(fatal("syncing directory", dir))
}

/// Goes on in a new segment behind what is whole, or says why this copy of the log can never be trusted again.
fn repair(
    disk: Arc<dyn Disk>,
    dir: &str,
    options: Options,
    segments: Vec<Loaded>,
    survey: Survey,
    damage: Damage,
) -> Result<(Wal, Recovered), Error> {
    let Some(metadata) = segments.iter().find_map(|segment| Some(segment.head.as_ref()?.metadata.clone()))
    else {
        return Err(Error::Unrepairable { damage, why: "no segment has kept the metadata" });
    };
    let later = evidence(&segments, &survey);
    let mut replay = survey.replay.clone();
    match later.hard_state(&segments, &survey) {
        Ok(None) => {}
        Ok(Some(state)) => replay.carried.hard_state = Some(Bytes::copy_from_slice(state)),
        Err(why) => return Err(Error::Unrepairable { damage, why }),
    }
    let mut snapshots = later.found.iter().filter(|later| later.proven && later.found.tag == Tag::Snapshot);
    if let Some(later) = snapshots.next_back() {
        replay.set_snapshot(record(Kind::Snapshot, &later.found));
    }
    let lost = Some(later.acknowledged).filter(|acknowledged| *acknowledged > replay.last());
    replay.carried.quarantine = replay.carried.quarantine.max(lost);
    let names: Vec<Name> = segments.iter().map(|segment| segment.name).collect();
    let kept = survey.live[..survey.end.segment + usize::from(survey.end.at.is_some())].to_vec();
    let kept: Vec<Name> = kept.into_iter().map(|place| names[place]).collect();
    drop(later);
    drop(segments);
    sync_kept(&*disk, dir, kept.last())?;
    let current = Plan {
        disk: &*disk,
        dir,
        sequence: names[names.len() - 1].sequence + 1,
        link: survey.link,
        last: replay.last(),
        metadata: &metadata,
        carried: &replay.carried,
        size: segment_size(&options),
        room: 0,
        spare: false,
        planted: options.planted,
    }
    .make()?;
    options.probe.sometimes("wal: damage repaired");
    set_aside(&*disk, dir, &options, names.into_iter().filter(|name| !kept.contains(name)))?;
    let mut wal = assemble(disk, dir, options, metadata, replay.carried, current);
    wal.sealed.extend(kept);
    let recovered = recovered(&wal, replay.entries, None);
    Ok((wal, recovered))
}

/// The segment in which the damage lies becomes a sealed one, and those are durable.
fn sync_kept(disk: &dyn Disk, dir: &str, last: Option<&Name>) -> Result<(), Error> {
    let Some(path) = last.map(|name| name.path(dir)) else { return Ok(()) };
    let file = disk.open(&path, Open::Existing).map_err(fatal("opening segment", &path))?;
    file.sync().map_err(fatal("syncing segment", &path))
}
