//! What an event has beside its codes: names and texts, the important ones first.

use super::fields::{Field, Value};
use super::participant::by;
use crate::audit::read::Recorded;

/// Most bytes of a detail.
const LONGEST: usize = 1024;
/// Most bytes of all details and the peer's identity: so an ATNA message stays below 8 KiB, at which common receivers
/// cut it.
const ALL: usize = 3400;

/// What is told of each record, by the names of fields.
const FIELDS: [(&str, &str); 29] = [
    ("Action", "action"),
    ("Reason", "reason"),
    ("Sequence", "sequence"),
    ("ConnectionID", "connection"),
    ("RequestID", "request_id"),
    ("Count", "count"),
    ("WouldDeny", "would_deny"),
    ("PolicyRule", "rule"),
    ("PolicyVersion", "policy"),
    ("Differs", "differs"),
    ("TLSVersion", "tls_version"),
    ("TLSCipherSuite", "tls_cipher"),
    ("TLSGroup", "tls_group"),
    ("CertSHA256", "certificate_sha256"),
    ("CertSerial", "certificate_serial"),
    ("Subject", "certificate_subject"),
    ("Issuer", "certificate_issuer"),
    ("Method", "method"),
    ("Route", "path"),
    ("Status", "status"),
    ("Operation", "operation"),
    ("Resource", "resource"),
    ("ClaimedFrom", "claimed_from"),
    ("ClaimedTo", "claimed_to"),
    ("Result", "result"),
    ("SourceBytes", "source_bytes"),
    ("DestinationBytes", "destination_bytes"),
    ("DurationMs", "duration_ms"),
    ("TraceID", "trace_id"),
];
/// These belong to the peer, or were merely presented.
const OF_CERTIFICATE: [&str; 4] = ["CertSHA256", "CertSerial", "Subject", "Issuer"];

/// The details of an event, bounded. `digest` is the SHA-256 of the record's line.
pub(super) fn details(
    recorded: &Recorded,
    digest: &str,
    summary: &str,
) -> Vec<(&'static str, String)> {
    let is_known = recorded.myelin.identity.is_some();
    let mut details = Vec::new();
    let identity = recorded.myelin.identity.as_ref().map_or(0, String::len);
    let mut room = ALL.saturating_sub(identity).max(LONGEST);
    let mut add = |name: &'static str, text: String| {
        let text = cut(text);
        if !text.is_empty() && text.len() <= room {
            room -= text.len();
            details.push((name, text));
        }
    };
    add("Alert Description", description(recorded, summary));
    add("RecordSHA256", digest.to_owned());
    if let Some(checkpoint) = &recorded.myelin.checkpoint {
        add("Checkpoint", checkpoint.note.clone());
    }
    if let Some(sidecar) = &recorded.myelin.sidecar {
        add("Identity", sidecar.identity.clone());
        add("Version", recorded.observer.version.clone());
        add("Host", recorded.observer.hostname.clone().unwrap_or_default());
        add("Process", sidecar.process.to_string());
    }
    if let Some(review) = &recorded.myelin.review {
        add("Reviewer", review.reviewer.clone());
        add("ReviewedFrom", review.from.clone());
        add("ReviewedTo", review.to.clone());
        add("ReviewNote", review.note.clone().unwrap_or_default());
    }
    if let Some(sudo) = by(recorded).and_then(|by| by.sudo.as_ref()) {
        add("ClaimedSudoUser", sudo.clone());
    }
    for (name, field) in FIELDS {
        let value = Field::named(field).map_or(Value::Nothing, |field| field.of(recorded));
        if name == "Count" && recorded.myelin.flood.is_none() {
            continue;
        }
        add(
            if OF_CERTIFICATE.contains(&name) { of_peer(name, is_known) } else { name },
            value.to_string(),
        );
    }
    details
}

/// What a certificate says is the peer's only if it was verified.
fn of_peer(name: &'static str, is_known: bool) -> &'static str {
    match (name, is_known) {
        ("CertSHA256", true) => "PeerCertSHA256",
        ("CertSHA256", false) => "PresentedCertSHA256",
        ("CertSerial", true) => "PeerCertSerial",
        ("CertSerial", false) => "PresentedCertSerial",
        ("Subject", true) => "PeerSubject",
        ("Subject", false) => "PresentedSubject",
        ("Issuer", true) => "PeerIssuer",
        ("Issuer", false) => "PresentedIssuer",
        _ => name,
    }
}

fn description(recorded: &Recorded, summary: &str) -> String {
    let words = [recorded.message.as_deref(), recorded.myelin.nearest.as_deref()];
    words.into_iter().flatten().fold(summary.to_owned(), |text, words| format!("{text}; {words}"))
}

fn cut(mut text: String) -> String {
    const MORE: &str = "…";
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - MORE.len()));
        text.push_str(MORE);
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::audit::forms::event::Event;
    use crate::audit::forms::fixture::recorded;

    #[test]
    fn whoever_claims_to_have_used_sudo_is_no_participant_by_that_name() {
        let (_, recorded) = recorded(
            r#"{"action":"log-read","outcome":"success"}"#,
            "",
            r#""read":{"at":"2026-11-22T06:00:00.000Z","command":"audit query",
               "by":{"uid":1000,"name":"jdoe","login":"jane","sudo":"mallory","process":7}}"#,
        );

        let event = Event::of(&recorded, "00");

        let peer = event.peer.unwrap();
        assert_eq!((&*peer.user, peer.name), ("jane", Some("jdoe")));
        let claimed = ("ClaimedSudoUser", "mallory".to_owned());
        assert!(event.details.contains(&claimed), "{:?}", event.details);
    }

    #[test]
    fn whoever_asked_for_it_over_the_control_socket_takes_part() {
        for action in ["config-loaded", "config-rejected", "sidecar-stopped"] {
            let (_, recorded) = recorded(
                &format!(r#"{{"action":"{action}","outcome":"success"}}"#),
                "",
                r#""asked_by":{"uid":1000,"name":"jdoe","login":"jane","process":7}"#,
            );

            let peer = Event::of(&recorded, "00").peer.unwrap();

            assert_eq!((&*peer.user, peer.name), ("jane", Some("jdoe")), "{action}");
        }
    }

    #[test]
    fn a_sign_off_says_who_has_reviewed_what_and_under_which_account() {
        let (_, recorded) = recorded(
            r#"{"action":"review-signed","outcome":"success"}"#,
            "",
            r#""review":{"at":"2026-11-22T06:00:00.000Z","reviewer":"Jane Doe","by":{"uid":1000,"name":"jdoe","process":7},
               "from":"2026-10-01T00:00:00.000Z","to":"2026-11-01T00:00:00.000Z","note":"nothing unusual"}"#,
        );

        let event = Event::of(&recorded, "00");

        assert_eq!(event.peer.unwrap().user, "jdoe");
        for (name, text) in [
            ("Reviewer", "Jane Doe"),
            ("ReviewedFrom", "2026-10-01T00:00:00.000Z"),
            ("ReviewedTo", "2026-11-01T00:00:00.000Z"),
            ("ReviewNote", "nothing unusual"),
        ] {
            assert!(
                event.details.contains(&(name, text.to_owned())),
                "{name}: {:?}",
                event.details
            );
        }
    }
}
