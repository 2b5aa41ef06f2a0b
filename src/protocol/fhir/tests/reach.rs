use proptest::prelude::*;

use crate::protocol::fhir::{Reach, classify};

/// The types that a query gets at, `*` for any.
fn reached(query: &str) -> Vec<&'static str> {
    Reach::of_parameters(query).iter().map(|one| one.kind.unwrap_or("*")).collect()
}

#[test]
fn a_search_by_the_resources_own_parameters_gets_at_nothing_else() {
    for query in [
        "",
        "name=Meier&birthdate=ge1970&_count=5&_sort=-name,birthdate",
        "name:exact=Observation.subject&identifier=urn:x|4711",
        "subject:Patient=4711&patient=Patient/4711",
        "subject:identifier=urn:x|4711",
        "_elements=name&_summary=true&_format=application/fhir+json;fhirVersion=4.0",
        "_contained=false&_containedType=container",
        "_id=1&_lastUpdated=gt2020&_LASTUPDATED=lt2030&_total=none&_page_token=x",
        "hospitals-own=1",
        "&&",
    ] {
        assert_eq!(reached(query), [""; 0], "{query}");
    }
}

#[test]
fn what_is_given_out_too_is_reached() {
    for (query, kinds) in [
        ("_revinclude=Observation:subject", &["Observation"][..]),
        ("_revinclude=Observation:*", &["Observation"]),
        ("_revinclude:iterate=Provenance:target", &["Provenance"]),
        ("_include=Observation:patient", &["Observation", "Patient"]),
        ("_include=Observation:subject:Patient", &["Observation", "Patient"]),
        ("_include=Observation:subject", &["Observation", "*"]),
        ("_include=Observation:*", &["Observation", "*"]),
        ("_include=*", &["*"]),
        ("_revinclude=*", &["*"]),
        ("_include=Foo:bar:Baz", &["*"]),
        ("_include", &["*"]),
        ("_type=Patient,Observation", &["Patient", "Observation"]),
        ("_type=*", &["*"]),
        ("_list=42", &["List"]),
        ("_contained=true", &["*"]),
        ("_contained=both", &["*"]),
        ("_query=everything", &["*"]),
        ("_filter=name eq x", &["*"]),
        ("_graph=x", &["*"]),
        ("_getpages=8f1c", &["*"]),
        ("_sort=patient.name", &["*"]),
    ] {
        assert_eq!(reached(query), kinds, "{query}");
    }
}

#[test]
fn what_is_found_by_is_reached() {
    for (query, kinds) in [
        ("_has:Observation:patient:code=1", &["Observation"][..]),
        ("_has:Observation:patient:_has:AuditEvent:entity:agent=1", &["Observation", "AuditEvent"]),
        ("_has:Observation:patient:encounter:Encounter.class=1", &["Observation", "Encounter"]),
        ("subject:Patient.name=Meier", &["Patient"]),
        ("patient.organization.name=x", &["Patient", "Organization"]),
        ("subject.name=Meier", &["*"]),
        ("subject:Patient._has:Group:member:_id=1", &["Patient", "Group"]),
        ("subject:Foo.name=1", &["*"]),
        ("_has=1", &["*"]),
        ("_has:Observation=1", &["Observation", "*"]),
        ("_has:observation:patient:code=1", &["*"]),
        ("subject.=1", &["*"]),
    ] {
        assert_eq!(reached(query), kinds, "{query}");
    }
}

#[test]
fn no_spelling_hides_a_parameter() {
    for query in [
        "%5Finclude=Observation%3Asubject%3APatient",
        "_INCLUDE=Observation:subject:Patient",
        "%5f%69nclude=Observation:subject:Patient",
        "name=x;_include=Observation:subject:Patient",
        "name=x?_include=Observation:subject:Patient",
        "&name=x&&_include=Observation:subject:Patient",
        "_HAS:Observation:patient:code=1&patient.name=1",
    ] {
        assert_eq!(reached(query), ["Observation", "Patient"], "{query}");
    }
    for query in [
        "_include[]=Observation:subject",
        "_include%00=Observation:subject",
        "+_include=Observation:subject",
        "%255Finclude=Observation:subject",
        "_incl%zzude=x",
        "_newest-thing=1",
        "name:somehow=1",
        "_id:somehow=1",
        "a:b:c=1",
    ] {
        assert_eq!(reached(query), ["*"], "{query}");
    }
    let long = format!("_include=Patient:{}", "a".repeat(600));
    assert_eq!(reached(&long), ["*"]);
    assert_eq!(reached(&format!("{}=1", "a".repeat(600))), ["*"]);
}

#[test]
fn more_types_than_are_told_apart_are_all() {
    let types = [
        "Account", "Basic", "Binary", "Bundle", "Claim", "Device", "Flag", "Goal", "Group", "List",
    ];

    let kinds = reached(&format!("_type={}", types.join(",")));

    assert_eq!(kinds.len(), 8);
    assert_eq!(kinds.last(), Some(&"*"));
}

#[test]
fn an_operation_may_give_out_anything_but_for_some_that_cannot() {
    let reached = |path| {
        let asked = classify("GET", path).unwrap();
        Reach::of(&asked, []).iter().map(|one| one.to_string()).collect::<Vec<_>>()
    };

    for path in ["Patient/1/$everything", "Patient/$export", "Patient/1/$graphql", "Patient/$x1"] {
        assert_eq!(reached(path), ["any other by an operation that gives out other types"]);
    }
    for path in ["Patient/1", "Patient", "Patient/$match", "ValueSet/$expand", "Patient/1/$meta"] {
        assert_eq!(reached(path), [""; 0], "{path}");
    }
}

#[test]
fn a_denial_says_which_type_and_by_what() {
    let beyond = |query: &str| {
        let reach = Reach::of_parameters(query);
        reach.beyond(&["Patient"]).map(ToString::to_string)
    };

    assert_eq!(beyond("patient.name=x"), None);
    assert_eq!(
        beyond("_revinclude=Observation:subject").as_deref(),
        Some("Observation by `_revinclude`")
    );
    assert_eq!(
        beyond("encounter:Encounter.class=x").as_deref(),
        Some("Encounter by what follows `encounter`")
    );
    assert_eq!(
        beyond("Meier.name=x").as_deref(),
        Some("any other by a parameter that FHIR does not have")
    );
    assert_eq!(Reach::of_parameters("_include=*").beyond(&[""; 0]), None, "all types are listed");
}

proptest! {
    /// Whatever stands around it, a parameter that leads elsewhere is seen.
    #[test]
    fn an_include_is_seen_wherever_it_stands(
        before in "[a-z_:.=&;%0-9]{0,40}",
        behind in "[a-z_:.=&;%0-9]{0,40}",
    ) {
        let query = format!("{before}&_revinclude=Observation:subject&{behind}");
        prop_assert!(Reach::of_parameters(&query).beyond(&["Patient"]).is_some());
    }

    #[test]
    fn whatever_comes_a_bounded_number_is_told(query in "\\PC{0,300}") {
        prop_assert!(Reach::of_parameters(&query).iter().count() <= 8);
    }
}
