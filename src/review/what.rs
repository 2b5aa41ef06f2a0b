//! What somebody attempted, as far as a record says.

use std::fmt;

use crate::audit::Recorded;
use crate::config::Segment;
use crate::protocol::{dicom, dicomweb, fhir};

/// Something on record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// A connection.
    Connect,
    /// An HTTP request.
    Request {
        /// The method.
        method: String,
        /// The template of its path; `None` when it is not on record.
        path: Option<String>,
        /// What it was in the words of healthcare.
        words: Option<Words>,
    },
    /// An HL7 v2 message.
    Message {
        /// MSH-9.1
        code: String,
        /// MSH-9.2
        trigger: String,
        /// MSH-3
        application: String,
        /// MSH-4
        facility: String,
    },
    /// A DICOM association.
    Association {
        /// The calling AE title.
        calling: String,
        /// The called AE title.
        called: String,
        /// UIDs of the SOP classes that were proposed, in order, each once.
        classes: Vec<String>,
    },
}

/// What a request was in the words of healthcare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Words {
    /// A FHIR interaction.
    Fhir {
        /// Which.
        interaction: fhir::Interaction,
        /// The type of its resource.
        resource: Option<&'static str>,
        /// The types that it got at beside that one, in the order of the record; `None`: any.
        reached: Vec<Option<&'static str>>,
    },
    /// A DICOMweb transaction.
    DicomWeb(dicomweb::Transaction),
    /// A SOAP action.
    Soap(String),
}

impl What {
    /// What is on record, of a record whose action begins with `kind`.
    pub(super) fn of(kind: &str, recorded: &Recorded) -> Option<Self> {
        let myelin = &recorded.myelin;
        match kind {
            "connection" => Some(Self::Connect),
            "request" => {
                let words = words(recorded);
                // Of a base, the record of a denial says too little to know what was asked for below it.
                let is_below = words.is_none()
                    && recorded.event.action == "request-denied"
                    && matches!(
                        myelin.differs.as_deref(),
                        Some("interaction" | "resource" | "transaction")
                    );
                let path = recorded.url.as_ref().filter(|_| !is_below);
                let path = path.map(|url| canonical(&segments(&url.path)));
                let method = recorded.http.as_ref()?.request.method.clone();
                Some(Self::Request { method, path, words })
            }
            "message" => {
                let hl7 = myelin.hl7.as_ref()?;
                let (code, trigger) = hl7.kind.split_once('^').unwrap_or((&hl7.kind, ""));
                let code = if code == "none" { "" } else { code };
                Some(Self::Message {
                    code: code.to_owned(),
                    trigger: trigger.to_owned(),
                    application: hl7.sending.application.clone(),
                    facility: hl7.sending.facility.clone(),
                })
            }
            "association" => {
                let dicom = myelin.dicom.as_ref()?;
                let proposed = dicom.contexts.iter().map(|c| c.abstract_syntax.clone());
                let mut classes: Vec<_> = proposed.collect();
                classes.sort();
                classes.dedup();
                let (calling, called) = (dicom.calling_ae.clone(), dicom.called_ae.clone());
                Some(Self::Association { calling, called, classes })
            }
            _ => None,
        }
    }
}

fn words(recorded: &Recorded) -> Option<Words> {
    let myelin = &recorded.myelin;
    if let Some(asked) = &myelin.fhir {
        let all = fhir::Interaction::ALL;
        let interaction = all.into_iter().find(|known| known.code() == asked.interaction)?;
        let known = |name: &str| fhir::RESOURCES.into_iter().find(|known| *known == name);
        let resource = asked.resource.as_deref().and_then(known);
        let reached = asked.reaches.iter().map(|name| known(name)).collect();
        return Some(Words::Fhir { interaction, resource, reached });
    }
    if let Some(asked) = &myelin.dicomweb {
        let all = dicomweb::Transaction::ALL;
        let transaction = all.into_iter().find(|known| known.name() == asked.transaction)?;
        return Some(Words::DicomWeb(transaction));
    }
    myelin.soap.as_ref().map(|soap| Words::Soap(soap.action.clone()))
}

/// The segments of a template on record. Names in braces may occur twice there: they stand for nothing.
pub(super) fn segments(text: &str) -> Vec<Segment> {
    let inner = text.strip_prefix('/').unwrap_or(text);
    let parts = inner.split('/').filter(|_| !inner.is_empty());
    parts
        .map(|part| match part {
            rest if rest.ends_with("...}") => Segment::Rest,
            any if any.contains('{') => Segment::Any,
            literal => Segment::Literal(literal.to_owned()),
        })
        .collect()
}

/// Segments as a template of the configuration, with names that each occur once.
pub(super) fn canonical(segments: &[Segment]) -> String {
    let mut text = String::new();
    let mut places = 0_u32;
    for segment in segments {
        text.push('/');
        match segment {
            Segment::Literal(literal) => text.push_str(literal),
            Segment::Rest => text.push_str("{rest...}"),
            Segment::Any => {
                places += 1;
                match places {
                    1 => text.push_str("{id}"),
                    more => text.push_str(&format!("{{id{more}}}")),
                }
            }
        }
    }
    if text.is_empty() { "/".to_owned() } else { text }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Request { method, path, words } => {
                let path = path.as_deref().unwrap_or("(a path that is not on record)");
                write!(f, "{method} {path}")?;
                match words {
                    None => Ok(()),
                    Some(Words::Fhir { interaction, resource, reached }) => {
                        write!(f, " (FHIR {}", interaction.code())?;
                        resource.iter().try_for_each(|resource| write!(f, " {resource}"))?;
                        let types = reached.iter().map(|kind| kind.unwrap_or("any type"));
                        let types: Vec<_> = types.collect();
                        match types.as_slice() {
                            [] => f.write_str(")"),
                            types => write!(f, " with {})", types.join(", ")),
                        }
                    }
                    Some(Words::DicomWeb(transaction)) => {
                        write!(f, " (DICOMweb {})", transaction.name())
                    }
                    Some(Words::Soap(action)) => write!(f, " ({action})"),
                }
            }
            Self::Message { code, trigger, application, facility } => {
                write!(f, "{code}^{trigger} as {application}|{facility}")
            }
            Self::Association { calling, called, classes } => {
                write!(f, "{calling} calls {called}")?;
                let known = |uid: &String| {
                    dicom::sop_class_name(uid).map_or_else(|| uid.clone(), str::to_owned)
                };
                let names: Vec<_> = classes.iter().take(4).map(known).collect();
                let more = if classes.len() > 4 { ", …" } else { "" };
                write!(f, " for {}{more}", names.join(", "))
            }
        }
    }
}
