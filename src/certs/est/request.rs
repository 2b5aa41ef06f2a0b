//! Requests (PKCS#10) that ask for the same certificate over another key.

use rcgen::string::{Ia5String, PrintableString};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, SanType};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::certs::inspect;
use crate::certs::keys::{Key, KeyError};

/// A request over `key` with subject and alternative names of `leaf`, as renewals have to have them
/// (RFC 7030, 4.2.2); `None` when it has none that can be repeated.
pub(super) fn same_names(
    leaf: &CertificateDer<'_>,
    key: &Key,
) -> Option<Result<CertificateSigningRequestDer<'static>, KeyError>> {
    let leaf = inspect::certificate(leaf)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&leaf)?;
    params.subject_alt_names = alternative_names(&leaf)?;
    let request = params.serialize_request(key.pair());
    Some(request.map(Into::into).map_err(KeyError::from))
}

fn subject(leaf: &X509Certificate<'_>) -> Option<DistinguishedName> {
    let mut name = DistinguishedName::new();
    for attribute in leaf.subject().iter_attributes() {
        let oid: Vec<u64> = attribute.attr_type().iter()?.collect();
        let text = attribute.as_str().ok()?;
        let value = match attribute.attr_value().tag() {
            Tag::PrintableString => DnValue::PrintableString(PrintableString::try_from(text).ok()?),
            Tag::Ia5String => DnValue::Ia5String(Ia5String::try_from(text).ok()?),
            _ => DnValue::Utf8String(text.to_owned()),
        };
        let kind = DnType::from_oid(&oid);
        if name.get(&kind).is_some() {
            return None; // rcgen keeps one of each
        }
        name.push(kind, value);
    }
    Some(name)
}

fn alternative_names(leaf: &X509Certificate<'_>) -> Option<Vec<SanType>> {
    let Some(names) = leaf.subject_alternative_name().ok()? else { return Some(Vec::new()) };
    let repeated = names.value.general_names.iter().map(|name| match name {
        GeneralName::URI(text) => (*text).try_into().map(SanType::URI).ok(),
        GeneralName::DNSName(text) => (*text).try_into().map(SanType::DnsName).ok(),
        GeneralName::RFC822Name(text) => (*text).try_into().map(SanType::Rfc822Name).ok(),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(SanType::IpAddress(four.into())),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|all| SanType::IpAddress(all.into())),
        },
        _ => None,
    });
    repeated.collect()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::certs::openssl::OpenSsl;
    use crate::config::KeyType;

    #[test]
    fn a_request_to_renew_bears_the_names_of_the_certificate_byte_for_byte() {
        let pki = OpenSsl::new();
        pki.root("root");
        pki.run("genpkey -algorithm ED25519 -out leaf.key");
        pki.write(
            "leaf.ext",
            "subjectAltName=URI:spiffe://td/ehr,DNS:ehr,DNS:ehr.clinic.example,IP:10.0.0.7,IP:fd00::7,email:a@b.example",
        );
        pki.run("req -new -key leaf.key -subj /C=DE/O=Klinik/OU=EHR/CN=ehr -out leaf.csr");
        pki.run(
            "x509 -req -in leaf.csr -CA root.crt -CAkey root.key -extfile leaf.ext -out leaf.crt",
        );
        let leaf = CertificateDer::from_pem_file(pki.path("leaf.crt")).unwrap();
        let key = Key::make(KeyType::P256).unwrap();

        let request = same_names(&leaf, &key).unwrap().unwrap();

        pki.write("renew.der", &request);
        let text = pki.run("req -inform DER -in renew.der -verify -noout -text");
        let asked = text.lines().skip_while(|line| !line.contains("Alternative Name")).nth(1);
        let text = pki.run("x509 -in leaf.crt -noout -ext subjectAltName");
        let has = text.lines().nth(1);
        assert!(has.is_some_and(|names| names.contains("spiffe://td/ehr")), "{text}");
        assert_eq!(asked.map(str::trim), has.map(str::trim));
        let leaf = inspect::certificate(&leaf).unwrap();
        assert!(
            request.windows(leaf.subject().as_raw().len()).any(|w| w == leaf.subject().as_raw())
        );
    }
}
