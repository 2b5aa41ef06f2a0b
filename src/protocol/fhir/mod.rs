//! HL7 FHIR REST (R4, 3.1 RESTful API): which interaction a request is, with which type of resource.

mod classify;
mod form;
mod names;
mod percent;
mod reach;
mod resources;
mod search;
#[cfg(test)]
mod tests;

pub use classify::{Asked, classify};
pub use form::{Form, Unreadable};
pub use reach::{By, Reach, Reached};
pub use resources::{RESOURCES, is_resource};
pub use search::{Search, search};

/// Stands for any type of resources in a record of what a request reached.
pub const ANY: &str = "*";

/// An interaction, by its code in <http://hl7.org/fhir/restful-interaction>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interaction {
    /// `read`
    Read,
    /// `vread`: a version.
    Vread,
    /// `update`, conditional or not.
    Update,
    /// `patch`, conditional or not.
    Patch,
    /// `delete`, conditional or not.
    Delete,
    /// `history-instance`
    HistoryInstance,
    /// `history-type`
    HistoryType,
    /// `history-system`
    HistorySystem,
    /// `create`, conditional or not.
    Create,
    /// `search-type`, in a compartment or not.
    SearchType,
    /// `search-system`
    SearchSystem,
    /// `batch` or `transaction`: which of the two, and what is in it, only the body says.
    Batch,
    /// `capabilities`
    Capabilities,
    /// `operation`: `$everything`, `$export`, …
    Operation,
}

impl Interaction {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Read,
        Self::Vread,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::HistoryInstance,
        Self::HistoryType,
        Self::HistorySystem,
        Self::Create,
        Self::SearchType,
        Self::SearchSystem,
        Self::Batch,
        Self::Capabilities,
        Self::Operation,
    ];

    /// Its code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Vread => "vread",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::HistoryInstance => "history-instance",
            Self::HistoryType => "history-type",
            Self::HistorySystem => "history-system",
            Self::Create => "create",
            Self::SearchType => "search-type",
            Self::SearchSystem => "search-system",
            Self::Batch => "batch",
            Self::Capabilities => "capabilities",
            Self::Operation => "operation",
        }
    }
}
