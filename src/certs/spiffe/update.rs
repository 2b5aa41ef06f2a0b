//! What the agent says we are, and whom to trust, in our own terms.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use spiffe::{X509Bundle, X509Context, X509Svid};

use super::failure::{Failure, at};
use crate::certs::Trusted;
use crate::certs::check::{Offered, Origin, refused};
use crate::certs::source::Occasion;
use crate::identity::{SpiffeId, TrustDomain};

/// One update: the SVID that we take, and whom to trust.
#[derive(Clone)]
pub(super) struct Update {
    id: String,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    trusted: Trusted,
    warnings: Vec<String>,
}

impl Update {
    /// Takes the SVID of `wanted`, or else the agent's default one.
    pub(super) fn of(
        context: &X509Context,
        wanted: &SpiffeId,
        socket: &Path,
    ) -> Result<Self, Failure> {
        let bad = |what: &str| Failure::bad_update(socket, what);
        let svids = context.svids();
        let ours = svids.iter().find(|svid| svid.spiffe_id().to_string() == wanted.as_str());
        let svid = ours.or_else(|| svids.first()).ok_or_else(|| bad("it holds no SVID"))?;
        let id = svid.spiffe_id();
        let domain = trust_domain(id.trust_domain()).map_err(|error| bad(&error))?;
        let mut warnings = Vec::new();
        let mut bundle = Vec::new();
        let mut federated = BTreeMap::new();
        for (of, theirs) in context.bundle_set().iter() {
            let of = trust_domain(of).map_err(|error| bad(&error))?;
            if of == domain {
                bundle = authorities(theirs);
            } else {
                let kept = usable(&of, authorities(theirs), socket, &mut warnings);
                federated.insert(of, kept);
            }
        }
        let key = signing_key(svid).ok_or_else(|| {
            bad(&format!("the key of {id} is of an unsupported kind, or cannot be parsed"))
        })?;
        let chain = svid.cert_chain().iter();
        Ok(Self {
            id: id.to_string(),
            chain: chain.map(|der| der.as_bytes().to_vec().into()).collect(),
            key,
            trusted: Trusted { bundle, domain: Some(domain), federated, ..Trusted::default() },
            warnings,
        })
    }

    /// Whether a peer could not tell the two apart.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.chain == other.chain && self.trusted == other.trusted
    }

    /// The same, offered in the place of what is in use.
    pub(super) fn offered(&self, socket: &Path, occasion: Occasion<'_>) -> Offered {
        let at = at(socket);
        let trusted = self.trusted.clone();
        let mut warnings = self.warnings.clone();
        warnings.extend(lost(&at, occasion, &trusted));
        Offered {
            chain: self.chain.clone(),
            key: Arc::clone(&self.key),
            others: Vec::new(),
            issued: None,
            trusted,
            renewed: false,
            origin: Origin {
                certificate: format!("{at}: SVID {}", self.id),
                key: format!("{at}: key of {}", self.id),
                trust_bundle: format!("{at}: trust bundle"),
                crls: Vec::new(),
                others: Vec::new(),
            },
            warnings,
        }
    }
}

fn trust_domain(name: &spiffe::TrustDomain) -> Result<TrustDomain, String> {
    let name = name.as_str();
    TrustDomain::parse(name).map_err(|error| format!("trust domain {name:?}: {error}"))
}

fn authorities(bundle: &X509Bundle) -> Vec<CertificateDer<'static>> {
    bundle.authorities().iter().map(|der| der.as_bytes().to_vec().into()).collect()
}

/// What of a federated bundle can be an authority. A mistake of theirs must not keep our own
/// certificate from being renewed.
fn usable(
    domain: &TrustDomain,
    bundle: Vec<CertificateDer<'static>>,
    socket: &Path,
    warnings: &mut Vec<String>,
) -> Vec<CertificateDer<'static>> {
    let mut kept = Vec::new();
    for (index, der) in bundle.into_iter().enumerate() {
        match refused(&der) {
            None => kept.push(der),
            Some(what) => warnings.push(format!(
                "{}: trust bundle, federated {domain}: certificate {} is left out: {what}",
                at(socket),
                index + 1
            )),
        }
    }
    if kept.is_empty() {
        warnings.push(format!(
            "{}: trust bundle, federated {domain}: holds no authority: all of {domain} is refused",
            at(socket)
        ));
    }
    kept
}

fn signing_key(svid: &X509Svid) -> Option<Arc<dyn SigningKey>> {
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.private_key().as_bytes()));
    any_supported_type(&der).ok()
}

/// Trust domains that were federated with ours until now. Which authorities are left out is told by the
/// rotation.
fn lost(at: &str, occasion: Occasion<'_>, now: &Trusted) -> Vec<String> {
    let Some(old) = occasion.in_use().map(|material| &material.trusted) else { return Vec::new() };
    let gone = old.federated.keys().filter(|domain| !now.federated.contains_key(*domain));
    gone.map(|domain| {
        format!("{at}: {domain} is no longer federated: its peers are refused from now on")
    })
    .collect()
}
