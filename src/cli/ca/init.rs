//! `myelin ca init`: makes an authority.

use super::{Bad, console};
use crate::certs::embedded::Authority;
use crate::clock::rfc3339;
use crate::identity::TrustDomain;

/// Longest `--name`, in bytes: eight digits follow it, and a common name has 64 (X.520).
const LONGEST_NAME: usize = 50;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    /// The trust domain of all SPIFFE IDs that it will issue
    #[arg(long, value_name = "DOMAIN", value_parser = TrustDomain::parse)]
    trust_domain: TrustDomain,
    /// What the root's common name begins with
    #[arg(long, value_name = "NAME", default_value = "Myelin root", value_parser = name)]
    name: String,
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || " .,-_'()/:+".contains(c);
    match text.len() {
        1..=LONGEST_NAME if text.chars().all(fits) => Ok(text.to_owned()),
        _ => Err(format!("1 to {LONGEST_NAME} letters, digits, spaces and marks are wanted")),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let Arguments { place, trust_domain, name } = arguments;
    let authority = Authority::create(&place.dir, trust_domain, Some(name))?;
    let dir = place.dir.display();
    console::line(&format!("{dir}: the authority of {trust_domain}"));
    console::line(&format!("trust bundle: {}", place.dir.join("root.crt").display()));
    console::line(&format!("sha256:       {}", authority.fingerprint()));
    console::line(&format!("valid until:  {}", rfc3339(authority.root_not_after())));
    console::line(&format!(
        "\nGive the trust bundle to all peers. Keep a copy of {dir}; root.key is needed once a year, \
         and may be kept elsewhere until then."
    ));
    Ok(())
}
