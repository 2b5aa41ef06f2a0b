//! What somebody wants to do, as arguments have it.

use http::Method;

use crate::authz::{Asked, Requested};
use crate::config::{self, Protocol};
use crate::protocol::{dicom, mllp};
use crate::proxy::l7::Malformed;

/// Longest AE title (PS3.5, 6.2).
const AE_TITLE: usize = 16;

/// What it is about.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// HTTP: the path as a request has it, without a query
    #[arg(long, value_parser = path, conflicts_with_all = ["message", "calling_ae"])]
    path: Option<String>,
    /// HTTP: the method [default: GET]
    #[arg(long, requires = "path", value_parser = method)]
    method: Option<Method>,
    /// HTTP: the host that the request names
    #[arg(long, value_name = "NAME", requires = "path", value_parser = host)]
    host: Option<String>,
    /// SOAP: the action that the headers claim
    #[arg(long, value_name = "URI", requires = "path")]
    soap_action: Option<String>,
    /// HL7 v2: the type of the message (MSH-9), like ADT^A01
    #[arg(long, value_name = "TYPE", value_parser = message, conflicts_with = "calling_ae")]
    message: Option<(String, String)>,
    /// HL7 v2: who sends it (MSH-3 and MSH-4)
    #[arg(long, value_name = "APPLICATION|FACILITY", requires = "message", value_parser = sender)]
    sender: Option<(String, String)>,
    /// DICOM: the calling AE title
    #[arg(long, value_name = "TITLE", requires = "called_ae", value_parser = ae_title)]
    calling_ae: Option<String>,
    /// DICOM: the called AE title
    #[arg(long, value_name = "TITLE", requires = "calling_ae", value_parser = ae_title)]
    called_ae: Option<String>,
    /// DICOM: a SOP class that is proposed, by its keyword or UID; may be given several times
    #[arg(long, value_name = "CLASS", requires = "calling_ae", value_parser = sop_class)]
    sop_class: Vec<String>,
}

/// A method that a request with a route can have.
fn method(text: &str) -> Result<Method, String> {
    let wrong = || "not an HTTP method, like GET or POST".to_owned();
    let method = Method::from_bytes(text.as_bytes()).map_err(|_error| wrong())?;
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(format!("methods are upper-case; did you mean {}?", text.to_ascii_uppercase()));
    }
    match method {
        Method::CONNECT | Method::TRACE => Err(Malformed::Method.text().to_owned()),
        method => Ok(method),
    }
}

/// The path as policy sees it: one that the gate would refuse never comes that far.
fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path begins with '/'".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("rules look at the path alone: leave out the query and the fragment".to_owned());
    }
    let refused = |malformed: Malformed| {
        format!("{}; such a request is refused before any rule is asked", malformed.text())
    };
    Malformed::check_path(text).map(Into::into).map_err(refused)
}

fn host(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    match !text.is_empty() && text.bytes().all(plain) && !has_port {
        true => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
        false => Err("not a host name: rules look at it without a port".to_owned()),
    }
}

fn message(text: &str) -> Result<(String, String), String> {
    let (code, trigger) = text.split_once('^').unwrap_or((text, ""));
    let trigger = trigger.split_once('^').map_or(trigger, |(trigger, _structure)| trigger);
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    match !code.is_empty() && plain(code) && plain(trigger) {
        true => Ok((code.to_owned(), trigger.to_owned())),
        false => Err("not a type of message as MSH-9 has it, like ADT^A01".to_owned()),
    }
}

fn sender(text: &str) -> Result<(String, String), String> {
    match text.split_once('|') {
        Some((application, facility)) if !facility.contains('|') => {
            Ok((application.to_owned(), facility.to_owned()))
        }
        _ => Err("not a sender: write MSH-3 and MSH-4 with a | between, like LIS|MAIN".to_owned()),
    }
}

fn ae_title(text: &str) -> Result<String, String> {
    let title = text.trim_matches(' ');
    let fits = (1..=AE_TITLE).contains(&title.len())
        && title.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\');
    match fits {
        true => Ok(title.to_owned()),
        false => Err(format!("not an AE title: 1 to {AE_TITLE} characters of ASCII, no backslash")),
    }
}

fn sop_class(text: &str) -> Result<String, String> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return match text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.len() <= 64 {
            true => Ok(text.to_owned()),
            false => Err("not a UID: at most 64 digits and dots".to_owned()),
        };
    }
    dicom::sop_class(text).map(ToOwned::to_owned).ok_or_else(|| {
        let meant = config::nearest(text, dicom::sop_class_names());
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        format!("no SOP class of the standard; another one is given by its UID{meant}")
    })
}

/// A question to rules.
pub(super) enum Question {
    /// May it connect?
    Connect,
    /// May it make this request?
    Request { method: Method, host: Option<String>, path: String, soap_action: Option<String> },
    /// May it send messages of this type, as this application and facility?
    Message { kind: (String, String), sender: Option<(String, String)> },
    /// May it have this association?
    Association(dicom::Request),
}

impl Question {
    pub(super) fn of(what: &What) -> Self {
        if let Some(path) = &what.path {
            return Self::Request {
                method: what.method.clone().unwrap_or(Method::GET),
                host: what.host.clone(),
                path: path.clone(),
                soap_action: what.soap_action.clone(),
            };
        }
        if let Some(kind) = &what.message {
            return Self::Message { kind: kind.clone(), sender: what.sender.clone() };
        }
        match (&what.calling_ae, &what.called_ae) {
            (Some(calling), Some(called)) => {
                Self::Association(dicom::Request::proposing(calling, called, &what.sop_class))
            }
            _ => Self::Connect,
        }
    }

    /// The protocol whose rules it asks; `None` when it fits all.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Connect => None,
            Self::Request { .. } => Some(Protocol::Http),
            Self::Message { .. } => Some(Protocol::Mllp),
            Self::Association(_) => Some(Protocol::Dicom),
        }
    }

    /// Gives `answer` the question as policy takes it.
    pub(super) fn put<T>(&self, answer: impl FnOnce(Option<Asked<'_>>) -> T) -> T {
        match self {
            Self::Connect => answer(None),
            Self::Request { method, host, path, soap_action } => {
                let (host, soap_action) = (host.as_deref(), soap_action.as_deref());
                answer(Some(Asked::Request(&Requested { method, host, path, soap_action })))
            }
            Self::Message { kind: (code, trigger), sender } => {
                let (application, facility) = sender.as_ref().map_or(("", ""), |(a, f)| (a, f));
                answer(Some(Asked::Message(&mllp::Header {
                    code: code.as_bytes(),
                    trigger: trigger.as_bytes(),
                    sending_application: application.as_bytes(),
                    sending_facility: facility.as_bytes(),
                    ..mllp::Header::default()
                })))
            }
            Self::Association(request) => answer(Some(Asked::Association(request))),
        }
    }
}

impl std::fmt::Display for Question {
    /// What follows "may": with templates' words where the rule has them, this is the question as it was put.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Request { method, path, .. } => write!(f, "{method} {path}"),
            Self::Message { kind: (code, trigger), .. } => write!(f, "send {code}^{trigger}"),
            Self::Association(request) => {
                write!(f, "call {} as {}", request.called_ae, request.calling_ae)
            }
        }
    }
}
