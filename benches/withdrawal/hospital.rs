//! Authorities and certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

pub(crate) struct Authority {
    key: KeyPair,
    params: CertificateParams,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Leaf {
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

impl Authority {
    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    pub(crate) fn new(name: &str) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), Self::params(name));
        let certificate = params.self_signed(&key).unwrap();
        Self { key, params, certificate }
    }

    fn below(name: &str, root: &Self) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), Self::params(name));
        let issuer = Issuer::from_params(&root.params, &root.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self { key, params, certificate }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// A certificate of the service `name`.
    pub(crate) fn issue(&self, name: &str) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::URI(format!("spiffe://bench.test/{name}").try_into().unwrap()),
            SanType::DnsName(name.try_into().unwrap()),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = OffsetDateTime::now_utc() - Duration::HOUR;
        params.not_after = OffsetDateTime::now_utc() + Duration::DAY;
        let issuer = Issuer::from_params(&self.params, &self.key);
        Leaf { certificate: params.signed_by(&key, &issuer).unwrap(), key }
    }

    fn list(&self) -> CertificateRevocationListDer<'static> {
        let params = CertificateRevocationListParams {
            this_update: OffsetDateTime::now_utc() - Duration::HOUR,
            next_update: OffsetDateTime::now_utc() + Duration::DAY,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(&issuer).unwrap().der().clone()
    }
}

/// A root, and an authority below it.
pub(crate) struct Hospital {
    root: Authority,
    below: Authority,
}

impl Hospital {
    pub(crate) fn new() -> Self {
        let root = Authority::new("Hospital CA");
        let below = Authority::below("Ward CA", &root);
        Self { root, below }
    }

    pub(crate) fn bundle(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.der()]
    }

    pub(crate) fn lists(&self) -> Vec<CertificateRevocationListDer<'static>> {
        vec![self.root.list(), self.below.list()]
    }

    pub(crate) fn direct(&self) -> Vec<CertificateDer<'static>> {
        self.root.issue("billing").chain()
    }

    pub(crate) fn by_intermediate(&self) -> Vec<CertificateDer<'static>> {
        let mut chain = self.below.issue("billing").chain();
        chain.push(self.below.der());
        chain
    }
}
