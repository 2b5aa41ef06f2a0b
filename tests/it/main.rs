//! The promises, asserted from outside: what the peer saw, what the workload saw, what the trail and the
//! metrics say. One binary, so that there is one link.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

mod http_gate;
mod http_routes;
mod limits;
mod outbound;
mod pins;
mod readme;
mod refusals;
mod tcp;
mod tls;
