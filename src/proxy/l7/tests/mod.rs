//! The proxy between real byte streams: raw requests in, a workload on a loopback socket behind.

mod bodies;
mod corpus;
mod framing;
mod hostile;
mod hostile_h2;
mod inside;
mod pooling;
mod room;
mod stage;
mod translation;
mod tunnels;
