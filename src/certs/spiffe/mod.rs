//! The SPIFFE Workload API as a source: an agent beside us (SPIRE's, or another's) issues, renews and
//! pushes.
//!
//! It speaks gRPC over a Unix socket and knows us by our process, not by a secret. Its stream of updates
//! stays open; each update is the whole of what we are to have (SPIFFE Workload API, sections 4 and 5).

mod failure;
mod line;
mod source;
mod update;

pub(super) use source::Spiffe;
