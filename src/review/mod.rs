//! What trails say of a policy: what was seen becomes attempts ([`History`]), each can be judged by another
//! configuration ([`Replay`]), and an allowlist can be made of them ([`suggest`]).
//!
//! Pure apart from reading trails. What judges is the compiled policy itself, never a copy of its rules.

mod candidates;
mod cases;
mod history;
mod judge;
mod narrow;
mod replay;
pub mod suggest;
mod what;
mod who;

pub use cases::{Tried, try_all};
pub use history::{Attempt, Filter, History, ListenerSeen, Tally};
pub use judge::{Denial, Judge, Unjudged, Verdict};
pub use narrow::{NotAsked, Scene};
pub use replay::{Change, Replay};
pub use what::{What, Words};
pub use who::{Proven, Who};
