//! Where key material comes from, as configured.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use crate::identity::Fingerprint;

/// Exactly one source of key material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// An authority in a directory of its own.
    Embedded(Embedded),
    /// Files that someone else puts there.
    Files(Files),
    /// An EST server (RFC 7030).
    Est(Est),
    /// The PKI of OpenBao or Vault.
    Vault(Box<Vault>),
    /// The SPIFFE Workload API.
    Spiffe(Spiffe),
}

/// The kind of a key that we make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
}

/// `identity.embedded`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// The directory. Made with mode 0700 if it is not there.
    pub dir: PathBuf,
    /// A leaf's lifetime; renewed at two thirds of it. At least 1 minute. Default 24 h.
    pub ttl: Duration,
    /// One certificate of each kind, the preferred first; a peer gets the first that it can verify.
    /// Never empty. Default P-256.
    pub key_types: Vec<KeyType>,
}

/// `identity.files`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// What we present if the peer can verify it.
    pub pair: PairFiles,
    /// What we present to peers that cannot verify the first, in this order.
    pub others: Vec<PairFiles>,
    /// The certificates of the authorities that peers may come from.
    pub trust_bundle: PathBuf,
    /// Revocation lists. Empty: revocation is not checked.
    pub crls: Vec<PathBuf>,
}

/// A certificate with its intermediates, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// In which files.
    pub form: PairForm,
    /// What the key is encrypted with: the file's first line. `None`: it is not.
    pub passphrase_file: Option<PathBuf>,
}

/// In which files a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairForm {
    /// PEM.
    Pem {
        /// The certificate and its intermediates, leaf first.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// PKCS#12 (RFC 7292), both in one.
    Pkcs12(PathBuf),
}

/// `identity.est`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Est {
    /// The server's base: `https://HOST[:PORT]/.well-known/est[/LABEL]`.
    pub url: Uri,
    /// How the server is known.
    pub trust: EstTrust,
    /// What the first enrolment authenticates with; `None` if `dir` already holds a certificate.
    pub token_file: Option<PathBuf>,
    /// The user name beside the token (HTTP Basic, RFC 7617). Default: the service.
    pub username: Option<String>,
    /// Where certificate and key are kept between starts, mode 0600.
    /// Default `/var/lib/myelin/identity`.
    pub dir: PathBuf,
    /// One certificate of each kind, the preferred first. Never empty. Default P-256.
    pub key_types: Vec<KeyType>,
    /// Where revocation lists are published, by `http` or `https`; they are signed. Default none.
    pub crl_urls: Vec<Uri>,
}

/// How an EST server is known before we have a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EstTrust {
    /// By a chain to one of these authorities, PEM.
    Bundle(PathBuf),
    /// By a chain to the authority of this fingerprint (SHA-256 of its certificate), which the server
    /// sends along.
    Fingerprint(Fingerprint),
}

/// `identity.vault`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// `https://HOST[:PORT]`; `http://` on loopback only.
    pub address: Uri,
    /// The namespace (`X-Vault-Namespace`).
    pub namespace: Option<String>,
    /// Where the PKI is mounted. Default `pki`.
    pub mount: String,
    /// The PKI role that signs.
    pub role: String,
    /// What the server's own certificate is verified with, PEM. Required for `https`.
    pub trust_bundle: Option<PathBuf>,
    /// How we authenticate.
    pub auth: VaultAuth,
    /// The lifetime asked for. Default: the role's.
    pub ttl: Option<Duration>,
    /// The subject's common name asked for. Default: none.
    pub common_name: Option<String>,
    /// One certificate of each kind, the preferred first. Never empty. Default P-256.
    pub key_types: Vec<KeyType>,
    /// Where the last certificate and key are kept, mode 0600, so that a start succeeds while the
    /// server is away. Default: nowhere.
    pub dir: Option<PathBuf>,
}

/// How we authenticate to OpenBao or Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultAuth {
    /// A token in a file that somebody else renews, as an agent does.
    TokenFile(PathBuf),
    /// AppRole.
    AppRole {
        /// Where it is mounted. Default `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The file with the secret id.
        secret_id_file: PathBuf,
    },
    /// A Kubernetes service account.
    Kubernetes {
        /// Where it is mounted. Default `kubernetes`.
        mount: String,
        /// The role.
        role: String,
        /// The service account's token.
        /// Default `/var/run/secrets/kubernetes.io/serviceaccount/token`.
        token_file: PathBuf,
    },
    /// A TLS certificate.
    Cert {
        /// Where it is mounted. Default `cert`.
        mount: String,
        /// The role to log in with; `None`: whichever the certificate fits.
        role: Option<String>,
        /// The certificate and its intermediates, leaf first, PEM.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// `identity.spiffe`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spiffe {
    /// The Unix socket of the Workload API.
    pub socket: PathBuf,
}
