//! Rules for HTTP requests in the words of healthcare: screens, and what they become.

use http::StatusCode;

use super::{HEAD, parse, screen};
use crate::config::{Config, Route, RouteKind};
use crate::protocol::{dicomweb, fhir};

/// A listener with these routes, which begin on line 13.
fn with(routes: &str) -> String {
    [
        HEAD,
        "peers: {a: {dns: a.example}}\ninbound:\n  - name: api\n    listen: 0.0.0.0:8443\n",
        "    forward: 127.0.0.1:8080\n    protocol: http\n    allow: [a]\n    routes:\n",
        routes,
    ]
    .concat()
}

fn routes(config: &Config) -> &[Route] {
    config.inbound[0].routes.as_deref().unwrap()
}

fn soap(route: &Route) -> Vec<(String, String, Option<&'static str>)> {
    let RouteKind::Soap(actions) = &route.kind else { panic!("{:?}", route.kind) };
    let one = |action: &crate::config::SoapAction| {
        let bodies: Vec<_> = action.bodies.iter().map(ToString::to_string).collect();
        (action.uri.to_string(), bodies.join(" "), action.ihe)
    };
    actions.iter().map(one).collect()
}

#[test]
fn an_action_brings_what_its_body_begins_with() {
    let config = parse(&with(
        r#"      - {name: follows, path: /a, soap_action: "urn:x:GetBill", allow: [a]}
      - {name: said, path: /b, soap_action: ["urn:x:1", "urn:x:2"], soap_body: [Bill, "{urn:x}Note"], allow: [a]}
      - {name: known, path: /c, soap_action: "urn:ihe:iti:2007:RegistryStoredQuery", allow: [a]}
      - {name: ihe, path: /d, ihe: [iti-47, ITI-18], allow: [a]}
"#,
    ))
    .unwrap();

    let [follows, said, known, ihe] = routes(&config) else { panic!() };
    let one = |uri: &str, bodies: &str, ihe| (uri.to_owned(), bodies.to_owned(), ihe);
    let stored = "urn:ihe:iti:2007:RegistryStoredQuery";
    let query = "{urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0}AdhocQueryRequest";
    assert_eq!(soap(follows), [one("urn:x:GetBill", "GetBill GetBillRequest", None)]);
    assert_eq!(
        soap(said),
        [one("urn:x:1", "Bill {urn:x}Note", None), one("urn:x:2", "Bill {urn:x}Note", None)]
    );
    assert_eq!(soap(known), [one(stored, query, Some("ITI-18"))]);
    assert!(soap(ihe).contains(&one(stored, query, Some("ITI-18"))));
    assert!(soap(ihe).contains(&one(
        "urn:hl7-org:v3:PRPA_IN201305UV02",
        "{urn:hl7-org:v3}PRPA_IN201305UV02",
        Some("ITI-47")
    )));
}

#[test]
fn fhir_and_dicomweb_have_all_or_what_is_named() {
    let config = parse(&with(
        r#"      - {name: one, path: /r4, fhir: {interactions: [read, search-type], resources: [Patient]}, allow: [a]}
      - {name: two, path: /r4, fhir: {}, allow: [a]}
      - {name: three, path: /wado, dicomweb: [search, retrieve], allow: [a]}
      - {name: four, path: /wado, dicomweb: all, allow: [a]}
"#,
    ))
    .unwrap();

    let kinds: Vec<_> = routes(&config).iter().map(|route| route.kind.clone()).collect();
    let read = vec![fhir::Interaction::Read, fhir::Interaction::SearchType];
    assert_eq!(
        kinds,
        [
            RouteKind::Fhir { interactions: read, resources: vec!["Patient".into()] },
            RouteKind::Fhir { interactions: vec![], resources: vec![] },
            RouteKind::DicomWeb(vec![
                dicomweb::Transaction::Search,
                dicomweb::Transaction::Retrieve
            ]),
            RouteKind::DicomWeb(vec![]),
        ]
    );
    assert_eq!(config.warnings.to_string(), "");
}

#[test]
fn what_the_sidecar_answers_itself_is_no_access_to_phi() {
    let text = with("      - {name: ping, path: /ping, respond: 204, allow: [a]}\n");
    let phi = text.replace("    protocol", "    phi: true\n    protocol") + "audit: {dir: audit}\n";

    let config = parse(&phi).unwrap();

    assert_eq!(routes(&config)[0].respond, Some(StatusCode::NO_CONTENT));
    assert!(!routes(&config)[0].phi && config.inbound[0].phi);
}

#[test]
fn a_route_in_wrong_words_is_told_the_right_ones() {
    let screen = screen(&with(
        r#"      - {name: one, path: /a, fhir: {interactions: [raed], resources: [patient, Quux]}, allow: [a]}
      - {name: two, path: "/a/{rest...}", fhir: {}, allow: [a]}
      - {name: three, path: /a, dicomweb: [find], allow: [a]}
      - {name: four, path: /a, ihe: ITI-99, allow: [a]}
      - {name: five, path: /a, soap_action: "http://x.example/", allow: [a]}
      - {name: six, path: /a, soap_action: "urn x", ihe: ITI-47, allow: [a]}
      - {name: seven, path: /a, soap_body: GetBill, allow: [a]}
      - {name: eight, path: /a, soap_action: "urn:x:GetBill", soap_body: "x:Bill", allow: [a]}
      - {name: nine, path: /a, hosts: ["fhir.example:443", "2001:db8::7"], allow: [a]}
      - {name: ten, path: /a, respond: 301, allow: [a]}
      - {name: eleven, path: /a, respond: 200, phi: true, allow: [a]}
      - {name: twelve, path: /a, respond: 200, fhir: {}, allow: [a]}
"#,
    ));

    assert_eq!(
        screen,
        r#"error: `raed` is not a FHIR interaction
  --> m.yaml:13:53
   |
13 |       - {name: one, path: /a, fhir: {interactions: [raed], resources: [patient, Quux]}, allow: [a]}
   |                                                     ^^^^
   = help: did you mean `read`?

error: `patient` is not a type of FHIR resources
  --> m.yaml:13:72
   |
13 |       - {name: one, path: /a, fhir: {interactions: [raed], resources: [patient, Quux]}, allow: [a]}
   |                                                                        ^^^^^^^
   = help: did you mean `Patient`?

error: `Quux` is not a type of FHIR resources
  --> m.yaml:13:81
   |
13 |       - {name: one, path: /a, fhir: {interactions: [raed], resources: [patient, Quux]}, allow: [a]}
   |                                                                                 ^^^^
   = help: write it like Patient or DocumentReference

error: a path with `{name...}` beside `fhir`, whose path is a base
  --> m.yaml:14:27
   |
14 |       - {name: two, path: "/a/{rest...}", fhir: {}, allow: [a]}
   |                           ^^^^^^^^^^^^^^
   = help: remove the last segment: `fhir` looks at all below

error: `find` is not a DICOMweb transaction
  --> m.yaml:15:44
   |
15 |       - {name: three, path: /a, dicomweb: [find], allow: [a]}
   |                                            ^^^^
   = help: one of store, search, retrieve, worklist; or `dicomweb: all`

error: `ihe: ITI-99` is not an IHE transaction over SOAP that this release knows
  --> m.yaml:16:37
   |
16 |       - {name: four, path: /a, ihe: ITI-99, allow: [a]}
   |                                     ^^^^^^
   = help: known: ITI-18, ITI-38, ITI-39, ITI-41, ITI-42, ITI-43, ITI-44, ITI-45, ITI-46, ITI-47, ITI-48, ITI-51, ITI-55, ITI-56, ITI-57, ITI-61, ITI-62, ITI-63, ITI-80, ITI-86, ITI-92, RAD-69, RAD-75; name others by `soap_action`

error: nothing says what bodies of `http://x.example/` begin with
  --> m.yaml:17:45
   |
17 |       - {name: five, path: /a, soap_action: "http://x.example/", allow: [a]}
   |                                             ^^^^^^^^^^^^^^^^^^^
   = help: add `soap_body` with the element's name

error: `soap_action: urn x` is not the URI of an action
  --> m.yaml:18:44
   |
18 |       - {name: six, path: /a, soap_action: "urn x", ihe: ITI-47, allow: [a]}
   |                                            ^^^^^^^
   = help: write it as SOAPAction has it between its quotes, like urn:hl7-org:v3:PRPA_IN201305UV02

error: `ihe` beside `soap_action`: a route looks at one of them
  --> m.yaml:18:53
   |
18 |       - {name: six, path: /a, soap_action: "urn x", ihe: ITI-47, allow: [a]}
   |                                                     ^^^
   = help: make it two routes

error: `soap_body` without `soap_action`: it tells what an action's body is
  --> m.yaml:19:33
   |
19 |       - {name: seven, path: /a, soap_body: GetBill, allow: [a]}
   |                                 ^^^^^^^^^
   = help: add `soap_action`, or name the transaction in `ihe`

error: `soap_body: x:Bill` is not the name of an element
  --> m.yaml:20:74
   |
20 |       - {name: eight, path: /a, soap_action: "urn:x:GetBill", soap_body: "x:Bill", allow: [a]}
   |                                                                          ^^^^^^^^
   = help: write it without its prefix, like PRPA_IN201305UV02, or behind its namespace, like {urn:hl7-org:v3}PRPA_IN201305UV02

error: `fhir.example:443` has a port, and hosts are told without
  --> m.yaml:21:40
   |
21 |       - {name: nine, path: /a, hosts: ["fhir.example:443", "2001:db8::7"], allow: [a]}
   |                                        ^^^^^^^^^^^^^^^^^^
   = help: write fhir.example

error: `2001:db8::7` is not a host
  --> m.yaml:21:60
   |
21 |       - {name: nine, path: /a, hosts: ["fhir.example:443", "2001:db8::7"], allow: [a]}
   |                                                            ^^^^^^^^^^^^^
   = help: write "[2001:db8::7]"

error: `respond: 301` is not a status that ends a request
  --> m.yaml:22:40
   |
22 |       - {name: ten, path: /a, respond: 301, allow: [a]}
   |                                        ^^^
   = help: write 200 to 299, or 400 to 599

error: `phi: true` beside `respond`: the answer of the sidecar has no patient data
  --> m.yaml:23:53
   |
23 |       - {name: eleven, path: /a, respond: 200, phi: true, allow: [a]}
   |                                                     ^^^^
   = help: remove `phi`

error: `phi: true` needs a trail, and `audit.dir` is missing
  --> m.yaml:23:53
   |
23 |       - {name: eleven, path: /a, respond: 200, phi: true, allow: [a]}
   |                                                     ^^^^
   = help: add `audit: { dir: /var/log/myelin/audit }`

error: `respond` beside what looks into requests: the sidecar answers by itself
  --> m.yaml:24:43
   |
24 |       - {name: twelve, path: /a, respond: 200, fhir: {}, allow: [a]}
   |                                           ^^^
   = help: remove `respond`, or tell the requests by `methods` and `path` alone"#
    );
}

#[test]
fn a_route_that_is_never_reached_is_told() {
    let warned = |routes: &str| {
        let shown = screen(&with(routes));
        assert!(shown.is_empty() || shown.starts_with("warning: route `two` is never"), "{shown}");
        !shown.is_empty()
    };
    let pair = |one: &str, two: &str| {
        warned(&format!(
            "      - {{name: one, allow: [a], {one}}}\n      - {{name: two, allow: [a], {two}}}\n"
        ))
    };

    assert!(pair("path: /r4, fhir: {}", "path: /r4, fhir: {interactions: [read]}"));
    assert!(pair("path: \"/r4/{rest...}\"", "path: /r4, fhir: {}"));
    assert!(pair(
        "path: /p, ihe: ITI-47",
        "path: /p, soap_action: \"urn:hl7-org:v3:PRPA_IN201305UV02\""
    ));
    assert!(pair("path: /p", "path: /p, hosts: [h.example]"));
    assert!(pair("path: /w, dicomweb: all", "path: /w, dicomweb: [store]"));
    assert!(!pair("path: /r4", "path: /r4, fhir: {}"));
    assert!(!pair("path: /r4, fhir: {resources: [Patient]}", "path: /r4, fhir: {}"));
    assert!(!pair("path: /r4, fhir: {}", "path: \"/r4/{rest...}\""));
    assert!(!pair("path: /p, hosts: [h.example]", "path: /p"));
    assert!(!pair("path: /w, dicomweb: [store]", "path: /w, dicomweb: [store, search]"));
    assert!(!pair("path: /p, ihe: ITI-47", "path: /p, ihe: [ITI-47, ITI-18]"));
}
