//! The page for users, docs/fleet-units.md: what it shows can be read, and it leaves no option out.

use crate::unit::options::KNOWN;
use crate::unit::{Requirements, UnitFile, UnitName};

const PAGE: &str = include_str!("../../../../../docs/fleet-units.md");

/// The blocks of unit files, each with the name in its first line, or a name for those that have none.
fn blocks() -> Vec<(UnitName, UnitFile)> {
    let blocks =
        PAGE.split("```ini\n").skip(1).map(|rest| rest.split("```").next().expect("split gives one"));
    let named = |block: &str| {
        let name = block.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or("shown@1.service");
        (UnitName::parse(name).expect(name), UnitFile::parse(block).expect(block))
    };
    blocks.map(named).collect()
}

#[test]
fn every_block_is_read_without_a_warning() {
    let blocks = blocks();
    assert!(blocks.len() > KNOWN.len(), "each option has an example, and there are whole files");
    for (name, file) in &blocks {
        let read = Requirements::read(name, file);
        assert!(read.is_ok(), "{name}: {read:?}\n{}", file.text());
        assert_eq!(Requirements::warnings(file), Vec::<String>::new(), "{name}");
        assert_eq!(&UnitFile::parse(&file.text()).expect("canonical text is read"), file);
    }
}

#[test]
fn every_option_has_its_chapter_with_an_example() {
    for (option, old_spellings) in KNOWN {
        let title = format!("### `{option}`\n");
        let chapter = PAGE.split(&title).nth(1).unwrap_or_else(|| panic!("{option} has no chapter"));
        let chapter = chapter.split("\n##").next().expect("split gives one");
        assert!(chapter.contains(&format!("\n{option}=")), "{option} has no example");
        assert!(old_spellings.iter().all(|old| chapter.contains(&format!("`{old}`"))), "{option}");
        assert!(
            PAGE.contains(&format!("[{option}](#{})", option.to_lowercase())),
            "{option} is not in the index"
        );
    }
}

#[test]
fn the_three_units_mean_what_the_text_says() {
    let read = |name: &str| {
        let (name, file) = blocks().into_iter().find(|(known, _)| known.as_str() == name).expect(name);
        Requirements::read(&name, &file).expect("a file of the page is read")
    };
    let web = read("web@.service");
    assert_eq!(
        (web.conflicts, web.max_unavailable, web.roll_back),
        (vec!["web@*.service".into()], Some(1), true)
    );
    let database = read("database.service");
    assert_eq!(
        database.to_string(),
        "MachineMetadata=volume~database-*, MachineMetadata=ram>=16384, CPU=2000m, Memory=8589934592"
    );
    let collector = read("collector.service");
    assert!(collector.global && collector.max_unavailable == Some(2));
}
