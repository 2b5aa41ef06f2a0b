//! What is wrong with a file, in words that say the mend.

use std::fmt;
use std::io;
use std::path::Path;

/// A file that cannot be used: which, what is wrong with it, and the mend.
///
/// Never quotes the file: any of these files may turn out to hold a key.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct FileError {
    text: String,
    #[source]
    cause: Option<io::Error>,
}

/// What a file should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Our certificate and its intermediates.
    Certificate,
    /// Its private key.
    Key,
    /// Certificates of authorities.
    TrustBundle,
    /// Revocation lists.
    RevocationList,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum FileProblem {
    /// It is not there.
    Missing,
    /// It is a directory.
    Directory,
    /// It is a pipe, a socket or a device.
    NotRegular,
    /// The system does not let us read it.
    Unreadable(io::Error),
    /// It has more bytes than this.
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// It has no bytes but white space.
    Empty,
    /// It is text in UTF-16.
    Utf16,
    /// It is the right thing or another, in DER.
    Der(Held),
    /// It is PEM, and holds this instead.
    Holds(Held),
    /// It is neither PEM nor DER.
    NoPem,
    /// Its line breaks were lost.
    OneLine,
    /// A section of it has no end, or is not in base64.
    Damaged,
    /// The key is encrypted.
    Encrypted,
    /// A certificate in it cannot be parsed.
    BadCertificate {
        /// Which, from 1.
        number: usize,
    },
    /// More than one key.
    SeveralKeys(usize),
    /// A key of a kind, size or curve that we cannot use.
    UnsupportedKey,
}

/// What a file was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// A certificate.
    Certificate,
    /// A certificate in OpenSSL's own form.
    TrustedCertificate,
    /// A certificate request.
    Request,
    /// A private key.
    Key,
    /// A private key in OpenSSH's form.
    OpenSshKey,
    /// A public key.
    PublicKey,
    /// A revocation list.
    RevocationList,
    /// Parameters of a key.
    Parameters,
    /// PKCS #7.
    Pkcs7,
    /// PKCS #12.
    Pkcs12,
    /// Something that we have no name for.
    Unknown,
}

impl FileError {
    pub(super) fn new(path: &Path, wanted: Wanted, problem: FileProblem) -> Self {
        let text = format!("{}: {}", path.display(), problem.text(path, wanted));
        let cause = match problem {
            FileProblem::Unreadable(error) => Some(error),
            _ => None,
        };
        Self { text, cause }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate",
            Self::Key => "a private key",
            Self::TrustBundle => "certificates of authorities",
            Self::RevocationList => "a revocation list",
        })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate",
            Self::TrustedCertificate => "a certificate in OpenSSL's own form",
            Self::Request => "a certificate request",
            Self::Key => "a private key",
            Self::OpenSshKey => "an OpenSSH key",
            Self::PublicKey => "a public key",
            Self::RevocationList => "a revocation list",
            Self::Parameters => "key parameters",
            Self::Pkcs7 => "a PKCS #7 bundle",
            Self::Pkcs12 => "a PKCS #12 store",
            Self::Unknown => "something else",
        })
    }
}

impl FileProblem {
    fn text(&self, path: &Path, wanted: Wanted) -> String {
        let path = path.display();
        match self {
            Self::Missing => format!("no such file; wanted: {wanted}"),
            Self::Directory => format!("is a directory; wanted: {wanted}"),
            Self::NotRegular => format!("is no regular file; wanted: {wanted}"),
            Self::Unreadable(_) => "cannot be read".to_owned(),
            Self::TooLarge { limit } => format!("is larger than {} MiB", limit >> 20),
            Self::Empty => format!("is empty; wanted: {wanted}"),
            Self::Utf16 => "is text in UTF-16: save it as ASCII or UTF-8".to_owned(),
            Self::Der(held) => format!("holds {held} in DER, not PEM{}", from_der(*held, &path)),
            Self::Holds(held) => format!("holds {held}, not {wanted}{}", instead(*held, &path)),
            Self::NoPem => format!("has no {} section", section(wanted)),
            Self::OneLine => {
                "is damaged: its line breaks were lost, -----BEGIN …----- must stand on a line of \
                 its own"
                    .to_owned()
            }
            Self::Damaged => {
                "is damaged: a section has no -----END …----- line or is not in base64".to_owned()
            }
            Self::Encrypted => format!(
                "holds an encrypted key, which is not supported in this release: decrypt it with \
                 `openssl pkey -in {path} -out NEW`"
            ),
            Self::BadCertificate { number } => {
                format!("certificate {number} in it cannot be parsed")
            }
            Self::SeveralKeys(keys) => format!("holds {keys} private keys; wanted: one"),
            Self::UnsupportedKey => "holds a private key that is not supported: RSA of 2048 to \
                                     8192 bits, P-256, P-384, P-521 and Ed25519 are"
                .to_owned(),
        }
    }
}

fn section(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Certificate | Wanted::TrustBundle => "CERTIFICATE",
        Wanted::Key => "PRIVATE KEY",
        Wanted::RevocationList => "X509 CRL",
    }
}

fn from_der(held: Held, path: &dyn fmt::Display) -> String {
    let command = match held {
        Held::Certificate => "x509",
        Held::RevocationList => "crl",
        Held::Key => "pkey",
        Held::Pkcs12 => return format!(": convert it with `openssl pkcs12 -in {path} -nodes`"),
        _ => return String::new(),
    };
    format!(": convert it with `openssl {command} -inform DER -in {path} -out NEW`")
}

fn instead(held: Held, path: &dyn fmt::Display) -> String {
    match held {
        Held::Request => ": have an authority sign it".to_owned(),
        Held::TrustedCertificate => format!(": convert it with `openssl x509 -in {path} -out NEW`"),
        Held::Pkcs7 => {
            format!(": convert it with `openssl pkcs7 -print_certs -in {path} -out NEW`")
        }
        Held::OpenSshKey => {
            format!(": convert a copy of it with `ssh-keygen -p -m PKCS8 -f {path}`")
        }
        _ => String::new(),
    }
}
