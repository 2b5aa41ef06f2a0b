//! Myelin: a mutual-TLS sidecar for services that speak no TLS.
//!
//! ```text
//!                 outbound sidecar                      inbound sidecar
//! caller ──plaintext──▶ [listener] ══ mutual TLS 1.3 ══▶ [listener] ──plaintext──▶ workload
//!           loopback     who is the server?               who is the peer? may it?   loopback
//!                        └─ audit, metrics                └─ audit, metrics
//! ```
//!
//! Reading order: [`listener`] has the life of a connection, [`authz`] decides, [`proxy`] moves the
//! bytes, [`audit`] keeps the evidence, [`tls`] and [`certs`] hold identities and keys, [`runtime`]
//! joins everything. `ARCHITECTURE.md` draws the house.

pub mod admin;
pub mod audit;
pub mod authz;
pub mod ca;
pub mod certs;
pub mod cli;
pub mod clock;
pub mod config;
pub mod export;
pub mod handover;
pub mod identity;
pub mod inventory;
pub mod listener;
pub mod live;
pub mod network;
pub mod outcome;
pub mod parent;
pub mod probe;
pub mod protocol;
pub mod proxy;
pub mod report;
pub mod review;
pub mod runtime;
pub mod sandbox;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod upstream;
