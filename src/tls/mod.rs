//! Mutual TLS on both sides: what this process presents, whom it believes, and why it refused.
//!
//! One verifier serves both directions, at the handshake and for as long as the connection is open.
//! Resumption is off: a resumed session would skip it (RFC 8446, 2.2), and with it expiry and revocation.
//! There is no early data.

mod anchors;
mod asking;
mod config;
mod error;
mod examine;
mod first;
mod handshake;
mod known;
mod leaf;
mod part;
mod presented;
mod provider;
mod rehearse;
mod verify;
mod watched;
mod wire;

pub use config::{ConfigError, Expected, HTTP, Pins, TlsClient, client_config, server_config};
pub use error::{HandshakeFailed, alert_of};
pub use examine::{examine, examine_server};
pub use first::begins_with_tls;
pub use handshake::{Session, TlsStream, accept, connect};
pub use part::part;
pub use provider::provider;
pub use rehearse::{RehearsalError, rehearse};
pub use verify::{Grounds, Trust};
pub use watched::{presenting, watched_client};
pub use wire::Wire;
