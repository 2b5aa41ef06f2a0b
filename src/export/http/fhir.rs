//! FHIR R4 AuditEvents, created in a repository (IHE ITI-20, RESTful ATNA): one by one, or several in a batch Bundle.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Uri};
use serde::Deserialize;

use super::{Answer, Request, Verdict, refusal};
use crate::export::failure::Failure;
use crate::export::feed::Item;
use crate::outcome::Undelivered;

const JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const MINIMAL: HeaderValue = HeaderValue::from_static("return=minimal");

/// How events are put.
pub(in crate::export) struct Fhir {
    /// Where one is created.
    pub(in crate::export) url: Uri,
    /// Most of one request.
    pub(in crate::export) batch: usize,
}

/// What is answered to a batch, in part (R4, http.html#transaction-response).
#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    status: String,
}

impl Fhir {
    pub(super) fn request(&self, items: &[&Item]) -> Request {
        let headers = vec![(CONTENT_TYPE, JSON), (ACCEPT, JSON), (PREFER, MINIMAL)];
        match items {
            [only] => {
                let body = Bytes::copy_from_slice(&only.bytes);
                Request { url: self.url.clone(), headers, body }
            }
            _ => Request { url: self.base(), headers, body: bundle(items).into() },
        }
    }

    /// Where Bundles go: what the events are below.
    fn base(&self) -> Uri {
        let path = self.url.path().strip_suffix("/AuditEvent").unwrap_or_default();
        let path = if path.is_empty() { "/" } else { path };
        let mut parts = self.url.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        Uri::from_parts(parts).unwrap_or_else(|_same_origin| self.url.clone())
    }

    pub(super) fn judge(&self, answer: &Answer, count: usize) -> Result<Verdict, Failure> {
        if !answer.status.is_success() {
            return match refusal(answer) {
                // A repository need not take Bundles: then they go one by one, and tell what is wrong.
                Err(Failure { reason: Undelivered::Refused, .. }) if count > 1 => Ok(
                    Verdict::Refused(format!("the receiver answers {} to a Bundle", answer.status)),
                ),
                other => other,
            };
        }
        if count == 1 {
            return Ok(Verdict::Taken);
        }
        let Ok(Bundle { entry }) = serde_json::from_slice(&answer.body) else {
            let what = "the receiver answers to a Bundle with something else than a Bundle";
            return Ok(Verdict::Refused(what.to_owned()));
        };
        let taken: Vec<usize> = entry
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.response.status.starts_with('2'))
            .map(|(place, _)| place)
            .collect();
        Ok(if taken.len() == count { Verdict::Taken } else { Verdict::Partly(taken) })
    }
}

fn bundle(items: &[&Item]) -> Vec<u8> {
    let length: usize = items.iter().map(|item| item.bytes.len() + 80).sum();
    let mut body = Vec::with_capacity(length + 64);
    body.extend_from_slice(br#"{"resourceType":"Bundle","type":"batch","entry":["#);
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(br#"{"resource":"#);
        body.extend_from_slice(&item.bytes);
        body.extend_from_slice(br#","request":{"method":"POST","url":"AuditEvent"}}"#);
    }
    body.extend_from_slice(b"]}");
    body
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use serde_json::Value;

    use super::*;

    fn fhir() -> Fhir {
        Fhir { url: Uri::from_static("https://arr.example/fhir/AuditEvent"), batch: 100 }
    }

    fn item(sequence: u64) -> Item {
        Item { sequence, bytes: format!(r#"{{"id":"{sequence}"}}"#).into_bytes() }
    }

    fn answer(status: u16, body: &str) -> Answer {
        let (headers, trailers) = (HeaderMap::new(), HeaderMap::new());
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()), trailers }
    }

    #[test]
    fn one_event_is_created_and_several_go_in_a_batch_to_the_base() {
        let (one, two) = (item(1), item(2));

        let single = fhir().request(&[&one]);
        let several = fhir().request(&[&one, &two]);

        assert_eq!((single.url.path(), &*single.body), ("/fhir/AuditEvent", &*one.bytes));
        assert_eq!(several.url, "https://arr.example/fhir");
        let bundle: Value = serde_json::from_slice(&several.body).unwrap();
        assert_eq!(
            (&bundle["type"], &bundle["entry"][1]["resource"]["id"]),
            (&"batch".into(), &"2".into())
        );
        assert_eq!(bundle["entry"][0]["request"]["url"], "AuditEvent");
    }

    #[test]
    fn what_is_answered_says_what_was_taken() {
        let judge = |status, body: &str, count| fhir().judge(&answer(status, body), count);
        let entries =
            r#"{"entry":[{"response":{"status":"201 Created"}},{"response":{"status":"422"}}]}"#;

        assert_eq!(judge(201, "", 1), Ok(Verdict::Taken));
        assert_eq!(judge(200, entries, 2), Ok(Verdict::Partly(vec![0])));
        assert_eq!(judge(200, &entries.replace("422", "201"), 2), Ok(Verdict::Taken));
        assert!(matches!(judge(200, "{}", 2), Ok(Verdict::Partly(none)) if none.is_empty()));
        for status in [400, 404, 405, 413, 422] {
            assert!(matches!(judge(status, "", 2), Ok(Verdict::Refused(_))), "{status}");
        }
        assert!(matches!(judge(422, "", 1), Ok(Verdict::Refused(_))));
        for (status, reason) in [
            (401, Undelivered::Refused),
            (404, Undelivered::Refused),
            (429, Undelivered::Busy),
            (500, Undelivered::ServerError),
            (302, Undelivered::BadAnswer),
        ] {
            assert_eq!(judge(status, "", 1).unwrap_err().reason, reason, "{status}");
        }
    }
}
