//! The key material that a configuration asks for, tried out before it is used.

use crate::certs::{Preflight, Supply};
use crate::config::Config;
use crate::identity::SpiffeIdError;
use crate::report::Report;
use crate::tls;

/// What `config` asks for; a handshake with itself is part of its checks.
///
/// # Errors
///
/// Never for a checked configuration: its service is one SPIFFE path segment.
pub fn supply(config: &Config) -> Result<Supply, SpiffeIdError> {
    let settings = config.tls.clone();
    let preflight = Preflight::new(move |material, needs| {
        let rehearsed = tls::rehearse(material, &settings, needs);
        rehearsed.map_err(|error| Report(&error).to_string())
    });
    Ok(Supply::of(config)?.tried_out_by(preflight))
}
