//! DICOM audit messages (PS3.15 A.5), as IHE ATNA sends them: XML on one line, below 8 KiB.
//!
//! The schemas that are about differ in what may be left out; what is written here is valid by all of them: an object
//! has both a name and a description. Free text stands in base64, where nobody's parser looks into it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::codes::Code;
use super::event::{Event, Subject, SubjectKind};
use super::participant::Participant;
use super::xml::Document;
use crate::audit::line::encode::hash;
use crate::audit::line::text::Timestamp;
use crate::audit::read::Recorded;

/// `AuditSourceTypeCode`: ISO level 4 to 6 operating software.
const SOURCE_TYPE: &str = "8";

/// Appends the record.
pub(super) fn tell(line: &[u8], recorded: &Recorded, out: &mut Vec<u8>) {
    let event = Event::of(recorded, &hex::encode(hash(line)));
    let mut xml = Document::new();
    xml.open("AuditMessage", []);
    identification(&mut xml, &event, recorded);
    participant(&mut xml, &event.us);
    if let Some(peer) = &event.peer {
        participant(&mut xml, peer);
    }
    let source = format!("myelin@{}", recorded.service.name);
    xml.open("AuditSourceIdentification", [("AuditSourceID", Some(source.as_str()))]);
    xml.empty("AuditSourceTypeCode", [("csd-code", SOURCE_TYPE)]);
    xml.close("AuditSourceIdentification");
    object(&mut xml, &event.subject, &event.details);
    xml.close("AuditMessage");
    out.extend_from_slice(&xml.into_bytes());
}

fn identification(xml: &mut Document, event: &Event<'_>, recorded: &Recorded) {
    let time = Timestamp(recorded.at).to_string();
    xml.open(
        "EventIdentification",
        [
            ("EventActionCode", Some(event.action)),
            ("EventDateTime", Some(time.as_str())),
            ("EventOutcomeIndicator", Some(event.outcome.code())),
        ],
    );
    coded(xml, "EventID", &event.id);
    for code in &event.types {
        coded(xml, "EventTypeCode", code);
    }
    xml.text("EventOutcomeDescription", &event.summary);
    xml.close("EventIdentification");
}

fn coded(xml: &mut Document, element: &str, Code { code, system, text }: &Code<'_>) {
    xml.empty(element, [("csd-code", *code), ("codeSystemName", *system), ("originalText", *text)]);
}

/// A participant. None of a Security Alert is a requestor (A.5.3.11).
fn participant(xml: &mut Document, who: &Participant<'_>) {
    let place = who.access_point();
    xml.open(
        "ActiveParticipant",
        [
            ("UserID", Some(&*who.user)),
            ("AlternativeUserID", who.alternative.as_deref()),
            ("UserName", who.name),
            ("UserIsRequestor", Some("false")),
            ("NetworkAccessPointID", place.map(|(name, _)| name)),
            ("NetworkAccessPointTypeCode", place.map(|(_, kind)| kind)),
        ],
    );
    coded(xml, "RoleIDCode", &who.role);
    xml.close("ActiveParticipant");
}

fn object(xml: &mut Document, subject: &Subject, details: &[(&'static str, String)]) {
    const URI: Code<'static> = Code { code: "12", system: "RFC-3881", text: "URI" };
    const NODE: Code<'static> = Code { code: "110182", system: "DCM", text: "Node ID" };
    let (role, id_type) = match subject.kind {
        SubjectKind::Resource => ("13", URI),
        SubjectKind::MasterFile => ("5", URI),
        SubjectKind::Node => ("13", NODE),
    };
    xml.open(
        "ParticipantObjectIdentification",
        [
            ("ParticipantObjectID", Some(subject.id.as_str())),
            ("ParticipantObjectTypeCode", Some("2")), // a system object
            ("ParticipantObjectTypeCodeRole", Some(role)),
        ],
    );
    coded(xml, "ParticipantObjectIDTypeCode", &id_type);
    xml.text("ParticipantObjectName", &subject.name);
    for (name, text) in details {
        let value = STANDARD.encode(text);
        xml.empty("ParticipantObjectDetail", [("type", *name), ("value", value.as_str())]);
    }
    xml.open("ParticipantObjectDescription", []);
    xml.empty("ParticipantObjectContainsStudy", []);
    xml.close("ParticipantObjectDescription");
    xml.close("ParticipantObjectIdentification");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::forms::fixture::recorded;

    fn told(event: &str, beside: &str, myelin: &str) -> String {
        let (line, recorded) = recorded(event, beside, myelin);
        let mut out = Vec::new();
        tell(&line, &recorded, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_denial_is_a_security_alert_with_the_sidecar_the_peer_and_the_endpoint() {
        let told = told(
            r#"{"action":"connection-denied","outcome":"failure","reason":"not_listed"}"#,
            r#""network":{"direction":"ingress","protocol":"dicom"},"source":{"ip":"10.20.0.52","port":5},
               "destination":{"ip":"10.20.0.15","port":2762},"#,
            r#""listener":"pacs","identity":"spiffe://h.example/claims","phi":true"#,
        );

        let read = roxmltree::Document::parse(&told).unwrap();
        let find = |name| read.descendants().filter(move |node| node.has_tag_name(name));
        let event = find("EventIdentification").next().unwrap();
        assert_eq!(event.attribute("EventDateTime"), Some("2026-11-22T06:12:01.123Z"));
        assert_eq!(event.attribute("EventOutcomeIndicator"), Some("8"));
        let users: Vec<_> =
            find("ActiveParticipant").filter_map(|who| who.attribute("UserID")).collect();
        assert_eq!(users, ["myelin@ehr", "spiffe://h.example/claims"]);
        assert!(
            find("ActiveParticipant").all(|who| who.attribute("UserIsRequestor") == Some("false"))
        );
        let object = find("ParticipantObjectIdentification").next().unwrap();
        assert_eq!(object.attribute("ParticipantObjectID"), Some("dicom://10.20.0.15:2762/pacs"));
        let alert = find("ParticipantObjectDetail").next().unwrap();
        assert_eq!(alert.attribute("type"), Some("Alert Description"));
        let alert = STANDARD.decode(alert.attribute("value").unwrap()).unwrap();
        assert_eq!(alert, b"Peer authenticated and not authorised: not_listed");
        assert!(!told.contains('\n'));
    }

    #[test]
    fn whatever_strangers_chose_a_message_stays_below_8_kib() {
        let long = "\u{10348}".repeat(1000);
        for identity in
            [String::new(), format!(r#""identity":"spiffe://h.example/{}","#, "x".repeat(2000))]
        {
            let told = told(
                r#"{"action":"connection-denied","outcome":"failure","reason":"unknown_peer"}"#,
                &format!(
                    r#""message":"{long}","network":{{"direction":"ingress"}},"tls":{{"client":{{"subject":"{long}","issuer":"{long}",
                       "hash":{{"sha256":"AB"}},"x509":{{"serial_number":"01"}}}}}},"#
                ),
                &format!(r#"{identity}"listener":"db","nearest":"{long}""#),
            );

            assert!(told.len() < 8192, "{}", told.len());
            assert!(told.contains("Alert Description"));
        }
    }
}
