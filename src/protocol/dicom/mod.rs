//! The DICOM upper layer (PS3.8): associations, as far as they say who wants what of whom.
//!
//! Requests and their answers are read whole, within bounds. Of everything after that only headers and command
//! sets are: the data sets that P-DATA-TF carries are PHI.

mod associate;
mod command;
mod contexts;
mod item;
mod messages;
mod names;
mod pdu;
mod sop_classes;
mod transfer;

pub use self::associate::{Answer, accept, reject, request};
pub use self::command::{Commands, Misfit, Service};
pub use self::contexts::Contexts;
pub use self::names::{NotATitle, check_title, is_uid};
pub use self::pdu::{
    Abort, Header, Kind, LENGTH_OF_HEADER, LONGEST_ASSOCIATE, Malformed, Pdu, Reject,
};
pub use self::sop_classes::{sop_class, sop_class_name, sop_class_names};
pub use self::transfer::{Stopped, Transfer};

/// What an A-ASSOCIATE-RQ asks for (PS3.8, 9.3.2). Who the user is stays unread (PS3.7, D.3.3.7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The called AE title, without its padding.
    pub called_ae: String,
    /// The calling AE title, without its padding.
    pub calling_ae: String,
    /// What it wants to do, in its order. At most 128 (their identifiers are odd and have one byte).
    pub contexts: Vec<Context>,
    /// Implementation class UID.
    pub implementation_class: Option<String>,
    /// Implementation version name.
    pub implementation_version: Option<String>,
}

/// A proposed presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its identifier, odd.
    pub id: u8,
    /// The abstract syntax: nearly always a SOP class.
    pub abstract_syntax: String,
}

impl Request {
    /// One that proposes these SOP classes, by UID, and says nothing else.
    pub fn proposing(calling_ae: &str, called_ae: &str, sop_classes: &[String]) -> Self {
        let contexts = (1_u8..=u8::MAX).step_by(2).zip(sop_classes);
        let context = |(id, uid): (u8, &String)| Context { id, abstract_syntax: uid.clone() };
        Self {
            calling_ae: calling_ae.to_owned(),
            called_ae: called_ae.to_owned(),
            contexts: contexts.map(context).collect(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
