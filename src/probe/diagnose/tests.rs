//! Every failure is told apart from every other, in a table from what was seen to the words.

use rustls::AlertDescription as Alert;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::config::Endpoint;
use crate::probe::Spoken;
use crate::probe::seen::{
    Attempt, Certificate, CertificateRequest, Judged, Negotiated, Recognition, Stage, Unreached,
};

const NOW: OffsetDateTime = datetime!(2027-03-01 12:00 UTC);

fn at(endpoint: &str) -> Seen {
    let mut seen = Seen::of(&endpoint.parse::<Endpoint>().unwrap(), NOW);
    seen.resolved.addresses = vec!["10.0.0.7:8443".parse().unwrap()];
    seen
}

fn certificate(issuer: &str) -> Certificate {
    Certificate {
        subject: "CN=ehr".into(),
        names: vec![],
        issuer: issuer.into(),
        serial: "01".into(),
        not_before: NOW,
        not_after: NOW,
        version: 3,
        key: "EC P-256".into(),
        signature: "ECDSA with SHA-256".into(),
        sha256: String::new(),
        self_issued: false,
    }
}

/// Our certificate as a server sees it that named other authorities, or none.
fn ours(named: Named) -> Ours {
    Ours {
        certificate: Some(certificate("CN=Our CA")),
        named,
        for_clients: true,
        verifiable: true,
        shown: true,
    }
}

fn shaken(outcome: Outcome, answer: Option<Answer>) -> Seen {
    let mut seen = at("lab.example:8443");
    seen.handshake = Some(Shaken {
        outcome,
        negotiated: Negotiated::default(),
        asked: Some(CertificateRequest { authorities: vec![], count: 0, verifies_our_key: true }),
        answer,
        milliseconds: 1,
    });
    seen.ours = Some(ours(Named::NoneNamed));
    seen
}

fn answered(answer: Answer) -> Seen {
    shaken(Outcome::Established, Some(answer))
}

fn unreached(failed: Unreached) -> Seen {
    let mut seen = at("lab.example:8443");
    let address = "10.0.0.7:8443".parse().unwrap();
    let error = Some("the system's word".to_owned());
    seen.attempts.push(Attempt { address, milliseconds: 1, failed: Some(failed), error });
    seen
}

fn faulty(fault: Fault) -> Seen {
    let mut seen = shaken(Outcome::ServerRefused, None);
    seen.server = Some(Judged {
        chain: vec![],
        presented: 1,
        checks: vec![],
        faults: vec![fault],
        refusal: None,
        recognized: Recognition::default(),
    });
    seen
}

/// What the one thing that is wrong is called, and its words.
fn only(seen: &Seen) -> (&'static str, String) {
    match diagnose(seen).as_slice() {
        [Diagnosis { code, cause, mend, .. }] => (code, format!("{cause}; {mend}")),
        several => panic!("{several:#?}"),
    }
}

#[track_caller]
fn is(seen: &Seen, code: &str, words: &str) {
    let (told, text) = only(seen);
    assert_eq!(told, code, "{text}");
    assert!(text.contains(words), "{code}: {text}");
    assert!(!text.contains("  "), "{code}: {text}");
}

#[test]
fn nothing_wrong_is_nothing_to_say() {
    assert_eq!(diagnose(&answered(Answer::Waits)), []);
    assert_eq!(diagnose(&answered(Answer::Speaks { bytes: 10 })), []);
}

#[test]
fn a_server_that_is_not_reached_is_told_by_the_way() {
    let mut unknown = at("lab.exmaple:8443");
    unknown.resolved.error = Some("Name or service not known".into());

    is(&unknown, "name_not_resolved", "lab.exmaple stands for no address: Name or service");
    is(&unreached(Unreached::Refused), "refused", "nothing listens");
    is(&unreached(Unreached::TimedOut), "connect_timeout", "NetworkPolicy");
    is(&unreached(Unreached::NoRoute), "no_route", "routes");
    is(&unreached(Unreached::Reset), "reset", "load balancer");
    is(&unreached(Unreached::Forbidden), "forbidden", "SELinux");
    is(&unreached(Unreached::Other), "unreachable", "the system's word");
}

#[test]
fn of_several_addresses_the_one_that_answered_counts() {
    let mut seen = unreached(Unreached::TimedOut);
    seen.attempts.extend(unreached(Unreached::Refused).attempts);

    is(&seen, "refused", "lab.example:8443");
}

#[test]
fn a_handshake_that_does_not_come_to_certificates_is_told_by_its_end() {
    let cases = [
        (Outcome::Version, "tls_too_old", "TLS 1.0"),
        (Outcome::Suite { message: "X".into() }, "no_shared_cipher", "tls.profile"),
        (Outcome::NoExtendedMasterSecret, "no_extended_master_secret", "RFC 7627"),
        (Outcome::Closed { stage: Stage::Hello }, "closed", "without a word"),
        (Outcome::Closed { stage: Stage::Negotiation }, "closed", "in the middle"),
        (Outcome::Reset { stage: Stage::Hello }, "reset", "at our hello"),
        (Outcome::Reset { stage: Stage::Negotiation }, "reset", "in the middle"),
        (Outcome::Silent { stage: Stage::Hello }, "silent", "says nothing"),
        (Outcome::Silent { stage: Stage::Negotiation }, "silent", "MTU"),
        (Outcome::Protocol { message: "X".into() }, "protocol", "breaks the rules"),
        (Outcome::Closed { stage: Stage::Certificates }, "closed_on_certificate", "our authority"),
        (Outcome::Reset { stage: Stage::Certificates }, "closed_on_certificate", "our authority"),
    ];

    for (outcome, code, words) in cases {
        is(&shaken(outcome, None), code, words);
    }
}

#[test]
fn a_silent_server_is_guessed_by_its_port() {
    for (port, what) in [(5432, "PostgreSQL"), (2575, "MLLP"), (104, "DICOM"), (389, "LDAP")] {
        let mut seen = shaken(Outcome::Closed { stage: Stage::Hello }, None);
        seen.port = port;
        is(&seen, "closed", what);
    }
}

#[test]
fn a_plaintext_server_is_named_and_so_is_the_way_out() {
    let words = || "220 mail ESMTP".to_owned();
    let smtp = Outcome::NotTls { spoken: Spoken::Smtp, words: words() };
    let http = Outcome::NotTls { spoken: Spoken::Http, words: words() };

    is(&shaken(smtp, None), "plaintext", "change to TLS when asked");
    is(&shaken(http, None), "plaintext", "is this the plaintext port?");
}

#[test]
fn an_alert_before_certificates_is_about_the_hello() {
    let cases = [
        (Alert::ProtocolVersion, "tls_too_old", "TLS 1.0"),
        (Alert::HandshakeFailure, "no_shared_cipher", "handshake_failure"),
        (Alert::InsufficientSecurity, "no_shared_cipher", "insufficient_security"),
        (Alert::UnrecognisedName, "unknown_name", "lab.example (SNI)"),
        (Alert::NoApplicationProtocol, "no_shared_protocol", "ALPN"),
        (Alert::InternalError, "server_error", "no certificate for the name lab.example"),
        (Alert::DecodeError, "refused_hello", "decode_error"),
    ];

    for (alert, code, words) in cases {
        is(&shaken(Outcome::Alert { alert, stage: Stage::Hello }, None), code, words);
    }
}

#[test]
fn an_alert_after_certificates_is_about_ours_in_both_versions_of_tls() {
    let cases = [
        (Alert::UnknownCA, "refused_unknown_authority", "does not trust CN=Our CA"),
        (Alert::CertificateExpired, "refused_expired", "compare its clock"),
        (Alert::CertificateRevoked, "refused_revoked", "revocation list of CN=Our CA"),
        (Alert::CertificateRequired, "certificate_required", "EC P-256"),
        (Alert::UnsupportedCertificate, "refused_kind", "another kind of key"),
        (Alert::CertificateUnknown, "refused_for_another_reason", "no alert of its own"),
        (Alert::AccessDenied, "refused_access", "not on its list"),
        (Alert::BadCertificate, "refused_bad", "could not verify it"),
        (Alert::HandshakeFailure, "refused_bad", "could not verify it"),
        (Alert::DecryptError, "refused_signature", "do not fit together"),
        (Alert::InternalError, "refused_by_server", "internal_error"),
        (Alert::Unknown(200), "refused_by_server", "alert 200"),
    ];

    for (alert, code, words) in cases {
        // TLS 1.3: with the first read. TLS 1.2: within the handshake.
        is(&answered(Answer::Alert { alert }), code, words);
        is(&shaken(Outcome::Alert { alert, stage: Stage::Certificates }, None), code, words);
    }
}

#[test]
fn without_a_certificate_of_ours_a_failure_is_told_by_that() {
    for alert in [Alert::CertificateRequired, Alert::HandshakeFailure] {
        let mut seen = answered(Answer::Alert { alert });
        seen.ours = Some(Ours { certificate: None, shown: false, ..ours(Named::NoneNamed) });
        let codes: Vec<_> = diagnose(&seen).iter().map(|one| (one.code, one.level)).collect();

        let expected =
            [("certificate_required", Level::Failure), ("no_own_certificate", Level::Warning)];
        assert_eq!(codes, expected);
    }
}

#[test]
fn authorities_that_do_not_include_ours_explain_a_refusal() {
    let mut seen = answered(Answer::Alert { alert: Alert::BadCertificate });
    seen.ours = Some(ours(Named::Others));
    let found = diagnose(&seen);

    assert_eq!((found[0].code, found[0].level), ("refused_bad", Level::Failure));
    assert!(found[0].cause.contains("do not include ours, CN=Our CA"), "{found:#?}");
    assert_eq!((found[1].code, found[1].level), ("authority_not_named", Level::Warning));
}

#[test]
fn a_certificate_of_ours_that_is_not_for_clients_is_warned_of_and_explains_a_refusal() {
    let mut seen = answered(Answer::Waits);
    seen.ours.as_mut().unwrap().for_clients = false;
    let mut refused = answered(Answer::Alert { alert: Alert::UnsupportedCertificate });
    refused.ours.clone_from(&seen.ours);

    is(&seen, "own_purpose", "clientAuth");
    assert_eq!(diagnose(&seen)[0].level, Level::Warning);
    let refused = &diagnose(&refused)[0];
    assert!(refused.cause.contains("without clientAuth"), "{refused:#?}");
}

#[test]
fn a_key_that_the_server_cannot_verify_is_a_failure_of_its_own() {
    let mut seen = answered(Answer::Waits);
    seen.ours.as_mut().unwrap().verifiable = false;

    is(&seen, "own_key_type", "RSA is the one that old servers know");
    assert_eq!(diagnose(&seen)[0].level, Level::Failure);
}

#[test]
fn a_server_that_asks_for_no_certificate_is_warned_of() {
    let mut seen = answered(Answer::Waits);
    seen.handshake.as_mut().unwrap().asked = None;
    seen.ours = None;

    is(&seen, "not_mutual", "ssl_verify_client");
    assert_eq!(diagnose(&seen)[0].level, Level::Warning);
}

#[test]
fn an_end_without_a_word_after_the_handshake_is_a_list_that_lacks_us() {
    is(&answered(Answer::Closed), "closed_after_handshake", "/denials");
    is(&answered(Answer::Reset), "closed_after_handshake", "not on its list");
}

#[test]
fn each_fault_of_a_server_has_a_name_and_a_mend() {
    let of = || "CN=lab".to_owned();
    let name = || "CN=Vendor CA".to_owned();
    let chain = Fault::NoChain;
    let cases = [
        (Fault::Names("X".into()), "bad_names", "SPIFFE ID"),
        (Fault::Version { of: of(), number: 1 }, "version_1", "of version 1"),
        (Fault::Key { of: of(), key: "RSA 1024".into() }, "weak_key", "RSA 1024, and 2048"),
        (
            Fault::Signature { of: of(), algorithm: "RSA with SHA-1".into() },
            "weak_signature",
            "SHA-1",
        ),
        (chain(NoChain::SelfSigned), "self_signed", "pin"),
        (chain(NoChain::OtherRoot { root: name() }), "unknown_authority", "ends in CN=Vendor CA"),
        (chain(NoChain::OtherKey { authority: name() }), "other_key", "made anew"),
        (chain(NoChain::LeftOut { intermediate: name() }), "missing_intermediate", "full chain"),
        (chain(NoChain::Unknown { issuer: name(), alone: true }), "unknown_issuer", "alone"),
        (chain(NoChain::Unknown { issuer: name(), alone: false }), "unknown_authority", "leads to"),
        (chain(NoChain::Unusable("X".into())), "bad_chain", "path length"),
        (Fault::Foreign("X".into()), "foreign_trust_domain", "federate"),
        (Fault::Purpose { clients: true }, "wrong_purpose", "for clients alone"),
        (Fault::Purpose { clients: false }, "wrong_purpose", "something else"),
        (Fault::Unfit("X"), "unfit", "compatible"),
        (Fault::Revoked, "revoked", "revocation list"),
        (Fault::RevocationUnknown, "revocation_unknown", "each issuer needs one"),
        (Fault::CrlExpired(Some(NOW)), "crl_expired", "since 2027-03-01T12:00:00Z"),
        (Fault::Unexpected { who: of(), nearest: "X".into() }, "unexpected_server", "`expect`"),
        (Fault::Other("X".into()), "bad_certificate", "openssl x509"),
    ];

    for (fault, code, words) in cases {
        is(&faulty(fault), code, words);
    }
}

#[test]
fn a_date_is_told_with_whose_clock_may_be_wrong() {
    let expired = |whose| Fault::Expired { whose, at: NOW, ago: Duration::days(3) };
    let early = |ahead| Fault::NotYet { whose: Whose::Leaf, at: NOW, ahead };
    let doubted = |fault| {
        let mut seen = faulty(fault);
        seen.clock = Some("it says 1970".to_owned());
        seen
    };

    is(&faulty(expired(Whose::Leaf)), "expired", "expired at 2027-03-01T12:00:00Z, 3 days ago");
    is(&faulty(expired(Whose::Intermediate)), "expired", "current intermediate");
    is(&doubted(expired(Whose::Leaf)), "expired", "that clock may be wrong: it says 1970");
    is(&faulty(early(Duration::minutes(5))), "not_yet_valid", "5 minutes from now: either");
    is(&faulty(early(Duration::days(30))), "not_yet_valid", "issued for later");
    is(&doubted(early(Duration::days(30))), "not_yet_valid", "clock is most likely behind");
}

#[test]
fn what_is_wrong_on_both_sides_is_told_at_once() {
    let mut seen = faulty(Fault::NoChain(NoChain::OtherRoot { root: "CN=Theirs".into() }));
    let refused = answered(Answer::Alert { alert: Alert::UnknownCA });
    seen.handshake = refused.handshake;
    let codes: Vec<_> = diagnose(&seen).iter().map(|one| one.code).collect();

    assert_eq!(codes, ["unknown_authority", "refused_unknown_authority"]);
}
