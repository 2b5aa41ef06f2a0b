//! A question to policy: what somebody wants to do. The same in a case of `policy test` and in `explain`.

use std::fmt;

use http::Method;

use super::{Listener, Protocol};
use crate::protocol::http::Target;
use crate::protocol::{dicom, mllp};

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// To connect.
    Connect,
    /// To make an HTTP request.
    Request {
        /// The method.
        method: Method,
        /// The host, in lower case and without a port.
        host: Option<String>,
        /// The path and the query.
        target: Target,
        /// The SOAP action.
        soap_action: Option<String>,
    },
    /// To send an HL7 v2 message.
    Message {
        /// Of this type.
        kind: mllp::MessageKind,
        /// As this sender; `None` where it does not matter.
        sender: Option<mllp::Sender>,
    },
    /// To have a DICOM association.
    Association(dicom::Request),
}

/// Why a question cannot be put to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unaskable {
    /// It is outbound: its rules say whom the server must prove to be, and nothing of what is asked of it.
    Outbound,
    /// It carries another protocol, this one.
    Protocol(Protocol),
    /// It has rules for `senders`, and no sender is named.
    NoSender,
}

impl Question {
    /// The protocol whose rules it asks; `None` when it fits all.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Connect => None,
            Self::Request { .. } => Some(Protocol::Http),
            Self::Message { .. } => Some(Protocol::Mllp),
            Self::Association(_) => Some(Protocol::Dicom),
        }
    }

    /// Why it cannot be put to `listener`.
    pub fn unaskable(&self, listener: Listener<'_>) -> Option<Unaskable> {
        let wanted = self.protocol()?;
        let Listener::Inbound(listener) = listener else { return Some(Unaskable::Outbound) };
        if listener.protocol != wanted {
            return Some(Unaskable::Protocol(listener.protocol));
        }
        let is_anonymous = matches!(self, Self::Message { sender: None, .. });
        (is_anonymous && listener.mllp.senders.is_some()).then_some(Unaskable::NoSender)
    }
}

impl fmt::Display for Question {
    /// What follows after "may".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Request { method, target, .. } => write!(f, "{method} {}", target.path),
            Self::Message { kind, .. } => write!(f, "send {kind}"),
            Self::Association(request) => {
                write!(f, "call {} as {}", request.called_ae, request.calling_ae)
            }
        }
    }
}
