//! HL7 v2 over MLLP: each message is judged and recorded before anything of it passes, and paired with its
//! acknowledgement.
//!
//! [`way::Way`] carries one direction: it reads in large pieces, asks [`Scanner`](crate::protocol::mllp::Scanner)
//! what may pass, and the [`Host`] whether a message may. Bytes are not copied for that. [`Exchanges`] knows
//! which messages wait for their acknowledgements, so that a connection can end where none is in between.

mod chunk;
mod current;
mod exchanges;
mod frames;
mod host;
mod open;
mod relay;
#[cfg(test)]
mod tests;
mod way;

pub use host::{Admission, Flow, Host, Message, MessageEnd, No};
pub use relay::{Ended, Stay, relay};

use exchanges::Exchanges;
