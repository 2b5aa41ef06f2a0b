//! The one cryptographic provider, cut down to the configured profile.

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::config::{Profile, TlsSettings};

/// What `settings` leave of the provider: key exchange and signatures by AWS-LC, record encryption by
/// whichever AES-GCM is faster on this CPU.
pub fn provider(settings: &TlsSettings) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if ring_is_faster() {
        provider.cipher_suites = ring::DEFAULT_CIPHER_SUITES.to_vec();
    }
    provider.cipher_suites.retain(|suite| in_profile(settings.profile, suite));
    if !settings.cipher_suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            let name = format!("{:?}", suite.suite());
            settings.cipher_suites.contains(&name)
        });
    }
    if settings.profile == Profile::Nist {
        // SP 800-52r2, 3.3.1 lists P-256 and P-384; the hybrid is approved because ML-KEM is (FIPS 203).
        provider.kx_groups.retain(|group| group.name() != NamedGroup::X25519);
    }
    provider
}

/// TLS 1.3 alone.
const MODERN: &[&SupportedProtocolVersion] = &[&version::TLS13];
/// TLS 1.3 and 1.2.
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// The versions of `profile`.
pub(super) fn versions(profile: Profile) -> &'static [&'static SupportedProtocolVersion] {
    match profile {
        Profile::Modern => MODERN,
        Profile::Nist | Profile::Compatible => BOTH,
    }
}

fn in_profile(profile: Profile, suite: &SupportedCipherSuite) -> bool {
    let tls13 = suite.tls13().is_some();
    let chacha = format!("{:?}", suite.suite()).contains("CHACHA20");
    match profile {
        Profile::Nist => !chacha,
        Profile::Modern => tls13,
        Profile::Compatible => true,
    }
}

/// AWS-LC has a vector AES-GCM for AVX-512 alone, ring has one for AVX2: 1.5 times as fast without
/// AVX-512.
#[cfg(target_arch = "x86_64")]
fn ring_is_faster() -> bool {
    std::is_x86_feature_detected!("avx2") && !std::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn ring_is_faster() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CrlExpired;

    fn names(settings: &TlsSettings) -> (Vec<String>, Vec<String>) {
        let provider = provider(settings);
        (
            provider.cipher_suites.iter().map(|s| format!("{:?}", s.suite())).collect(),
            provider.kx_groups.iter().map(|g| format!("{:?}", g.name())).collect(),
        )
    }

    #[test]
    fn nist_offers_aes_gcm_and_approved_groups_only() {
        let (suites, groups) = names(&TlsSettings {
            profile: Profile::Nist,
            cipher_suites: Vec::new(),
            crl_expired: CrlExpired::Refuse,
        });

        assert!(suites.iter().all(|suite| suite.contains("GCM")), "{suites:?}");
        assert_eq!(suites.len(), 6);
        assert_eq!(groups, ["X25519MLKEM768", "secp256r1", "secp384r1"]);
    }

    #[test]
    fn modern_offers_tls_1_3_only() {
        let (suites, _) = names(&TlsSettings {
            profile: Profile::Modern,
            cipher_suites: Vec::new(),
            crl_expired: CrlExpired::Refuse,
        });

        assert!(suites.iter().all(|suite| suite.starts_with("TLS13_")), "{suites:?}");
    }

    #[test]
    fn named_suites_narrow_the_profile() {
        let (suites, _) = names(&TlsSettings {
            profile: Profile::Nist,
            cipher_suites: vec!["TLS13_AES_256_GCM_SHA384".into()],
            crl_expired: CrlExpired::Refuse,
        });

        assert_eq!(suites, ["TLS13_AES_256_GCM_SHA384"]);
    }
}
