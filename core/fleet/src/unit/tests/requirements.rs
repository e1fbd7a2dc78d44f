//! The `[X-Fleet]` section: every option and spelling, every refusal.

use crate::unit::*;
use quickcheck::{Arbitrary, Gen, quickcheck};
use std::time::Duration;

fn read_as(name: &str, section: &str) -> Result<Requirements, RequirementsError> {
    let file = UnitFile::parse(&format!("[X-Fleet]\n{section}\n")).expect(section);
    Requirements::read(&UnitName::parse(name).expect(name), &file)
}

fn read(section: &str) -> Requirements {
    read_as("web@1.service", section).expect(section)
}

/// What the one list is that the section fills.
fn globs(section: &str) -> Vec<String> {
    let Requirements { machine_of, conflicts, replaces, requires, after, .. } = read(section);
    [machine_of, conflicts, replaces, requires, after].concat()
}

fn metadata(section: &str) -> Vec<String> {
    read(section).metadata.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_said() {
    assert_eq!(read("# nothing"), Requirements::default());
    assert_eq!(read("MachineOf=\nMachineID=\nMachineMetadata=\nGlobal="), Requirements::default());
    assert_eq!(read("machineof=ping.service"), Requirements::default(), "options are spelled exactly");
    assert_eq!(Requirements::default().to_string(), "");
}

#[test]
fn lists_of_units() {
    let table: [(&str, &[&str]); 12] = [
        ("MachineOf=a.service", &["a.service"]),
        ("MachineOf=a.service b@*.service", &["a.service", "b@*.service"]),
        ("MachineOf=\"a.service\" \"b.service\"", &["a.service", "b.service"]),
        ("MachineOf=b.service\nX-ConditionMachineOf=a.service", &["a.service", "b.service"]),
        ("MachineOf=a.service\nMachineOf=a.service", &["a.service"]),
        ("MachineOf=a.service \\\n  b.service", &["a.service", "b.service"]),
        ("Conflicts=*bar* *foo*", &["*bar*", "*foo*"]),
        ("Conflicts=*bar*\nX-Conflicts=*foo*", &["*foo*", "*bar*"]),
        ("Conflicts=%p@*.%i", &["web@*.1"]),
        ("Replaces=old.service\nReplaces=\"older@?.service\"", &["old.service", "older@?.service"]),
        ("Requires=db.service cache.service", &["db.service", "cache.service"]),
        ("After=db@%i.service", &["db@1.service"]),
    ];
    for (section, expected) in table {
        assert_eq!(globs(section), expected, "{section}");
    }
}

#[test]
fn specifiers_in_their_order() {
    assert_eq!(globs("Conflicts=%n,%N,%p,%i,%H,%%"), ["web@1.service,web@1,web,1,%H,%%"]);
    // A plain unit has no instance; a template is looked at as its instance 1.
    assert_eq!(
        read_as("web@.service", "MachineMetadata=host=%i\nCPU=%i").unwrap().metadata[0].to_string(),
        "host=1"
    );
    assert!(read_as("web.service", "MachineMetadata=host=%i").unwrap_err().message.starts_with("no value"));
}

#[test]
fn machine_id() {
    let table = [
        ("MachineID=abc", "abc"),
        ("MachineID=\"abc\" \"def\"", "abc"),
        ("MachineID=abc\nMachineID=def", "abc"),
        ("X-ConditionMachineID=old\nMachineID=new", "new"),
        ("X-ConditionMachineBootID=boot\nX-ConditionMachineID=old", "old"),
        ("X-ConditionMachineBootID=boot", "boot"),
    ];
    for (section, expected) in table {
        assert_eq!(read(section).machine_id.as_deref(), Some(expected), "{section}");
    }
    let wants = |id: &str| read(&format!("MachineID={id}"));
    let full = "0123456789abcdef0123456789abcdef";
    assert!(wants(full).fits_id(full) && wants("01234567").fits_id(full) && read("").fits_id(full));
    assert!(
        !wants("0123456").fits_id(full) && !wants("012345678").fits_id(full) && !wants("x").fits_id(full)
    );
    assert!(wants("short").fits_id("short"));
}

#[test]
fn metadata_terms() {
    assert_eq!(
        metadata("MachineMetadata=a=1\nMachineMetadata=b=2\nMachineMetadata=a=0"),
        ["a=0 or a=1", "b=2"]
    );
    assert_eq!(metadata("MachineMetadata=\"a=1\" \"ram>=2048\" \"!old\""), ["a=1", "ram>=2048", "!old"]);
    assert_eq!(metadata("MachineMetadata=a=2\nX-ConditionMachineMetadata=a=1"), ["a=1 or a=2"]);
    assert_eq!(metadata("MachineMetadata=where=us east"), ["where=us east"]);
    let machine = [("a".to_string(), "1".to_string())].into();
    assert!(read("MachineMetadata=\"a=1\" \"!b\"").fits_metadata(&machine));
    assert!(!read("MachineMetadata=\"a=1\" \"b\"").fits_metadata(&machine));
}

#[test]
fn global_takes_the_last_word() {
    for (section, expected) in [
        ("Global=true", true),
        ("Global=YES", true),
        ("Global=1\nGlobal=off", false),
        ("Global=\"false\" \"T\"", true),
        ("Global=no", false),
    ] {
        assert_eq!(read(section).global, expected, "{section}");
    }
}

#[test]
fn new_options() {
    let read = read(
        "PreferMachineMetadata=ssd=true 50\nPreferMachineMetadata=\"zone=a b\" -5\nPreferMachineMetadata=\"x=1\" \"y>2 7\"\n\
         PreferMachineOf=db.service\nAvoidMachineOf=%p@*.service 3\nCPU=500m\nMemory=1.5G\nPlacement=Pack\nPartition=stop\n\
         StopGrace=1min\nMaxUnavailable=2\nHealthyAfter=3s\nHealthyWithin=1min\nRollBack=yes",
    );
    let soft: Vec<String> =
        read.prefer_metadata.iter().map(|(term, weight)| format!("{term} {weight}")).collect();
    assert_eq!(soft, ["ssd=true 50", "zone=a b -5", "x=1 10", "y>2 7"]);
    assert_eq!(read.prefer_machine_of, [("db.service".to_string(), WEIGHT)]);
    assert_eq!(read.avoid_machine_of, [("web@*.service".to_string(), 3)]);
    assert_eq!(read.resources, Resources { cpu_millis: 500, memory_bytes: 3 << 29 });
    assert_eq!((read.placement, read.partition), (PlacementRule::Pack, PartitionPolicy::Stop));
    assert_eq!(read.stop_grace, Duration::from_secs(60));
    assert_eq!((read.max_unavailable, read.roll_back), (Some(2), true));
    assert_eq!((read.healthy_after, read.healthy_within), (Duration::from_secs(3), Duration::from_secs(60)));
    assert_eq!(read.to_string(), "CPU=500m, Memory=1610612736");
}

#[test]
fn oneshots() {
    let oneshot = |name: &str, service: &str| {
        let file = UnitFile::parse(&format!("[Service]\n{service}\n")).unwrap();
        Requirements::read(&UnitName::parse(name).unwrap(), &file).unwrap().oneshot
    };
    assert!(oneshot("job.service", "Type=oneshot"));
    assert!(oneshot("job.service", "Type=oneshot\nRemainAfterExit=no"));
    assert!(!oneshot("job.service", "Type=oneshot\nRemainAfterExit=yes"));
    assert!(!oneshot("job.service", "Type=oneshot\nType=simple"));
    assert!(!oneshot("job.service", "ExecStart=/bin/true"));
    assert!(!oneshot("job.socket", "Type=oneshot"));
}

#[test]
fn refusals_name_line_option_value_and_remedy() {
    let table = [
        (
            "MachineOf=ping",
            "line 2: [X-Fleet] MachineOf=ping: no unit can match: unit name \"ping\" has no type",
        ),
        ("# c\nConflicts=[a", "line 3: [X-Fleet] Conflicts=[a: \"[a\" is no glob"),
        ("MachineMetadata=a=b c=d", "line 2: [X-Fleet] MachineMetadata=a=b c=d: \"b c=d\" is no value"),
        ("X-ConditionMachineMetadata=a=b=c", "[X-Fleet] X-ConditionMachineMetadata=a=b=c: "),
        ("MachineMetadata=\"a=b\" \"=c\"", "MachineMetadata==c: no key"),
        ("Global=maybe", "Global=maybe: write true or false"),
        ("Placement=tight", "write spread or pack"),
        ("Partition=split", "write keep, stop or hold"),
        ("CPU=much", "write cores"),
        ("Memory=0.3", "write a whole number of bytes"),
        ("StopGrace=soon", "write a span of time"),
        ("MaxUnavailable=0", "write a whole number, 1 or more"),
        ("Requires=db", "has no type"),
        ("Requires=%n", "cannot wait for itself"),
        ("After=db@.service", "is a template"),
        ("PreferMachineMetadata=a=b 5000", "weight 5000 must be from 1 to 1000"),
        ("PreferMachineMetadata=a=b 0", "weight 0 must be"),
        ("PreferMachineOf=a.service b.service", "has a blank"),
        ("AvoidMachineOf=a* b* 4", "has a blank"),
        ("HealthyAfter=10s\nHealthyWithin=5s", "HealthyWithin (5s) must not be less than HealthyAfter (10s)"),
    ];
    for (section, expected) in table {
        let error = read_as("web@1.service", section).expect_err(section).to_string();
        assert!(error.contains(expected), "{section}: {error}");
    }
}

#[test]
fn limits() {
    let many = |count: usize| (0..count).map(|i| format!(" u{i}.service")).collect::<String>();
    assert_eq!(read(&format!("Conflicts={}", many(1000))).conflicts.len(), 1000);
    let error = read_as("a.service", &format!("Conflicts={}", many(1001))).unwrap_err();
    assert_eq!(error.message, "one option can have 1000 values at most");
    let error = read_as("a.service", &format!("Conflicts={}", "x".repeat(1025))).unwrap_err();
    assert!(error.message.contains("1025 bytes are too long: 1024 are allowed"), "{}", error.message);
}

#[test]
fn contradictions() {
    let lines = [
        ("MachineID", "MachineID=x"),
        ("MachineOf", "MachineOf=a.service"),
        ("Conflicts", "Conflicts=b*"),
        ("Replaces", "Replaces=c.service"),
        ("Global", "Global=true"),
        ("MachineMetadata", "MachineMetadata=a=b"),
    ];
    let refused = [
        "ID Of",
        "ID Conflicts",
        "ID Replaces",
        "ID Global",
        "Of Global",
        "Conflicts Replaces",
        "Replaces Global",
    ];
    for (i, (one, first)) in lines.iter().enumerate() {
        for (other, second) in &lines[i + 1..] {
            let pair = format!("{one} {other}").replace("Machine", "");
            let error = read_as("web@1.service", &format!("{first}\n{second}")).err();
            assert_eq!(error.is_some(), refused.contains(&pair.as_str()), "{pair}: {error:?}");
        }
    }
    let error = read_as("web@1.service", "Conflicts=a* b*\nMachineOf=c.service b.service").unwrap_err();
    assert_eq!((error.option.as_str(), error.line), ("Conflicts", 2));
    assert!(error.message.contains("b.service"), "{error}");
    assert!(read_as("web@1.service", "Replaces=a*\nMachineOf=a.service").is_err());
    assert!(read_as("web@1.service", "Global=true\nPlacement=pack").is_err());
    assert!(read_as("web@1.service", "Global=false\nMachineOf=a.service").is_ok());
}

#[test]
fn unknown_options_are_told_of() {
    let warnings =
        |section: &str| Requirements::warnings(&UnitFile::parse(&format!("[X-Fleet]\n{section}\n")).unwrap());
    let fine = "MachineOf=a\nX-Conflicts=b*\nReplaces=%p.%i\nX-ConditionMachineBootID=c\nPartition=Stop\nStopGrace=5s";
    assert_eq!(warnings(fine), Vec::<String>::new());
    assert_eq!(warnings(&"Odd=1\n".repeat(5000)).len(), 100, "there is an end to it");
    let table = [
        (
            "MachineMetdata=a=b",
            "line 2: [X-Fleet] has no option \"MachineMetdata\": it is ignored; did you mean MachineMetadata?",
        ),
        ("X-MachineOf=a", "did you mean MachineOf?"),
        ("X-ConditionConflicts=a", "did you mean Conflicts?"),
        ("global=true", "did you mean Global?"),
        ("Weight=5", "line 2: [X-Fleet] has no option \"Weight\": it is ignored"),
        ("Conflicts=web web.service", "line 2: Conflicts=web matches no unit: write web.service"),
        ("Partition=hold\nStopGrace=5s", "StopGrace says nothing without Partition=stop"),
        ("HealthyAfter=5s", "HealthyAfter says nothing without MaxUnavailable or RollBack"),
        ("Conflicts=", "line 2: Conflicts is empty: it says nothing"),
        ("=", "has no option \"\": it is ignored"),
    ];
    for (section, expected) in table {
        let found = warnings(section);
        assert!(found.len() == 1 && found[0].contains(expected), "{section}: {found:?}");
    }
}

/// Sections put together of likely and unlikely pieces.
#[derive(Clone, Debug)]
struct Lines(Vec<(String, String)>);

impl Arbitrary for Lines {
    fn arbitrary(g: &mut Gen) -> Self {
        const NAMES: [&str; 12] = [
            "MachineID",
            "X-ConditionMachineOf",
            "MachineOf",
            "MachineMetadata",
            "X-Conflicts",
            "Global",
            "Replaces",
            "CPU",
            "PreferMachineMetadata",
            "AvoidMachineOf",
            "StopGrace",
            "Requires",
        ];
        const PIECES: [&str; 18] = [
            "a.service",
            "b*",
            "\"",
            "\"",
            " ",
            " ",
            "=",
            ">=",
            "!",
            "5",
            "-1",
            "%i",
            "%n",
            "[",
            "\\",
            "k",
            "true",
            "é",
        ];
        let line = |g: &mut Gen| {
            let length = usize::arbitrary(g) % 7;
            let value = (0..length).map(|_| *g.choose(&PIECES).unwrap()).collect();
            (g.choose(&NAMES).unwrap().to_string(), value)
        };
        let length = usize::arbitrary(g) % 5;
        Lines((0..length).map(|_| line(g)).collect())
    }
}

quickcheck! {
    fn reading_never_panics_and_errors_point_into_the_file(lines: Lines) -> bool {
        let options = lines.0.iter().map(|(name, value)| UnitOption::new("X-Fleet", name, value)).collect();
        let Ok(file) = UnitFile::from_options(options) else { return true };
        let name = UnitName::parse("web@1.service").unwrap();
        let told = Requirements::warnings(&file).iter().all(|warning| warning.starts_with("line ") || warning.contains(" says nothing without "));
        match Requirements::read(&name, &file) {
            Ok(_) => told,
            Err(error) => {
                let text = file.text();
                let line = text.lines().nth(error.line - 1).unwrap();
                told && line.starts_with(&format!("{}=", error.option))
            }
        }
    }
}
