//! What a policy says, and what is found of one that cannot be used.
#![cfg(feature = "rego")]

use std::path::PathBuf;

use super::engine::TEXT;
use super::*;
use crate::config::RegoFile;

fn file(name: &str, text: &str) -> RegoFile {
    RegoFile { path: PathBuf::from(name), text: text.into() }
}

fn settings(module: &str) -> RegoSettings {
    RegoSettings {
        files: vec![file("policy.rego", &format!("package myelin\n{module}"))],
        data: Vec::new(),
        query: "data.myelin.allow".into(),
        timeout: Duration::from_secs(20),
    }
}

fn compile(module: &str) -> Result<RegoPolicy, RegoError> {
    RegoPolicy::compile(&settings(module), &[])
}

fn ask(module: &str, question: &str) -> Result<(), String> {
    compile(module).unwrap().ask(question).map_err(|objection| objection.text)
}

fn wrong(module: &str) -> String {
    RegoPolicy::compile(&settings(module), &["{}".to_owned()]).unwrap_err().to_string()
}

#[test]
fn only_true_is_a_yes() {
    let no = |answer: &str, why: &str| {
        let denied = ask(&format!("allow := {answer}"), "{}").unwrap_err();
        assert_eq!(denied, format!("data.myelin.allow {why}"), "{answer}");
    };

    assert_eq!(ask("allow := true", "{}"), Ok(()));
    assert_eq!(ask(r#"allow := {"allow": true}"#, "{}"), Ok(()));
    no("false", "is false");
    no(r#"{"allow": false}"#, "is false");
    no(r#"{"allow": false, "reason": "after hours"}"#, "is false: after hours");
    for answer in
        ["1", r#""true""#, "null", "[true]", r#"{"allow": "true"}"#, "{}", r#"{"yes": true}"#]
    {
        no(answer, "is neither true nor false, nor an object with `allow`");
    }
    let undefined = ask("allow if input.peer == \"lab\"", "{}").unwrap_err();
    assert_eq!(undefined, "data.myelin.allow is undefined");
}

#[test]
fn a_reason_is_bounded_and_can_steer_no_terminal() {
    let module =
        format!(r#"allow := {{"allow": false, "reason": "a\u001b[2J\nb{}"}}"#, "x".repeat(500));

    let denied = ask(&module, "{}").unwrap_err();

    assert!(denied.starts_with("data.myelin.allow is false: a\u{fffd}[2J\u{fffd}bxxx"), "{denied}");
    assert_eq!(denied.chars().count(), "data.myelin.allow is false: ".len() + TEXT);
}

#[test]
fn one_question_leaves_nothing_to_the_next() {
    let policy = compile("allow if input.peer == \"lab\"").unwrap();

    for _ in 0..3 {
        assert!(policy.ask(r#"{"peer": "lab"}"#).is_ok());
        assert!(policy.ask(r#"{"peer": "web"}"#).is_err());
        assert!(policy.ask("{}").is_err());
    }
}

#[test]
fn a_function_that_fails_is_a_no_even_where_that_would_be_a_yes() {
    let module = "default allow := false\nallow if not late\nlate if to_number(input.hour) > 17";

    assert_eq!(ask(module, r#"{"hour": "9"}"#), Ok(()));
    let failed = ask(module, r#"{"hour": "secret"}"#).unwrap_err();
    assert_eq!(
        failed,
        "data.myelin.allow failed at policy.rego:4:24: a function cannot work with what it is given"
    );
}

#[test]
fn two_answers_are_none() {
    let failed = ask("allow := true if input.a\nallow := false if input.b", r#"{"a": 1, "b": 1}"#);

    assert_eq!(
        failed.unwrap_err(),
        "data.myelin.allow failed at policy.rego:3:1: it has two values"
    );
}

#[test]
fn what_is_told_of_a_failure_quotes_no_value() {
    for failing in [
        "to_number(input.x) > 1",
        "abs(input.x) > 1",
        "sum(input.x) > 1",
        "input.x - 1 > 1",
        "regex.match(input.x, \"a\")",
        "time.parse_rfc3339_ns(input.x) > 1",
        "time.parse_ns(input.x, \"2026\") > 1",
        "time.parse_duration_ns(input.x) > 1",
        "time.clock([0, input.x])[0] > 1",
        "net.cidr_contains(input.x, \"10.0.0.1\")",
        "json.unmarshal(input.x).a",
        "units.parse(input.x) > 1",
        "count(upper(data.patients)) > 1",
        "glob.match(input.x, [input.x], 1)",
        "f(input.x)",
    ] {
        let functions = "f(x) := x\nf(x) := upper(x)";
        let module = format!("{functions}\ndefault allow := false\nallow if {failing}");
        let data = vec![file("data.json", r#"{"patients": ["(doe--> policy.rego:1"]}"#)];
        let settings = RegoSettings { data, ..settings(&module) };
        let policy = RegoPolicy::compile(&settings, &[]).unwrap();

        let told = policy.ask(r#"{"x": "(doe--> policy.rego:1"}"#).unwrap_err().text;

        assert!(told.starts_with("data.myelin.allow failed"), "{failing}: {told}");
        assert!(!told.contains("doe"), "{failing}: {told}");
    }
}

#[test]
fn what_has_more_to_do_than_it_may_is_a_no() {
    let numbers = format!("n := [{}]", vec!["1"; 400].join(",\n"));
    let endless =
        format!("{numbers}\nallow if {{ some a in n; some b in n; some c in n; a + b + c == 0 }}");

    let hasty = RegoSettings { timeout: Duration::from_millis(5), ..settings(&endless) };

    let denied = RegoPolicy::compile(&hasty, &[]).unwrap().ask("{}").unwrap_err().text;

    assert_eq!(denied, "data.myelin.allow took longer than 5ms");
    let told = wrong(&endless);
    assert_eq!(told, "policy.rego: a question at load: data.myelin.allow took longer than 2s");
}

#[test]
fn what_is_wrong_with_a_module_is_told_with_its_place() {
    for (module, expected) in [
        ("allow if {", "policy.rego:2:11: "),
        ("allow if nowhere(input.x)", "policy.rego:2:10: "),
        ("allow if x == 1", "policy.rego:2:10: "),
        ("deny := true", "policy.rego: "),
        ("allow if time.now_ns() > 0", "policy.rego:2: `time.now_ns` must not be called: "),
        ("allow if http.send({})", "policy.rego:2:10: "),
        (
            "allow if {\n  rand.intn(\"a\", 2) == 1 }",
            "policy.rego:3: `rand.intn` must not be called: ",
        ),
        ("allow if opa.runtime().env.HOME", "policy.rego:2:21: "),
        ("allow := \"yes\"", "policy.rego: a question at load: data.myelin.allow is neither"),
    ] {
        let told = wrong(module);
        assert!(told.starts_with(expected) && !told.contains('\n'), "{module}\n  {told}");
    }
}

#[test]
fn data_comes_from_json_and_yaml() {
    let module = "allow if input.ward in data.wards[input.peer]";
    let data = vec![
        file("a.json", r#"{"wards": {"lab": ["w1"]}}"#),
        file("b.yaml", "wards:\n  web: [w2]\n"),
    ];
    let policy = RegoPolicy::compile(&RegoSettings { data, ..settings(module) }, &[]).unwrap();

    assert!(policy.ask(r#"{"peer": "lab", "ward": "w1"}"#).is_ok());
    assert!(policy.ask(r#"{"peer": "web", "ward": "w2"}"#).is_ok());
    assert!(policy.ask(r#"{"peer": "web", "ward": "w1"}"#).is_err());
    for (name, text, expected) in [
        ("a.json", "{\n  \"a\": ]", "a.json: "),
        ("a.yaml", "a: [", "a.yaml: "),
        ("a.json", "[]", "a.json: its top is no object, and `data` is one"),
        ("a.toml", "", "a.toml: neither .json nor .yaml: data is one of the two"),
        ("a.json", r#"{"myelin": {"allow": true}}"#, "policy.rego: "),
    ] {
        let data = vec![file(name, text)];
        let told =
            RegoPolicy::compile(&RegoSettings { data, ..settings(module) }, &[]).unwrap_err();
        assert!(told.to_string().starts_with(expected), "{told}");
    }
}

#[test]
fn a_field_is_known_with_what_is_below_it_and_not_the_other_way_round() {
    let policy = compile("allow if input.myelin.peer == input.tls.client.subject").unwrap();
    let whole = compile("allow if count(input.myelin) > 1").unwrap();

    assert_eq!(policy.reads_beyond(&["input.myelin.peer", "input.tls"]), None);
    assert_eq!(policy.reads_beyond(&["input.myelin.peer"]), Some("input.tls.client.subject"));
    assert_eq!(whole.reads_beyond(&["input.myelin.peer"]), Some("input.myelin"));
}

#[test]
fn time_zones_are_known() {
    let module = r#"allow if {
        [hour, _, _] := time.clock([time.parse_rfc3339_ns(input.now), "Europe/Berlin"])
        hour == 7
    }"#;

    assert_eq!(ask(module, r#"{"now": "2026-11-22T06:12:01.123Z"}"#), Ok(()));
    assert_eq!(ask(module, r#"{"now": "2026-07-22T05:12:01.123Z"}"#), Ok(()));
    assert!(ask(module, r#"{"now": "2026-07-22T06:12:01.123Z"}"#).is_err());
}
