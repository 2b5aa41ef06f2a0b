//! Differences in words for operators. Never a path, a query, or a host that somebody made up.

use std::fmt;
use std::sync::Arc;

use http::Method;
use time::OffsetDateTime;

use super::apart::{Apart, foreign};
use super::messages::Named;
use super::policy::Requested;
use super::{apart, classify};
use crate::config::{AssociationRule, MessageType, Route, RouteKind, Rule, SenderRule};
use crate::outcome::Differs;
use crate::protocol::{dicom, mllp, shape};

/// Most entries of a list that are shown.
const SHOWN: usize = 8;
/// Most characters of somebody's text that are shown.
const LONGEST: usize = 64;

/// One field in which a rule and what was asked for differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field.
    pub field: Differs,
    /// What the rule is for.
    pub wanted: String,
    /// What was found, as far as it may be told.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, wanted, found } = self;
        match field {
            Differs::Expires => write!(f, "expired: {wanted}"),
            Differs::Peer => write!(f, "allows {wanted}, not {found}"),
            _ => write!(f, "{} {wanted}, not {found}", words(*field)),
        }
    }
}

/// What a field is called in a sentence.
fn words(field: Differs) -> &'static str {
    match field {
        Differs::Peer => "peer",
        Differs::Expires => "expires",
        Differs::Host => "host",
        Differs::Method => "method",
        Differs::Path => "path",
        Differs::SoapAction => "SOAP action",
        Differs::SoapBody => "SOAP body",
        Differs::Interaction => "interaction",
        Differs::Resource => "resource",
        Differs::Transaction => "transaction",
        Differs::MessageType => "message type",
        Differs::Sender => "sender",
        Differs::CallingAe => "calling AE title",
        Differs::CalledAe => "called AE title",
        Differs::SopClass => "SOP class",
        Differs::Rate => "rate",
        Differs::Concurrency => "concurrency",
    }
}

/// What somebody asks for who is connected.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// An HTTP request.
    Request(&'a Requested<'a>),
    /// To send an HL7 v2 message.
    Message(&'a mllp::Header<'a>),
    /// A DICOM association.
    Association(&'a dicom::Request),
}

/// What a rule is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Terms<'p> {
    Route(&'p Route),
    Types(&'p [MessageType], Named),
    Sender(&'p SenderRule, Named),
    Association(&'p AssociationRule),
}

impl Terms<'_> {
    /// How they and what was asked for differ; everything, if they are for something else altogether.
    pub(super) fn apart(self, asked: Asked<'_>) -> Apart {
        match (self, asked) {
            (Self::Route(route), Asked::Request(asked)) => apart::route(route, asked),
            (Self::Types(types, named), Asked::Message(header)) => {
                apart::message_type(types, named, header)
            }
            (Self::Sender(rule, named), Asked::Message(header)) => {
                apart::sending(rule, named, header)
            }
            (Self::Association(rule), Asked::Association(asked)) => apart::association(rule, asked),
            _ => Apart::all(),
        }
    }

    /// One of the fields in words: what is wanted, and what was found.
    fn field(self, field: Differs, asked: Asked<'_>) -> Option<(String, String)> {
        match (self, asked) {
            (Self::Route(route), Asked::Request(asked)) => of_route(route, field, asked),
            (Self::Types(types, _), Asked::Message(header)) => {
                Some((list(types.iter().map(kind)), message_type(header)))
            }
            (Self::Sender(rule, _), Asked::Message(header)) => {
                Some((binding(rule), sent_by(header)))
            }
            (Self::Association(rule), Asked::Association(asked)) => {
                of_association(rule, field, asked)
            }
            _ => None,
        }
    }
}

/// The differences that `apart` has, in words; `who` asks.
pub(super) fn tell(
    apart: Apart,
    (terms, rule): (Terms<'_>, &Rule),
    asked: Asked<'_>,
    who: &str,
) -> Vec<Difference> {
    let told = apart.fields().filter_map(|field| {
        let (wanted, found) = match field {
            Differs::Peer => (allowed(rule), who.into()),
            Differs::Expires => (rule.expires.map(ended)?, String::new()),
            _ => terms.field(field, asked)?,
        };
        Some(Difference { field, wanted, found })
    });
    told.collect()
}

fn allowed(rule: &Rule) -> String {
    match rule.allow.is_empty() {
        true => "nobody".to_owned(),
        false => list(rule.allow.iter().map(|peer| format!("`{peer}`"))),
    }
}

fn of_route(route: &Route, field: Differs, asked: &Requested<'_>) -> Option<(String, String)> {
    let found = |text: &str| text.to_owned();
    let base = |what: &str| format!("{what} below {}", route.path.text);
    let below = apart::below(route, asked.path).unwrap_or_default();
    Some(match (field, &route.kind) {
        (Differs::Path, RouteKind::Fhir { .. } | RouteKind::DicomWeb(_)) => {
            (format!("below {}", route.path.text), found("this one"))
        }
        (Differs::Path, _) => (route.path.text.to_string(), found("this one")),
        (Differs::Host, _) => {
            let another = if asked.host.is_some() { "the one that was named" } else { "none" };
            (list(route.hosts.iter()), found(another))
        }
        (Differs::Method, _) => (list(route.methods.iter()), known(asked.method)),
        (Differs::SoapAction, RouteKind::Soap(actions)) => {
            let claimed = found(match asked.soap_action {
                Some(action) if shape::is_known_action(action) => action,
                Some(_) => "another action",
                None => "none",
            });
            let mut wanted: Vec<_> =
                actions.iter().map(|action| action.ihe.unwrap_or(&action.uri)).collect();
            wanted.dedup(); // a transaction may have several actions
            (list(wanted), claimed)
        }
        (Differs::Interaction, RouteKind::Fhir { interactions, .. }) => {
            let wanted = list(interactions.iter().map(|interaction| interaction.code()));
            match classify::fhir(asked, below) {
                Some(asked) => (wanted, found(asked.interaction.code())),
                None => (base(&wanted), found("something that FHIR does not have")),
            }
        }
        (Differs::Resource, RouteKind::Fhir { resources, .. }) => {
            (list(resources.iter()), resource(resources, asked, below))
        }
        (Differs::Transaction, RouteKind::DicomWeb(transactions)) => {
            let wanted = list(transactions.iter().map(|transaction| transaction.name()));
            match classify::dicomweb(asked, below) {
                Some(transaction) => (wanted, found(transaction.name())),
                None => (base(&wanted), found("something that DICOMweb does not have")),
            }
        }
        _ => return None,
    })
}

/// The type that is not listed: that of the path, or else one that the request gets at beside it.
fn resource(listed: &[Arc<str>], asked: &Requested<'_>, below: &str) -> String {
    let interaction = classify::fhir(asked, below);
    let own = interaction.as_ref().and_then(|asked| asked.resource);
    let is_listed = own.is_some_and(|own| listed.iter().any(|name| **name == *own));
    let reach = interaction.filter(|_| is_listed).map(|found| classify::reach(asked, &found));
    match reach.as_ref().and_then(|reach| reach.beyond(listed)) {
        Some(reached) => reached.to_string(),
        None => own.unwrap_or("none").to_owned(),
    }
}

fn of_association(
    rule: &AssociationRule,
    field: Differs,
    asked: &dicom::Request,
) -> Option<(String, String)> {
    let title = |title: &Option<Arc<str>>| title.as_deref().unwrap_or("*").to_owned();
    Some(match field {
        Differs::CallingAe => (title(&rule.calling_ae), shown(&asked.calling_ae)),
        Differs::CalledAe => (title(&rule.called_ae), shown(&asked.called_ae)),
        Differs::SopClass => (
            list(rule.sop_classes.iter().map(|uid| sop_class(uid))),
            list(foreign(rule, asked).map(sop_class)),
        ),
        _ => return None,
    })
}

/// A moment of the configuration as it is written there: a day lasts to its end.
fn ended(at: OffsetDateTime) -> String {
    let next = at + time::Duration::seconds(1);
    match next.date() == at.date() {
        true => format!("it ended at {} {:02}:{:02} UTC", at.date(), at.hour(), at.minute()),
        false => format!("{} was its last day", at.date()),
    }
}

/// A method of the standards; another one is somebody's text.
fn known(method: &Method) -> String {
    let standard = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if standard.contains(method) { method.to_string() } else { "another".to_owned() }
}

/// `a, b or c`, bounded; `*` for an empty list.
pub(super) fn list(items: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let mut texts: Vec<String> =
        items.into_iter().take(SHOWN + 1).map(|item| item.to_string()).collect();
    if texts.len() > SHOWN {
        texts.truncate(SHOWN);
        return format!("{}, …", texts.join(", "));
    }
    match texts.split_last() {
        None => "*".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// Somebody's text: bounded, and without anything that moves a cursor.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn bytes(text: &[u8]) -> String {
    shown(&String::from_utf8_lossy(text.get(..4 * LONGEST).unwrap_or(text)))
}

fn kind(kind: &MessageType) -> String {
    let part = |part: &Option<Arc<str>>| part.as_deref().unwrap_or("*").to_owned();
    format!("{}^{}", part(&kind.code), part(&kind.trigger))
}

/// MSH-9 as records have it.
pub(super) fn message_type(header: &mllp::Header<'_>) -> String {
    let is_clear = [header.code, header.trigger].into_iter().all(mllp::is_clear_code);
    match (header.code, header.trigger) {
        (b"", b"") => "none".to_owned(),
        _ if is_clear => header.kind(),
        _ => format!("{} (no code of HL7's form)", header.kind()),
    }
}

fn binding(rule: &SenderRule) -> String {
    let part = |part: &Option<Arc<str>>| part.as_deref().unwrap_or("*").to_owned();
    format!("{}|{}", part(&rule.application), part(&rule.facility))
}

/// MSH-3.1 and MSH-4.1, as the message's own separator has them.
pub(super) fn sent_by(header: &mllp::Header<'_>) -> String {
    let [application, facility] = header.sender();
    let is_clear = header.is_clear_name(application) && header.is_clear_name(facility);
    let doubt = if is_clear { "" } else { " (escaped or divided: another name to some receivers)" };
    format!("{}|{}{doubt}", bytes(application), bytes(facility))
}

/// A SOP class as people know it.
pub(super) fn sop_class(uid: &str) -> String {
    dicom::sop_class_name(uid).map_or_else(|| shown(uid), ToOwned::to_owned)
}
