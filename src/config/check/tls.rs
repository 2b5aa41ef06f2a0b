//! What is negotiated in TLS.

use crate::config::nearest::nearest;
use crate::config::problem::{Fault, quoted};
use crate::config::read::{Fields, Reader, one};
use crate::config::scalar::choice;
use crate::config::yaml::Node;
use crate::config::{CrlExpired, Profile, TlsSettings, keys};

/// What holds when the file does not say.
pub(super) const DEFAULT: TlsSettings = TlsSettings {
    profile: Profile::Nist,
    cipher_suites: Vec::new(),
    crl_expired: CrlExpired::Refuse,
};

const CRL_EXPIRED: &[(&str, CrlExpired)] =
    &[("refuse", CrlExpired::Refuse), ("warn", CrlExpired::Warn)];

const PROFILES: &[(&str, Profile)] =
    &[("nist", Profile::Nist), ("modern", Profile::Modern), ("compatible", Profile::Compatible)];

/// A cipher suite, by rustls' name, and the profiles that have it.
struct Suite {
    name: &'static str,
    /// Where it differs from rustls'.
    iana: &'static str,
    nist: bool,
    modern: bool,
}

const fn suite(name: &'static str, iana: &'static str, nist: bool, modern: bool) -> Suite {
    Suite { name, iana, nist, modern }
}

/// All that rustls has; `compatible` has every one.
static SUITES: [Suite; 9] = [
    suite("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", true, true),
    suite("TLS13_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", true, true),
    suite("TLS13_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", false, true),
    suite("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "", true, false),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "", true, false),
    suite("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "", false, false),
    suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "", true, false),
    suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "", true, false),
    suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "", false, false),
];

impl Suite {
    fn is_in(&self, profile: Profile) -> bool {
        match profile {
            Profile::Nist => self.nist,
            Profile::Modern => self.modern,
            Profile::Compatible => true,
        }
    }
}

/// `tls`.
pub(super) fn settings(reader: &Reader<'_>, node: &Node) -> Option<TlsSettings> {
    let mut fields = Fields::open(reader, node, &keys::TLS)?;
    let profile = fields.or("profile", DEFAULT.profile, one(choice(PROFILES, &[])));
    let crl_expired = fields.or("crl_expired", DEFAULT.crl_expired, one(choice(CRL_EXPIRED, &[])));
    let fips = fields.or("fips", (), one(choice(&[("off", ())], &["required"])));
    let cipher_suites = fields.or("cipher_suites", Vec::new(), |reader, node| {
        let nothing =
            ("an empty list leaves nothing to negotiate", "remove the key for all suites");
        reader.some(node, |reader, node| suite_in(reader, node, profile), nothing).map(distinct)
    });
    fields.finish();
    fips?;
    Some(TlsSettings {
        profile: profile?,
        cipher_suites: cipher_suites?,
        crl_expired: crl_expired?,
    })
}

/// A cipher suite that is in `profile`, which is `None` when it is wrong itself.
fn suite_in(reader: &Reader<'_>, node: &Node, profile: Option<Profile>) -> Option<&'static str> {
    let suite = reader.located(node, named)?;
    match profile {
        Some(profile) if !suite.value.is_in(profile) => {
            let name = PROFILES.iter().find(|(_, p)| *p == profile).map_or("", |(name, _)| *name);
            let text = format!("{} is not in profile {name}", quoted(&suite.written));
            reader.error(suite.at(), Fault::new(text).hint(
                "the list narrows the profile and never widens it; choose another `profile` for it",
            ));
            None
        }
        _ => Some(suite.value.name),
    }
}

/// The names, each once: a suite has two names, and both may be listed.
fn distinct(names: Vec<&'static str>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.iter().any(|before| before == name) {
            once.push(name.to_owned());
        }
    }
    once
}

fn named(text: &str) -> Result<&'static Suite, Fault> {
    let names = || SUITES.iter().flat_map(|suite| [suite.name, suite.iana]);
    let found =
        SUITES.iter().find(|suite| !text.is_empty() && [suite.name, suite.iana].contains(&text));
    found.ok_or_else(|| {
        let fault = Fault::new("is not a cipher suite that this release has");
        match nearest(text, names().filter(|name| !name.is_empty())) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None => fault.hint("an IANA name like TLS_AES_256_GCM_SHA384; RSA key transport, CBC and SHA-1 are gone"),
        }
    })
}
