//! The query of a search: what is told of it is bounded, in order, and made of the standard's words.

use myelin::protocol::fhir::{is_resource, search};

pub(super) fn check(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let found = search(Some("Observation"), [query]);
    assert!(found.parameters.len() <= 16 && found.subjects.len() <= 8);
    assert!(found.parameters.is_sorted());
    for name in &found.parameters {
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_:.".contains(&b)), "{name}");
    }
    for (kind, id) in &found.subjects {
        assert!(is_resource(kind) && (1..=64).contains(&id.len()), "{kind}");
    }
}
