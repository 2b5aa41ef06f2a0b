//! `myelin ca revoke`: revokes certificates.

use std::path::PathBuf;

use super::{Bad, console};
use crate::certs::embedded::{AuthorityError, Reason, Serial};
use crate::cli::chain;
use crate::identity::SpiffeId;
use crate::report::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    #[command(flatten)]
    which: Which,
    /// Why: unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or
    /// privilege-withdrawn
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    reason: Reason,
    /// Not what was had by renewing the certificate; who has its key by theft may have renewed it
    #[arg(long, conflicts_with = "spiffe")]
    only: bool,
}

/// Which certificates.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The certificate with this serial number, in hexadecimal
    serial: Option<Serial>,
    /// All certificates of this SPIFFE ID that are valid
    #[arg(long, value_name = "URI", value_parser = spiffe)]
    spiffe: Option<SpiffeId>,
    /// The first certificate in this PEM file
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
}

fn spiffe(text: &str) -> Result<SpiffeId, String> {
    SpiffeId::parse(text).map_err(|error| Report(&error).to_string())
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let certificate = match &arguments.which.cert {
        Some(path) => chain::read(path).map_err(Bad::Argument)?.into_iter().next(),
        None => None,
    };
    let mut authority = arguments.place.open()?;
    let reason = arguments.reason;
    let done = match (&arguments.which, &certificate) {
        (Which { serial: Some(serial), .. }, _) if arguments.only => {
            authority.revoke(serial, reason).map(|record| vec![record.serial])
        }
        (Which { serial: Some(serial), .. }, _) => authority.revoke_with_renewals(serial, reason),
        (Which { spiffe: Some(spiffe), .. }, _) => authority
            .revoke_all_of(spiffe, reason)
            .map(|records| records.into_iter().map(|record| record.serial).collect()),
        (_, Some(der)) if arguments.only => {
            authority.revoke_certificate(der, reason).map(|serial| vec![serial])
        }
        (_, Some(der)) => authority.revoke_certificate_with_renewals(der, reason),
        (_, None) => return Err(Bad::Argument("no certificate is named".to_owned())),
    };
    match done {
        Ok(serials) => {
            serials.iter().for_each(|serial| console::line(&format!("{serial}: revoked")));
            if serials.len() > 1 {
                let along = match arguments.which.spiffe {
                    Some(_) => "",
                    None => ", along with what was had by renewing it",
                };
                console::line(&format!("{} certificates in all{along}", serials.len()));
            }
            let list = arguments.place.dir.join("ca.crl");
            console::line(&format!(
                "{}: the new list; sidecars of this directory take it by themselves",
                list.display()
            ));
            Ok(())
        }
        // What was wanted is the case: commands are repeated.
        Err(AuthorityError::AlreadyRevoked { what }) => {
            console::line(&format!("{what}: was revoked before"));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
