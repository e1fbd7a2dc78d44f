//! Names: what is refused, what their parts are, what an argument names.

use crate::unit::{NAME_LENGTH_MAX, UnitName};
use quickcheck::quickcheck;

fn name(text: &str) -> UnitName {
    UnitName::parse(text).expect(text)
}

#[test]
fn parts() {
    // Name, kind, stem, prefix, instance, template, is a template.
    let table = [
        ("web.service", "service", "web", "web", None, None, false),
        ("web@.service", "service", "web@", "web", None, Some("web@.service"), true),
        ("web@1.service", "service", "web@1", "web", Some("1"), Some("web@.service"), false),
        ("a.b@c@d.e.timer", "timer", "a.b@c@d.e", "a.b", Some("c@d.e"), Some("a.b@.timer"), false),
        (r"dev-\x2dx.mount", "mount", r"dev-\x2dx", r"dev-\x2dx", None, None, false),
    ];
    for (text, kind, stem, prefix, instance, template, is_template) in table {
        let name = name(text);
        assert_eq!((name.kind(), name.stem(), name.prefix()), (kind, stem, prefix), "{text}");
        assert_eq!(name.instance(), instance, "{text}");
        assert_eq!(name.template().as_deref(), template, "{text}");
        assert_eq!(name.is_template(), is_template, "{text}");
    }
}

#[test]
fn refused_with_a_reason() {
    let long = format!("{}.service", "x".repeat(NAME_LENGTH_MAX));
    let table = [
        ("", "empty"),
        (long.as_str(), "too long: 256"),
        ("web", "has no type"),
        ("web.", r#""" is no type"#),
        ("web.servic", r#""servic" is no type"#),
        ("web.snapshot", "any more"),
        ("web@1.mount", "no templates of type"),
        ("we b.service", "' '"),
        ("a/b.service", "'/'"),
        ("bäh.service", "'ä'"),
        ("@1.service", "before"),
        (".service", "before"),
    ];
    for (text, reason) in table {
        let error = UnitName::parse(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text:?}: {error}");
    }
    assert_eq!(name(&format!("{}.service", "x".repeat(NAME_LENGTH_MAX - 8))).as_str().len(), NAME_LENGTH_MAX);
}

#[test]
fn an_argument_names_a_unit() {
    let table = [
        ("web", "web.service"),
        ("./examples/web.service", "web.service"),
        ("/a/b/web@1", "web@1.service"),
        ("web.socket", "web.socket"),
        ("group.target", "group.target"),
        ("web.1", "web.1.service"),
        ("dir/", "dir.service"),
    ];
    for (argument, expected) in table {
        assert_eq!(UnitName::from_argument(argument), expected, "{argument}");
    }
}

#[test]
fn a_name_in_json_is_checked() {
    assert_eq!(serde_json::from_str::<UnitName>(r#""web.service""#).unwrap(), name("web.service"));
    assert_eq!(serde_json::to_string(&name("web.service")).unwrap(), r#""web.service""#);
    let error = serde_json::from_str::<UnitName>(r#""../web""#).unwrap_err().to_string();
    assert!(error.contains("../web"), "{error}");
}

quickcheck! {
    fn any_text_is_a_name_or_an_error(text: String) -> bool {
        match UnitName::parse(&text) {
            Ok(name) => name.as_str() == text && format!("{}.{}", name.stem(), name.kind()) == text,
            Err(error) => !error.to_string().is_empty(),
        }
    }

    fn an_instance_is_named_by_its_template(prefix: u16, instance: u16) -> bool {
        let name = name(&format!("p{prefix}@{instance}.timer"));
        let template = UnitName::parse(&name.template().unwrap()).unwrap();
        template.is_template() && name.as_str() == format!("{}@{}.{}", template.prefix(), instance, template.kind())
    }
}
