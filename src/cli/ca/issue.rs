//! `myelin ca issue`: a certificate for another program.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;

use super::{Bad, console};
use crate::certs::embedded::{Authority, Authorized, Grant, Record};
use crate::cli::put::replace;
use crate::clock::rfc3339;
use crate::config::KeyType;

/// No file with a request is longer, in bytes.
const LONGEST_FILE: u64 = 256 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: super::Place,
    #[command(flatten)]
    names: super::Names,
    /// Its lifetime; no longer than the issuing authority's own
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = super::ttl)]
    ttl: Duration,
    /// Where tls.crt, tls.key and ca.crt are written, in place of those that are there
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// The kind of key to make
    #[arg(long, value_enum, default_value = "p256")]
    key_type: Kind,
    /// Answer this certificate request (PKCS#10; PEM or DER) instead of making a key; it must not ask for
    /// other names
    #[arg(long, value_name = "FILE", conflicts_with = "key_type")]
    csr: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

impl From<Kind> for KeyType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::P256 => Self::P256,
            Kind::P384 => Self::P384,
            Kind::Ed25519 => Self::Ed25519,
            Kind::Rsa2048 => Self::Rsa2048,
            Kind::Rsa3072 => Self::Rsa3072,
            Kind::Rsa4096 => Self::Rsa4096,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Bad> {
    let request = arguments.csr.as_deref().map(read_request).transpose()?;
    let authority = arguments.place.open()?;
    let grant = arguments.names.grant(authority.trust_domain(), arguments.ttl)?;
    let out = &arguments.out;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(out)
        .with_context(|| format!("cannot make {}", out.display()))?;
    let (record, written) = match request {
        Some(der) => answer(&authority, &grant, &der, out)?,
        None => make(&authority, &grant, arguments.key_type.into(), out)?,
    };
    console::line(&format!("{written}: {grant}"));
    console::line(&format!("serial {}, expires {}", record.serial, rfc3339(record.not_after)));
    Ok(())
}

fn answer(
    authority: &Authority,
    grant: &Grant,
    der: &[u8],
    out: &Path,
) -> Result<(Record, String), Bad> {
    let issued = authority.sign_request(der, grant, &Authorized::Local)?;
    Ok((issued.record, put_certificates(authority, &issued.pem, out)?))
}

fn make(
    authority: &Authority,
    grant: &Grant,
    kind: KeyType,
    out: &Path,
) -> Result<(Record, String), Bad> {
    let issued = authority.issue_pem_with(grant, kind)?;
    let key = out.join("tls.key");
    replace(&key, 0o600, issued.key.as_bytes())?;
    let written = put_certificates(authority, &issued.chain, out)?;
    Ok((issued.record, format!("{}, {written}", key.display())))
}

fn put_certificates(authority: &Authority, chain: &str, out: &Path) -> anyhow::Result<String> {
    let (certificate, bundle) = (out.join("tls.crt"), out.join("ca.crt"));
    replace(&bundle, 0o644, authority.trust_bundle_pem())?;
    replace(&certificate, 0o644, chain)?;
    Ok(format!("{}, {}", certificate.display(), bundle.display()))
}

fn read_request(path: &Path) -> Result<Vec<u8>, Bad> {
    let cannot = || format!("cannot read {}", path.display());
    let length = fs::metadata(path).with_context(cannot)?.len();
    if length > LONGEST_FILE {
        return Err(Bad::Argument(format!(
            "{}: has {length} bytes; no certificate request has more than {LONGEST_FILE}",
            path.display()
        )));
    }
    let bytes = fs::read(path).with_context(cannot)?;
    match CertificateSigningRequestDer::from_pem_slice(&bytes) {
        Ok(der) => Ok(der.to_vec()),
        Err(_not_pem) => Ok(bytes),
    }
}
