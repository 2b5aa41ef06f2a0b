//! DICOMweb (PS3.18): which transaction a request is.

mod classify;
#[cfg(test)]
mod tests;

pub use classify::{Asked, classify};

/// A transaction of a DICOMweb service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transaction {
    /// STOW-RS
    Store,
    /// QIDO-RS
    Search,
    /// WADO-RS and WADO-URI
    Retrieve,
    /// UPS-RS: worklists.
    Worklist,
}

impl Transaction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Store, Self::Search, Self::Retrieve, Self::Worklist];

    /// Its name, as configuration and records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Search => "search",
            Self::Retrieve => "retrieve",
            Self::Worklist => "worklist",
        }
    }
}
