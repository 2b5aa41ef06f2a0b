//! A record as one line of JSON, before and after it has its place in the trail.
//!
//! What a record says never changes; its sequence number and the hash of the line before it are known
//! only when it is written, and differ from attempt to attempt while the disk fails. So the line is made
//! once, without these two, and they are spliced in as often as it takes.

use aws_lc_rs::digest::{SHA256, digest};
use time::OffsetDateTime;

use crate::audit::line::ecs::Line;
use crate::audit::line::own::Own;
use crate::audit::line::rule::Origin;
use crate::audit::pages::Page;
use crate::audit::record::{Action, Record};

/// `event` opens here in every line: the time before it always has the same length.
const BEFORE_SEQUENCE: usize = r#"{"@timestamp":"2026-11-22T06:12:01.123Z","event":{"#.len();
/// What a line ends with: `myelin` and the object around it.
const END: &[u8] = b"}}";

/// A SHA-256 digest of a line.
pub(in crate::audit) type Hash = [u8; 32];

/// What stands in the first record of a trail instead of the hash of the line before it.
pub(in crate::audit) const NOTHING_BEFORE: Hash = [0; 32];

/// The digest of a line's exact bytes, its newline not included.
pub(in crate::audit) fn hash(line: &[u8]) -> Hash {
    let mut hash = NOTHING_BEFORE;
    hash.copy_from_slice(digest(&SHA256, line).as_ref());
    hash
}

/// A record's line without its place in the trail.
#[derive(Debug)]
pub(in crate::audit) struct Encoded {
    /// What it is about.
    pub(in crate::audit) action: Action,
    /// Which page shows it.
    pub(in crate::audit) page: Option<Page>,
    /// The line, without `event.sequence`, without `myelin.prev` and without its [`END`].
    line: Vec<u8>,
}

impl Encoded {
    /// Encodes what happened `at` a time.
    pub(in crate::audit) fn new(
        origin: &Origin,
        at: OffsetDateTime,
        record: &Record,
        own: &Own,
    ) -> Self {
        let mut line = Vec::with_capacity(1536);
        let written = serde_json::to_writer(&mut line, &Line::of(origin, at, record, own));
        debug_assert!(written.is_ok(), "a record has text and numbers only: {written:?}");
        line.truncate(line.len().saturating_sub(END.len()));
        Self { action: record.action, page: Page::of(record), line }
    }

    /// As another process has encoded it.
    pub(in crate::audit) fn passed(action: Action, page: Option<Page>, line: Vec<u8>) -> Self {
        Self { action, page, line }
    }

    /// What another process makes one of again.
    pub(in crate::audit) fn bytes(&self) -> &[u8] {
        &self.line
    }

    /// Bytes that it takes.
    pub(in crate::audit) fn len(&self) -> usize {
        self.line.len()
    }

    /// Appends the finished line and its newline to `out`, and returns the line's hash.
    pub(in crate::audit) fn place(&self, sequence: u64, prev: &Hash, out: &mut Vec<u8>) -> Hash {
        let begin = out.len();
        let (head, rest) = self.line.split_at(BEFORE_SEQUENCE.min(self.line.len()));
        out.extend_from_slice(head);
        out.extend_from_slice(format!(r#""sequence":{sequence},"#).as_bytes());
        out.extend_from_slice(rest);
        if !rest.ends_with(b"{") {
            out.push(b',');
        }
        out.extend_from_slice(br#""prev":""#);
        out.extend_from_slice(hex::encode(prev).as_bytes());
        out.push(b'"');
        out.extend_from_slice(END);
        let hash = hash(out.get(begin..).unwrap_or_default());
        out.push(b'\n');
        hash
    }

    /// The line as it is without a place.
    pub(in crate::audit) fn unplaced(&self) -> Vec<u8> {
        [self.line.as_slice(), END].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;
    use crate::audit::fixture;
    use crate::audit::record::{Request, Traffic};
    use crate::outcome::{DenyReason, Ending, Refusal};

    fn line(record: &Record) -> Value {
        let encoded = Encoded::new(
            &Origin::new("hospital.example", "ehr", "myelin.yaml"),
            datetime!(2026-11-22 06:12:01.123456 UTC),
            record,
            &Own::default(),
        );
        let mut out = Vec::new();
        encoded.place(7, &[0xab; 32], &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_ending_says_who_what_how_and_how_much() {
        let traffic = Traffic { sent_up: 10, sent_down: 20, duration: Duration::from_millis(5) };
        let mut record = Record::closed(Arc::new(fixture::connection()), Ending::Finished, traffic);
        record.rule = Some(fixture::rule());

        assert_eq!(
            line(&record).to_string().replace(env!("CARGO_PKG_VERSION"), "VERSION"),
            concat!(
                r#"{"@timestamp":"2026-11-22T06:12:01.123Z","#,
                r#""event":{"sequence":7,"action":"connection-closed","outcome":"success","#,
                r#""kind":"event","category":["network"],"type":["connection","end"],"#,
                r#""reason":"finished","duration":5000000},"#,
                r#""service":{"name":"ehr"},"#,
                r#""observer":{"type":"proxy","product":"Myelin","version":"VERSION"},"#,
                r#""source":{"ip":"10.20.0.52","port":50412,"bytes":10},"#,
                r#""destination":{"ip":"10.20.0.15","port":8443,"bytes":20},"#,
                r#""network":{"direction":"ingress","transport":"tcp","protocol":"http"},"#,
                r#""tls":{"version":"1.3","version_protocol":"tls","cipher":"TLS_AES_256_GCM_SHA384","#,
                r#""curve":"X25519MLKEM768","resumed":false,"next_protocol":"http/1.1","#,
                r#""established":true,"client":{"server_name":"ehr.hospital.example","#,
                r#""subject":"CN=billing","issuer":"CN=Hospital Issuing CA 1","hash":{"sha256":"#,
                r#""FEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFE"},"#,
                r#""not_before":"2026-11-22T00:00:00.000Z","not_after":"2026-11-23T00:00:00.000Z","#,
                r#""x509":{"serial_number":"03A1","alternative_names":"#,
                r#"["URI:spiffe://hospital.example/billing"],"subject":{"common_name":["billing"]},"#,
                r#""issuer":{"distinguished_name":"CN=Hospital Issuing CA 1"}}}},"#,
                r#""user":{"id":"spiffe://hospital.example/billing"},"#,
                r#""rule":{"name":"fhir/read-patient","version":"sha256:"#,
                r#"1111111111111111111111111111111111111111111111111111111111111111"},"#,
                r#""myelin":{"listener":"fhir","connection":"05050505050505050505050505050505","#,
                r#""identity":"spiffe://hospital.example/billing","peer":"billing","phi":true,"#,
                r#""prev":"abababababababababababababababababababababababababababababababab"}}"#
            )
        );
    }

    #[test]
    fn a_refused_certificate_is_shown_and_not_believed() {
        let mut connection = fixture::connection();
        (connection.tls, connection.identity, connection.peer) = (None, None, None);
        let connection = Arc::new(connection);

        let line = line(&Record::refused(connection, Refusal::Expired, "expired".into()));

        assert_eq!(line["event"]["kind"], "alert");
        assert_eq!(line["event"]["outcome"], "failure");
        assert_eq!(line["event"]["reason"], "expired");
        assert_eq!(line["tls"]["established"], false);
        assert_eq!(line["tls"]["client"]["x509"]["serial_number"], "03A1");
        assert_eq!(line["user"], Value::Null);
    }

    #[test]
    fn of_an_outbound_connection_the_peer_is_the_server() {
        let mut connection = fixture::connection();
        connection.direction = crate::outcome::Direction::Outbound;

        let line = line(&Record::denied(Arc::new(connection), DenyReason::NotListed, None));

        assert_eq!(line["network"]["direction"], "egress");
        assert_eq!(line["tls"]["server"]["subject"], "CN=billing");
        assert_eq!(line["tls"]["client"], json!({ "server_name": "ehr.hospital.example" }));
    }

    #[test]
    fn a_request_shows_its_template_and_has_an_id_of_its_own() {
        let mut record = Record::new(Action::RequestAllowed);
        record.connection = Some(Arc::new(fixture::connection()));
        record.request = Some(Request {
            number: 3,
            method: http::Method::GET,
            template: Some("/fhir/Patient/{id}".into()),
            version: "1.1",
            phi: false, // its route says otherwise than its listener
            operation: None,
            words: None,
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            status: None,
        });

        let line = line(&record);

        assert_eq!(line["url"]["path"], "/fhir/Patient/{id}");
        assert_eq!(line["http"]["request"]["id"], format!("{}-3", "05".repeat(16)));
        assert_eq!(line["myelin"]["request"], 3);
        assert_eq!(line["myelin"]["phi"], false);
        assert_eq!(line["trace"]["id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_strangers_text_is_capped_and_cannot_write_to_a_terminal() {
        let mut connection = fixture::connection();
        let mut certificate = (*connection.certificate.unwrap()).clone();
        certificate.subject.text = format!("CN=a\u{1b}[2J\n\u{202e}{}", "x".repeat(1000));
        certificate.alternative_names = (0..100).map(|n| format!("DNS:h{n}.example")).collect();
        connection.certificate = Some(Arc::new(certificate));

        let line = line(&Record::denied(Arc::new(connection), DenyReason::UnknownPeer, None));

        let subject = line["tls"]["client"]["subject"].as_str().unwrap();
        assert!(subject.starts_with("CN=a\u{fffd}[2J\u{fffd}\u{fffd}xxx"), "{subject}");
        assert_eq!(subject.chars().count(), 256);
        let names = line["tls"]["client"]["x509"]["alternative_names"].as_array().unwrap();
        assert_eq!((names.len(), &names[32]), (33, &json!("… and 68 more")));
    }

    #[test]
    fn a_record_about_nothing_has_only_its_place() {
        let line = line(&Record::new(Action::ConfigLoaded));

        assert_eq!(line["myelin"], json!({ "prev": "ab".repeat(32) }));
        assert_eq!(line["event"]["sequence"], 7);
    }
}
