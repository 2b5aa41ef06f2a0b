//! Who may do what: the compiled allowlist. Pure: no I/O, no clock of its own, no lock.
//!
//! Default deny: a listener without `allow` lets nobody in, and there is no rule that lets in all.

mod peers;
mod policy;
#[cfg(test)]
mod tests;

pub use policy::{Denied, ListenerPolicy, Permit, RequestPermit, recognized};
