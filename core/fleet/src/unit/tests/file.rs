//! Unit files: what the lexer reads, what the canonical text is, and fleet's own hashes.

use crate::unit::{UnitFile, UnitOption};
use quickcheck::{Arbitrary, Gen, quickcheck};

fn parse(text: &str) -> UnitFile {
    UnitFile::parse(text).expect(text)
}

/// The options as `section name=value` lines, line ends shown.
fn shown(file: &UnitFile) -> Vec<String> {
    let line = |o: &UnitOption| format!("{} {}={}", o.section, o.name, o.value.replace('\n', "⏎"));
    file.options().iter().map(line).collect()
}

fn loop_unit(description: &str, word: &str) -> String {
    let command = format!(r#"/bin/bash -c "while true; do echo \"{word}\"; sleep 1; done""#);
    format!("[Unit]\nDescription={description}\n\n[Service]\nExecStart={command}\n")
}

#[test]
fn hashes_are_those_of_fleet() {
    let pong = loop_unit("PONG", "pong") + "\n[X-Fleet]\nMachineOf=ping.service\n";
    let table = [
        (loop_unit("Hello World", "Hello, world"), "e55c0aeb44ba0b68004ceb8a200e685194448b45"),
        (loop_unit("PING", "ping"), "d9de011694dda111458a4fc9912ad629d86ad8af"),
        (pong, "667e8dead419d2cce5a664c0ba586ca33217f286"),
    ];
    for (text, hash) in table {
        assert_eq!(parse(&text).hash().to_string(), hash);
        assert_eq!(parse(&text).text(), text, "these are canonical already");
        let commented =
            format!("what is this\n# first \\\n second\n; x\n{}", text.replace('\n', "\r\n\r\n  # c\r\n"));
        assert_eq!(parse(&commented).hash().to_string(), hash, "{commented}");
    }
}

#[test]
fn lexer() {
    let table: [(&str, &[&str]); 15] = [
        ("", &[]),
        ("[Unit]\n", &[]),
        ("lost=1\n[Unit]\nA = 1 \n", &["Unit A=1"]),
        ("\u{feff}[Unit]\nA=1", &["Unit A=1"]),
        ("# [No]\n[Unit]\nA=1", &["Unit A=1"]),
        ("[U]\nA=\n  B=2\nA=x=y\n", &["U A=", "U B=2", "U A=x=y"]),
        ("[U]\nA=1\n[V]\nB=2\n[U]\nC=3\n", &["U A=1", "U C=3", "V B=2"]),
        ("[U]\nA=1 \\\n  2\\\n3 \nB=4\n", &["U A=1 \\⏎  2\\⏎3", "U B=4"]),
        ("[U]\nA=1 \\\r\n  2\r\nB=4\r\n", &["U A=1 \\⏎  2", "U B=4"]),
        ("[U]\nA=1 \\\n\nB=4\n", &["U A=1 \\⏎", "U B=4"]),
        ("[U]\nA=1 \\\r\r\n2\r\r\nB=4", &["U A=1 \\⏎2", "U B=4"]),
        ("[U]\nA=1 \\", &["U A=1 \\⏎"]),
        ("[U]\nA=1 \\\n# why\n  2\nB=4\n", &["U A=1 \\⏎# why⏎  2", "U B=4"]),
        ("[U]\n# gone \\\nA=1\n;B=2\nC=3\n", &["U C=3"]),
        ("[U]\nA=1 \\x\nB=2 # no comment\n", &["U A=1 \\x", "U B=2 # no comment"]),
    ];
    for (text, expected) in table {
        assert_eq!(shown(&parse(text)), expected, "{text:?}");
    }
}

#[test]
fn long_lines_are_taken() {
    let value = "x".repeat(100_000);
    assert_eq!(parse(&format!("[U]\nA={value}\n")).get("U", "A"), [value.as_str()]);
}

#[test]
fn errors_name_the_line() {
    let table = [
        ("[Unit]\nA=1\nnonsense\n", 3, "\"nonsense\" is no option: write it as Name=value"),
        ("\n\n[Unit\n", 3, "section \"[Unit\" has no closing bracket"),
        ("[Unit]\n# c\n\n[X] y\n", 4, "\"y\" after section [X]: put it on a line of its own"),
        ("[Unit]\nA=1 \\\n  2\n[\n", 4, "section \"[\" has no closing bracket"),
        (
            "[U]\nA=1 \\\n 2 \\ \nB=1",
            3,
            "a backslash with blanks after it does not continue the line: take the blanks away, or the backslash",
        ),
        ("[U]\r\nA=1\r\nb\rc=1", 3, "carriage return in the name of option \"b\\rc\""),
    ];
    for (text, line, message) in table {
        let error = UnitFile::parse(text).expect_err(text);
        assert_eq!((error.line, error.message.as_str()), (line, message), "{text:?}");
        assert_eq!(error.to_string(), format!("line {line}: {message}"));
    }
}

#[test]
fn values_are_found() {
    let file = parse("[Unit]\nDescription=first \\\n  line\nDescription=second\n[Install]\nWantedBy=a\n");
    assert_eq!(file.description(), "first line");
    assert_eq!(file.get("Unit", "Description"), ["first \\\n  line", "second"]);
    assert!(file.has_section("Install") && !file.has_section("Service"));
    assert_eq!(parse("[Service]\nType=simple\n").description(), "");
}

#[test]
fn options_that_would_say_something_else_are_refused() {
    let bad = [
        UnitOption::new("U", "A", "1\nExecStart=/bin/evil"),
        UnitOption::new("U", "A\nB", "1"),
        UnitOption::new("U", "#A", "1"),
        UnitOption::new("U", "A=B", "1"),
        UnitOption::new("U]\n[V", "A", "1"),
        UnitOption::new("U", "A", "1 \\"),
    ];
    for option in bad {
        let options = vec![option.clone(), UnitOption::new(&option.section, "B", "2")];
        let error = UnitFile::from_options(options).expect_err(&option.name).to_string();
        let known =
            ["cannot be written", "bracket", "is no option"].iter().any(|words| error.contains(words));
        assert!(known, "{option:?}: {error}");
    }
    let open_at_the_end = UnitFile::from_options(vec![UnitOption::new("U", "A", "1 \\")]).unwrap();
    assert_eq!(open_at_the_end, parse("[U]\nA=1 \\\n"));
}

/// Lines of the kind that unit files are made of, well put together or not.
#[derive(Clone, Debug)]
struct Scrap(String);

impl Arbitrary for Scrap {
    fn arbitrary(g: &mut Gen) -> Self {
        const PIECES: [&str; 22] = [
            "[A]", "[B]", "[", "]", "\n", "\n", "\n", "\r\n", "\r", "\\", "\\\n", " \\\n", "=", "X=", "Y=1",
            "#", ";c", " ", "\t", "é", "\u{a0}", "name",
        ];
        Scrap((0..g.size() / 4).map(|_| *g.choose(&PIECES).unwrap()).collect())
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Scrap))
    }
}

/// Well-formed options.
#[derive(Clone, Debug)]
struct Options(Vec<UnitOption>);

impl Arbitrary for Options {
    fn arbitrary(g: &mut Gen) -> Self {
        let option = |g: &mut Gen| {
            let section = *g.choose(&["Unit", "Service", "X-Fleet", ""]).unwrap();
            let name = *g.choose(&["A", "B", "Long Name", ""]).unwrap();
            let value =
                *g.choose(&["", "1", "a=b", "x \\\n  y", "x \\\n# c\n y", "x \\\n", "# no", "[no]"]).unwrap();
            UnitOption::new(section, name, value)
        };
        Options((0..g.size() / 8).map(|_| option(g)).collect())
    }
}

quickcheck! {
    fn reading_never_panics_and_canonical_text_is_stable(scrap: Scrap) -> bool {
        let Ok(file) = UnitFile::parse(&scrap.0) else { return true };
        let again = parse(&file.text());
        again == file && again.text() == file.text() && again.hash() == file.hash()
    }

    fn any_text_is_read_or_refused(text: String) -> bool {
        UnitFile::parse(&text).map_or_else(|error| error.line > 0, |file| parse(&file.text()) == file)
    }

    fn options_and_text_are_two_forms_of_one_file(options: Options) -> bool {
        let file = UnitFile::from_options(options.0.clone()).unwrap();
        let mut kept = file.options().to_vec();
        let mut given = options.0;
        kept.sort();
        given.sort();
        kept == given && parse(&file.text()) == file
    }

    fn comments_change_no_hash(options: Options, comment: String) -> bool {
        let file = UnitFile::from_options(options.0).unwrap();
        let comment = comment.replace(['\n', '\\'], "");
        // A comment before each section and at the end: nowhere inside a value.
        let commented = file.text().replace("\n[", &format!("\n#{comment}\n[")) + ";" + &comment;
        let commented = format!("#{comment}\n{commented}");
        parse(&commented).hash() == file.hash()
    }

    fn sections_stand_together(options: Options) -> bool {
        let file = UnitFile::from_options(options.0).unwrap();
        let mut sections: Vec<&str> = file.options().iter().map(|o| o.section.as_str()).collect();
        sections.dedup();
        let mut once = sections.clone();
        once.sort_unstable();
        once.dedup();
        once.len() == sections.len()
    }
}
