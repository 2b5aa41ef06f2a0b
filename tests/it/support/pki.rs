//! Certificates, good and bad, made anew in every test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// A certificate with its key, in PEM files for other programs.
pub(crate) struct Identity {
    dir: TempDir,
}

impl Identity {
    pub(crate) fn new(chain: &str, key: &str, trust_bundle: &str) -> Self {
        let dir = TempDir::new().unwrap();
        for (name, text) in [("tls.crt", chain), ("tls.key", key), ("ca.crt", trust_bundle)] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let leaf = "-----END CERTIFICATE-----\n";
        let rest = chain.split_once(leaf).map_or("", |(_, rest)| rest);
        std::fs::write(dir.path().join("chain.crt"), rest).unwrap();
        // HAProxy wants both in one file.
        std::fs::write(dir.path().join("both.pem"), format!("{chain}{key}")).unwrap();
        Self { dir }
    }

    /// A certificate that nobody but itself vouches for.
    pub(crate) fn self_signed(adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = leaf("self-signed");
        adjust(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        Self::new(&certificate.pem(), &key.serialize_pem(), &certificate.pem())
    }

    /// The same of somebody who trusts whom `other` trusts.
    pub(crate) fn trusting(&self, other: &Self) -> Self {
        let [chain, key, trust_bundle] = [self.cert(), self.key(), other.trust_bundle()]
            .map(|path| std::fs::read_to_string(path).unwrap());
        Self::new(&chain, &key, &trust_bundle)
    }

    /// What comes after the leaf, if there is anything.
    pub(crate) fn intermediates(&self) -> Option<PathBuf> {
        let path = self.dir.path().join("chain.crt");
        path.metadata().is_ok_and(|file| file.len() > 0).then_some(path)
    }

    /// The chain, leaf first.
    pub(crate) fn cert(&self) -> PathBuf {
        self.dir.path().join("tls.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("tls.key")
    }

    /// Chain and key in one file.
    pub(crate) fn both(&self) -> PathBuf {
        self.dir.path().join("both.pem")
    }

    /// The authority that this identity's maker trusts.
    pub(crate) fn trust_bundle(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        certificates(&self.cert())
    }

    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        self.chain().remove(0)
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.key()).unwrap()
    }

    /// What `pin:` in the configuration is to say.
    pub(crate) fn pin(&self) -> String {
        format!("sha256:{}", sha256(&self.leaf()))
    }

    /// What `spki:` in the configuration is to say.
    pub(crate) fn key_pin(&self) -> String {
        let leaf = self.leaf();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        format!("sha256:{}", sha256(parsed.public_key().raw))
    }

    /// Puts another identity's files in the place of this one's, as whoever renews certificates does.
    pub(crate) fn replace_with(&self, other: &Self) {
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            let new = self.dir.path().join(format!("{name}.new"));
            std::fs::copy(other.dir.path().join(name), &new).unwrap();
            std::fs::rename(new, self.dir.path().join(name)).unwrap();
        }
    }
}

pub(crate) fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}

/// Lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// An authority of which a test knows everything.
pub(crate) struct Ca {
    key: KeyPair,
    params: CertificateParams,
    certificate: rcgen::Certificate,
}

/// A leaf that the authority in this directory of ours has issued, with names that it would never write.
pub(crate) fn issued_in(
    dir: &Path,
    name: &str,
    adjust: impl FnOnce(&mut CertificateParams),
) -> Identity {
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
    let [certificate, key] = ["issuing.crt", "issuing.key"].map(read);
    let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key).unwrap()).unwrap();
    let mut params = leaf(name);
    adjust(&mut params);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap().pem();
    Identity::new(&(leaf + &certificate), &key.serialize_pem(), &read("root.crt"))
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    pub(crate) fn with(name: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(365);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(365);
        adjust(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        Self { key, params, certificate }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(
        &self,
        name: &str,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let below = Self::with(name, adjust);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = below.params.signed_by(&below.key, &issuer).unwrap();
        Self { certificate, ..below }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// A good certificate of the service `name`.
    pub(crate) fn issue(&self, name: &str) -> Identity {
        self.issue_with(name, |_| {})
    }

    /// A certificate of the service `name`, changed by `adjust`.
    pub(crate) fn issue_with(
        &self,
        name: &str,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        self.issue_for(name, &KeyPair::generate().unwrap(), adjust)
    }

    /// The same over this key.
    pub(crate) fn issue_for(
        &self,
        name: &str,
        key: &KeyPair,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = leaf(name);
        adjust(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(key, &issuer).unwrap();
        Identity::new(&certificate.pem(), &key.serialize_pem(), &self.pem())
    }

    /// A revocation list, in PEM, good until `next_update`.
    pub(crate) fn crl(&self, revoked: &[u64], next_update: OffsetDateTime) -> String {
        let before = OffsetDateTime::now_utc() - Duration::days(30);
        let params = CertificateRevocationListParams {
            this_update: before,
            next_update,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: before,
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(&issuer).unwrap().pem().unwrap()
    }
}

/// The URI by which `name` is known in the tests' trust domain.
pub(crate) fn spiffe(name: &str) -> String {
    format!("spiffe://hospital.example/{name}")
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![uri(&spiffe(name)), dns(name)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(1);
    params
}
