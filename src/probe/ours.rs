//! Our own certificate, with the server's eyes.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::seen::{Named, Ours, Outcome, Shaken, Stage};
use super::watch::Chosen;
use super::{Question, anatomy};
use crate::identity::{PeerCertificate, Subject};

/// What the server sees of us; `None` when it did not ask.
pub(super) fn seen_by_server(
    question: &Question,
    shaken: Option<&Shaken>,
    chosen: Option<Chosen>,
) -> Option<Ours> {
    let shaken = shaken?;
    let asked = shaken.asked.as_ref()?;
    let Some(chosen) = chosen.filter(|_| question.material.is_some()) else {
        let named = if asked.count == 0 { Named::NoneNamed } else { Named::Others };
        return Some(Ours {
            certificate: None,
            named,
            for_clients: false,
            verifiable: false,
            shown: false,
        });
    };
    let leaf = chosen.chain.first()?;
    let usage = PeerCertificate::parse(leaf).ok()?.usage;
    let (certificate, _outdated) = anatomy::read(leaf)?;
    Some(Ours {
        certificate: Some(certificate),
        named: named(&chosen),
        for_clients: usage.client_auth || !usage.names_purpose || usage.any_purpose,
        verifiable: chosen.verifiable,
        shown: chosen.verifiable && was_shown(&shaken.outcome),
    })
}

/// Whether the handshake came as far as our certificate.
fn was_shown(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Established => true,
        Outcome::Alert { stage, .. }
        | Outcome::Closed { stage }
        | Outcome::Reset { stage }
        | Outcome::Silent { stage } => *stage == Stage::Certificates,
        Outcome::ServerRefused
        | Outcome::Version
        | Outcome::Suite { .. }
        | Outcome::NoExtendedMasterSecret
        | Outcome::NotTls { .. }
        | Outcome::Protocol { .. } => false,
    }
}

/// Whether one of the authorities that the server named signed our leaf or one of its chain
/// (RFC 8446, 4.2.4).
fn named(chosen: &Chosen) -> Named {
    if chosen.authorities.is_empty() {
        return Named::NoneNamed;
    }
    let ours: Vec<Vec<u8>> = chosen.chain.iter().filter_map(issuer).collect();
    let found = chosen.authorities.iter().find(|authority| ours.contains(authority));
    match found.and_then(|der| X509Name::from_der(der).ok()) {
        Some((_, name)) => Named::Ours { authority: Subject::of(&name).text },
        None => Named::Others,
    }
}

fn issuer(der: &CertificateDer<'static>) -> Option<Vec<u8>> {
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    Some(x509.issuer().as_raw().to_vec())
}
