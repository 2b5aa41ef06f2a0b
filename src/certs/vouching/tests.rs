//! What authorities of a trust domain can and cannot vouch for, as the verifier sees it.

use rustls::pki_types::pem::PemObject;
use time::Duration;

use super::*;
use crate::certs::openssl::OpenSsl;
use crate::clock;
use crate::config::{CrlExpired, Profile, TlsSettings};
use crate::outcome::Refusal;
use crate::tls::{self, Pins};

const PURPOSES: &str = "extendedKeyUsage=serverAuth,clientAuth\n";

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

fn certificate(pki: &OpenSsl, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(pki.path(&format!("{name}.crt"))).unwrap()
}

/// Roots of our own trust domain `td` and of two federated ones, `partner` and `third`.
struct Federation {
    pki: OpenSsl,
    trusted: Trusted,
}

impl Federation {
    fn new() -> Self {
        let pki = OpenSsl::new();
        for name in ["td", "partner", "third"] {
            pki.root(name);
        }
        let federated = ["partner", "third"];
        let trusted = Trusted {
            bundle: vec![certificate(&pki, "td")],
            domain: Some(domain("td")),
            federated: federated.map(|name| (domain(name), vec![certificate(&pki, name)])).into(),
            ..Trusted::default()
        };
        Self { pki, trusted }
    }

    /// What becomes of a peer with this alternative name and a certificate signed by `issuer`.
    fn peer(&self, name: &str, issuer: &str) -> Result<(), (Refusal, String)> {
        self.peer_later(name, issuer, Duration::ZERO)
    }

    fn peer_later(
        &self,
        name: &str,
        issuer: &str,
        later: Duration,
    ) -> Result<(), (Refusal, String)> {
        self.pki.leaf("peer", issuer, &format!("{PURPOSES}subjectAltName={name}\n"));
        let chain = [certificate(&self.pki, "peer")];
        let (profile, crl_expired) = (Profile::Nist, CrlExpired::Refuse);
        let settings = TlsSettings { profile, cipher_suites: Vec::new(), crl_expired };
        let now = clock::now() + later;
        let judged = tls::examine(&self.trusted, &settings, &Pins::default(), &chain, now);
        let identity = judged.unwrap().map_err(|failed| (failed.refusal, failed.message))?;
        assert!(identity.to_string().ends_with(name.split_once(':').unwrap().1));
        Ok(())
    }

    fn is_a_stranger(&self, name: &str, issuer: &str) {
        let (refusal, message) = self.peer(name, issuer).unwrap_err();
        assert_eq!(refusal, Refusal::UnknownIssuer, "{name} from {issuer}: {message}");
    }
}

#[test]
fn each_authority_vouches_for_ids_of_its_own_trust_domain() {
    let federation = Federation::new();

    federation.peer("URI:spiffe://td/ehr", "td").unwrap();
    federation.peer("URI:spiffe://partner/lab", "partner").unwrap();
    federation.peer("URI:spiffe://third/pacs", "third").unwrap();
}

#[test]
fn a_federated_authority_cannot_make_itself_our_own_services_or_those_of_a_third() {
    let federation = Federation::new();

    federation.is_a_stranger("URI:spiffe://td/ehr", "partner");
    federation.is_a_stranger("URI:spiffe://third/pacs", "partner");
    federation.is_a_stranger("URI:spiffe://partner/lab", "third");
}

#[test]
fn our_own_authority_cannot_make_services_of_a_federated_trust_domain() {
    Federation::new().is_a_stranger("URI:spiffe://partner/lab", "td");
}

#[test]
fn an_authority_that_bears_the_name_of_another_is_not_taken_for_it() {
    let federation = Federation::new();
    federation.pki.run(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -keyout false.key \
         -out false.crt -subj /O=Hospital/CN=td -addext basicConstraints=critical,CA:TRUE",
    );
    let mut federation = federation;
    let anchor = certificate(&federation.pki, "false");
    federation.trusted.federated.insert(domain("false"), vec![anchor]);

    federation.peer("URI:spiffe://false/x", "false").unwrap();
    federation.is_a_stranger("URI:spiffe://td/ehr", "false");
    federation.is_a_stranger("URI:spiffe://false/x", "td");
}

#[test]
fn a_trust_domain_that_is_not_federated_is_refused_by_name_whoever_signed() {
    let federation = Federation::new();
    let text = "nobody vouches for the certificate's SPIFFE ID: its trust domain, stranger, is not \
                federated with ours, td: whoever manages td must federate it with stranger";

    for issuer in ["td", "partner"] {
        let (refusal, message) = federation.peer("URI:spiffe://stranger/x", issuer).unwrap_err();

        assert_eq!((refusal, message.as_str()), (Refusal::UnknownIssuer, text));
    }
}

#[test]
fn a_trust_domain_whose_bundle_has_become_empty_has_no_peers() {
    let mut federation = Federation::new();
    federation.trusted.federated.insert(domain("partner"), Vec::new());

    federation.is_a_stranger("URI:spiffe://partner/lab", "partner");
    federation.is_a_stranger("URI:spiffe://partner/lab", "td");
}

#[test]
fn a_certificate_without_a_spiffe_id_comes_from_our_own_authorities() {
    let federation = Federation::new();

    federation.peer("DNS:lis.example", "td").unwrap();
    federation.is_a_stranger("DNS:lis.example", "partner");
}

#[test]
fn without_a_trust_domain_of_its_own_the_bundle_vouches_for_all_that_are_not_federated() {
    let mut federation = Federation::new();
    federation.trusted.domain = None;

    federation.peer("URI:spiffe://td/ehr", "td").unwrap();
    federation.peer("URI:spiffe://another/x", "td").unwrap();
    federation.peer("URI:spiffe://partner/lab", "partner").unwrap();
    federation.is_a_stranger("URI:spiffe://partner/lab", "td");
    federation.is_a_stranger("URI:spiffe://td/ehr", "partner");
}

#[test]
fn a_bundle_that_is_federated_under_our_own_name_vouches_for_nobody() {
    let mut federation = Federation::new();
    let partner = vec![certificate(&federation.pki, "partner")];
    federation.trusted.federated.insert(domain("td"), partner);

    federation.peer("URI:spiffe://td/ehr", "td").unwrap();
    federation.is_a_stranger("URI:spiffe://td/ehr", "partner");
}

#[test]
fn a_federated_authority_that_has_ended_vouches_for_nobody() {
    let federation = Federation::new();
    federation.pki.run(
        "req -x509 -key partner.key -days 1 -out partner.crt -subj /O=Hospital/CN=partner \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    let mut federation = federation;
    let short = vec![certificate(&federation.pki, "partner")];
    federation.trusted.federated.insert(domain("partner"), short);

    federation.peer("URI:spiffe://partner/lab", "partner").unwrap();
    let later = Duration::days(2);
    let (refusal, _) =
        federation.peer_later("URI:spiffe://partner/lab", "partner", later).unwrap_err();

    assert_eq!(refusal, Refusal::Expired);
}
