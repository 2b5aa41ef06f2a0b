//! A content type in one line, and a message: read at once and in pieces it is the same, and a parser of
//! XML that somebody else wrote finds the same element.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use myelin::protocol::soap::{Beginning, Found, LIMIT, Unreadable, claimed};

pub(super) fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (kind, message) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let mut headers = HeaderMap::new();
    let Ok(kind) = HeaderValue::from_bytes(kind) else { return };
    let is_multipart = kind.as_bytes().to_ascii_lowercase().starts_with(b"multipart");
    headers.insert(CONTENT_TYPE, kind);
    if let Ok(Some(action)) = claimed(&headers) {
        assert!(!action.is_empty() && action.bytes().all(|b| b.is_ascii_graphic()));
    }

    let found = read(&headers, [message].into_iter());
    for size in [1, 7, 1000] {
        if message.len() / size < 4096 {
            assert_eq!(found, read(&headers, message.chunks(size)));
        }
    }
    let text = std::str::from_utf8(message).ok().filter(|_| !is_multipart);
    let document = text.and_then(|text| roxmltree::Document::parse(text).ok());
    if let (Ok(found), Some(document)) = (found, document) {
        let read = found.body.as_deref().map(|local| (&*found.namespace, local));
        // White space in a namespace is a blank to a whole parser of XML, and to us another namespace.
        if !found.namespace.contains(['\t', '\r', '\n']) {
            assert_eq!(read, body(&document), "{document:?}");
        }
    }
}

fn read<'a>(
    headers: &HeaderMap,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Found, Unreadable> {
    let (mut beginning, mut message) = (Beginning::new(headers)?, Vec::new());
    for piece in pieces {
        message.extend_from_slice(piece);
        if let Some(found) = beginning.read(&message, false)? {
            return Ok(found);
        }
        assert!(message.len() < LIMIT, "more is wanted than may be");
    }
    beginning.read(&message, true).map(|found| found.expect("an answer at the end"))
}

/// Namespace and local name of the first element in the body.
fn body<'a>(document: &'a roxmltree::Document<'_>) -> Option<(&'a str, &'a str)> {
    let envelope = document.root_element();
    let namespace = envelope.tag_name().namespace();
    let is_body = |node: &roxmltree::Node<'_, '_>| {
        node.tag_name().name() == "Body" && node.tag_name().namespace() == namespace
    };
    let body = envelope.children().find(is_body).expect("a body");
    let element = body.first_element_child()?;
    Some((element.tag_name().namespace().unwrap_or_default(), element.tag_name().name()))
}
