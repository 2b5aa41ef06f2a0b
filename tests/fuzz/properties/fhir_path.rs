//! A method and a path, like `GET Patient/4711`: whatever is told of it has nothing of an id.

use myelin::protocol::fhir::classify;

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (method, rest) = text.split_once(' ').unwrap_or(("GET", text));
    let Some(asked) = classify(method, rest) else { return };
    let template = asked.template("/base");
    assert!(!template.bytes().any(|b| b.is_ascii_digit() || b < b' '), "{template}");
    assert_eq!(classify(method, rest), Some(asked));
}
