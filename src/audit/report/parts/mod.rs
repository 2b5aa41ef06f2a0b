//! The parts of a report, each with what it gathers and how it tells it.

pub(super) mod access;
pub(super) mod certificates;
pub(super) mod clock;
pub(super) mod denials;
pub(super) mod flows;
pub(super) mod integrity;
pub(super) mod newcomers;
pub(super) mod policy;
pub(super) mod readers;
pub(super) mod signed;
pub(super) mod tls;
