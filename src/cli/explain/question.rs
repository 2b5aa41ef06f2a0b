//! What somebody wants to do, as arguments have it.

use std::sync::Arc;

use ::http::Method;

use crate::config::{Question, read_sop_class};
use crate::protocol::dicom::{self, NotATitle};
use crate::protocol::http::{self, NotAHost};
use crate::protocol::mllp::{MessageKind, Sender};
use crate::protocol::soap::{self, NotAnAction};

/// What it is about.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// HTTP: the path as a request has it, with its query: rules for FHIR look at that, too
    #[arg(long, value_parser = http::asked_target, conflicts_with_all = ["message", "calling_ae"])]
    path: Option<http::Target>,
    /// HTTP: the method [default: GET]
    #[arg(long, requires = "path", value_parser = http::method)]
    method: Option<Method>,
    /// HTTP: the host that the request names
    #[arg(long, value_name = "NAME", requires = "path", value_parser = host)]
    host: Option<String>,
    /// SOAP: the action that the headers claim
    #[arg(long, value_name = "URI", requires = "path", value_parser = soap_action)]
    soap_action: Option<String>,
    /// HL7 v2: the type of the message (MSH-9), like ADT^A01
    #[arg(long, value_name = "TYPE", value_parser = MessageKind::parse, conflicts_with = "calling_ae")]
    message: Option<MessageKind>,
    /// HL7 v2: who sends it (MSH-3 and MSH-4)
    #[arg(long, value_name = "APPLICATION|FACILITY", requires = "message", value_parser = Sender::parse)]
    sender: Option<Sender>,
    /// DICOM: the calling AE title
    #[arg(long, value_name = "TITLE", requires = "called_ae", value_parser = ae_title)]
    calling_ae: Option<String>,
    /// DICOM: the called AE title
    #[arg(long, value_name = "TITLE", requires = "calling_ae", value_parser = ae_title)]
    called_ae: Option<String>,
    /// DICOM: a SOP class that is proposed, by its keyword or UID; may be given several times
    #[arg(long, value_name = "CLASS", requires = "calling_ae", value_parser = read_sop_class)]
    sop_class: Vec<Arc<str>>,
}

fn host(text: &str) -> Result<String, NotAHost> {
    http::asked_host(text).map(Into::into)
}

fn soap_action(text: &str) -> Result<String, NotAnAction> {
    soap::check_action(text).map(|()| text.to_owned())
}

fn ae_title(text: &str) -> Result<String, NotATitle> {
    dicom::check_title(text).map(|()| text.to_owned())
}

impl What {
    /// The question.
    pub(super) fn question(&self) -> Question {
        if let Some(target) = &self.path {
            return Question::Request {
                method: self.method.clone().unwrap_or(Method::GET),
                host: self.host.clone(),
                target: target.clone(),
                soap_action: self.soap_action.clone(),
            };
        }
        if let Some(kind) = &self.message {
            return Question::Message { kind: kind.clone(), sender: self.sender.clone() };
        }
        let Some((calling, called)) = self.calling_ae.as_ref().zip(self.called_ae.as_ref()) else {
            return Question::Connect;
        };
        let classes: Vec<_> = self.sop_class.iter().map(ToString::to_string).collect();
        Question::Association(dicom::Request::proposing(calling, called, &classes))
    }
}
