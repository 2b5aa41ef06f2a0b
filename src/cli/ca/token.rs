//! `myelin ca token`: makes a join token.

use std::time::Duration;

use super::{Bad, console};
use crate::clock::rfc3339;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    #[command(flatten)]
    names: super::Names,
    /// How long the token may be used
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = super::ttl)]
    ttl: Duration,
    /// The lifetime of the certificates that it is exchanged for, and of those after them
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = super::ttl)]
    cert_ttl: Duration,
}

/// Standard output gets the token and nothing else: it can go into a file.
pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let authority = arguments.place.open()?;
    let grant = arguments.names.grant(authority.trust_domain(), arguments.cert_ttl)?;
    let token = authority.make_token(&grant, arguments.ttl)?;
    console::error(&format!(
        "token {} for {grant}: may be used once, until {}; it is not shown again",
        token.id,
        rfc3339(token.expires)
    ));
    console::line(&token.text);
    Ok(())
}
