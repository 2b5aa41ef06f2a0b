//! Verifies our own chain with the code by which peers verify it.

use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use time::OffsetDateTime;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::pair::Pair;
use super::{Needs, Offered, Unfit};
use crate::clock::rfc3339;
use crate::identity::PeerCertificate;
use crate::report::Report;

/// Verifies the chain of `pair` for each use that is needed; the first failure is told.
pub(super) fn verify(
    pair: &Pair<'_>,
    offered: &Offered,
    facts: &PeerCertificate,
    needs: Needs,
    now: OffsetDateTime,
) -> Option<Unfit> {
    let mut usages = Vec::new();
    if needs.server && (facts.usage.server_auth || !facts.usage.names_purpose) {
        usages.push(KeyUsage::server_auth());
    }
    if needs.client && (facts.usage.client_auth || !facts.usage.names_purpose) {
        usages.push(KeyUsage::client_auth());
    }
    let anchors = match offered.trusted.vouching_for(facts.spiffe.as_ref()) {
        Ok(anchors) => anchors,
        Err(error) => {
            let what = error.to_string();
            let (at, trust_bundle) = (pair.at.clone(), offered.origin.trust_bundle.clone());
            return Some(Unfit::Chain { at, trust_bundle, what });
        }
    };
    usages.into_iter().find_map(|usage| {
        let error = verify_for(pair.chain, offered, anchors, usage, now).err()?;
        let at = pair.at.clone();
        Some(match error {
            webpki::Error::CertRevoked => Unfit::Revoked { at, issuer: facts.issuer.clone() },
            webpki::Error::UnknownIssuer => Unfit::Chain {
                at,
                trust_bundle: offered.origin.trust_bundle.clone(),
                what: format!(
                    "its issuer, {}, is not in it: put missing intermediates behind the leaf, or \
                     the authority into the bundle",
                    facts.issuer
                ),
            },
            error => Unfit::Chain {
                at,
                trust_bundle: offered.origin.trust_bundle.clone(),
                what: reason(&error),
            },
        })
    })
}

fn verify_for(
    chain: &[CertificateDer<'static>],
    offered: &Offered,
    anchors: &[CertificateDer<'static>],
    usage: KeyUsage,
    now: OffsetDateTime,
) -> Result<(), webpki::Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(webpki::Error::BadDer)?;
    let leaf = EndEntityCert::try_from(leaf)?;
    let anchors: Vec<TrustAnchor<'_>> =
        anchors.iter().map(webpki::anchor_from_trusted_cert).collect::<Result<_, _>>()?;
    let now = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    // Lists that cannot be used are told on their own.
    let lists: Vec<CertRevocationList<'_>> = offered
        .trusted
        .crls
        .iter()
        .filter_map(|crl| BorrowedCertRevocationList::from_der(crl).ok())
        .map(CertRevocationList::from)
        .collect();
    let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
        options
            .with_depth(RevocationCheckDepth::EndEntity)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .build()
    });
    leaf.verify_for_usage(
        aws_lc_rs::default_provider().signature_verification_algorithms.all,
        &anchors,
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(now)),
        usage,
        revocation,
        None,
    )?;
    Ok(())
}

/// The first certificate of a trust bundle that cannot be a trust anchor.
pub(super) fn unusable_anchor(offered: &Offered) -> Option<Unfit> {
    offered.bundles().find_map(|(at, bundle)| {
        let unusable = bundle.iter().enumerate();
        let mut unusable = unusable.filter_map(|(index, der)| Some((index, refused(der)?)));
        let (index, what) = unusable.next()?;
        Some(Unfit::Authority { at, number: index + 1, what })
    })
}

/// Why a certificate cannot be a trust anchor, if it cannot.
pub(in crate::certs) fn refused(der: &CertificateDer<'_>) -> Option<String> {
    if let Err(error) = webpki::anchor_from_trusted_cert(der) {
        return Some(reason(&error));
    }
    PeerCertificate::parse(der).err().map(|error| Report(&error).to_string())
}

/// webpki's reasons in words.
pub(super) fn reason(error: &webpki::Error) -> String {
    use webpki::Error;
    let text = match error {
        Error::CertExpired { not_after, .. } => {
            return format!("a certificate of the chain expired at {}", at(*not_after));
        }
        Error::CertNotValidYet { not_before, .. } => {
            return format!("a certificate of the chain is not valid before {}", at(*not_before));
        }
        Error::InvalidSignatureForPublicKey => {
            "a signature does not hold: was the authority made anew under its old name?"
        }
        Error::InvalidCrlSignatureForPublicKey => "the revocation list's signature does not hold",
        Error::CaUsedAsEndEntity => "the leaf is an authority's certificate",
        Error::EndEntityUsedAsCa => "an intermediate is no authority's certificate",
        Error::NameConstraintViolation => "an authority's name constraints do not allow its names",
        Error::PathLenConstraintViolated => "an authority's path length does not allow the chain",
        Error::MaximumPathDepthExceeded => {
            "it is longer than peers follow (6 intermediates): leave out what is not needed"
        }
        Error::MaximumSignatureChecksExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            "it takes more work than peers do: leave out certificates that are not needed"
        }
        Error::UnsupportedCriticalExtension => "it has a critical extension that is not supported",
        Error::UnsupportedCertVersion => "a certificate is not of version 3",
        Error::UnsupportedDeltaCrl => "delta lists are not supported",
        Error::UnsupportedIndirectCrl => "indirect lists are not supported",
        Error::UnsupportedCrlVersion => "only version 2 lists are supported",
        Error::IssuerNotCrlSigner => "its issuer's key usage does not allow it to sign lists",
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
        | Error::UnsupportedCrlSignatureAlgorithmContext(_)
        | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
            "it is signed with an algorithm that is not supported (SHA-1, perhaps)"
        }
        other => return format!("{other:?}"),
    };
    text.to_owned()
}

fn at(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .map_or_else(|| "an unknown time".to_owned(), rfc3339)
}
