//! A-ASSOCIATE-RQ, -AC and -RJ.

use super::item::{Rest, ae_title, text, uid};
use super::{Context, Malformed, Reject, Request};

/// Item types (PS3.8, 9.3.2 and 9.3.3; PS3.7, annex D).
mod kind {
    pub(super) const APPLICATION: u8 = 0x10;
    pub(super) const CONTEXT: u8 = 0x20;
    pub(super) const CONTEXT_ANSWER: u8 = 0x21;
    pub(super) const ABSTRACT_SYNTAX: u8 = 0x30;
    pub(super) const TRANSFER_SYNTAX: u8 = 0x40;
    pub(super) const USER_INFORMATION: u8 = 0x50;
    pub(super) const IMPLEMENTATION_CLASS: u8 = 0x52;
    pub(super) const IMPLEMENTATION_VERSION: u8 = 0x55;

    /// Whether it belongs into another item, or another PDU. Unknown ones are skipped, as the standard
    /// has it.
    pub(super) fn is_known(kind: u8) -> bool {
        matches!(kind, 0x10 | 0x20 | 0x21 | 0x30 | 0x40 | 0x50..=0x59)
    }
}

/// Reads what an A-ASSOCIATE-RQ says; `body` is what comes after its header.
///
/// # Errors
///
/// What is wrong with it. Nothing is read twice in two ways, so that whoever reads it after us finds the
/// same titles and SOP classes, or refuses it.
pub fn request(body: &[u8]) -> Result<Request, Malformed> {
    let mut rest = Rest(body);
    let (called_ae, calling_ae) = fixed(&mut rest)?;
    let called_ae = ae_title(&called_ae)?;
    let calling_ae = ae_title(&calling_ae)?;
    let mut request = Request { called_ae, calling_ae, ..Request::default() };
    let (mut application, mut user) = (false, false);
    for item in rest {
        match item? {
            (kind::APPLICATION, value) => {
                once(&mut application)?;
                uid(value)?;
            }
            (kind::CONTEXT, value) => {
                let context = context(value)?;
                if request.contexts.iter().any(|other| other.id == context.id) {
                    return Err(Malformed::ContextId);
                }
                request.contexts.push(context);
            }
            (kind::USER_INFORMATION, value) => {
                once(&mut user)?;
                user_information(value, &mut request)?;
            }
            (other, _) if kind::is_known(other) => return Err(Malformed::Misplaced),
            _ => {}
        }
    }
    if !application || !user || request.contexts.is_empty() {
        return Err(Malformed::Missing);
    }
    Ok(request)
}

/// What became of a proposed presentation context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its identifier.
    pub id: u8,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// Reads which contexts an A-ASSOCIATE-AC accepts; `body` is what comes after its header.
///
/// # Errors
///
/// What is wrong with it.
pub fn accept(body: &[u8]) -> Result<Vec<Answer>, Malformed> {
    let mut rest = Rest(body);
    fixed(&mut rest)?; // the titles are echoes, "shall not be tested"
    let mut answers: Vec<Answer> = Vec::new();
    for item in rest {
        match item? {
            (kind::CONTEXT_ANSWER, value) => {
                let [id, _, result, _] = Rest(value).array()?;
                if id % 2 == 0 || answers.iter().any(|other| other.id == id) {
                    return Err(Malformed::ContextId);
                }
                answers.push(Answer { id, accepted: result == 0 });
            }
            (kind::APPLICATION | kind::USER_INFORMATION, _) => {}
            (other, _) if kind::is_known(other) => return Err(Malformed::Misplaced),
            _ => {}
        }
    }
    Ok(answers)
}

/// Reads an A-ASSOCIATE-RJ; `body` is what comes after its header.
///
/// # Errors
///
/// It is too short.
pub fn reject(body: &[u8]) -> Result<Reject, Malformed> {
    let [_, result, source, reason] = Rest(body).array()?;
    Ok(Reject { result, source, reason })
}

/// The part of fixed length: the called and the calling AE title as they are.
fn fixed(rest: &mut Rest<'_>) -> Result<([u8; 16], [u8; 16]), Malformed> {
    let [_, versions, _, _] = rest.array()?;
    if versions & 1 == 0 {
        return Err(Malformed::Version);
    }
    let titles = (rest.array()?, rest.array()?);
    rest.take(32)?;
    Ok(titles)
}

fn context(value: &[u8]) -> Result<Context, Malformed> {
    let mut rest = Rest(value);
    let [id, _, _, _] = rest.array()?;
    if id % 2 == 0 {
        return Err(Malformed::ContextId);
    }
    let (mut abstract_syntax, mut transfers) = (None, false);
    for item in rest {
        match item? {
            (kind::ABSTRACT_SYNTAX, value) => {
                let other = abstract_syntax.replace(uid(value)?);
                if other.is_some() {
                    return Err(Malformed::Repeated);
                }
            }
            (kind::TRANSFER_SYNTAX, value) => {
                uid(value)?;
                transfers = true;
            }
            (other, _) if kind::is_known(other) => return Err(Malformed::Misplaced),
            _ => {}
        }
    }
    match abstract_syntax {
        Some(abstract_syntax) if transfers => Ok(Context { id, abstract_syntax }),
        Some(_) | None => Err(Malformed::Missing),
    }
}

/// Who made the software. All else, who the user is above all, is skipped.
fn user_information(value: &[u8], request: &mut Request) -> Result<(), Malformed> {
    for item in Rest(value) {
        match item? {
            (kind::IMPLEMENTATION_CLASS, value) => request.implementation_class = uid(value).ok(),
            (kind::IMPLEMENTATION_VERSION, value) => {
                let name = value.trim_ascii();
                request.implementation_version =
                    text(name).filter(|name| (1..=16).contains(&name.len()));
            }
            (0x10..=0x4f, _) => return Err(Malformed::Misplaced),
            _ => {}
        }
    }
    Ok(())
}

fn once(seen: &mut bool) -> Result<(), Malformed> {
    if std::mem::replace(seen, true) { Err(Malformed::Repeated) } else { Ok(()) }
}
