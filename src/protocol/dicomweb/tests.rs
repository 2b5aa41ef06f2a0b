use proptest::prelude::*;

use super::Transaction::*;
use super::*;

const CASES: [(&str, &str, Transaction, &str); 31] = [
    ("POST", "studies", Store, "/s/studies"),
    ("POST", "studies/1.2.3", Store, "/s/studies/{study}"),
    ("GET", "studies", Search, "/s/studies"),
    ("HEAD", "/studies", Search, "/s/studies"),
    ("GET", "series", Search, "/s/series"),
    ("GET", "instances", Search, "/s/instances"),
    ("GET", "studies/1.2/series", Search, "/s/studies/{study}/series"),
    ("GET", "studies/1.2/instances", Search, "/s/studies/{study}/instances"),
    ("GET", "studies/1/series/2/instances", Search, "/s/studies/{study}/series/{series}/instances"),
    ("GET", "studies/1.2", Retrieve, "/s/studies/{study}"),
    ("GET", "studies/1.2/metadata", Retrieve, "/s/studies/{study}/metadata"),
    ("GET", "studies/1.2/rendered", Retrieve, "/s/studies/{study}/rendered"),
    ("GET", "studies/1.2/thumbnail", Retrieve, "/s/studies/{study}/thumbnail"),
    ("GET", "studies/1.2/bulkdata", Retrieve, "/s/studies/{study}/bulkdata"),
    ("GET", "studies/1/series/2", Retrieve, "/s/studies/{study}/series/{series}"),
    ("GET", "studies/1/series/2/metadata", Retrieve, "/s/studies/{study}/series/{series}/metadata"),
    (
        "GET",
        "studies/1/series/2/instances/3",
        Retrieve,
        "/s/studies/{study}/series/{series}/instances/{instance}",
    ),
    (
        "GET",
        "studies/1/series/2/instances/3/frames/1,2",
        Retrieve,
        "/s/studies/{study}/series/{series}/instances/{instance}/frames/{frames}",
    ),
    (
        "GET",
        "studies/1/series/2/instances/3/frames/1/rendered",
        Retrieve,
        "/s/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
    ),
    (
        "GET",
        "studies/1/series/2/instances/3/bulk/00700001/1/00700006",
        Retrieve,
        "/s/studies/{study}/series/{series}/instances/{instance}/bulkdata/{rest...}",
    ),
    (
        "GET",
        "studies/1/series/2/instances/3/pixeldata",
        Retrieve,
        "/s/studies/{study}/series/{series}/instances/{instance}/pixeldata",
    ),
    ("GET", "", Retrieve, "/s"),
    ("GET", "/", Retrieve, "/s"),
    ("POST", "workitems", Worklist, "/s/workitems"),
    ("GET", "workitems", Worklist, "/s/workitems"),
    ("GET", "workitems/1.2", Worklist, "/s/workitems/{item}"),
    ("PUT", "workitems/1.2/state", Worklist, "/s/workitems/{item}/state"),
    ("POST", "workitems/1.2/cancelrequest", Worklist, "/s/workitems/{item}/cancelrequest"),
    ("DELETE", "workitems/1.2/subscribers/CT 1", Worklist, "/s/workitems/{item}/subscribers/{ae}"),
    (
        "POST",
        "workitems/1.2/subscribers/CT1/suspend",
        Worklist,
        "/s/workitems/{item}/subscribers/{ae}/suspend",
    ),
    ("GET", "subscribers/CT1", Worklist, "/s/subscribers/{ae}"),
];

#[test]
fn every_transaction_of_the_standard_is_known_by_its_shape() {
    for (method, rest, transaction, template) in CASES {
        let asked = classify(method, rest).unwrap_or_else(|| panic!("{method} {rest}"));
        assert_eq!(asked.transaction, transaction, "{method} {rest}");
        assert_eq!(asked.template("/s"), template, "{method} {rest}");
    }
}

#[test]
fn whatever_the_standard_does_not_have_is_none() {
    let none = [
        ("DELETE", "studies/1.2"),
        ("PUT", "studies/1.2"),
        ("get", "studies"),
        ("OPTIONS", "studies"),
        ("GET", "Studies"),
        ("GET", "studies/"),
        ("GET", "studies//series"),
        ("GET", "studies/1.2/"),
        ("GET", "studies/1.x"),
        ("GET", "studies/1.2/series/"),
        ("GET", "studies/1.2/frames/1"),
        ("GET", "studies/1/series/2/instances/3/frames"),
        ("GET", "studies/1/series/2/instances/3/frames/x"),
        ("GET", "studies/1/series/2/instances/3/frames/1/x"),
        ("GET", "studies/1/instances/3"),
        ("GET", "studies/1/patients"),
        ("GET", "studies/1/bulkdata/a//b"),
        ("GET", "series/2"),
        ("POST", "series"),
        ("POST", "studies/1/series/2"),
        ("DELETE", "workitems/1"),
        ("GET", "workitems/1/state"),
        ("PUT", "workitems"),
        ("POST", "workitems/1/subscribers/"),
        ("POST", "workitems/1/subscribers/ABCDEFGHIJKLMNOPQ"),
        ("DELETE", "workitems/1/subscribers/A/suspend"),
        ("POST", ""),
        ("GET", "system"),
    ];
    for (method, rest) in none {
        assert_eq!(classify(method, rest), None, "{method} {rest}");
    }
    let long = format!("studies/{}", "1".repeat(65));
    assert_eq!(classify("GET", &long), None);
}

#[test]
fn the_study_is_the_one_that_the_path_names() {
    let study = |rest| classify("GET", rest).and_then(|asked| asked.study);

    assert_eq!(study("studies/1.2.3/series/4.5/instances"), Some("1.2.3"));
    assert_eq!(study("studies"), None);
    assert_eq!(study("workitems/1.2"), None);
}

proptest! {
    /// No UID, and nothing else that a peer made up, gets into a template.
    #[test]
    fn templates_hold_words_of_the_standard_only(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]),
        parts in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec!["studies", "series", "instances", "frames", "bulkdata", "workitems", "subscribers", "metadata", "rendered"])
                    .prop_map(str::to_owned),
                "[0-9.]{1,5}",
                ".{0,3}",
            ],
            0..8,
        ),
    ) {
        let rest = parts.join("/");
        let Some(asked) = classify(method, &rest) else { return Ok(()) };
        let template = asked.template("");
        prop_assert!(!template.bytes().any(|byte| byte.is_ascii_digit()), "{template}");
        let names_study = template.contains("{study}");
        prop_assert_eq!(asked.study.is_some(), names_study);
    }
}
