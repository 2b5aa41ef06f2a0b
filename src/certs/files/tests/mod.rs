mod encrypted;
mod hostile;
mod news;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::pair::exposed;
use super::*;
use crate::certs::openssl::OpenSsl;

fn problems(pki: &OpenSsl, cert: &str, key: &str, bundle: &str, crls: &[&str]) -> Vec<String> {
    problems_of(
        pki,
        &config::Files {
            pair: pki.pem(cert, key),
            trust_bundle: pki.path(bundle),
            ..pki.files(crls)
        },
    )
}

/// What is wrong with these files, without the name of their directory.
fn problems_of(pki: &OpenSsl, config: &config::Files) -> Vec<String> {
    let error = read(config, &mut Contents::default()).err();
    let texts = error.map(|error| error.problems()).unwrap_or_default();
    texts.iter().map(|text| pki.short(text)).collect()
}

fn certificate_problem(pki: &OpenSsl, name: &str) -> String {
    problems(pki, name, "leaf.key", "root.crt", &[]).join("\n")
}

fn key_problem(pki: &OpenSsl, name: &str) -> String {
    problems(pki, "leaf.crt", name, "root.crt", &[]).join("\n")
}

#[test]
fn keys_of_every_supported_kind_load_as_openssl_writes_them() {
    let pki = OpenSsl::with_leaf();
    for (name, command) in [
        ("rsa", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key"),
        ("pkcs1", "rsa -in rsa.key -traditional -out pkcs1.key"),
        ("p256", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256.key"),
        ("p384", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.key"),
        ("p521", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.key"),
        ("sec1", "ecparam -name prime256v1 -genkey -out sec1.key"),
        ("ed25519", "genpkey -algorithm Ed25519 -out ed25519.key"),
    ] {
        pki.run(command);
        assert_eq!(key_problem(&pki, &format!("{name}.key")), "", "{name}");
    }
    assert!(pki.read("sec1.key").starts_with("-----BEGIN EC PARAMETERS-----"));
}

#[test]
fn a_certificate_and_its_key_may_share_a_file() {
    let pki = OpenSsl::with_leaf();
    pki.write("both.pem", pki.read("leaf.key") + &pki.read("leaf.crt"));

    assert_eq!(problems(&pki, "both.pem", "both.pem", "root.crt", &[]), [""; 0]);
}

#[test]
fn text_around_sections_windows_line_ends_and_a_byte_order_mark_do_no_harm() {
    let pki = OpenSsl::with_leaf();
    let windows = format!("\u{feff}{}", pki.read("leaf.crt").replace('\n', "\r\n"));
    pki.write("windows.crt", windows);
    pki.write("text.crt", pki.run("x509 -in leaf.crt -text"));

    assert_eq!(certificate_problem(&pki, "windows.crt"), "");
    assert_eq!(certificate_problem(&pki, "text.crt"), "");
}

#[test]
fn a_certificate_that_is_something_else_is_named_for_what_it_is() {
    let pki = OpenSsl::with_leaf();
    pki.write("empty.crt", " \n");
    pki.write("prose.crt", "please ask IT for the certificate\n");
    pki.write("utf16.crt", b"\xff\xfe-\0-\0");
    pki.write("line.crt", pki.read("leaf.crt").replace('\n', " "));
    pki.write("cut.crt", &pki.read("leaf.crt")[..200]);
    pki.write("odd.crt", pki.read("leaf.crt").replacen("MII", "M*I", 1));
    pki.write("zero.crt", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    pki.run("x509 -in leaf.crt -outform DER -out der.crt");
    pki.run("req -in leaf.csr -outform DER -out request.der");
    pki.run("x509 -in leaf.crt -trustout -out trusted.crt");
    pki.run("crl2pkcs7 -nocrl -certfile leaf.crt -out leaf.p7b");
    pki.run("pkcs7 -in leaf.p7b -outform DER -out der.p7b");
    pki.run("pkcs12 -export -in leaf.crt -inkey leaf.key -passout pass:x -out leaf.p12");
    fs::create_dir(pki.path("directory")).unwrap();

    for (name, text) in [
        ("missing.crt", "missing.crt: no such file; wanted: a certificate"),
        ("directory", "directory: is a directory; wanted: a certificate"),
        ("empty.crt", "empty.crt: is empty; wanted: a certificate"),
        ("prose.crt", "prose.crt: has no CERTIFICATE section"),
        ("utf16.crt", "utf16.crt: is text in UTF-16: save it as ASCII or UTF-8"),
        (
            "line.crt",
            "line.crt: is damaged: its line breaks were lost, -----BEGIN …----- must stand on a \
             line of its own",
        ),
        (
            "cut.crt",
            "cut.crt: is damaged: a section has no -----END …----- line or is not in base64",
        ),
        (
            "odd.crt",
            "odd.crt: is damaged: a section has no -----END …----- line or is not in base64",
        ),
        ("zero.crt", "zero.crt: certificate 1 in it cannot be parsed"),
        (
            "leaf.csr",
            "leaf.csr: holds a certificate request, not a certificate: have an authority sign it",
        ),
        ("request.der", "request.der: holds a certificate request in DER, not PEM"),
        ("leaf.key", "leaf.key: holds a private key, not a certificate"),
        (
            "trusted.crt",
            "trusted.crt: holds a certificate in OpenSSL's own form, not a certificate: convert it \
             with `openssl x509 -in trusted.crt -out NEW`",
        ),
        (
            "leaf.p7b",
            "leaf.p7b: holds a PKCS #7 bundle, not a certificate: convert it with `openssl pkcs7 \
             -print_certs -in leaf.p7b -out NEW`",
        ),
        (
            "der.crt",
            "der.crt: holds a certificate in DER, not PEM: convert it with `openssl x509 -inform \
             DER -in der.crt -out NEW`",
        ),
        (
            "leaf.p12",
            "leaf.p12: holds a PKCS #12 store in DER, not PEM: name it as `pkcs12`, or convert it with \
             `openssl pkcs12 -in leaf.p12 -nodes`",
        ),
        (
            "der.p7b",
            "der.p7b: holds a PKCS #7 bundle in DER, not PEM: convert it with `openssl pkcs7 -inform \
             DER -print_certs -in der.p7b -out NEW`",
        ),
    ] {
        assert_eq!(certificate_problem(&pki, name), text);
    }
}

#[test]
fn a_key_that_cannot_be_used_is_told_with_the_mend() {
    let pki = OpenSsl::with_leaf();
    pki.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.key");
    pki.run("genpkey -algorithm X25519 -out x25519.key");
    pki.run("pkcs8 -topk8 -in leaf.key -passout pass:x -out pkcs8.key");
    pki.run("ec -in leaf.key -aes128 -passout pass:x -out old.key");
    pki.run("pkey -in leaf.key -pubout -out public.key");
    pki.run("pkey -in leaf.key -outform DER -out der.key");
    pki.write("two.key", pki.read("leaf.key") + &pki.read("root.key"));
    pki.write("none.key", "");

    for (name, text) in [
        (
            "pkcs8.key",
            "pkcs8.key: holds an encrypted key: name the file that holds its passphrase as \
             `passphrase_file`, or decrypt it with `openssl pkey -in pkcs8.key -out NEW`"
                .to_owned(),
        ),
        (
            "old.key",
            "old.key: holds a key that is encrypted in OpenSSL's old form: make it anew with \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.key -out NEW`"
                .to_owned(),
        ),
        ("none.key", "none.key: is empty; wanted: a private key".to_owned()),
        ("leaf.crt", "leaf.crt: holds a certificate, not a private key".to_owned()),
        ("public.key", "public.key: holds a public key, not a private key".to_owned()),
        ("two.key", "two.key: holds 2 private keys; wanted: one".to_owned()),
        (
            "der.key",
            "der.key: holds a private key in DER, not PEM: convert it with `openssl pkey -inform \
             DER -in der.key -out NEW`"
                .to_owned(),
        ),
        (
            "small.key",
            "small.key: holds an RSA key of 1024 bits; at least 2048 are needed: have a certificate \
             made for a new one, `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out \
             NEW`"
                .to_owned(),
        ),
        (
            "x25519.key",
            "x25519.key: holds a private key that is not supported: RSA of 2048 to 8192 bits, P-256, \
             P-384, P-521 and Ed25519 are"
                .to_owned(),
        ),
    ] {
        assert_eq!(key_problem(&pki, name), text);
    }
}

#[test]
fn a_damaged_key_is_never_quoted() {
    let pki = OpenSsl::with_leaf();
    let key = pki.read("leaf.key");
    let secret = key.lines().nth(1).unwrap().to_owned();
    pki.write("line.key", key.replace('\n', ""));
    pki.write("cut.key", &key[..key.len() - 40]);
    pki.write("odd.key", key.replacen("MIG", "M*G", 1));

    for name in ["line.key", "cut.key", "odd.key"] {
        let text = key_problem(&pki, name);
        assert!(text.starts_with(&format!("{name}: is damaged")), "{text}");
        assert!(!text.contains(&secret[..16]) && !text.contains("PRIVATE"), "{text}");
    }
}

#[test]
fn bundles_and_revocation_lists_are_named_for_what_they_are_too() {
    let pki = OpenSsl::with_leaf();
    pki.crl("list", "root", &[], "");
    pki.run("crl -in list.crl -outform DER -out der.crl");

    assert_eq!(
        problems(&pki, "leaf.crt", "leaf.key", "list.crl", &["root.crt", "list.crl", "der.crl"]),
        [
            "list.crl: holds a revocation list, not certificates of authorities",
            "root.crt: holds a certificate, not a revocation list",
            "der.crl: holds a revocation list in DER, not PEM: convert it with `openssl crl \
             -inform DER -in der.crl -out NEW`",
        ]
    );
}

#[test]
fn every_file_is_looked_at_before_anyone_gives_up() {
    let pki = OpenSsl::new();

    let all = problems(&pki, "a", "b", "c", &["d"]);

    assert_eq!(
        all,
        [
            "a: no such file; wanted: a certificate",
            "b: no such file; wanted: a private key",
            "c: no such file; wanted: certificates of authorities",
            "d: no such file; wanted: a revocation list",
        ]
    );
}

#[test]
fn a_file_that_the_system_does_not_open_is_told_with_the_systems_reason() {
    let pki = OpenSsl::with_leaf();
    std::os::unix::fs::symlink(pki.path("loop"), pki.path("loop")).unwrap();

    assert_eq!(
        certificate_problem(&pki, "loop"),
        "loop: cannot be read: Too many levels of symbolic links (os error 40)"
    );
}

#[test]
fn a_pipe_is_not_waited_for() {
    let pki = OpenSsl::with_leaf();
    let made = std::process::Command::new("mkfifo").arg(pki.path("pipe")).status().unwrap();
    assert!(made.success());

    assert_eq!(
        certificate_problem(&pki, "pipe"),
        "pipe: is no regular file; wanted: a certificate"
    );
}

#[test]
fn a_file_that_is_far_too_large_is_not_read() {
    let pki = OpenSsl::with_leaf();
    File::create(pki.path("large.crt")).unwrap().set_len(SMALL + 1).unwrap();

    assert_eq!(certificate_problem(&pki, "large.crt"), "large.crt: is larger than 1 MiB");
}

#[test]
fn a_key_that_others_may_read_or_write_is_warned_of() {
    let pki = OpenSsl::with_leaf();
    let warning = |mode| {
        fs::set_permissions(pki.path("leaf.key"), Permissions::from_mode(mode)).unwrap();
        exposed(&pki.path("leaf.key"), "private key", false).map(|text| pki.short(&text))
    };

    assert_eq!(warning(0o600), None);
    assert_eq!(warning(0o640), None); // a group for keys is common practice
    assert_eq!(
        warning(0o644).unwrap(),
        "leaf.key: the private key can be read by other users (mode 0644): chmod 600 it"
    );
    assert_eq!(
        warning(0o660).unwrap(),
        "leaf.key: the private key can be written by other users (mode 0660): chmod 600 it"
    );
}
