//! A method and a path, like `GET studies/1.2.3`: whatever is told of it has nothing of a UID.

use myelin::protocol::dicomweb::classify;

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (method, rest) = text.split_once(' ').unwrap_or(("GET", text));
    let Some(asked) = classify(method, rest) else { return };
    let template = asked.template("/base");
    assert!(!template.bytes().any(|b| b.is_ascii_digit() || b < b' '), "{template}");
}
