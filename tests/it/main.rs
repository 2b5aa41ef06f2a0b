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

mod admin;
mod audit;
mod cli;
mod config_files;
mod explain;
mod foreign;
mod init;
mod layering;
mod lifecycle;
mod limits;
mod outbound;
mod pins;
mod postgres;
mod readme;
mod refusals;
mod rotation;
mod tcp;
mod tls;
