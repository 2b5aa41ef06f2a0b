//! What is wrong with a file, in words that say the mend.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be used: which, what is wrong with it, and the mend.
///
/// Never quotes the file: any of these files may turn out to hold a key.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct FileError {
    text: String,
    #[source]
    cause: Option<io::Error>,
    may_pass: bool,
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
    /// A certificate and its key in one PKCS #12 store.
    Store,
    /// What a key is encrypted with.
    Passphrase,
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
    /// The key is encrypted as OpenSSL once did it.
    OldEncryption,
    /// The key is encrypted, and no passphrase is configured.
    NoPassphrase,
    /// The passphrase does not open it.
    WrongPassphrase {
        /// In which file it is.
        passphrase: PathBuf,
        /// Whether it is text in UTF-8.
        is_text: bool,
    },
    /// It is protected by something that we do not have, as a text.
    UnsupportedEncryption(String),
    /// Decrypting it takes more work than anybody needs.
    TooCostly,
    /// An encrypted key or a store that is not in the form it should have.
    BadContainer,
    /// A store without a certificate.
    NoCertificate,
    /// A certificate in it cannot be parsed.
    BadCertificate {
        /// Which, from 1.
        number: usize,
    },
    /// More than one key.
    SeveralKeys(usize),
    /// An RSA key that is too small.
    SmallRsa {
        /// Its length.
        bits: usize,
    },
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
        let may_pass = problem.may_pass();
        let cause = match problem {
            FileProblem::Unreadable(error) => Some(error),
            _ => None,
        };
        Self { text, cause, may_pass }
    }

    /// Whether it may be caught in the middle of being replaced.
    pub(in crate::certs) fn may_pass(&self) -> bool {
        self.may_pass
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate",
            Self::Key => "a private key",
            Self::TrustBundle => "certificates of authorities",
            Self::RevocationList => "a revocation list",
            Self::Store => "a PKCS #12 store",
            Self::Passphrase => "a passphrase",
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
            Self::Der(held) if wanted == Wanted::Store => {
                format!("holds {held} in DER, not {wanted}")
            }
            Self::Holds(held) if wanted == Wanted::Store => {
                format!("holds {held} in PEM, not {wanted}: name it as `cert` and `key`")
            }
            Self::Der(held) => format!("holds {held} in DER, not PEM{}", from_der(*held, &path)),
            Self::Holds(held) => format!("holds {held}, not {wanted}{}", instead(*held, &path)),
            Self::NoPem if wanted == Wanted::Store => "is no PKCS #12 store".to_owned(),
            Self::NoPem => format!("has no {} section", section(wanted)),
            Self::OneLine => {
                "is damaged: its line breaks were lost, -----BEGIN …----- must stand on a line of \
                 its own"
                    .to_owned()
            }
            Self::Damaged => {
                "is damaged: a section has no -----END …----- line or is not in base64".to_owned()
            }
            Self::OldEncryption
            | Self::NoPassphrase
            | Self::WrongPassphrase { .. }
            | Self::UnsupportedEncryption(_)
            | Self::TooCostly
            | Self::BadContainer => self.locked(&path, wanted),
            Self::NoCertificate => "holds a private key without a certificate".to_owned(),
            Self::BadCertificate { number } => {
                format!("certificate {number} in it cannot be parsed")
            }
            Self::SmallRsa { bits } => format!(
                "holds an RSA key of {bits} bits; at least 2048 are needed: have a certificate made \
                 for a new one, `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out NEW`"
            ),
            Self::SeveralKeys(0) => "holds no private key".to_owned(),
            Self::SeveralKeys(keys) => format!("holds {keys} private keys; wanted: one"),
            Self::UnsupportedKey => "holds a private key that is not supported: RSA of 2048 to \
                                     8192 bits, P-256, P-384, P-521 and Ed25519 are"
                .to_owned(),
        }
    }
}

impl FileProblem {
    /// What keeps a key from us that is there.
    fn locked(&self, path: &dyn fmt::Display, wanted: Wanted) -> String {
        let anew = if wanted == Wanted::Store {
            format!(
                "make it anew with `openssl pkcs12 -legacy -in {path} -nodes -out PEM` and `openssl \
                 pkcs12 -export -in PEM -out NEW`"
            )
        } else {
            format!("make it anew with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in {path} -out NEW`")
        };
        match self {
            Self::OldEncryption => {
                format!("holds a key that is encrypted in OpenSSL's old form: {anew}")
            }
            Self::NoPassphrase if wanted == Wanted::Store => {
                "needs a passphrase: name the file that holds it as `passphrase_file`".to_owned()
            }
            Self::NoPassphrase => format!(
                "holds an encrypted key: name the file that holds its passphrase as \
                 `passphrase_file`, or decrypt it with `openssl pkey -in {path} -out NEW`"
            ),
            Self::WrongPassphrase { passphrase, is_text: true } => format!(
                "cannot be decrypted with the passphrase in {}: it is not the right one, or the file \
                 is damaged",
                passphrase.display()
            ),
            Self::WrongPassphrase { passphrase, is_text: false } => format!(
                "cannot be decrypted with the passphrase in {}, which is not in UTF-8",
                passphrase.display()
            ),
            Self::UnsupportedEncryption(what) => {
                format!("is protected by {what}, which is not supported: {anew}")
            }
            Self::TooCostly => {
                format!("asks for more rounds or memory to decrypt it than is sensible: {anew}")
            }
            _ => format!("is damaged, or not in DER: if other programs can read it, {anew}"),
        }
    }

    /// Whether it may be caught in the middle of being replaced, so that another look is worth while.
    fn may_pass(&self) -> bool {
        match self {
            Self::Missing
            | Self::Unreadable(_)
            | Self::Empty
            | Self::NoPem
            | Self::Damaged
            | Self::OneLine
            | Self::NoPassphrase
            | Self::WrongPassphrase { .. }
            | Self::BadContainer
            | Self::BadCertificate { .. } => true,
            Self::Directory
            | Self::NotRegular
            | Self::TooLarge { .. }
            | Self::Utf16
            | Self::Der(_)
            | Self::Holds(_)
            | Self::OldEncryption
            | Self::UnsupportedEncryption(_)
            | Self::TooCostly
            | Self::NoCertificate
            | Self::SmallRsa { .. }
            | Self::SeveralKeys(_)
            | Self::UnsupportedKey => false,
        }
    }
}

fn section(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Certificate | Wanted::TrustBundle => "CERTIFICATE",
        Wanted::Key | Wanted::Store | Wanted::Passphrase => "PRIVATE KEY",
        Wanted::RevocationList => "X509 CRL",
    }
}

fn from_der(held: Held, path: &dyn fmt::Display) -> String {
    let command = match held {
        Held::Certificate => "x509",
        Held::RevocationList => "crl",
        Held::Key => "pkey",
        Held::Pkcs7 => {
            return format!(
                ": convert it with `openssl pkcs7 -inform DER -print_certs -in {path} -out NEW`"
            );
        }
        Held::Pkcs12 => {
            return format!(
                ": name it as `pkcs12`, or convert it with `openssl pkcs12 -in {path} -nodes`"
            );
        }
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
