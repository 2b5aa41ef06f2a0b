//! Who may do what: the compiled allowlist. Pure: no I/O, no clock of its own, no lock.
//!
//! Default deny: a listener without `allow` lets nobody in, and there is no rule that lets in all.

mod peers;
mod permit;
mod policy;
#[cfg(test)]
mod tests;

pub use permit::{Denied, Grant, Holder, Permit};
pub use policy::{ListenerPolicy, Requested, recognized};
