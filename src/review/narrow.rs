//! Policy in Rego, asked of what somebody makes up or has seen: with the fields that are known, or not at all.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::audit::{Action, Connection, Dicom, Hl7, Origin, Record, Request, Rule, question};
use crate::authz::{Asked, Denied, Grant, ListenerPolicy, Permit};
use crate::config::{Config, Listener};
use crate::identity::PeerIdentity;
use crate::outcome::Direction;
use crate::protocol::Operation;

/// What is known of every made-up question.
const KNOWN: [&str; 22] = [
    "input.event",
    "input.http.request.method",
    "input.myelin.dicom.called_ae",
    "input.myelin.dicom.calling_ae",
    "input.myelin.dicom.contexts",
    "input.myelin.dicomweb.transaction",
    "input.myelin.fhir.interaction",
    "input.myelin.fhir.resource",
    "input.myelin.hl7.from",
    "input.myelin.hl7.sending",
    "input.myelin.hl7.type",
    "input.myelin.identity",
    "input.myelin.listener",
    "input.myelin.peer",
    "input.myelin.phi",
    "input.myelin.plaintext",
    "input.myelin.soap",
    "input.network",
    "input.observer",
    "input.rule",
    "input.service",
    "input.user",
];

/// What only requests have: that there is none of it is known of everything else.
const OF_REQUESTS: [&str; 6] = [
    "input.host",
    "input.http",
    "input.myelin.dicomweb",
    "input.myelin.fhir",
    "input.trace",
    "input.url",
];
/// What only messages have, and associations.
const OF_OTHERS: [&str; 2] = ["input.myelin.dicom", "input.myelin.hl7"];

/// A listener that is asked, by whom, and when.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The listener's policy.
    pub policy: &'a ListenerPolicy,
    /// The listener.
    pub listener: Listener<'a>,
    /// Who asks; `None` in plaintext.
    pub who: Option<&'a PeerIdentity>,
    /// When.
    pub at: OffsetDateTime,
    /// Whether it is asked for this moment and this host. What is only on record is not.
    pub is_precise: bool,
}

/// Rego was not asked: it reads this field, which is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it reads `{0}`, which is not known here")]
pub struct NotAsked(pub String);

impl Scene<'_> {
    /// Which way the listener faces.
    pub fn direction(&self) -> Direction {
        match self.listener {
            Listener::Inbound(_) => Direction::Inbound,
            Listener::Outbound(_) => Direction::Outbound,
        }
    }

    /// `permit`, unless Rego objects.
    ///
    /// # Errors
    ///
    /// Rego cannot be asked. Inside: it objects.
    pub fn narrow_permit(&self, permit: Permit) -> Result<Result<Permit, Denied>, NotAsked> {
        self.can_ask(&[&OF_REQUESTS, &OF_OTHERS])?;
        let question = |permit: &Permit| {
            let rule = Some(Rule::permitted(permit));
            self.question(None, Record { rule, ..self.record(permit, Action::ConnectionAllowed) })
        };
        Ok(self.policy.narrow_permit(permit, question, self.at))
    }

    /// `grant`, by which the holder of `permit` has what it `asked` for, unless Rego objects.
    ///
    /// # Errors
    ///
    /// Rego cannot be asked. Inside: it objects.
    pub fn narrow(
        &self,
        permit: &Permit,
        grant: Grant,
        asked: Asked<'_>,
    ) -> Result<Result<Grant, Denied>, NotAsked> {
        match (asked, grant.operation()) {
            // Below a base the template on record depends on more than the base.
            (Asked::Request(_), Some(Operation::Fhir(..) | Operation::DicomWeb(_))) => {
                self.can_ask(&[&OF_OTHERS])?;
            }
            (Asked::Request(_), Some(Operation::Soap(..)) | None) => {
                let absent = ["input.url", "input.myelin.dicomweb", "input.myelin.fhir"];
                self.can_ask(&[&OF_OTHERS, &absent])?;
            }
            (Asked::Message(_), _) => self.can_ask(&[&OF_REQUESTS, &["input.myelin.dicom"]])?,
            (Asked::Association(_), _) => self.can_ask(&[&OF_REQUESTS, &["input.myelin.hl7"]])?,
        }
        let question = |grant: &Grant| {
            let rule = Some(Rule::granted(grant));
            let (host, record) = match asked {
                Asked::Request(asked) => {
                    let request = Some(request(asked.method, grant));
                    let record = self.record(permit, Action::RequestAllowed);
                    (asked.host, Record { request, ..record })
                }
                Asked::Message(header) => {
                    let hl7 = Some(Hl7 { phi: grant.phi(), ..Hl7::of(header) });
                    (None, Record { hl7, ..self.record(permit, Action::MessageAllowed) })
                }
                Asked::Association(asked) => {
                    let dicom = Some(Dicom { phi: grant.phi(), ..Dicom::of(asked) });
                    (None, Record { dicom, ..self.record(permit, Action::AssociationAllowed) })
                }
            };
            self.question(host, Record { rule, ..record })
        };
        Ok(self.policy.narrow(grant, question, self.at))
    }

    /// `more`: what is known beside what always is.
    fn can_ask(&self, more: &[&[&str]]) -> Result<(), NotAsked> {
        let Some(rego) = self.policy.rego() else { return Ok(()) };
        let precise: &[&str] = match self.is_precise {
            true => &["input.now", "input.@timestamp", "input.host"],
            false => &[],
        };
        let known = [&KNOWN, precise, &more.concat()].concat();
        rego.reads_beyond(&known).map_or(Ok(()), |field| Err(NotAsked(field.to_owned())))
    }

    fn question(&self, host: Option<&str>, record: Record) -> String {
        let origin = Origin::of(self.config);
        question(&origin, self.at, host, &record)
    }

    fn record(&self, permit: &Permit, action: Action) -> Record {
        let phi = match self.listener {
            Listener::Inbound(_) => self.policy.guards_phi(),
            Listener::Outbound(listener) => listener.phi,
        };
        let protocol = self.listener.protocol().label();
        let listener = (self.listener.name(), self.direction(), protocol);
        let connection = Connection {
            plaintext: self.who.is_none(),
            identity: self.who.map(ToString::to_string),
            peer: permit.peer().cloned(),
            ..Connection::at(listener, phi)
        };
        Record { connection: Some(Arc::new(connection)), ..Record::new(action) }
    }
}

fn request(method: &http::Method, grant: &Grant) -> Request {
    Request {
        number: 1,
        method: method.clone(),
        template: grant.template().map(Arc::clone),
        operation: grant.operation().cloned(),
        words: None,
        version: "1.1",
        phi: grant.phi(),
        trace_id: None,
        status: None,
    }
}
