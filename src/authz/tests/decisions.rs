//! What listed peers may do, rule by rule, and what is said when they may not.

use super::*;
use crate::authz::{Grant, Permit};
use crate::protocol::soap::Unreadable;
use crate::protocol::{Operation, dicom, dicomweb, fhir, mllp};

pub(super) const NOW: time::OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

/// A hospital: `more` is put into each of its listeners.
pub(super) fn hospital(more: &str) -> Config {
    config(&format!(
        r#"
groups: {{ clinics: [billing, lab] }}
peers:
  billing: {{ spiffe: "spiffe://td/billing" }}
  lab: {{ spiffe: "spiffe://td/lab" }}
  ct-2: {{ spiffe: "spiffe://td/ct-2" }}
audit: {{ dir: audit }}
inbound:
  - name: fhir
    listen: 127.0.0.1:8443
    forward: 127.0.0.1:8080
    protocol: http
    phi: true
    allow: [clinics]
    {more}
    routes:
      - {{ name: read, methods: [GET], path: "/fhir/Patient/{{id}}", allow: [billing] }}
      - {{ name: search, path: /fhir, fhir: {{ interactions: [search-type], resources: [Patient] }}, allow: [clinics] }}
      - {{ name: pdq, path: /pdq, ihe: ITI-47, allow: [lab] }}
      - {{ name: images, path: /pacs, dicomweb: [search], hosts: [pacs.example], allow: [lab] }}
      - {{ name: gone, methods: [DELETE], path: "/fhir/{{rest...}}", allow: [lab], expires: 2026-11-21 }}
      - {{ name: health, methods: [GET], path: /healthz, phi: false, respond: 200, allow: [clinics] }}
      - {{ name: closed, path: /closed, allow: [] }}
  - name: adt
    listen: 127.0.0.1:2575
    forward: 127.0.0.1:2576
    protocol: mllp
    phi: true
    allow: [clinics]
    {more}
    messages: [ {{ name: results, types: ["ORU^*"], allow: [lab] }}, {{ name: adt, types: ["ADT^A01", "ADT^A08"], allow: [clinics] }} ]
    senders: [ {{ name: lis, application: LIS, facility: MAIN, allow: [lab] }}, {{ name: ehr, application: EHR, allow: [billing] }} ]
  - name: pacs
    listen: 127.0.0.1:2762
    forward: 127.0.0.1:11112
    protocol: dicom
    phi: true
    allow: [ct-2, lab]
    {more}
    associations: [ {{ name: ct, calling_ae: CT2, called_ae: PACS, sop_classes: [CTImageStorage, Verification], allow: [ct-2] }} ]
"#
    ))
}

/// One listener of the hospital, and somebody who is connected to it.
pub(super) struct Visit {
    pub(super) policy: ListenerPolicy,
    pub(super) permit: Permit,
}

impl Visit {
    fn of(peer: &str, listener: usize) -> Self {
        Self::under("", peer, listener)
    }

    pub(super) fn under(more: &str, peer: &str, listener: usize) -> Self {
        let config = hospital(more);
        let policy = ListenerPolicy::inbound(&config, &config.inbound[listener]);
        let permit = match peer {
            "plaintext" => policy.plaintext(NOW).unwrap(),
            peer => policy.authorize(&spiffe(&format!("spiffe://td/{peer}")), NOW).unwrap(),
        };
        Self { policy, permit }
    }

    pub(super) fn asks(&self, method: Method, path: &str) -> Result<Grant, Denied> {
        self.requests(&Requested::plain(&method, path))
    }

    fn requests(&self, asked: &Requested<'_>) -> Result<Grant, Denied> {
        self.policy.authorize_request(&self.permit, asked, NOW)
    }

    pub(super) fn sends(&self, kind: &str, sender: &str) -> Result<Grant, Denied> {
        let (code, trigger) = kind.split_once('^').unwrap_or((kind, ""));
        let (application, facility) = sender.split_once('|').unwrap();
        let header = mllp::Header {
            code: code.as_bytes(),
            trigger: trigger.as_bytes(),
            encoding: b"^~\\&",
            sending_application: application.as_bytes(),
            sending_facility: facility.as_bytes(),
            ..mllp::Header::default()
        };
        self.policy.authorize_message(&self.permit, &header, NOW)
    }

    pub(super) fn calls(
        &self,
        calling: &str,
        called: &str,
        sop_classes: &[&str],
    ) -> Result<Grant, Denied> {
        let contexts = (1_u8..).step_by(2).zip(sop_classes).map(|(id, keyword)| dicom::Context {
            id,
            abstract_syntax: dicom::sop_class(keyword).unwrap().to_owned(),
        });
        let association = dicom::Request {
            calling_ae: calling.to_owned(),
            called_ae: called.to_owned(),
            contexts: contexts.collect(),
            ..dicom::Request::default()
        };
        self.policy.authorize_association(&self.permit, &association, NOW)
    }
}

pub(super) fn rule(granted: Result<Grant, Denied>) -> String {
    granted.unwrap().rule().to_string()
}

/// Reason, rule and words of a denial.
pub(super) fn no(denied: Result<Grant, Denied>) -> (DenyReason, String, String) {
    let denied = denied.unwrap_err();
    (denied.reason, denied.rule.to_string(), denied.nearest)
}

#[test]
fn a_fhir_route_lets_its_interactions_with_its_resources() {
    let lab = Visit::of("lab", 0);

    let granted = lab.asks(Method::GET, "/fhir/Patient").unwrap();
    assert_eq!(&**granted.rule(), "fhir/search");
    assert_eq!(
        granted.operation(),
        Some(&Operation::Fhir(fhir::Interaction::SearchType, Some("Patient")))
    );
    assert_eq!(
        no(lab.asks(Method::POST, "/fhir/Patient")),
        (
            DenyReason::NoRoute,
            "fhir/search".into(),
            "nearest is route `search`: interaction search-type, not create".into()
        )
    );
    assert_eq!(
        no(lab.asks(Method::GET, "/fhir/Observation")).2,
        "nearest is route `search`: resource Patient, not Observation"
    );
    assert_eq!(
        no(lab.asks(Method::GET, "/fhir/Patient/1/")).2,
        "route `read` does not allow peer `lab`",
        "one slash more changes nothing"
    );
}

#[test]
fn a_dicomweb_route_lets_its_transactions_at_its_host() {
    let lab = Visit::of("lab", 0);
    let at = |host, path| lab.requests(&Requested { host, ..Requested::plain(&Method::GET, path) });

    let granted = at(Some("pacs.example"), "/pacs/studies").unwrap();
    assert_eq!(granted.operation(), Some(&Operation::DicomWeb(dicomweb::Transaction::Search)));
    for (host, path, says) in [
        (Some("pacs.example"), "/pacs/studies/1.2", "transaction search, not retrieve"),
        (Some("evil.example"), "/pacs/studies", "host pacs.example, not the one that was named"),
        (None, "/pacs/studies", "host pacs.example, not none"),
    ] {
        let (reason, _, nearest) = no(at(host, path));
        assert_eq!(reason, DenyReason::NoRoute);
        assert_eq!(nearest, format!("nearest is route `images`: {says}"));
    }
}

#[test]
fn a_soap_route_lets_its_action_and_waits_for_the_body() {
    let lab = Visit::of("lab", 0);
    let claims = |soap_action| {
        lab.requests(&Requested { soap_action, ..Requested::plain(&Method::POST, "/pdq") })
    };

    let granted = claims(Some("urn:hl7-org:v3:PRPA_IN201305UV02")).unwrap();
    assert_eq!(granted.soap().unwrap().ihe, Some("ITI-47"));
    for (claim, told) in [
        ("urn:other", "urn:other"),
        ("urn:ihe:iti:2007:RegistryStoredQuery", "urn:ihe:iti:2007:RegistryStoredQuery"),
        ("urn:other\u{1b}[2J", "another action"),
        ("urn:patient:4711", "another action"),
    ] {
        let nearest = no(claims(Some(claim))).2;
        assert_eq!(nearest, format!("nearest is route `pdq`: SOAP action ITI-47, not {told}"));
    }
    assert_eq!(no(claims(None)).2, "nearest is route `pdq`: SOAP action ITI-47, not none");

    let unreadable = lab.policy.authorize_soap(granted, Err(Unreadable::Lost), NOW);
    let (reason, rule, _) = no(unreadable);
    assert_eq!((reason, &*rule), (DenyReason::SoapMismatch, "fhir/pdq"));
}

#[test]
fn an_expired_rule_still_decides_and_denies() {
    assert_eq!(
        no(Visit::of("lab", 0).asks(Method::DELETE, "/fhir/Patient/1")),
        (
            DenyReason::RuleExpired,
            "fhir/gone".into(),
            "route `gone` expired: 2026-11-21 was its last day".into()
        )
    );
}

#[test]
fn a_route_may_be_answered_without_the_workload_and_without_phi() {
    let granted = Visit::of("lab", 0).asks(Method::GET, "/healthz").unwrap();

    assert_eq!(granted.respond().unwrap().as_u16(), 200);
    assert!(!granted.phi());
}

#[test]
fn a_message_needs_a_rule_for_its_type_and_one_for_its_sender() {
    let (lab, billing) = (Visit::of("lab", 1), Visit::of("billing", 1));

    let granted = lab.sends("ORU^R01", "LIS^1.2^ISO|MAIN").unwrap();
    assert_eq!((&**granted.rule(), granted.rule_number()), ("adt/results", Some(0)));
    assert_eq!(granted.sender_number(), Some(2), "behind the two rules for types");
    assert_eq!(rule(billing.sends("ADT^A08", "EHR|ANY")), "adt/adt");

    assert_eq!(
        no(billing.sends("ORU^R01", "EHR|")),
        (
            DenyReason::NotListedForMessage,
            "adt/results".into(),
            "message rule `results` does not allow peer `billing`".into()
        )
    );
    assert_eq!(
        no(lab.sends("ADT^A03", "LIS|MAIN")),
        (
            DenyReason::NoMessageRule,
            "adt/adt".into(),
            "nearest is message rule `adt`: message type ADT^A01 or ADT^A08, not ADT^A03".into()
        )
    );
    assert_eq!(
        no(lab.sends("MDM^T02", "LIS|MAIN")),
        (DenyReason::NoMessageRule, "adt".into(), "no rule is for messages of type MDM^T02".into())
    );
    assert_eq!(
        no(lab.sends("ORU^R01", "LIS|WEST")),
        (
            DenyReason::UnknownSender,
            "adt/lis".into(),
            "nearest is sender rule `lis`: sender LIS|MAIN, not LIS|WEST".into()
        )
    );
    assert_eq!(
        no(lab.sends("ORU^R01", "EHR|MAIN")),
        (
            DenyReason::UnknownSender,
            "adt/ehr".into(),
            "sender rule `ehr` does not allow peer `lab`".into()
        )
    );
}

#[test]
fn the_name_of_a_sender_ends_at_the_first_separator_of_components() {
    let lab = Visit::of("lab", 1);
    let sends = |encoding: &'static [u8], application: &'static [u8]| {
        let header = mllp::Header {
            code: b"ORU",
            trigger: b"R01",
            encoding,
            sending_application: application,
            sending_facility: b"MAIN",
            ..mllp::Header::default()
        };
        lab.policy.authorize_message(&lab.permit, &header, NOW).is_ok()
    };

    assert!(sends(b"^~\\&", b"LIS^1.2"));
    assert!(!sends(b"^~\\&", b"LIS$1.2"));
    assert!(!sends(b"$~\\&", b"LIS$1.2"));
}

#[test]
fn an_association_needs_a_rule_for_its_titles_that_has_all_its_sop_classes() {
    let ct = Visit::of("ct-2", 2);

    assert_eq!(rule(ct.calls("CT2", "PACS", &["CTImageStorage", "Verification"])), "pacs/ct");
    assert_eq!(
        no(ct.calls("CT2", "PACS", &["CTImageStorage", "MRImageStorage"])),
        (
            DenyReason::SopClass,
            "pacs/ct".into(),
            "association rule `ct` is for SOP class CTImageStorage or Verification, \
             not MRImageStorage"
                .into()
        )
    );
    assert_eq!(
        no(ct.calls("CT2", "RIS", &[])),
        (
            DenyReason::NoAssociationRule,
            "pacs/ct".into(),
            "nearest is association rule `ct`: called AE title PACS, not RIS".into()
        )
    );
    assert_eq!(
        no(Visit::of("lab", 2).calls("CT2", "PACS", &[])),
        (
            DenyReason::NotListedForAssociation,
            "pacs/ct".into(),
            "association rule `ct` does not allow peer `lab`".into()
        )
    );
}

#[test]
fn what_differs_is_told_by_its_key_and_only_a_path_that_fits_by_its_template() {
    let lab = Visit::of("lab", 0);
    let denied = |method, path| lab.asks(method, path).unwrap_err();

    let method = denied(Method::PUT, "/healthz");
    assert_eq!(method.differs.unwrap().label(), "method");
    assert_eq!(method.template.as_deref(), Some("/healthz"));
    let path = denied(Method::GET, "/healthz/4711");
    assert_eq!(path.differs.unwrap().label(), "path");
    assert_eq!(path.template, None);
    assert!(!path.nearest.contains("4711"), "{}", path.nearest);
}

#[test]
fn a_permit_of_an_older_policy_is_read_by_name() {
    let allowing = |allow: &str, routes: &str| {
        config(&format!(
            "peers: {{ a: {{ dns: a.x }}, b: {{ dns: b.x }} }}\ninbound: [ {{ name: fhir, \
             listen: \"127.0.0.1:1\", forward: \"127.0.0.1:80\", protocol: http, allow: [{allow}], \
             routes: [ {{ name: all, path: \"/{{rest...}}\", allow: [{routes}] }} ] }} ]"
        ))
    };
    let old = policy(&allowing("a, b", "a"));
    let permit = old.authorize(&dns("a.x"), NOW).unwrap();
    let asked = Requested::plain(&Method::GET, "/");
    let by = |config: Config| policy(&config).authorize_request(&permit, &asked, NOW);

    assert!(by(allowing("b, a", "a")).is_ok(), "its number is another's there");
    assert_eq!(no(by(allowing("b, a", "b"))).0, DenyReason::NotListedForRoute);
    assert_eq!(no(by(allowing("b", "b"))).0, DenyReason::NotListed);
}

#[test]
fn rules_are_listed_by_their_numbers() {
    let config = hospital("");
    let policy = ListenerPolicy::inbound(&config, &config.inbound[1]);
    let rules: Vec<_> =
        policy.rules().map(|rule| (rule.number, rule.name.to_string(), rule.kind)).collect();

    assert_eq!(
        rules,
        [
            (0, "adt/results".into(), "message rule"),
            (1, "adt/adt".into(), "message rule"),
            (2, "adt/lis".into(), "sender rule"),
            (3, "adt/ehr".into(), "sender rule"),
        ]
    );
}
