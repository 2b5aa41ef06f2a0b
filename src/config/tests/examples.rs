//! The files that come along, and values that they become.

use std::path::{Path, PathBuf};
use std::time::Duration;

use time::macros::datetime;

use super::{HEAD, parse};
use crate::config::{
    Files, IdentitySource, Limits, ListenAddr, OnFailure, PairFiles, PairForm, PeerMatcher,
    Profile, Protocol, Severity, Target, WorkloadHttp, load,
};
use crate::identity::Fingerprint;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn without_env(_: &str) -> Option<String> {
    None
}

#[test]
fn every_example_is_good_and_needs_no_warning() {
    let mut seen = 0;
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let config = load(&path, &without_env).unwrap_or_else(|problems| panic!("{problems}"));
            // Some of the reference's dates will have passed one day, which is no fault of the file.
            let dated = ["has expired", "to be reviewed by then"];
            let odd = config.warnings.iter().find(|w| !dated.iter().any(|d| w.text.contains(d)));
            assert_eq!(odd, None, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 8);
}

#[test]
fn the_sidecars_of_the_composed_clinic_are_good_and_need_no_warning() {
    let sidecars = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/sidecars");
    let files: Vec<_> =
        std::fs::read_dir(sidecars).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 8, "{files:?}");
    for path in files {
        let config = load(&path, &without_env).unwrap_or_else(|problems| panic!("{problems}"));

        assert_eq!(config.warnings.to_string(), "", "{}", path.display());
        let service = path.file_stem().unwrap().to_str().unwrap();
        assert!(config.spiffe_id().unwrap().as_str().ends_with(service));
    }
}

#[test]
fn the_reference_shows_the_defaults() {
    let reference = load(&directory().join("myelin.yaml"), &without_env).unwrap();
    let minimal = parse(&[HEAD, "audit: {dir: a}\n"].concat()).unwrap();

    assert_eq!(reference.limits, Limits::default());
    assert_eq!(minimal.limits, Limits::default());
    assert_eq!(reference.tls, minimal.tls);
    assert_eq!(reference.admin.listen, minimal.admin.listen);
    assert_eq!(reference.workers, minimal.workers);
    let (reference, minimal) = (reference.audit.unwrap(), minimal.audit.unwrap());
    assert_eq!(reference.on_failure, minimal.on_failure);
    assert_eq!(reference.segment_size, minimal.segment_size);
    assert_eq!(reference.keeping, minimal.keeping);
}

#[test]
fn the_reference_becomes_what_it_says() {
    let config = load(&directory().join("myelin.yaml"), &without_env).unwrap();

    assert_eq!(config.spiffe_id().unwrap().as_str(), "spiffe://hospital.example/ehr");
    assert_eq!(config.tls.profile, Profile::Nist);
    assert_eq!(config.audit.unwrap().on_failure, OnFailure::Block);
    let fhir = &config.inbound[0];
    assert_eq!(fhir.listen, "0.0.0.0:8443".parse().unwrap());
    assert_eq!(fhir.forward, Target::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert_eq!((fhir.protocol, fhir.forward_protocol), (Protocol::Http, WorkloadHttp::Auto));
    assert_eq!(fhir.limits.idle_timeout, Duration::from_secs(600));
    assert_eq!(fhir.limits.connections, 10_000);
    let routes = fhir.routes.as_ref().unwrap();
    assert_eq!(routes[0].methods, [http::Method::GET]);
    assert_eq!(&*routes[0].path.text, "/fhir/Patient/{id}");
    assert!(routes[0].phi && !routes.last().unwrap().phi);
    let lab = &config.peers[&fhir.allow[1]];
    assert_eq!(lab.expires.unwrap(), datetime!(2027-06-30 23:59:59.999_999_999 UTC));
    let to_lab = &config.outbound[0];
    assert_eq!(to_lab.listen, ListenAddr::Tcp("127.0.0.1:9002".parse().unwrap()));
    assert_eq!((&*to_lab.to[1].host, to_lab.to[1].port), ("lis2.lab.example", 8443));
    assert!(config.peers.values().any(|p| matches!(p.matcher, PeerMatcher::CertificatePin(_))));
}

#[test]
fn relative_paths_begin_at_the_directory_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("myelin.yaml");
    std::fs::write(dir.path().join("name"), "tls.crt\n").unwrap();
    std::fs::write(
        &path,
        "version: 1\nservice: ehr\ntrust_domain: h.example\n\
         identity: {files: {cert: \"pki/${file:name}\", key: /run/key, trust_bundle: ca.crt}}\n",
    )
    .unwrap();

    let config = load(&path, &without_env).unwrap();

    assert_eq!(
        config.identity,
        IdentitySource::Files(Files {
            pair: PairFiles {
                form: PairForm::Pem {
                    cert: dir.path().join("pki/tls.crt"),
                    key: "/run/key".into(),
                },
                passphrase_file: None,
            },
            others: vec![],
            trust_bundle: dir.path().join("ca.crt"),
            crls: vec![],
        })
    );
}

#[test]
fn the_digest_is_what_sha256sum_says_of_the_file() {
    let config = parse("\u{feff}version: 1\nservice: ehr\ntrust_domain: h.example\nidentity: {embedded: {dir: authority}}\n").unwrap();
    let plain = parse(HEAD).unwrap();

    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, HEAD.as_bytes());
    assert_eq!(plain.digest, Fingerprint(expected.as_ref().try_into().unwrap()));
    assert_ne!(plain.digest, config.digest);
}

#[test]
fn what_is_put_in_reaches_the_checked_value() {
    let env = |name: &str| (name == "PORT").then(|| "9911".to_owned());
    let text = [HEAD, "admin: {listen: \"127.0.0.1:${PORT}\"}\n"].concat();

    let config = crate::config::parse(Path::new("m.yaml"), &text, &env).unwrap();

    assert_eq!(config.admin.listen, Some("127.0.0.1:9911".parse().unwrap()));
}

#[test]
fn a_cipher_suite_may_be_named_as_iana_does() {
    let text = [HEAD, "tls: {cipher_suites: [TLS_AES_256_GCM_SHA384, TLS13_AES_256_GCM_SHA384]}\n"];

    assert_eq!(parse(&text.concat()).unwrap().tls.cipher_suites, ["TLS13_AES_256_GCM_SHA384"]);
}

#[test]
fn the_administrative_listener_can_be_off() {
    assert_eq!(parse(&[HEAD, "admin: {listen: off}\n"].concat()).unwrap().admin.listen, None);
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("latin1.yaml");
    std::fs::write(&broken, b"version: 1\nservice: \xe9\n").unwrap();

    let missing = load(&dir.path().join("none.yaml"), &without_env).unwrap_err();
    let latin1 = load(&broken, &without_env).unwrap_err();

    let first = missing.iter().next().unwrap();
    assert!(first.text.starts_with("the configuration cannot be read: No such file"));
    assert_eq!((first.line, first.severity), (0, Severity::Error));
    assert_eq!(latin1.iter().next().unwrap().line, 2);
}
