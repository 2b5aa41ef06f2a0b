//! A record as an event in the sense of DICOM PS3.15 A.5 and IHE ITI-20, of which ATNA's XML and FHIR's AuditEvent are
//! two spellings.
//!
//! What happens at the network is a Security Alert (110113), whose type says which: Node Authentication (110126), Access
//! Control Decision (110147), Session start and stop (110145, 110146), Security Configuration (110129), Audit Recording
//! Started and Stopped (110134, 110133). That the process begins and ends is Application Activity (110100).
//! Whoever has not proved who it is, is nobody's user: what it presented is a detail.

use super::codes::{
    ACCESS_CONTROL_DECISION, APPLICATION_ACTIVITY, APPLICATION_START, APPLICATION_STOP,
    AUDIT_LOG_USED, Code, EMERGENCY_OVERRIDE_STARTED, EMERGENCY_OVERRIDE_STOPPED,
    NETWORK_CONFIGURATION, NODE_AUTHENTICATION, OURS, RECORDING_STARTED, RECORDING_STOPPED,
    RESTRICTED_FUNCTION, SECURITY_ALERT, SECURITY_CONFIGURATION, SESSION_START, SESSION_STOP,
};
use super::details::details;
use super::happened::{Happened, How, Of, is_failure};
use super::participant::{Participant, address, by, peer, somebody, us};
use crate::audit::read::Recorded;

/// How an event went: `EventOutcomeIndicator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// It came to a bad end.
    Minor,
    /// It was kept from happening.
    Serious,
    /// The trail itself is concerned.
    Major,
}

impl Outcome {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Success => "0",
            Self::Minor => "4",
            Self::Serious => "8",
            Self::Major => "12",
        }
    }
}

/// What it was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: SubjectKind,
}

/// What kind of thing it was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubjectKind {
    /// An endpoint or a log: Security Resource, by URI.
    Resource,
    /// Configuration and key material: Master File, by URI.
    MasterFile,
    /// A peer: Security Resource, by node.
    Node,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) id: Code<'static>,
    pub(super) types: Vec<Code<'a>>,
    /// `E` or `R`.
    pub(super) action: &'static str,
    pub(super) outcome: Outcome,
    /// In a few words.
    pub(super) summary: String,
    pub(super) us: Participant<'a>,
    pub(super) peer: Option<Participant<'a>>,
    pub(super) subject: Subject,
    /// By name, the important ones first. The first is `Alert Description`.
    pub(super) details: Vec<(&'static str, String)>,
}

impl<'a> Event<'a> {
    /// What `recorded` says, `digest` being the SHA-256 of its line.
    pub(super) fn of(recorded: &'a Recorded, digest: &str) -> Self {
        let happened = Happened::of(recorded);
        let summary = summary(happened, recorded);
        let is_log_read = recorded.event.action == "log-read";
        Self {
            id: match happened.of {
                Of::Sidecar => APPLICATION_ACTIVITY,
                _ if is_log_read => AUDIT_LOG_USED,
                _ => SECURITY_ALERT,
            },
            types: if is_log_read { Vec::new() } else { types(happened, recorded) },
            action: if is_log_read { "R" } else { "E" },
            outcome: outcome(happened, recorded),
            us: us(recorded),
            peer: match by(recorded) {
                Some(reader) => Some(somebody(reader)),
                None => recorded.network.direction.is_some().then(|| peer(recorded)),
            },
            subject: subject(happened, recorded),
            details: details(recorded, digest, &summary),
            summary,
        }
    }
}

fn types<'a>(Happened { of, how }: Happened, recorded: &'a Recorded) -> Vec<Code<'a>> {
    let ours =
        || vec![Code { code: &recorded.event.action, system: OURS, text: &recorded.event.action }];
    match (of, how) {
        (Of::Connection, How::Allowed) if recorded.myelin.plaintext => {
            vec![ACCESS_CONTROL_DECISION, SESSION_START]
        }
        (Of::Connection, How::Allowed) => {
            vec![NODE_AUTHENTICATION, ACCESS_CONTROL_DECISION, SESSION_START]
        }
        (_, How::Refused) => vec![NODE_AUTHENTICATION],
        (Of::Request | Of::Message | Of::Association, How::Allowed) => {
            vec![ACCESS_CONTROL_DECISION, SESSION_START]
        }
        (_, How::Denied | How::Withdrawn) => vec![ACCESS_CONTROL_DECISION, RESTRICTED_FUNCTION],
        (_, How::Ended) => vec![SESSION_STOP],
        (Of::Configuration, _) => match recorded.event.action.as_str() {
            "break-glass-started" => vec![EMERGENCY_OVERRIDE_STARTED],
            "break-glass-ended" => vec![EMERGENCY_OVERRIDE_STOPPED],
            _ => vec![SECURITY_CONFIGURATION, NETWORK_CONFIGURATION],
        },
        (Of::Certificate, _) => vec![SECURITY_CONFIGURATION],
        (Of::Sidecar, _) => match recorded.event.action.as_str() {
            "sidecar-started" => vec![APPLICATION_START],
            "sidecar-stopped" => vec![APPLICATION_STOP],
            _ => ours(),
        },
        (Of::Trail, _) => match recorded.event.action.as_str() {
            "recording-started" => vec![RECORDING_STARTED],
            "recording-stopped" | "trail-truncated" => vec![RECORDING_STOPPED],
            _ => ours(),
        },
        _ => ours(),
    }
}

fn outcome(Happened { of, how }: Happened, recorded: &Recorded) -> Outcome {
    match (of, how) {
        (_, How::Denied | How::Refused | How::Withdrawn) => Outcome::Serious,
        (Of::Trail, _) if recorded.event.action == "trail-truncated" => Outcome::Major,
        (Of::Configuration | Of::Certificate, _) if is_failure(recorded) => Outcome::Serious,
        _ if is_failure(recorded) => Outcome::Minor,
        _ => Outcome::Success,
    }
}

fn summary(Happened { of, how }: Happened, recorded: &Recorded) -> String {
    let what = match (of, how) {
        (Of::Connection, How::Allowed) if recorded.myelin.plaintext => "Let in without TLS",
        (Of::Connection, How::Allowed) => "Peer authenticated by mutual TLS and authorised",
        (_, How::Refused) => "Node authentication failed: the TLS handshake came to nothing",
        (Of::Connection, How::Denied) => "Peer authenticated and not authorised",
        (_, How::Withdrawn) => "Authorisation withdrawn",
        (Of::Request, How::Allowed) => "Request authorised",
        (Of::Request, How::Denied) => "Request not authorised",
        (Of::Message, How::Allowed) => "HL7 v2 message authorised",
        (Of::Message, How::Denied) => "HL7 v2 message not authorised",
        (Of::Association, How::Allowed) => "DICOM association authorised",
        (Of::Association, How::Denied) => "DICOM association not authorised",
        (Of::Connection, How::Ended) => "Connection ended",
        (Of::Request, How::Ended) => "Request ended",
        (Of::Message, How::Ended) => "HL7 v2 message ended",
        (Of::Association, How::Ended) => "DICOM association ended",
        _ => &recorded.event.action,
    };
    let observed = recorded.myelin.would_deny.as_ref();
    let observed = observed
        .map(|why| format!("; let through because policy is only observed, else denied: {why}"));
    let reason = recorded.event.reason.as_ref().map(|reason| format!(": {reason}"));
    format!("{what}{}{}", reason.unwrap_or_default(), observed.unwrap_or_default())
}

fn subject(Happened { of, how }: Happened, recorded: &Recorded) -> Subject {
    let service = escaped(&recorded.service.name);
    let own = |part: &str, name: &str, kind| Subject {
        id: format!("urn:myelin:{service}:{part}"),
        name: name.to_owned(),
        kind,
    };
    match (of, how) {
        (_, How::Refused) => {
            let peer =
                recorded.peer_side().and_then(address).or_else(|| recorded.myelin.endpoint.clone());
            let id = peer.unwrap_or_else(|| "unknown".to_owned());
            Subject { id, name: "peer node".to_owned(), kind: SubjectKind::Node }
        }
        (Of::Connection | Of::Request | Of::Message | Of::Association, _) => Subject {
            id: endpoint(recorded),
            name: endpoint_name(recorded),
            kind: SubjectKind::Resource,
        },
        (Of::Trail, _) => own("audit", "Security Audit Log", SubjectKind::Resource),
        (Of::Configuration, _) => own("configuration", "Configuration", SubjectKind::MasterFile),
        (Of::Certificate, _) => own("identity", "Key material", SubjectKind::MasterFile),
        (Of::Sidecar | Of::Other, _) => own("sidecar", "Myelin", SubjectKind::Resource),
    }
}

/// `mllp://10.20.0.15:2575/adt`: what was connected to, and the listener.
fn endpoint(recorded: &Recorded) -> String {
    let scheme = match (recorded.network.protocol.as_deref(), recorded.myelin.plaintext) {
        (Some("http"), false) => "https",
        (Some(protocol @ ("http" | "mllp" | "dicom")), _) => protocol,
        _ => "tcp",
    };
    let to = recorded.destination.as_ref();
    let address = to.and_then(|side| {
        Some(std::net::SocketAddr::new(side.ip?, side.port?)).map(|a| a.to_string())
    });
    let endpoint =
        recorded.myelin.endpoint.as_deref().filter(|_| recorded.is_outbound()).map(escaped);
    let authority = endpoint.or(address).unwrap_or_default();
    let listener = recorded.myelin.listener.as_deref().map(escaped).unwrap_or_default();
    format!("{scheme}://{authority}/{listener}")
}

fn endpoint_name(recorded: &Recorded) -> String {
    let kind = if recorded.myelin.phi { "PHI endpoint" } else { "endpoint" };
    let listener = recorded.myelin.listener.as_deref().unwrap_or_default();
    format!("{kind} {listener}").trim_end().to_owned()
}

/// As it may stand in a URI (RFC 3986).
pub(super) fn escaped(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::forms::codes::DESTINATION;
    use crate::audit::forms::fixture::recorded;
    use crate::audit::forms::participant::UNAUTHENTICATED;

    fn codes(event: &Event<'_>) -> Vec<String> {
        event.types.iter().map(|code| code.code.to_owned()).collect()
    }

    #[test]
    fn each_action_has_its_codes_and_its_outcome() {
        for (action, outcome, types, indicator) in [
            ("connection-allowed", "success", &["110126", "110147", "110145"][..], "0"),
            ("connection-refused", "failure", &["110126"], "8"),
            ("connection-denied", "failure", &["110147", "110132"], "8"),
            ("connection-withdrawn", "failure", &["110147", "110132"], "8"),
            ("connection-closed", "success", &["110146"], "0"),
            ("connection-closed", "failure", &["110146"], "4"),
            ("request-denied", "failure", &["110147", "110132"], "8"),
            ("association-allowed", "success", &["110147", "110145"], "0"),
            ("message-completed", "failure", &["110146"], "4"),
            ("config-loaded", "success", &["110129", "110128"], "0"),
            ("certificate-rejected", "failure", &["110129"], "8"),
            ("recording-started", "success", &["110134"], "0"),
            ("recording-stopped", "success", &["110133"], "0"),
            ("trail-truncated", "failure", &["110133"], "12"),
            ("segments-removed", "success", &["segments-removed"], "0"),
            ("break-glass-started", "success", &["110127"], "0"),
            ("break-glass-ended", "success", &["110138"], "0"),
            ("checkpoint", "success", &["checkpoint"], "0"),
            ("tea-served", "success", &["tea-served"], "0"),
        ] {
            let event = format!(r#"{{"action":"{action}","outcome":"{outcome}"}}"#);
            let (_, recorded) = recorded(&event, "", "");
            let event = Event::of(&recorded, "00");
            assert_eq!(event.id.code, "110113", "{action}");
            assert_eq!(
                (codes(&event), event.outcome.code()),
                (types.iter().map(|t| (*t).to_owned()).collect(), indicator),
                "{action}"
            );
        }
    }

    #[test]
    fn that_the_process_begins_and_ends_is_its_activity_on_its_machine() {
        for (action, code) in [("sidecar-started", "110120"), ("sidecar-stopped", "110121")] {
            let (_, recorded) = recorded(
                &format!(r#"{{"action":"{action}","outcome":"success"}}"#),
                r#""observer":{"version":"0.1.0","hostname":"node-7"},"#,
                r#""sidecar":{"identity":"spiffe://h.example/ehr","process":7}"#,
            );

            let event = Event::of(&recorded, "00");

            assert_eq!((event.id.code, codes(&event)), ("110100", vec![code.to_owned()]));
            assert_eq!((event.peer, event.us.access_point()), (None, Some(("node-7", "1"))));
            assert!(event.details.contains(&("Identity", "spiffe://h.example/ehr".to_owned())));
        }
    }

    #[test]
    fn reading_the_trail_is_a_use_of_the_audit_log() {
        let (_, recorded) = recorded(r#"{"action":"log-read","outcome":"success"}"#, "", "");

        let event = Event::of(&recorded, "00");

        assert_eq!((event.id.code, event.action, event.types.len()), ("110101", "R", 0));
        assert_eq!(event.subject.name, "Security Audit Log");
    }

    #[test]
    fn what_was_not_proved_is_nobody_s_name() {
        let (_, recorded) = recorded(
            r#"{"action":"connection-refused","outcome":"failure","reason":"expired"}"#,
            r#""network":{"direction":"ingress","protocol":"http"},"source":{"ip":"10.0.0.9","port":5},
               "tls":{"client":{"subject":"CN=boss","issuer":"CN=x","hash":{"sha256":"AB"}}},"#,
            r#""listener":"fhir""#,
        );

        let event = Event::of(&recorded, "00");

        let peer = event.peer.unwrap();
        assert_eq!((&*peer.user, peer.is_known), (UNAUTHENTICATED, false));
        assert_eq!(
            (event.subject.id.as_str(), event.subject.kind),
            ("10.0.0.9", SubjectKind::Node)
        );
        assert!(event.details.contains(&("PresentedSubject", "CN=boss".to_owned())));
        assert!(event.details.iter().all(|(name, _)| !name.starts_with("Peer")));
    }

    #[test]
    fn of_what_goes_out_the_peer_is_the_destination() {
        let (_, recorded) = recorded(
            r#"{"action":"association-allowed","outcome":"success"}"#,
            r#""network":{"direction":"egress","protocol":"dicom"},"source":{"ip":"127.0.0.1","port":5},
               "destination":{"ip":"10.0.0.9","port":2762},"#,
            r#""listener":"to pacs","identity":"spiffe://h.example/pacs","peer":"pacs","endpoint":"pacs.example:2762","phi":true,
               "dicom":{"calling_ae":"CT2","called_ae":"PACS"}"#,
        );

        let event = Event::of(&recorded, "00");

        let peer = event.peer.unwrap();
        assert_eq!(
            (&*peer.user, peer.role, peer.address.as_deref()),
            ("spiffe://h.example/pacs", DESTINATION, Some("10.0.0.9"))
        );
        assert_eq!(peer.alternative.as_deref(), Some("AETITLES=PACS"));
        assert_eq!(event.us.address, None);
        assert_eq!(event.subject.id, "dicom://pacs.example:2762/to%20pacs");
        assert_eq!(event.subject.name, "PHI endpoint to pacs");
    }
}
