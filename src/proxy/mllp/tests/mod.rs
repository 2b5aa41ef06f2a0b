//! Both ways of a connection on streams in memory, with a host that says yes or no by the type of a message.

mod answers;
mod batches;
mod ends;
mod messages;
mod stage;
