//! The API without a store: paths, tokens, queries, patches.

use super::patch::{self, MetadataChange};
use super::query::{Query, decode};
use super::route::Resource;
use super::token::PageToken;
use super::*;
use quickcheck::quickcheck;

#[test]
fn tokens_are_fleets_and_ours() {
    let old = PageToken { limit: 100, page: 2, after: None };
    assert_eq!(old.encode(), "ZAACAA==");
    assert_eq!(PageToken::decode("ZAACAA==", 100).unwrap(), old);
    assert_eq!(old.skip(), 100);
    let next = PageToken::first(100).next("hello.service");
    assert_eq!((next.page, next.skip()), (2, 0));
    assert_eq!(PageToken::decode(&next.encode(), 100).unwrap(), next);
    for (text, limit) in
        [("ZAACAA==", 99), ("ZAACAA", 100), ("", 100), ("ZAA=", 100), ("ZAAAAA==", 100), ("%%%%", 100)]
    {
        assert_eq!(PageToken::decode(text, limit).unwrap_err().code, 400, "{text:?}");
    }
}

quickcheck! {
    fn a_token_comes_back(limit: u16, page: u16, after: Option<String>) -> bool {
        let after = after.filter(|name| !name.is_empty() && name.len() <= 256);
        let token = PageToken { limit, page: page.max(1), after };
        PageToken::decode(&token.encode(), limit) == Ok(token)
    }

    fn nothing_from_outside_panics(path: String, query: String, body: Vec<u8>) -> bool {
        let _ = (Resource::of(&path), Query::parse(&query), patch::parse(&body), PageToken::decode(&query, 100));
        true
    }
}

#[test]
fn both_prefixes_lead_to_the_same_resources() {
    for prefix in route::PREFIXES {
        let of = |path: &str| Resource::of(&format!("{prefix}{path}"));
        assert_eq!(of("/units"), Ok(Resource::Units));
        assert_eq!(of("/units/a%40b.service"), Ok(Resource::Unit("a@b.service".into())));
        assert_eq!(of("/units/a.service/why"), Ok(Resource::Why("a.service".into())));
        assert_eq!(of("/machines/m1/admission"), Ok(Resource::Admission("m1".into())));
        for (path, code) in
            [("", 405), ("/", 405), ("/units/", 404), ("/nothing", 404), ("/units//why", 404), ("x", 404)]
        {
            assert_eq!(of(path).unwrap_err().code, code, "{path:?}");
        }
    }
    assert_eq!(Resource::of("/").unwrap_err().code, 405);
    assert_eq!(Resource::of("/metricsx").unwrap_err().code, 404);
}

#[test]
fn methods_are_checked() {
    let refused = Resource::Units.check_method("POST").unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (405, "only GET supported against this resource"));
    assert_eq!(Resource::Discovery.check_method("PUT").unwrap_err().code, 400);
    assert_eq!(Resource::Unit("a.service".into()).check_method("PUT"), Ok(()));
    assert_eq!(Resource::Rebalance.check_method("GET").unwrap_err().code, 405);
}

#[test]
fn queries_are_decoded() {
    let query = Query::parse("machineID=m%201&follow&lines=20&twice=1&twice=2&none=").unwrap();
    assert_eq!(query.one("machineID"), Ok(Some("m 1")));
    assert_eq!((query.one("none"), query.one("absent")), (Ok(None), Ok(None)));
    assert_eq!(
        (query.switch("follow"), query.switch("absent"), query.number("lines", 10)),
        (Ok(true), Ok(false), Ok(20))
    );
    assert!(query.one("twice").unwrap_err().message.contains("twice"));
    assert_eq!(decode("a%2").unwrap_err().code, 400);
    assert_eq!(decode("%ff").unwrap_err().code, 400);
}

#[test]
fn a_patch_takes_both_shapes_of_a_value() {
    let body = br#"[{"op":"add","path":"/m1/metadata/region","value":"eu"},
        {"op":"replace","path":"/m1/metadata/disk","value":{"value":"ssd"}}, {"op":"remove","path":"/m2/metadata/role"}]"#;
    let change = |machine: &str, key: &str, value: Option<&str>| MetadataChange {
        machine: machine.into(),
        key: key.into(),
        value: value.map(Into::into),
    };
    let expected =
        [change("m1", "region", Some("eu")), change("m1", "disk", Some("ssd")), change("m2", "role", None)];
    assert_eq!(patch::parse(body).unwrap(), expected);
    for wrong in [
        r#"{}"#,
        r#"[{"op":"move","path":"/m/metadata/k","value":"v"}]"#,
        r#"[{"op":"add","path":"/m/metadata/k/l","value":"v"}]"#,
        r#"[{"op":"add","path":"/m/other/k","value":"v"}]"#,
        r#"[{"op":"add","path":"/m/metadata/a b","value":"v"}]"#,
        r#"[{"op":"add","path":"/m/metadata/k","value":7}]"#,
        r#"[{"op":"add","path":"/m/metadata/k","value":""}]"#,
    ] {
        assert_eq!(patch::parse(wrong.as_bytes()).unwrap_err().code, 400, "{wrong}");
    }
}

#[test]
fn documents_leave_out_what_is_empty() {
    assert_eq!(Response::ok(&UnitPage::default()).text(), "{}");
    let unit = UnitDocument { name: "a.service".into(), machine_id: "m".into(), ..UnitDocument::default() };
    assert_eq!(Response::ok(&unit).text(), r#"{"name":"a.service","machineID":"m"}"#);
    let null: UnitDocument = serde_json::from_str(r#"{"options":null,"desiredState":"launched"}"#).unwrap();
    assert_eq!(null.desired_state, "launched");
    let refused = Response::from(ApiError::conflict("no"));
    assert_eq!((refused.status, refused.text()), (409, r#"{"error":{"code":409,"message":"no"}}"#));
}

#[test]
fn discovery_names_every_resource() {
    let document = discovery::document();
    let resources = document["resources"].as_object().unwrap();
    let paths: Vec<&str> = resources
        .values()
        .flat_map(|resource| resource["methods"].as_object().unwrap().values())
        .map(|method| method["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths.len(), 18);
    for path in paths {
        let path = path.replace("{unitName}", "a.service").replace("{machineID}", "m");
        assert!(Resource::of(&format!("/fleet/v1/{path}")).is_ok(), "{path}");
    }
    assert_eq!(document["resources"]["Units"]["methods"]["Set"]["request"]["$ref"], "Unit");
}
