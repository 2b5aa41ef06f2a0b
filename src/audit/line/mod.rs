//! A record as one line of JSON: Elastic Common Schema names, bounded text, and a place in the chain.

pub(in crate::audit) mod ecs;
pub(in crate::audit) mod encode;
pub(in crate::audit) mod event;
mod flood;
pub(in crate::audit) mod operation;
pub(in crate::audit) mod own;
mod question;
pub(in crate::audit) mod rule;
pub(in crate::audit) mod text;
mod tls;

pub(in crate::audit) use encode::Encoded;
pub(in crate::audit) use own::Own;
pub use own::Sealed;
pub use question::{question, samples};
pub use rule::Origin;
