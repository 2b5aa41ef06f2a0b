use proptest::prelude::*;

use crate::protocol::fhir::Interaction::*;
use crate::protocol::fhir::*;

type Case = (&'static str, &'static str, Interaction, Option<&'static str>, &'static str);

const CASES: [Case; 35] = [
    ("GET", "Patient/4711", Read, Some("Patient"), "/b/Patient/{id}"),
    ("HEAD", "Patient/4711", Read, Some("Patient"), "/b/Patient/{id}"),
    ("GET", "Patient/4711/_history/3", Vread, Some("Patient"), "/b/Patient/{id}/_history/{vid}"),
    ("GET", "Patient/4711/_history", HistoryInstance, Some("Patient"), "/b/Patient/{id}/_history"),
    ("GET", "Patient/_history", HistoryType, Some("Patient"), "/b/Patient/_history"),
    ("GET", "_history", HistorySystem, None, "/b/_history"),
    ("PUT", "Patient/4711", Update, Some("Patient"), "/b/Patient/{id}"),
    ("PUT", "Patient", Update, Some("Patient"), "/b/Patient"),
    ("PATCH", "Patient/4711", Patch, Some("Patient"), "/b/Patient/{id}"),
    ("PATCH", "Patient", Patch, Some("Patient"), "/b/Patient"),
    ("DELETE", "Patient/4711", Delete, Some("Patient"), "/b/Patient/{id}"),
    ("DELETE", "Patient", Delete, Some("Patient"), "/b/Patient"),
    ("POST", "Observation", Create, Some("Observation"), "/b/Observation"),
    ("GET", "Observation", SearchType, Some("Observation"), "/b/Observation"),
    ("GET", "Observation/", SearchType, Some("Observation"), "/b/Observation"),
    ("POST", "Observation/_search", SearchType, Some("Observation"), "/b/Observation/_search"),
    (
        "GET",
        "Patient/4711/Observation",
        SearchType,
        Some("Observation"),
        "/b/Patient/{id}/Observation",
    ),
    (
        "POST",
        "Patient/4711/Condition/_search",
        SearchType,
        Some("Condition"),
        "/b/Patient/{id}/Condition/_search",
    ),
    ("GET", "Encounter/7/*", SearchSystem, None, "/b/Encounter/{id}/*"),
    ("GET", "", SearchSystem, None, "/b"),
    ("GET", "/", SearchSystem, None, "/b"),
    ("POST", "_search", SearchSystem, None, "/b/_search"),
    ("POST", "", Batch, None, "/b"),
    ("POST", "/", Batch, None, "/b"),
    ("GET", "metadata", Capabilities, None, "/b/metadata"),
    ("GET", "$export", Operation, None, "/b/$export"),
    ("POST", "$process-message", Operation, None, "/b/$process-message"),
    ("POST", "Patient/$match", Operation, Some("Patient"), "/b/Patient/$match"),
    ("GET", "Patient/4711/$everything", Operation, Some("Patient"), "/b/Patient/{id}/$everything"),
    (
        "GET",
        "Patient/4711/_history/3/$meta",
        Operation,
        Some("Patient"),
        "/b/Patient/{id}/_history/{vid}/$meta",
    ),
    ("POST", "Patient/$x4711", Operation, Some("Patient"), "/b/Patient/${operation}"),
    ("GET", "/Binary/a-b.c", Read, Some("Binary"), "/b/Binary/{id}"),
    ("GET", "ImagingSelection/1", Read, Some("ImagingSelection"), "/b/ImagingSelection/{id}"),
    (
        "GET",
        "Practitioner/7/Encounter",
        SearchType,
        Some("Encounter"),
        "/b/Practitioner/{id}/Encounter",
    ),
    ("GET", "Patient/metadata", Read, Some("Patient"), "/b/Patient/{id}"),
];

#[test]
fn every_interaction_of_the_standard_is_known_by_its_shape() {
    for (method, rest, interaction, resource, template) in CASES {
        let asked = classify(method, rest).unwrap_or_else(|| panic!("{method} {rest}"));
        assert_eq!((asked.interaction, asked.resource), (interaction, resource), "{method} {rest}");
        assert_eq!(asked.template("/b"), template, "{method} {rest}");
    }
}

#[test]
fn whatever_the_standard_does_not_have_is_none() {
    let none = [
        ("GET", "patient/1"),
        ("GET", "Patients/1"),
        ("GET", "Patient/1/"),
        ("GET", "Patient//1"),
        ("GET", "//Patient"),
        ("GET", "Patient/a_b"),
        ("GET", "Patient/a b"),
        ("GET", "Patient/é"),
        ("GET", "Patient/_search"),
        ("POST", "Patient/1"),
        ("OPTIONS", "Patient"),
        ("get", "Patient"),
        ("GET", "Patient/1/_history/2/3"),
        ("GET", "Patient/1/Observation/2"),
        ("GET", "Observation/1/Patient"),
        ("GET", "Patient/1/patient"),
        ("POST", "Patient/1/Observation"),
        ("DELETE", "Patient/1/$everything"),
        ("GET", "$"),
        ("GET", "$4711"),
        ("GET", "$a b"),
        ("DELETE", ""),
        ("DELETE", "Patient/1/_history"),
        ("POST", "metadata"),
        ("GET", "metadata/"),
        ("GET", ".well-known/smart-configuration"),
        ("GET", "Patient/1/_history/2/$meta/x"),
        ("GET", "Patient/1/Observation/_search/x/y"),
    ];
    for (method, rest) in none {
        assert_eq!(classify(method, rest), None, "{method} {rest}");
    }
    let long = format!("Patient/{}", "1".repeat(65));
    assert_eq!(classify("GET", &long), None);
    assert!(classify("GET", &long[..long.len() - 1]).is_some());
}

#[test]
fn the_subject_is_whose_id_the_path_names() {
    let subject = |rest| classify("GET", rest).and_then(|asked| asked.subject());

    assert_eq!(subject("Observation/17"), Some(("Observation", "17")));
    assert_eq!(subject("Observation/17/_history/2"), Some(("Observation", "17")));
    assert_eq!(subject("Patient/4711/Observation"), Some(("Patient", "4711")));
    assert_eq!(subject("Patient/4711/$everything"), Some(("Patient", "4711")));
    assert_eq!(subject("Patient"), None);
    assert_eq!(subject("metadata"), None);
}

#[test]
fn a_service_at_the_root_has_templates_too() {
    assert_eq!(classify("POST", "/").map(|asked| asked.template("/")).as_deref(), Some("/"));
    assert_eq!(
        classify("GET", "/Patient/1").map(|asked| asked.template("/")).as_deref(),
        Some("/Patient/{id}")
    );
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "",
            "Patient",
            "Observation",
            "_history",
            "_search",
            "*",
            "metadata"
        ])
        .prop_map(str::to_owned),
        "\\$[a-z]{0,5}",
        "[A-Za-z0-9.-]{1,6}",
        ".{0,4}",
    ]
}

proptest! {
    /// No id, and nothing else that a peer made up, gets into a template.
    #[test]
    fn templates_hold_words_of_the_standard_only(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
        parts in prop::collection::vec(part(), 0..6),
    ) {
        let rest = parts.join("/");
        let Some(asked) = classify(method, &rest) else { return Ok(()) };
        for word in asked.template("").split('/').skip(1) {
            let known = is_resource(word)
                || ["", "{id}", "{vid}", "_history", "_search", "*", "metadata"].contains(&word)
                || (word.starts_with('$') && !word.bytes().any(|byte| byte.is_ascii_digit()));
            prop_assert!(known, "{word} of {method} {rest}");
        }
        let names_id = asked.template("").contains("{id}");
        prop_assert_eq!(asked.id.is_some(), names_id);
    }
}
