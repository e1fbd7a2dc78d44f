//! From what stands on the command line to units: names, ranges, globs, files, templates.
//!
//! An argument names a unit by the last component of its path. Where a unit may be new, its file is sought as fleet sought it: the
//! path itself, then the template in the registry, then the template beside the path. Where units must be there already, an
//! argument with `*`, `?` or `[` that the shell has left alone stands for all units that it matches.

use super::failure::Failure;
use super::session::Session;
use fleet::unit::{UnitFile, UnitName, glob};
use io_real::fleet_client::schema::Unit;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most instances that one range may name: a slip of the finger shall not fill the cluster.
const MAX_RANGE: u64 = 10_000;

/// The text of a unit, and where it was found.
pub struct Found {
    /// The file.
    pub file: UnitFile,
    /// The local file that it is from; none when it is the registry's template.
    pub path: Option<PathBuf>,
}

/// The arguments, each range `{1..3}` written out.
pub fn expand(arguments: &[String]) -> Result<Vec<String>, Failure> {
    let mut expanded = Vec::new();
    for argument in arguments {
        match range(argument)? {
            Some((before, numbers, after)) => {
                expanded.extend(numbers.map(|number| format!("{before}{number}{after}")));
            }
            None => expanded.push(argument.clone()),
        }
    }
    Ok(expanded)
}

/// What stands before a range, the range, and what stands behind it.
type Range<'a> = (&'a str, std::ops::RangeInclusive<u64>, &'a str);

/// The range in an argument, with what stands before and behind it.
fn range(argument: &str) -> Result<Option<Range<'_>>, Failure> {
    let Some((before, rest)) = argument.split_once('{') else { return Ok(None) };
    let wrong = |why: &str| Failure::usage(format!("{argument:?}: {why}; a range is written {{1..3}}"));
    let (inside, after) = rest.split_once('}').ok_or_else(|| wrong("the brace is not closed"))?;
    let (first, last) = inside.split_once("..").ok_or_else(|| wrong("no range between the braces"))?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong(&format!("{text:?} is not a number")));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(wrong("it ends before it begins"));
    }
    if last - first >= MAX_RANGE {
        return Err(wrong(&format!("it names more than {MAX_RANGE} instances")));
    }
    Ok(Some((before, first..=last, after)))
}

/// The units of the registry that the arguments name, without repetition and in their order, and the names that are not there.
pub async fn registered(
    session: &Session,
    arguments: &[String],
) -> Result<(Vec<Unit>, Vec<String>), Failure> {
    let names: Vec<String> =
        expand(arguments)?.iter().map(|argument| UnitName::from_argument(argument)).collect();
    let all: BTreeMap<String, Unit> = if names.len() > 1 || names.iter().any(|name| is_pattern(name)) {
        let units = session.client.units().await;
        let units =
            units.map_err(|error| Failure::of("Error retrieving list of units from repository", &error))?;
        units.into_iter().map(|unit| (unit.name.clone(), unit)).collect()
    } else {
        let mut one = BTreeMap::new();
        for name in &names {
            let unit = session.client.unit(name).await;
            let unit = unit.map_err(|error| Failure::of(&format!("Error retrieving unit {name}"), &error))?;
            one.extend(unit.map(|unit| (name.clone(), unit)));
        }
        one
    };
    select(&names, &all)
}

/// What the names mean among all units.
pub(super) fn select(
    names: &[String],
    all: &BTreeMap<String, Unit>,
) -> Result<(Vec<Unit>, Vec<String>), Failure> {
    let (mut units, mut missing): (Vec<Unit>, Vec<String>) = (Vec::new(), Vec::new());
    for name in names {
        let mut matched: Vec<&Unit> = all.get(name).into_iter().collect();
        if matched.is_empty() && is_pattern(name) {
            glob::check(name).map_err(|why| Failure::usage(format!("{name:?}: {why}")))?;
            matched = all.values().filter(|unit| glob::matches(name, &unit.name)).collect();
        }
        if matched.is_empty() {
            missing.push(name.clone());
        }
        for unit in matched {
            if !units.iter().any(|known| known.name == unit.name) {
                units.push(unit.clone());
            }
        }
    }
    Ok((units, missing))
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The local file of an argument: the path itself, or the template beside it.
pub fn local(argument: &str) -> Result<Option<Found>, Failure> {
    let name = UnitName::from_argument(argument);
    let template = UnitName::parse(&name).ok().and_then(|name| name.template());
    let beside = |name: &str| Path::new(argument).with_file_name(name);
    let candidates = std::iter::once(beside(&name)).chain(template.as_deref().map(beside));
    for path in candidates {
        match std::fs::read_to_string(&path) {
            Ok(text) => return read(&path, &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::error(format!("failed to read {}: {error}", path.display()))),
        }
    }
    Ok(None)
}

fn read(path: &Path, text: &str) -> Result<Found, Failure> {
    let file = UnitFile::parse(text);
    let file = file.map_err(|error| Failure::error(format!("failed to read {}: {error}", path.display())))?;
    for warning in fleet::unit::Requirements::warnings(&file) {
        eprintln!("WARNING: {}: {warning}", path.display());
    }
    Ok(Found { file, path: Some(path.to_path_buf()) })
}

/// The text for a unit that the registry does not have yet.
pub async fn text_for(session: &Session, argument: &str) -> Result<Found, Failure> {
    let name = UnitName::from_argument(argument);
    let parsed = UnitName::parse(&name).map_err(|error| Failure::error(error.to_string()))?;
    let exact = Path::new(argument).with_file_name(&name).exists();
    let template = parsed.template().filter(|_| parsed.instance().is_some() && !exact);
    if let Some(template) = &template {
        let stored = session.client.unit(template).await;
        let stored =
            stored.map_err(|error| Failure::of(&format!("Error retrieving template {template}"), &error))?;
        if let Some(unit) = stored {
            let file = contents(&unit)?;
            warn_if_other(argument, &unit, &file, "template ")?;
            return Ok(Found { file, path: None });
        }
    }
    if let Some(found) = local(argument)? {
        return Ok(found);
    }
    let also = template.map(|template| format!(", nor its template {template}")).unwrap_or_default();
    Err(Failure::error(format!("unable to find unit {name} in the registry or on the filesystem{also}")))
}

/// The file of a unit of the registry.
pub fn contents(unit: &Unit) -> Result<UnitFile, Failure> {
    UnitFile::from_options(unit.options.clone()).map_err(|error| {
        Failure::error(format!("unit {} of the registry is no unit file: {error}", unit.name))
    })
}

/// Says so when the local file of an argument is another than the registry's, which is then what counts.
pub fn warn_if_other(argument: &str, unit: &Unit, stored: &UnitFile, what: &str) -> Result<(), Failure> {
    if let Some(Found { file, path: Some(path) }) = local(argument)?
        && file != *stored
    {
        let (name, path) = (&unit.name, path.display());
        eprintln!("WARNING: {what}{name} in the registry differs from {path}. Add --replace to override it.");
    }
    Ok(())
}
