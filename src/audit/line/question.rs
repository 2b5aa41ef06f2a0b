//! A record as the question that policy in Rego is asked: what would go on the trail if it were let through,
//! in the same words, and the moment.

use std::sync::Arc;

use time::OffsetDateTime;

use super::ecs::Line;
use super::own::Own;
use super::rule::Origin;
use super::text::Timestamp;
use crate::audit::record::{
    Action, Connection, ConnectionId, Dicom, DicomContext, Hl7, Record, Request, Rule,
};
use crate::identity::{Fingerprint, ListenerName, PeerName};
use crate::outcome::Direction;

/// What `record` says, as a JSON object, with two fields that no record has: `now`, and `host`, which a
/// request names in lower case and without a port.
pub fn question(
    origin: &Origin,
    at: OffsetDateTime,
    host: Option<&str>,
    record: &Record,
) -> String {
    let mut question = Vec::with_capacity(2048);
    question.extend_from_slice(br#"{"now":"#);
    let mut written = serde_json::to_writer(&mut question, &Timestamp(at));
    if let Some(host) = host {
        question.extend_from_slice(br#","host":"#);
        written = written.and_then(|()| serde_json::to_writer(&mut question, host));
    }
    let brace = question.len();
    let nothing = Own::default();
    let line = Line::of(origin, at, record, &nothing);
    written = written.and_then(|()| serde_json::to_writer(&mut question, &line));
    debug_assert!(written.is_ok(), "a record has text and numbers only: {written:?}");
    if let Some(brace) = question.get_mut(brace) {
        *brace = b',';
    }
    String::from_utf8(question).unwrap_or_default() // what is no JSON is answered by no
}

/// A question of each kind, as nobody asks it: what every question would come upon is found by them.
pub fn samples(origin: &Origin, at: OffsetDateTime) -> Vec<String> {
    let kinds = [
        ("tcp", Record::new(Action::ConnectionAllowed)),
        ("http", Record { request: Some(request()), ..Record::new(Action::RequestAllowed) }),
        ("mllp", Record { hl7: Some(message()), ..Record::new(Action::MessageAllowed) }),
        ("dicom", Record { dicom: Some(association()), ..Record::new(Action::AssociationAllowed) }),
    ];
    let sample = |(protocol, record): (&'static str, Record)| {
        let connection = Some(Arc::new(connection(protocol)));
        let rule = Some(Rule {
            name: "sample".into(),
            line: 0,
            version: Fingerprint([0; 32]),
            nearest: None,
        });
        let host = record.request.is_some().then_some("sample.invalid");
        question(origin, at, host, &Record { connection, rule, ..record })
    };
    kinds.map(sample).into()
}

fn connection(protocol: &'static str) -> Connection {
    Connection {
        id: ConnectionId([0; 16]),
        listener: ListenerName::new("sample"),
        direction: Direction::Inbound,
        protocol,
        phi: false,
        source: Some(([192, 0, 2, 1], 1).into()),
        destination: Some(([192, 0, 2, 2], 2).into()),
        asked: Some("sample.invalid:2".into()),
        endpoint: None,
        tls: None,
        plaintext: false,
        certificate: None,
        anchor: None,
        identity: Some("spiffe://sample.invalid/sample".to_owned()),
        peer: Some(PeerName::new("sample")),
    }
}

fn request() -> Request {
    Request {
        number: 1,
        method: http::Method::GET,
        template: Some("/sample".into()),
        version: "1.1",
        phi: false,
        operation: None,
        words: None,
        trace_id: None,
        status: None,
    }
}

fn message() -> Hl7 {
    Hl7 {
        number: 1,
        kind: "ADT^A01".to_owned(),
        sending_application: "SAMPLE".to_owned(),
        sending_facility: "SAMPLE".to_owned(),
        receiving_application: "SAMPLE".to_owned(),
        receiving_facility: "SAMPLE".to_owned(),
        processing_id: "T".to_owned(),
        version: "2.5".to_owned(),
        ..Hl7::default()
    }
}

fn association() -> Dicom {
    let abstract_syntax = "1.2.840.10008.1.1".to_owned(); // Verification
    Dicom {
        calling_ae: "SAMPLE".to_owned(),
        called_ae: "SAMPLE".to_owned(),
        contexts: vec![DicomContext { abstract_syntax, accepted: None }],
        ..Dicom::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use time::macros::datetime;

    use super::super::encode::Encoded;
    use super::*;
    use crate::audit::fixture;

    #[test]
    fn a_question_has_what_the_record_has_and_the_moment_and_the_host() {
        let at = datetime!(2026-11-22 06:12:01.123 UTC);
        let record = Record {
            connection: Some(Arc::new(fixture::connection())),
            request: Some(request()),
            rule: Some(fixture::rule()),
            ..Record::new(Action::RequestAllowed)
        };
        let origin = fixture::origin();

        let asked = question(&origin, at, Some("fhir.\"example"), &record);

        let mut asked: Value = serde_json::from_str(&asked).unwrap();
        let fields = asked.as_object_mut().unwrap();
        assert_eq!(fields.remove("now").unwrap(), "2026-11-22T06:12:01.123Z");
        assert_eq!(fields.remove("host").unwrap(), "fhir.\"example");
        let line = Encoded::new(&origin, at, &record, &Own::default()).unplaced();
        assert_eq!(asked, serde_json::from_slice::<Value>(&line).unwrap());
    }

    #[test]
    fn there_is_a_sample_of_each_kind_of_question() {
        let samples = samples(&fixture::origin(), datetime!(2026-11-22 06:12:01 UTC));

        let actions: Vec<_> = samples
            .iter()
            .map(|sample| serde_json::from_str::<Value>(sample).unwrap()["event"]["action"].clone())
            .collect();
        let expected =
            ["connection-allowed", "request-allowed", "message-allowed", "association-allowed"];
        assert_eq!(actions, expected);
    }
}
