//! SOAP 1.1 and 1.2: the action that a request claims, and what its body really begins with.
//!
//! Services dispatch on the first element of the body, or on `wsa:Action` in its header, whatever the
//! head of the HTTP request says. So the claim is held against both. Only the beginning is read, up to
//! the start tag of the body's first element: [`LIMIT`] bytes at most, one pass, nothing kept but names.
//! What two parsers might read in two ways is not read at all: document types, entities, processing
//! instructions, other encodings than UTF-8, a second `Header`, a `Body` that hides in the header.

mod action;
mod beginning;
mod element;
mod envelope;
mod media_type;
mod multipart;
mod namespaces;
mod unreadable;
mod xml;

pub use action::{NotAnAction, check_action, claimed};
pub use beginning::{Beginning, Found, LIMIT};
pub use element::Element;
pub use unreadable::Unreadable;

use super::{ihe, shape};

/// In which way a message is not what its head claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The body or its root part names another action; this one.
    Action(Box<str>),
    /// The body begins with another element; `None`: it has none.
    Body(Option<Box<str>>),
    /// The body begins with an element of the right name, and of another namespace.
    Namespace(Box<str>),
}

/// Holds what was found against what a request claims: the action everywhere the same, and a body that
/// begins with one of `bodies`.
///
/// # Errors
///
/// Says what differs.
pub fn check(found: &Found, action: &str, bodies: &[Element]) -> Result<(), Mismatch> {
    if let Some(other) = found.actions.iter().find(|named| &***named != action) {
        return Err(Mismatch::Action(other.clone()));
    }
    let Some(body) = &found.body else { return Err(Mismatch::Body(None)) };
    if bodies.iter().any(|wanted| wanted.is(&found.namespace, body)) {
        return Ok(());
    }
    let is_named = bodies.iter().any(|wanted| *wanted.local == **body);
    let body = body.clone();
    Err(if is_named { Mismatch::Namespace(body) } else { Mismatch::Body(Some(body)) })
}

impl Mismatch {
    /// A sentence for the operator. Names that are none in any schema are not repeated: somebody may
    /// have put a person's there.
    pub fn text(&self) -> String {
        match self {
            Self::Action(other) if shape::is_known_action(other) => {
                format!("the message itself says its action is `{other}`")
            }
            Self::Action(_) => "the message itself says that it is of another action".to_owned(),
            Self::Body(Some(other)) => format!("the body begins with {}", shown(other)),
            // It is one of the names that the route wants.
            Self::Namespace(name) => format!("`{name}` there is of another namespace"),
            Self::Body(None) => "the body is empty".to_owned(),
        }
    }
}

/// A name that a record may have: one of IHE's. Any other may be somebody's, for it stands in a body.
fn shown(name: &str) -> String {
    if ihe::is_body(name) { format!("`{name}`") } else { "an element that is not IHE's".to_owned() }
}

#[cfg(test)]
mod tests;
