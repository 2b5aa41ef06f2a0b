//! What policy and protocols say, in the words of records: the same for what comes in and for what is only asked.

use std::sync::Arc;

use super::record::{Connection, ConnectionId, Dicom, DicomContext, Hl7, Nearest, Rule};
use crate::authz::{Denied, Grant, Permit};
use crate::identity::ListenerName;
use crate::outcome::Direction;
use crate::protocol::{dicom, mllp};

impl Connection {
    /// One at this listener, which carries `protocol`, of which nothing else is known.
    pub fn at(
        (listener, direction, protocol): (&ListenerName, Direction, &'static str),
        phi: bool,
    ) -> Self {
        Self {
            id: ConnectionId([0; 16]),
            listener: listener.clone(),
            direction,
            protocol,
            phi,
            source: None,
            destination: None,
            asked: None,
            endpoint: None,
            tls: None,
            plaintext: false,
            certificate: None,
            anchor: None,
            identity: None,
            peer: None,
        }
    }
}

impl Rule {
    /// The rule of a permit.
    pub fn permitted(permit: &Permit) -> Self {
        let nearest = permit.would_deny().map(|denied| Nearest::of(denied, true));
        let (name, line) = (Arc::clone(permit.rule()), permit.line());
        Self { name, line, version: permit.version(), nearest }
    }

    /// The rule by which something was let through.
    pub fn granted(grant: &Grant) -> Self {
        let nearest = grant.would_deny().map(|denied| Nearest::of(denied, true));
        let (name, line) = (Arc::clone(grant.rule()), grant.line());
        Self { name, line, version: grant.version(), nearest }
    }

    /// The rule that let nobody in.
    pub fn refused_by(denied: &Denied) -> Self {
        let nearest = Some(Nearest::of(denied, false));
        let (name, line) = (Arc::clone(&denied.rule), denied.line);
        Self { name, line, version: denied.version, nearest }
    }

    /// The rule by which something was let through that would have been denied, were policy enforced. What
    /// comes first counts.
    #[must_use]
    pub fn although(self, denied: &Denied) -> Self {
        Self { nearest: self.nearest.or_else(|| Some(Nearest::of(denied, true))), ..self }
    }
}

impl Nearest {
    fn of(denied: &Denied, observed: bool) -> Self {
        Self {
            differs: denied.differs,
            text: denied.nearest.clone(),
            would_deny: observed.then_some(denied.reason),
        }
    }
}

impl Dicom {
    /// The association that is asked for.
    pub fn of(request: &dicom::Request) -> Self {
        let software = [&request.implementation_class, &request.implementation_version];
        let software: Vec<_> = software.into_iter().filter_map(Option::as_deref).collect();
        let contexts = request.contexts.iter().map(|context| DicomContext {
            abstract_syntax: context.abstract_syntax.clone(),
            accepted: None,
        });
        Self {
            calling_ae: request.calling_ae.clone(),
            called_ae: request.called_ae.clone(),
            contexts: contexts.collect(),
            implementation: (!software.is_empty()).then(|| software.join(" ")),
            ..Self::default()
        }
    }
}

impl Hl7 {
    /// The first message of a connection, with this header: without its identifier, which may be somebody's
    /// number.
    pub fn of(header: &mllp::Header<'_>) -> Self {
        Self {
            number: 1,
            kind: header.kind(),
            sending_application: text(header.sending_application),
            sending_facility: text(header.sending_facility),
            receiving_application: text(header.receiving_application),
            receiving_facility: text(header.receiving_facility),
            processing_id: word(header.processing_id),
            version: word(header.version),
            is_batch: header.is_batch,
            ..Self::default()
        }
    }
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// A letter or a number of the standard: nothing else can stand there.
fn word(field: &[u8]) -> String {
    let fits = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'.';
    field.iter().filter(fits).take(16).map(|byte| char::from(*byte)).collect()
}
