//! Records of a process that drains, on their way to the one that writes the trail since a hand-over.
//!
//! Each is two lines: what is to be known of it, and its line without a place in the chain, which the writer gives. Those that
//! somebody waits for are answered, with their number, when they are durable or cannot be.

mod forward;
mod receive;

use serde::{Deserialize, Serialize};

pub(super) use forward::forward;
pub(super) use receive::receive;

/// What is to be known of a record.
#[derive(Serialize, Deserialize)]
struct Head {
    number: u64,
    /// Whether somebody waits for it to be durable.
    awaited: bool,
    action: String,
    page: Option<String>,
}

/// What became of a record that somebody waits for.
#[derive(Serialize, Deserialize)]
struct Answer {
    number: u64,
    /// Why it is not durable, if it is not.
    failed: Option<String>,
}
