//! Requests and join tokens of strangers.

use std::fs;

use super::*;
use crate::certs::keys::{Key, KeyError, Names, request};
use crate::config::KeyType;

fn grant() -> Grant {
    let dns = vec![DnsName::parse("ehr").unwrap(), DnsName::parse("ehr.hospital.example").unwrap()];
    Grant { spiffe: ehr(), dns, ttl: HOUR }
}

fn authority() -> (TempDir, Authority) {
    let (parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    (parent, authority)
}

/// A request made by openssl over a new key, with these extensions.
fn openssl_request(openssl: &OpenSsl, key: &str, extensions: &[&str]) -> Vec<u8> {
    openssl.run(&format!("genpkey {key} -out request.key"));
    let line = "req -new -key request.key -subj /CN=admin -outform DER -out request.der";
    let added: Vec<_> = extensions.iter().flat_map(|text| ["-addext", text]).collect();
    openssl.run_with(&[line.split(' ').collect::<Vec<_>>(), added].concat());
    fs::read(openssl.path("request.der")).unwrap()
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

fn refusal(authority: &Authority, der: &[u8]) -> RequestError {
    match authority.sign_request(der, &grant(), &Authorized::Local) {
        Err(AuthorityError::Request(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(issued) => panic!("issued {:?}", issued.record),
    }
}

#[test]
fn requests_made_by_openssl_are_answered_with_the_names_that_were_granted() {
    let (_parent, authority) = authority();
    let openssl = OpenSsl::new();
    openssl.write("root.crt", authority.trust_bundle_pem());
    for (key, key_type) in [
        (P256, "ECDSA P-256"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "ECDSA P-384"),
        ("-algorithm ED25519", "Ed25519"),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "RSA 2048"),
    ] {
        let der = openssl_request(&openssl, key, &["subjectAltName=DNS:ehr"]);
        let token = Authorized::Token { id: "1a2b".to_owned() };

        let issued = authority.sign_request(&der, &grant(), &token).unwrap();

        openssl.write("chain.crt", &issued.pem);
        openssl.run("verify -x509_strict -purpose sslclient -CAfile root.crt -untrusted chain.crt chain.crt");
        let text = openssl.run("x509 -in chain.crt -noout -text");
        let names = "URI:spiffe://hospital.example/ehr, DNS:ehr, DNS:ehr.hospital.example";
        assert!(text.contains(names), "{text}");
        assert!(text.contains("Subject: O = hospital.example, CN = ehr"), "{text}");
        let public = openssl.run("pkey -in request.key -pubout");
        assert_eq!(openssl.run("x509 -in chain.crt -noout -pubkey"), public, "{key}");
        assert_eq!(issued.record.key_type, key_type);
        assert_eq!(issued.record.authorized, token);
        assert_eq!(issued.record.grant(), grant());
    }
}

#[test]
fn a_request_signed_with_another_digest_than_its_curve_suggests_keeps_its_key() {
    let (_parent, authority) = authority();
    let openssl = OpenSsl::new();
    openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out a.key");
    openssl.run("req -new -sha256 -key a.key -subj / -outform DER -out a.der");

    let issued = authority
        .sign_request(&fs::read(openssl.path("a.der")).unwrap(), &grant(), &Authorized::Local)
        .unwrap();

    openssl.write("chain.crt", &issued.pem);
    assert_eq!(
        openssl.run("x509 -in chain.crt -noout -pubkey"),
        openssl.run("pkey -in a.key -pubout")
    );
}

#[test]
fn a_request_that_wants_more_than_is_granted_is_refused_and_nothing_is_on_record() {
    let (_parent, authority) = authority();
    let openssl = OpenSsl::new();
    let granted = "granted are spiffe://hospital.example/ehr, DNS:ehr, DNS:ehr.hospital.example";
    for (extension, text) in [
        ("basicConstraints=critical,CA:TRUE", "basic constraints CA:TRUE".to_owned()),
        ("keyUsage=keyCertSign", "key usage keyCertSign".to_owned()),
        ("keyUsage=digitalSignature,cRLSign", "key usage keyCertSign".to_owned()),
        (
            "subjectAltName=DNS:billing",
            format!("DNSName(billing), which is not granted; {granted}"),
        ),
        ("subjectAltName=DNS:ehr,URI:spiffe://hospital.example/billing", granted.to_owned()),
        ("subjectAltName=IP:10.0.0.1", granted.to_owned()),
        ("subjectAltName=email:a@b.example", granted.to_owned()),
    ] {
        let der = openssl_request(&openssl, P256, &[extension]);
        let refused = refusal(&authority, &der).to_string();
        assert!(refused.contains(&text), "{extension}: {refused}");
    }
    assert_eq!(authority.issued().unwrap(), []);
}

#[test]
fn purposes_and_other_extensions_that_are_asked_for_do_not_matter() {
    let (_parent, authority) = authority();
    let openssl = OpenSsl::new();
    let extensions =
        ["extendedKeyUsage=codeSigning,1.2.3.4", "1.2.3.5=DER:0500", "nsComment=hello"];
    let der = openssl_request(&openssl, P256, &extensions);

    let issued = authority.sign_request(&der, &grant(), &Authorized::Local).unwrap();

    openssl.write("chain.crt", &issued.pem);
    let text = openssl.run("x509 -in chain.crt -noout -text");
    for absent in ["Code Signing", "1.2.3.4", "1.2.3.5", "hello", "admin"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
}

#[test]
fn weak_and_strange_keys_are_refused_by_name() {
    let (_parent, authority) = authority();
    let openssl = OpenSsl::new();
    let refused = |key: &str| refusal(&authority, &openssl_request(&openssl, key, &[]));

    let bits = |bits| RequestError::RsaBits { bits };
    assert_eq!(refused("-algorithm RSA -pkeyopt rsa_keygen_bits:1024"), bits(1024));
    assert_eq!(refused("-algorithm RSA -pkeyopt rsa_keygen_bits:4608"), bits(4608));
    for other in [
        "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-521",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
        "-algorithm ED448",
    ] {
        assert_eq!(refused(other), RequestError::UnsupportedKey, "{other}");
    }
}

#[test]
fn a_request_for_a_key_that_its_sender_does_not_hold_is_refused() {
    let (_parent, authority) = authority();
    let (mine, other) = (Key::make(KeyType::P256).unwrap(), Key::make(KeyType::P256).unwrap());
    let der = request(&mine, Names::default()).unwrap().to_vec();
    let at = der.windows(mine.public().len()).position(|it| it == mine.public()).unwrap();
    let mut stolen = der.clone();
    stolen[at..at + other.public().len()].copy_from_slice(&other.public());

    assert_eq!(requested_key(&der), Ok(mine.public()));
    assert_eq!(requested_key(&stolen), Err(RequestError::BadSignature));
    assert_eq!(refusal(&authority, &stolen), RequestError::BadSignature);
}

#[test]
fn hostile_bytes_are_refused_at_every_length_and_with_every_byte_changed() -> Result<(), KeyError> {
    let (_parent, authority) = authority();
    let key = Key::make(KeyType::P256)?;
    let dns = [DnsName::parse("ehr").unwrap()];
    let der = request(&key, Names { spiffe: Some(&ehr()), dns: &dns, common_name: None })?.to_vec();

    for length in 0..der.len() {
        assert!(requested_key(&der[..length]).is_err(), "{length}");
    }
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 0x55;
        assert!(requested_key(&changed).is_err(), "byte {at}");
    }
    let longer = [der, vec![0]].concat();
    assert_eq!(
        refusal(&authority, &longer),
        RequestError::Unreadable { what: "something follows it" }
    );
    let huge = vec![0x30; 1 << 20];
    assert_eq!(refusal(&authority, &huge), RequestError::TooLong { bytes: 1 << 20 });
    assert!(requested_key(&[0x30; MAX_REQUEST_BYTES]).is_err());
    Ok(())
}

/// A request with a new key that asks for no names.
fn asking() -> Vec<u8> {
    request(&Key::make(KeyType::P256).unwrap(), Names::default()).unwrap().to_vec()
}

#[test]
fn a_token_is_honoured_once_and_again_only_for_the_same_key() {
    let (_parent, authority) = authority();
    let token = authority.make_token(&grant(), HOUR).unwrap();
    let by = Authorized::Token { id: token.id.clone() };
    let own = asking();

    assert_eq!(authority.redeem(&token.text, &own).unwrap(), (grant(), by.clone()));
    assert_eq!(authority.redeem(&token.text, &own).unwrap(), (grant(), by));
    let replayed = authority.redeem(&token.text, &asking()).unwrap_err();

    assert!(matches!(&replayed, TokenError::Used { id, .. } if *id == token.id), "{replayed}");
    let tokens = authority.tokens().unwrap();
    assert_eq!(tokens.len(), 1);
    assert!(tokens[0].1.is_some());
}

#[test]
fn a_token_that_is_unknown_or_expired_is_told_as_such_to_the_operator() {
    let (_parent, authority) = authority();
    let (_other, other) = self::authority();
    let expired = authority.make_token(&grant(), Duration::ZERO).unwrap();
    let foreign = other.make_token(&grant(), HOUR).unwrap();

    for unknown in ["", "guess", &foreign.text, &"myelin-join-".repeat(1000)] {
        let error = authority.redeem(unknown, &asking()).unwrap_err();
        assert!(matches!(error, TokenError::Unknown), "{error}");
    }
    let error = authority.redeem(&expired.text, &asking()).unwrap_err();
    assert!(error.to_string().contains(&expired.id), "{error}");
    assert!(error.to_string().contains("expired at "), "{error}");
}

#[test]
fn a_request_that_is_refused_leaves_the_token_to_the_next() {
    let (_parent, authority) = authority();
    let token = authority.make_token(&grant(), HOUR).unwrap();
    let foreign = openssl_request(&OpenSsl::new(), P256, &["subjectAltName=DNS:lab"]);

    for refused in [&foreign[..], b"", &foreign[..foreign.len() - 1]] {
        let error = authority.redeem(&token.text, refused).unwrap_err();
        assert!(matches!(error, TokenError::Authority(AuthorityError::Request(_))), "{error}");
    }

    assert!(authority.tokens().unwrap()[0].1.is_none());
    assert!(authority.redeem(&token.text, &asking()).is_ok());
}

#[test]
fn a_token_whose_certificate_was_revoked_does_not_get_another() {
    let (_parent, mut authority) = authority();
    let token = authority.make_token(&grant(), HOUR).unwrap();
    let key = Key::make(KeyType::P256).unwrap();
    let request = request(&key, Names::default()).unwrap();
    let (granted, by) = authority.redeem(&token.text, &request).unwrap();
    let issued = authority.sign_request(&request, &granted, &by).unwrap();

    authority.revoke(&issued.record.serial, Reason::KeyCompromise).unwrap();

    let error = authority.redeem(&token.text, &request).unwrap_err();
    assert!(matches!(error, TokenError::Revoked { .. }), "{error}");
}

#[test]
fn the_text_of_a_token_is_kept_nowhere() {
    let (_parent, authority) = authority();
    let token = authority.make_token(&grant(), HOUR).unwrap();
    authority.redeem(&token.text, &asking()).unwrap();

    let secret = token.text.strip_prefix("myelin-join-").unwrap();
    assert_eq!(secret.len(), 43, "256 bits in base64");
    for entry in fs::read_dir(authority.dir()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&content).contains(secret));
    }
}

#[test]
fn grants_are_bounded() {
    let (_parent, authority) = authority();
    let foreign = SpiffeId::parse("spiffe://other.example/ehr").unwrap();
    let many = vec![DnsName::parse("ehr").unwrap(); Grant::MOST_NAMES + 1];

    for (wrong, text) in [
        (Grant { spiffe: foreign, ..grant() }, "not of the authority's trust domain"),
        (Grant { dns: many, ..grant() }, "no more than 100 DNS names, not 101"),
    ] {
        let error = authority.make_token(&wrong, HOUR).err().unwrap().to_string();
        assert!(error.contains(text), "{error}");
        let error = authority.issue_pem_with(&wrong, KeyType::P256).err().unwrap().to_string();
        assert!(error.contains(text), "{error}");
    }
}
