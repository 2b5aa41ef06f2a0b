//! The compiled policy decides as a plain reader of the rules would, whatever the rules and the questions.

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use time::Duration;

use super::*;
use crate::authz::{Asked, Holder, Permit};
use crate::config::{
    AssociationRule, Inbound, MessageRule, MessageType, Mllp, PathTemplate, Route, RouteKind, Rule,
    SenderRule, SoapAction,
};
use crate::identity::PeerName;
use crate::protocol::{dicom, dicomweb, fhir, mllp};

const NOW: time::OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
/// Enough rules for more than one word of bits.
const RULES: usize = 90;

fn names(count: usize) -> impl Strategy<Value = Vec<PeerName>> {
    let all: Vec<_> = (0..count).map(|n| PeerName::new(&format!("p{n}"))).collect();
    subsequence(all, 0..=count)
}

fn rule() -> impl Strategy<Value = Rule> {
    let expires = prop_oneof![
        8 => Just(None),
        1 => Just(Some(NOW)),
        1 => Just(Some(NOW + Duration::seconds(1))),
    ];
    (names(5), expires).prop_map(|(allow, expires)| Rule {
        name: "r".into(),
        line: 1,
        allow,
        expires,
        limits: None,
    })
}

fn some(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<Arc<str>>> {
    subsequence(texts, 0..=texts.len()).prop_map(|texts| texts.into_iter().map(Arc::from).collect())
}

fn maybe(texts: &'static [&'static str]) -> impl Strategy<Value = Option<Arc<str>>> {
    proptest::option::of(select(texts).prop_map(Arc::from))
}

const HOSTS: &[&str] = &["a.example", "b.example"];
const ACTIONS: &[&str] = &["urn:a", "urn:b", "urn:c"];
const METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
const PATHS: &[&str] = &[
    "/",
    "",
    "*",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a//",
    "//",
    "/b",
    "/a/b/c",
    "/Patient",
    "/Patient/1",
    "/a/Patient/1",
    "/a/Patient/1/",
    "/a/Observation",
    "/a/metadata",
    "/a/$export",
    "/a/studies",
    "/a/studies/1.2",
    "/b/Patient/1/_history/2",
    "/a/b/Patient/_search",
    "/a/b/studies",
];
const QUERIES: &[&str] = &[
    "name=x",
    "_revinclude=Observation:subject",
    "_include=Observation:patient",
    "patient.name=x",
    "_has:Group:member:_id=1&name=x",
    "_query=x",
];
const TEMPLATES: &[&str] = &[
    "/",
    "/{rest...}",
    "/{x}",
    "/a",
    "/a/{x}",
    "/{x}/b",
    "/a/{rest...}",
    "/a/b",
    "/{x}/{y}",
    "/a/b/{rest...}",
    "/b",
    "/a/Patient/{id}",
    "/{x}/Patient/{id}",
    "/Patient",
    "/Patient/{id}",
];
const BASES: &[&str] = &["/", "/a", "/{x}", "/a/b", "/b"];

fn kind() -> impl Strategy<Value = (PathTemplate, RouteKind)> {
    let template = |texts| select(texts).prop_map(|text| PathTemplate::parse(text).unwrap());
    let soap = some(ACTIONS).prop_map(|uris| {
        let action = |uri| SoapAction { uri, bodies: Vec::new(), ihe: None };
        RouteKind::Soap(uris.into_iter().map(action).collect())
    });
    let fhir = (subsequence(&fhir::Interaction::ALL[..], 0..4), some(&["Patient", "Observation"]))
        .prop_map(|(interactions, resources)| RouteKind::Fhir { interactions, resources });
    let dicomweb = subsequence(&dicomweb::Transaction::ALL[..], 0..3).prop_map(RouteKind::DicomWeb);
    prop_oneof![
        3 => (template(TEMPLATES), Just(RouteKind::Plain)),
        1 => (template(TEMPLATES), soap),
        2 => (template(BASES), fhir),
        1 => (template(BASES), dicomweb),
    ]
}

fn route() -> impl Strategy<Value = Route> {
    (rule(), some(HOSTS), subsequence(&METHODS[..], 0..3), kind(), any::<bool>()).prop_map(
        |(rule, hosts, methods, (path, kind), phi)| Route {
            rule,
            hosts,
            methods,
            path,
            kind,
            phi,
            respond: None,
        },
    )
}

fn types() -> impl Strategy<Value = Vec<MessageType>> {
    let one = (maybe(&["ADT", "ORU"]), maybe(&["A01", "R01"]));
    proptest::collection::vec(one.prop_map(|(code, trigger)| MessageType { code, trigger }), 0..3)
}

fn mllp_rules() -> impl Strategy<Value = Mllp> {
    let message = (rule(), types()).prop_map(|(rule, types)| MessageRule { rule, types });
    let sender = (rule(), maybe(&["LIS", "EHR"]), maybe(&["MAIN"]))
        .prop_map(|(rule, application, facility)| SenderRule { rule, application, facility });
    let messages = proptest::option::of(proptest::collection::vec(message, 0..RULES));
    let senders = proptest::option::of(proptest::collection::vec(sender, 0..RULES));
    (messages, senders).prop_map(|(messages, senders)| Mllp {
        messages,
        senders,
        ..Mllp::default()
    })
}

fn association_rule() -> impl Strategy<Value = AssociationRule> {
    (rule(), maybe(&["CT1", "CT2"]), maybe(&["PACS", "RIS"]), some(&["1.1", "1.2", "1.3"]))
        .prop_map(|(rule, calling_ae, called_ae, sop_classes)| AssociationRule {
            rule,
            calling_ae,
            called_ae,
            sop_classes,
        })
}

/// Four peers `p0` to `p3`, all but the last of whom may connect; `p4` is only named by rules. A listener is
/// observed or not, and may take plaintext.
fn listener() -> impl Strategy<Value = Inbound> {
    let until = || proptest::option::of(prop_oneof![Just(NOW), Just(NOW + Duration::hours(1))]);
    (until(), any::<bool>()).prop_map(|(observe_until, phi)| {
        let config = base();
        Inbound {
            observe_until,
            permissive_until: Some(NOW + Duration::hours(1)),
            phi,
            ..config.inbound[0].clone()
        }
    })
}

fn base() -> Config {
    let peers: Vec<_> =
        (0..4).map(|n| format!("p{n}: {{ spiffe: \"spiffe://td/p{n}\" }}")).collect();
    config(&format!(
        "peers: {{ {} }}\ninbound: [ {{ name: l, listen: \"127.0.0.1:8443\", \
         forward: \"127.0.0.1:80\", protocol: http, allow: [p0, p1, p2] }} ]",
        peers.join(", ")
    ))
}

/// As whom somebody asks: one of the peers, or in plaintext. `p3` gets in only while policy is observed.
fn permit(policy: &ListenerPolicy, who: &Index) -> Option<Permit> {
    match who.index(5) {
        4 => policy.plaintext(NOW),
        n => policy.authorize(&spiffe(&format!("spiffe://td/p{n}")), NOW).ok(),
    }
}

/// Asks the compiled policy and the plain reader, and wants one answer.
fn agree(listener: &Inbound, who: &Index, asked: Asked<'_>) -> Result<(), TestCaseError> {
    let config = base();
    let policy = ListenerPolicy::inbound(&config, listener);
    let Some(permit) = permit(&policy, who) else { return Ok(()) };
    let explained = policy.explain(&permit, asked, NOW);
    let decided = policy.decide(&permit, asked, NOW);

    let is_observed = listener.observe_until.is_some_and(|until| NOW < until);
    let no = match &decided {
        Ok(grant) => grant.would_deny().map(|denied| (**denied).clone()),
        Err(denied) => Some(denied.clone()),
    };
    prop_assert_eq!(decided.is_ok(), is_observed || explained.reason.is_none());
    if *permit.holder() == Holder::Observed {
        prop_assert_eq!(no.as_ref(), permit.would_deny().map(|denied| &**denied));
    } else {
        prop_assert_eq!(no.as_ref().map(|denied| denied.reason), explained.reason);
    }
    let deciding = |kind: &str| {
        let mut rules = explained.rules.iter();
        rules.find(|rule| rule.decides && (rule.kind == "sender rule") == (kind == "sender"))
    };
    if let Ok(grant) = &decided {
        let sender = deciding("sender").map(|rule| rule.number);
        prop_assert_eq!(grant.sender_number(), sender);
        prop_assert_eq!(grant.rule_number(), deciding("other").map(|rule| rule.number).or(sender));
    }
    let by_rule = |denied: &&Denied| !is_without_rule(denied.reason);
    if let Some(denied) = decided.as_ref().err().filter(by_rule) {
        let mut rules = explained.rules.iter();
        let decider = rules.find(|rule| rule.decides && !rule.lets()).unwrap();
        prop_assert_eq!(&denied.rule, &decider.name);
        prop_assert!(decider.differs_in(denied.differs.unwrap()));
    }
    Ok(())
}

/// Whether it may be that no rule matched.
fn is_without_rule(reason: DenyReason) -> bool {
    matches!(
        reason,
        DenyReason::NoRoute
            | DenyReason::NoMessageRule
            | DenyReason::UnknownSender
            | DenyReason::NoAssociationRule
            | DenyReason::NotListed
    )
}

/// Names of their own for rules.
fn named<T>(mut rules: Vec<T>, kind: &str, rule: impl Fn(&mut T) -> &mut Rule) -> Vec<T> {
    for (n, one) in rules.iter_mut().enumerate() {
        rule(one).name = format!("{kind}{n}").into();
    }
    rules
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn of_requests(
        listener in listener(),
        routes in proptest::option::weighted(0.95, proptest::collection::vec(route(), 0..RULES)),
        who: Index,
        (method, host, path, action, query) in (
            select(&METHODS[..]),
            proptest::option::of(select(&["a.example", "b.example", "c.example"][..])),
            select(PATHS),
            proptest::option::of(select(&["urn:a", "urn:b", "urn:d"][..])),
            proptest::option::of(select(QUERIES)),
        ),
    ) {
        let routes = routes.map(|routes| named(routes, "route", |route| &mut route.rule));
        let listener = Inbound { routes, ..listener };
        let plain = Requested::plain(&method, path);
        let asked = Requested { host, soap_action: action, query, ..plain };
        agree(&listener, &who, Asked::Request(&asked))?;
    }

    #[test]
    fn of_messages(
        listener in listener(),
        mllp in mllp_rules(),
        who: Index,
        (code, trigger, application, facility) in (
            select(&["ADT", "ORU", "ACK", "A\\X44\\T", ""][..]),
            select(&["A01", "R01", "A01&1", ""][..]),
            select(&["LIS", "LIS^x", "EHR", "X", "LIS~EHR", ""][..]),
            select(&["MAIN", "MAIN^1.2^ISO", "MA\\X49\\N", ""][..]),
        ),
    ) {
        let mllp = Mllp {
            messages: mllp.messages.map(|rules| named(rules, "type", |one| &mut one.rule)),
            senders: mllp.senders.map(|rules| named(rules, "sender", |one| &mut one.rule)),
            ..mllp
        };
        let listener = Inbound { mllp, ..listener };
        let header = mllp::Header {
            code: code.as_bytes(),
            trigger: trigger.as_bytes(),
            sending_application: application.as_bytes(),
            sending_facility: facility.as_bytes(),
            ..mllp::Header::default()
        };
        agree(&listener, &who, Asked::Message(&header))?;
    }

    #[test]
    fn of_associations(
        listener in listener(),
        rules in proptest::collection::vec(association_rule(), 0..RULES),
        who: Index,
        (calling, called) in (select(&["CT1", "CT2", "CT3"][..]), select(&["PACS", "RIS", "X"][..])),
        proposed in subsequence(&["1.1", "1.2", "1.3", "1.4"][..], 0..3),
    ) {
        let rules = named(rules, "pair", |one| &mut one.rule);
        let listener = Inbound { associations: Some(rules), ..listener };
        let contexts = (1_u8..).step_by(2).zip(proposed).map(|(id, uid)| dicom::Context {
            id,
            abstract_syntax: uid.to_owned(),
        });
        let asked = dicom::Request {
            called_ae: called.to_owned(),
            calling_ae: calling.to_owned(),
            contexts: contexts.collect(),
            ..dicom::Request::default()
        };
        agree(&listener, &who, Asked::Association(&asked))?;
    }
}
