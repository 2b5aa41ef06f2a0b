//! Keys that need a passphrase, as openssl writes them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::*;

/// The pair in `leaf.crt` and `NAME`, whose passphrase is in `pass`.
fn pem(pki: &OpenSsl, name: &str) -> config::Files {
    let pair = PairFiles { passphrase_file: Some(pki.path("pass")), ..pki.pem("leaf.crt", name) };
    config::Files { pair, ..pki.files(&[]) }
}

fn pkcs12(pki: &OpenSsl, name: &str, passphrase: Option<&str>) -> config::Files {
    let pair = PairFiles {
        form: PairForm::Pkcs12(pki.path(name)),
        passphrase_file: passphrase.map(|name| pki.path(name)),
    };
    config::Files { pair, ..pki.files(&[]) }
}

fn with_passphrase(passphrase: &str) -> OpenSsl {
    let pki = OpenSsl::with_leaf();
    let path = pki.write("pass", passphrase);
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    pki
}

/// What was offered; panics with the problems.
fn offered(config: &config::Files) -> Offered {
    read(config, &mut Contents::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The warnings, when key and certificate were read and fit.
fn fits(pki: &OpenSsl, config: &config::Files) -> Vec<String> {
    let offered = offered(config);
    assert!(crate::certs::check::key_fits(&offered).is_none());
    offered.warnings.iter().map(|text| pki.short(text)).collect()
}

#[test]
fn keys_are_decrypted_however_openssl_encrypted_them() {
    let pki = with_passphrase("correct horse\nnot this line\n");
    for how in [
        "-v2 aes-256-cbc",
        "-v2 aes-128-cbc -v2prf hmacWithSHA1",
        "-v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 100000",
        "-v2 des3",
        "-scrypt",
        "-v1 PBE-SHA1-3DES",
    ] {
        let words = format!("pkcs8 -topk8 -in leaf.key {how} -out sealed.key -passout");
        let mut words: Vec<_> = words.split(' ').collect();
        words.push("pass:correct horse");
        pki.run_with(&words);
        fs::set_permissions(pki.path("sealed.key"), Permissions::from_mode(0o600)).unwrap();

        assert_eq!(fits(&pki, &pem(&pki, "sealed.key")), [""; 0], "{how}");
    }
}

#[test]
fn a_passphrase_line_may_end_as_windows_ends_it() {
    let pki = with_passphrase("x\r\n");
    pki.run("pkcs8 -topk8 -in leaf.key -passout pass:x -out sealed.key");

    fits(&pki, &pem(&pki, "sealed.key"));
}

#[test]
fn what_is_wrong_with_a_passphrase_is_told_in_one_text() {
    let pki = with_passphrase("wrong");
    pki.run("pkcs8 -topk8 -in leaf.key -passout pass:right -out sealed.key");
    pki.run("pkcs12 -export -in leaf.crt -inkey leaf.key -passout pass:right -out leaf.p12");
    pki.run("pkcs12 -export -in leaf.crt -inkey leaf.key -nomac -passout pass:right -out bare.p12");

    for (config, name) in [
        (pem(&pki, "sealed.key"), "sealed.key"),
        (pkcs12(&pki, "leaf.p12", Some("pass")), "leaf.p12"),
        (pkcs12(&pki, "bare.p12", Some("pass")), "bare.p12"),
    ] {
        let text = format!(
            "{name}: cannot be decrypted with the passphrase in pass: it is not the right one, or the \
             file is damaged"
        );
        assert_eq!(problems_of(&pki, &config), [text]);
    }
    pki.write("pass", [0xff, 0xfe]);
    assert_eq!(
        problems_of(&pki, &pem(&pki, "sealed.key")),
        ["sealed.key: cannot be decrypted with the passphrase in pass, which is not in UTF-8"]
    );
    pki.write("pass", "\nright");
    assert_eq!(
        problems_of(&pki, &pem(&pki, "sealed.key")),
        ["pass: is empty; wanted: a passphrase"]
    );
    fs::remove_file(pki.path("pass")).unwrap();
    for config in [pem(&pki, "sealed.key"), pkcs12(&pki, "leaf.p12", Some("pass"))] {
        assert_eq!(problems_of(&pki, &config), ["pass: no such file; wanted: a passphrase"]);
    }
    assert_eq!(
        problems_of(&pki, &pkcs12(&pki, "leaf.p12", None)),
        ["leaf.p12: needs a passphrase: name the file that holds it as `passphrase_file`"]
    );
}

#[test]
fn passphrases_and_encrypted_keys_never_stand_in_a_text() {
    let pki = with_passphrase("hunter2");
    pki.run("pkcs8 -topk8 -in leaf.key -passout pass:right -out sealed.key");
    let body = pki.read("sealed.key").lines().nth(1).unwrap().to_owned();

    let config = pem(&pki, "sealed.key");
    let text = format!("{:?} {:?}", problems_of(&pki, &config), Files::new(config));

    assert!(!text.contains("hunter2") && !text.contains(&body), "{text}");
}

#[test]
fn a_passphrase_that_others_may_read_or_that_nobody_needs_is_warned_of() {
    let pki = with_passphrase("x");
    pki.run("pkcs8 -topk8 -in leaf.key -passout pass:x -out sealed.key");
    for (name, mode) in [("pass", 0o644), ("sealed.key", 0o644), ("leaf.key", 0o600)] {
        fs::set_permissions(pki.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let exposed = "pass: the passphrase can be read by other users (mode 0644): chmod 600 it";

    assert_eq!(fits(&pki, &pem(&pki, "sealed.key")), [exposed]);
    assert_eq!(
        fits(&pki, &pem(&pki, "leaf.key")),
        [exposed, "pass: is not needed: the key in leaf.key is not encrypted"]
    );
}

#[test]
fn stores_are_read_however_openssl_and_windows_encrypt_them() {
    let pki = with_passphrase("Grüße");
    for how in [
        "",
        "-legacy",
        "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1",
        "-legacy -keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-128 -macalg sha1",
        "-keypbe AES-128-CBC -certpbe NONE -macalg sha384",
        "-keypbe NONE -certpbe NONE -macalg sha512",
        "-nomac",
    ] {
        pki.run(&format!(
            "pkcs12 -export -in leaf.crt -inkey leaf.key -passout file:pass -out leaf.p12 {how}"
        ));

        let offered = offered(&pkcs12(&pki, "leaf.p12", Some("pass")));

        assert!(crate::certs::check::key_fits(&offered).is_none(), "{how}");
        assert_eq!(offered.chain.len(), 1, "{how}");
    }
}

#[test]
fn a_store_with_an_empty_passphrase_needs_no_file() {
    let pki = OpenSsl::with_leaf();
    pki.run("pkcs12 -export -in leaf.crt -inkey leaf.key -passout pass: -out leaf.p12");

    fits(&pki, &pkcs12(&pki, "leaf.p12", None));
}

#[test]
fn of_a_store_the_leaf_comes_first_then_its_intermediates_and_no_root() {
    let pki = with_passphrase("x");
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
    pki.leaf("upper", "root", authority);
    pki.leaf("lower", "upper", authority);
    pki.leaf("end", "lower", crate::certs::openssl::BOTH);
    let others = ["root", "upper", "lower"].map(|name| pki.read(&format!("{name}.crt"))).concat();
    pki.write("others.crt", others);
    pki.run(
        "pkcs12 -export -in end.crt -certfile others.crt -inkey end.key -nomac -passout pass:x \
         -out end.p12",
    );
    let config = pkcs12(&pki, "end.p12", Some("pass"));

    let offered = offered(&config);

    let subjects: Vec<_> = offered.chain.iter().filter_map(|der| inspect::subject(der)).collect();
    assert_eq!(subjects, ["CN=end", "CN=lower", "CN=upper"]);
    assert_eq!(offered.trusted.bundle.len(), 1, "the store's own root is not trusted");
}

#[test]
fn a_store_that_cannot_be_used_is_told_with_the_mend() {
    let pki = with_passphrase("x");
    pki.run("pkcs12 -export -in leaf.crt -nokeys -passout pass:x -out bare.p12");
    pki.run("pkcs12 -export -inkey leaf.key -in leaf.key -nocerts -passout pass:x -out key.p12");
    pki.run(
        "pkcs12 -export -legacy -in leaf.crt -inkey leaf.key -keypbe PBE-SHA1-RC4-128 -passout \
         pass:x -out rc4.p12",
    );
    pki.run("pkcs12 -export -in leaf.crt -inkey leaf.key -passout pass:x -out cut.p12");
    let whole = fs::read(pki.path("cut.p12")).unwrap();
    pki.write("cut.p12", &whole[..whole.len() - 9]);
    pki.write("ber.p12", [&[0x30, 0x80], &whole[4..], &[0, 0]].concat());
    pki.run("x509 -in leaf.crt -outform DER -out der.p12");
    pki.write("empty.p12", "");

    let anew = |name: &str| {
        format!(
            "make it anew with `openssl pkcs12 -legacy -in {name} -nodes -out PEM` and `openssl \
             pkcs12 -export -in PEM -out NEW`"
        )
    };
    for (name, text) in [
        ("bare.p12", "holds no private key".to_owned()),
        ("key.p12", "holds a private key without a certificate".to_owned()),
        (
            "rc4.p12",
            format!(
                "is protected by the algorithm 1.2.840.113549.1.12.1.1, which is not supported: {}",
                anew("rc4.p12")
            ),
        ),
        (
            "cut.p12",
            format!(
                "is damaged, or not in DER: if other programs can read it, {}",
                anew("cut.p12")
            ),
        ),
        (
            "ber.p12",
            format!(
                "is damaged, or not in DER: if other programs can read it, {}",
                anew("ber.p12")
            ),
        ),
        ("der.p12", "holds a certificate in DER, not a PKCS #12 store".to_owned()),
        ("empty.p12", "is empty; wanted: a PKCS #12 store".to_owned()),
        (
            "leaf.crt",
            "holds a certificate in PEM, not a PKCS #12 store: name it as `cert` and `key`"
                .to_owned(),
        ),
    ] {
        let problems = problems_of(&pki, &pkcs12(&pki, name, Some("pass")));
        assert_eq!(problems, [format!("{name}: {text}")]);
    }
}

#[test]
fn a_key_that_asks_for_too_much_work_is_refused_at_once() {
    let pki = with_passphrase("x");
    pki.run("pkcs8 -topk8 -in leaf.key -iter 70000 -passout pass:x -out rounds.key");
    pki.run("pkcs8 -topk8 -in leaf.key -scrypt -passout pass:x -out scrypt.key");
    let replace = |name: &str, from: &[u8], to: &[u8]| {
        let text = pki.read(name);
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let mut der = BASE64_STANDARD.decode(body).unwrap();
        let at = der.windows(from.len()).position(|window| window == from).unwrap();
        der[at..at + from.len()].copy_from_slice(to);
        let (label, body) = ("ENCRYPTED PRIVATE KEY-----", BASE64_STANDARD.encode(der));
        pki.write(name, format!("-----BEGIN {label}\n{body}\n-----END {label}\n"));
    };
    replace("rounds.key", &[2, 3, 0x01, 0x11, 0x70], &[2, 3, 0x7f, 0xff, 0xff]);
    replace("scrypt.key", &[2, 1, 8, 2, 1, 1], &[2, 1, 8, 2, 1, 0x7f]);

    for name in ["rounds.key", "scrypt.key"] {
        assert_eq!(
            problems_of(&pki, &pem(&pki, name)),
            [format!(
                "{name}: asks for more rounds or memory to decrypt it than is sensible: make it anew \
                 with `openssl pkcs8 -topk8 -v2 aes-256-cbc -in {name} -out NEW`"
            )]
        );
    }
}
