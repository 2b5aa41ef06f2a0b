//! Plain routes that let through what other routes look into requests for.

use super::{HEAD, parse};

/// The warnings of a listener with these routes, which begin on line 13.
fn warnings(routes: &[&str]) -> String {
    let head = "peers: {a: {dns: a.example}, b: {dns: b.example}}\ninbound:\n  - name: api\n    \
                listen: 0.0.0.0:8443\n    forward: 127.0.0.1:8080\n    protocol: http\n    \
                allow: [a, b]\n    routes:\n";
    let routes: String = routes.iter().map(|route| format!("      - {{{route}}}\n")).collect();
    parse(&[HEAD, head, &routes].concat()).unwrap().warnings.to_string()
}

const PDQ: &str = "name: pdq, path: /pdq, ihe: ITI-47, allow: [a]";
const FHIR: &str = "name: patients, path: /fhir, fhir: {resources: [Patient]}, allow: [a]";

#[test]
fn a_plain_route_behind_one_for_an_action_is_told_with_both_lines_and_the_mend() {
    let warned = warnings(&[PDQ, "name: rest, path: /pdq, allow: [b, a]"]);

    assert_eq!(
        warned,
        "warning: route `rest` (line 14) undoes route `pdq` (line 13): it lets `a` have the same, whatever \
         the SOAP action and the body\n  --> m.yaml:14:16\n   |\n14 |       - {name: rest, path: /pdq, \
         allow: [b, a]}\n   |                ^^^^\n   = help: take `a` from the `allow` of `rest`, or \
         give that narrower `methods` or another `path`"
    );
}

#[test]
fn whatever_lets_somebody_have_what_a_rule_keeps_from_it_is_told() {
    for (narrow, plain) in [
        (PDQ, r#"name: x, path: "/{service}", methods: [GET, POST], allow: [a]"#),
        (PDQ, r#"name: x, path: "/{rest...}", hosts: [h.example], allow: [a]"#),
        (FHIR, r#"name: x, path: "/fhir/{rest...}", allow: [a]"#),
        (FHIR, r#"name: x, path: "/fhir/{type}/{id}", allow: [a]"#),
        (FHIR, "name: x, path: /fhir, methods: [POST], allow: [a]"),
        (FHIR, r#"name: x, path: "/{rest...}", methods: [DELETE], allow: [a]"#),
        (
            "name: n, path: /wado, dicomweb: [search], allow: [a]",
            r#"name: x, path: "/wado/{rest...}", allow: [a]"#,
        ),
        (
            "name: n, path: /fhir, fhir: {interactions: [read]}, allow: [a]",
            r#"name: x, path: "/fhir/{rest...}", allow: [a]"#,
        ),
    ] {
        let warned = warnings(&[narrow, plain]);
        assert!(warned.contains("route `x` (line 14) undoes route"), "{plain}: {warned}");
    }
    // A plain route before it takes some of what it is for.
    let warned = warnings(&["name: x, path: /pdq, methods: [POST], allow: [a]", PDQ]);
    assert!(warned.contains("route `x` (line 13) undoes route `pdq` (line 14)"), "{warned}");
}

#[test]
fn what_is_for_others_or_for_something_else_is_no_finding() {
    for (narrow, plain) in [
        (PDQ, "name: x, path: /pdq, allow: [b]"),
        (PDQ, "name: x, path: /pdq, methods: [GET], allow: [a]"),
        (PDQ, "name: x, path: /pix, allow: [a]"),
        (PDQ, "name: x, path: /pdq, respond: 404, allow: [a]"),
        (FHIR, r#"name: x, path: "/fhir/Patient/{id}/$everything", allow: [a]"#),
        (FHIR, r#"name: x, path: "/ui/{rest...}", allow: [a]"#),
        (
            "name: n, path: /fhir, fhir: {}, allow: [a]",
            r#"name: x, path: "/{rest...}", allow: [a]"#,
        ),
        (PDQ, "name: x, path: /pdq, soap_action: \"urn:x:Other\", allow: [a]"),
    ] {
        assert_eq!(warnings(&[narrow, plain]), "", "{plain}");
    }
}
