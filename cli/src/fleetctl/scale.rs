//! `start --scale web@{1..3}`: the instances that are named are all that there shall be.
//!
//! What is started is named by the arguments, written out by us or by the shell; here is the other half: numbered instances of the
//! same templates that are not among them are destroyed. Instances whose name is not a number are nobody's surplus.

use super::failure::Failure;
use super::session::Session;
use super::wait::Patience;
use super::wish;
use fleet::unit::UnitName;
use std::collections::{BTreeMap, BTreeSet};

/// The numbers that are wanted of each template.
pub type Wanted = BTreeMap<String, BTreeSet<u64>>;

/// What the arguments want. Each must be a numbered instance.
pub fn wanted(arguments: &[String]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::new();
    for argument in arguments {
        let name = UnitName::from_argument(argument);
        let (template, number) = numbered(&name).ok_or_else(|| {
            Failure::usage(format!("--scale: {name} is not a numbered instance such as web@1.service"))
        })?;
        wanted.entry(template).or_default().insert(number);
    }
    Ok(wanted)
}

/// The template and number of a numbered instance.
fn numbered(name: &str) -> Option<(String, u64)> {
    let name = UnitName::parse(name).ok()?;
    let number = name.instance()?.parse().ok()?;
    Some((name.template()?, number))
}

/// Destroys what is beyond.
pub async fn take_down(session: &Session, wanted: &Wanted, patience: Patience) -> Result<(), Failure> {
    if wanted.is_empty() {
        return Ok(());
    }
    let units = session.client.units().await;
    let units =
        units.map_err(|error| Failure::of("Error retrieving list of units from repository", &error))?;
    let surplus = surplus(wanted, units.into_iter().map(|unit| unit.name));
    wish::destroy_named(session, surplus, patience).await
}

fn surplus(wanted: &Wanted, names: impl Iterator<Item = String>) -> Vec<String> {
    let beyond = |name: &String| {
        let found = numbered(name).and_then(|(template, number)| Some((wanted.get(&template)?, number)));
        found.is_some_and(|(numbers, number)| !numbers.contains(&number))
    };
    names.filter(beyond).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbered_instances_of_the_same_template_are_surplus() {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let wanted = wanted(&words(&["web@1", "units/web@2.service"])).unwrap();
        let names = [
            "web@1.service",
            "web@3.service",
            "web@blue.service",
            "web@.service",
            "db@3.service",
            "web.service",
        ];
        assert_eq!(surplus(&wanted, words(&names).into_iter()), words(&["web@3.service"]));
        assert!(super::wanted(&words(&["web.service"])).unwrap_err().message.contains("numbered instance"));
    }
}
