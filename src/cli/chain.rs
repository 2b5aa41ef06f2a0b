//! A certificate file that an argument names.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

/// More than any chain needs.
const LIMIT: u64 = 1 << 20;
/// Longest label of a PEM section that is repeated.
const LABEL: usize = 40;

/// The certificates in the file at `path`, at least one; otherwise what it holds instead.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = bytes(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("{}: is larger than 1 MiB, which no chain is", path.display()));
    }
    let mut chain = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes) {
        // The parser's own error may quote a line, and so a key.
        let Ok((kind, der)) = section else {
            return Err(format!("{}: is damaged: it has PEM that does not end", path.display()));
        };
        let der = Zeroizing::new(der);
        if kind == SectionKind::Certificate {
            chain.push(CertificateDer::from(der.to_vec()));
        }
    }
    match chain.is_empty() {
        true => Err(format!("{}: {}", path.display(), instead(&bytes, path))),
        false => Ok(chain),
    }
}

/// The file's bytes; wiped afterwards, since it may turn out to hold a key.
fn bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a file without certificates holds.
fn instead(bytes: &[u8], path: &Path) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut labels: Vec<&str> = Vec::new();
    for after in text.split("-----BEGIN ").skip(1) {
        let label = after.split("-----").next().unwrap_or_default();
        let plain =
            label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ');
        if plain && label.len() <= LABEL && !labels.contains(&label) {
            labels.push(label);
        }
    }
    if !labels.is_empty() {
        return format!("holds {}, and no CERTIFICATE", labels.join(", "));
    }
    match bytes {
        [] => "is empty".to_owned(),
        // A SEQUENCE of more than 127 bytes.
        [0x30, 0x80..=0xff, ..] => format!(
            "holds DER, not PEM: `openssl x509 -inform DER -in {} -out NEW` converts a certificate",
            path.display()
        ),
        _ => "holds no PEM: a certificate begins with -----BEGIN CERTIFICATE-----".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        error.rsplit_once("/file: ").unwrap().1.to_owned()
    }

    #[test]
    fn a_file_without_certificate_is_told_by_what_it_holds() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

        assert_eq!(said(key.as_bytes()), "holds PRIVATE KEY, and no CERTIFICATE");
        assert_eq!(said(b""), "is empty");
        assert!(said(b"hello").starts_with("holds no PEM"));
        assert!(said(&[0x30, 0x82, 1, 0]).starts_with("holds DER"));
        assert!(said(b"-----BEGIN CERTIFICATE-----\nAAAA\n").contains("damaged"));
    }

    #[test]
    fn a_missing_file_is_named() {
        assert_eq!(
            read(Path::new("/nowhere/a.crt")).unwrap_err(),
            "/nowhere/a.crt: No such file or directory (os error 2)"
        );
    }
}
