//! What the parent process and its workers say to each other, and over what.

mod channel;
mod words;

pub use channel::{Channel, ChannelError};
pub use words::{Given, Order, Told, VERSION, Wanted};
