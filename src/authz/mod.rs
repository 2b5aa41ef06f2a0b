//! Who may do what: the compiled allowlist. Pure: no I/O, no clock of its own, no lock.
//!
//! Default deny: a listener without `allow` lets nobody in, and there is no rule that lets in all.
//!
//! A decision (`policy` for connections, `decide` for what is asked for on them) looks rules up in indexes:
//! `paths` and `bits` lead to the first that matches. Only when that denies, `denial` walks through all rules
//! to say which came nearest; `apart` and `differences` compare field by field. [`rego`] is asked after all of them, where there is one.

mod apart;
mod associations;
mod bits;
mod classify;
mod clause;
mod decide;
mod denial;
mod differences;
mod explain;
mod forms;
mod messages;
mod paths;
mod peers;
mod permit;
mod policy;
mod question;
mod rego;
mod routes;
mod soap;
mod summary;
#[cfg(test)]
mod tests;

pub use differences::{Asked, Difference};
pub use explain::{Explanation, Weighed};
pub use permit::{ContextBinding, Denied, Form, Grant, Holder, Permit};
pub use policy::{ListenerPolicy, Requested, recognized};
pub use rego::{RegoError, RegoPolicy};
pub use summary::RuleSummary;
