//! The shape of a request's path: its words, and a place where anything stands that might be somebody's data.
//!
//! What a path says is kept only where it cannot be more than part of an interface. When in doubt, it is not.

use super::{fhir, ihe};

/// Longest word that is kept, in bytes.
const LONGEST: usize = 32;
/// Most segments that are told apart.
const SEGMENTS: usize = 16;
/// Words behind which stands an identifier, whatever it looks like (DICOMweb).
const BEFORE_IDS: [&str; 4] = ["studies", "series", "instances", "frames"];

/// Stands for a segment that is not kept.
const ID: &str = "{id}";
/// Stands for all that is left of a path.
const REST: &str = "{rest...}";

/// The shape of a decoded path without its query, like `/fhir/Patient/{id}`. One slash at the end is left out.
pub fn shape(path: &str) -> String {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let mut text = String::with_capacity(path.len().min(LONGEST * SEGMENTS));
    let mut before = "";
    for (place, segment) in inner.split('/').enumerate().filter(|_| !inner.is_empty()) {
        text.push('/');
        if place == SEGMENTS {
            text.push_str(REST);
            break;
        }
        let is_id = is_before_id(before) && !segment.starts_with(['$', '_']);
        text.push_str(if !is_id && is_word(segment) { segment } else { ID });
        before = segment;
    }
    if text.is_empty() {
        text.push('/');
    }
    text
}

/// Whether each part of a URI like a SOAP action's is a word, so that it is nobody's data.
pub fn is_words(uri: &str) -> bool {
    let mut parts = uri.split(['/', ':', '#', '?', '=']);
    uri.len() <= LONGEST * SEGMENTS && parts.all(|part| part.is_empty() || is_word(part))
}

/// Whether a SOAP action may be told: it is one of IHE's, or made of words.
pub fn is_known_action(uri: &str) -> bool {
    ihe::is_action(uri) || is_words(uri)
}

fn is_before_id(word: &str) -> bool {
    fhir::is_resource(word) || BEFORE_IDS.contains(&word)
}

/// Whether a segment is part of an interface: letters and marks, or a version like `v1` or `r4`.
fn is_word(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphabetic() || b"-_.$".contains(&byte);
    let is_plain = (1..=LONGEST).contains(&segment.len())
        && segment.bytes().all(plain)
        && segment.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_plain || is_version(segment)
}

/// `v1`, `V2`, `r4`, `R5`, `v1.2`: no more than two digits in all, so no number of anybody.
fn is_version(segment: &str) -> bool {
    let Some(number) = segment.strip_prefix(['v', 'V', 'r', 'R']) else { return false };
    let digits = |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    match number.split_once('.') {
        Some((major, minor)) => digits(major) && digits(minor),
        None => digits(number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_an_interface_stay_and_everything_else_becomes_a_place() {
        for (path, expected) in [
            ("/", "/"),
            ("/fhir/metadata", "/fhir/metadata"),
            ("/fhir/r4/Patient/4711", "/fhir/r4/Patient/{id}"),
            ("/fhir/Patient/smith", "/fhir/Patient/{id}"),
            ("/fhir/Patient/_search", "/fhir/Patient/_search"),
            ("/fhir/Patient/smith/$everything", "/fhir/Patient/{id}/$everything"),
            ("/api/v1/billing.svc/", "/api/v1/billing.svc"),
            ("/dicom-web/studies/anna/series", "/dicom-web/studies/{id}/series"),
            ("/a//b", "/a/{id}/b"),
            ("/v12345678", "/{id}"),
            ("/r1980.1", "/{id}"),
            ("/müller", "/{id}"),
            ("/anna smith", "/{id}"),
            ("/-", "/{id}"),
            ("/{id}", "/{id}"),
        ] {
            assert_eq!(shape(path), expected, "{path}");
        }
        assert_eq!(shape(&format!("/{}", "a".repeat(33))), "/{id}");
        assert_eq!(shape(&"/a".repeat(16)), "/a".repeat(16));
        assert_eq!(shape(&"/a".repeat(40)), format!("{}/{{rest...}}", "/a".repeat(16)));
    }

    #[test]
    fn an_action_is_kept_if_it_is_made_of_words() {
        assert!(is_words("urn:billing:GetBill"));
        assert!(is_words("http://tempuri.org/IBilling/GetBill"));
        assert!(!is_words("urn:patient:4711"));
        assert!(is_known_action("urn:ihe:iti:2007:RegistryStoredQuery"));
        assert!(!is_known_action("urn:ihe:iti:4711:RegistryStoredQuery"));
        assert!(!is_words("urn:patient:anna smith"));
    }

    proptest! {
        #[test]
        fn no_digit_survives_but_in_the_word_of_a_version(path in "(/[a-zA-Z0-9._$ -]{0,40}){0,20}") {
            for segment in shape(&path).split('/').filter(|s| s.bytes().any(|b| b.is_ascii_digit())) {
                prop_assert!(is_version(segment), "{segment}");
            }
        }

        #[test]
        fn nothing_longer_than_a_word_survives_whatever_comes(path in "\\PC{0,600}") {
            let shape = shape(&path);
            prop_assert!(shape.split('/').count() <= SEGMENTS + 2);
            prop_assert!(shape.split('/').all(|segment| segment.len() <= LONGEST), "{shape}");
            prop_assert!(shape.is_ascii());
        }
    }
}
