mod enrolment;
mod killed;
mod revocation;
mod roll;
mod source;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::certs::openssl::OpenSsl;
use crate::identity::{DnsName, PeerCertificate, SpiffeId};
use crate::report::Report;

const HOUR: Duration = Duration::from_secs(3600);

fn domain() -> TrustDomain {
    TrustDomain::parse("hospital.example").unwrap()
}

fn ehr() -> SpiffeId {
    SpiffeId::parse("spiffe://hospital.example/ehr").unwrap()
}

/// A directory that does not exist yet, within one that goes away.
fn place() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("state/authority");
    (parent, dir)
}

fn error(result: Result<Authority, AuthorityError>, dir: &Path) -> String {
    Report(&result.err().unwrap()).to_string().replace(&dir.display().to_string(), "DIR")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn openssl_verifies_what_the_authority_issues() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let dns = [DnsName::parse("ehr.hospital.example").unwrap()];
    let issued = authority.issue_pem(&ehr(), &dns, HOUR).unwrap();
    let openssl = OpenSsl::new();
    openssl.write("root.crt", authority.trust_bundle_pem());
    openssl.write("chain.crt", &issued.chain);
    openssl.write("leaf.key", issued.key.as_bytes());

    for purpose in ["sslserver", "sslclient"] {
        openssl.run(&format!(
            "verify -x509_strict -purpose {purpose} -CAfile root.crt -untrusted chain.crt chain.crt"
        ));
    }
    let text = openssl.run("x509 -in chain.crt -noout -text");

    for expected in [
        "Subject: O = hospital.example, CN = ehr",
        "URI:spiffe://hospital.example/ehr, DNS:ehr.hospital.example",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "CA:FALSE",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "ASN1 OID: prime256v1",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let public = openssl.run("x509 -in chain.crt -noout -pubkey");
    assert_eq!(openssl.run("pkey -in leaf.key -pubout"), public);
}

#[test]
fn our_reading_of_a_certificate_is_openssls() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let openssl = OpenSsl::new();
    openssl.write("leaf.crt", &authority.issue_pem(&ehr(), &[], HOUR).unwrap().chain);
    openssl.run("x509 -in leaf.crt -outform DER -out leaf.der");
    openssl.write("key.pem", openssl.run("x509 -in leaf.crt -noout -pubkey"));
    openssl.run("pkey -pubin -in key.pem -outform DER -out key.der");

    let facts = PeerCertificate::parse(&fs::read(openssl.path("leaf.der")).unwrap()).unwrap();

    let serial = openssl.run("x509 -in leaf.crt -noout -serial");
    assert_eq!(serial.trim(), format!("serial={}", facts.serial));
    assert!(openssl.run("dgst -sha256 leaf.der").trim().ends_with(&facts.sha256.to_string()));
    assert!(openssl.run("dgst -sha256 key.der").trim().ends_with(&facts.key_sha256.to_string()));
}

#[test]
fn authorities_are_what_they_should_be() {
    let (_parent, dir) = place();
    Authority::open_or_create(&dir, &domain()).unwrap();
    let openssl = OpenSsl::new();
    let text = |name| openssl.run(&format!("x509 -in {} -noout -text", dir.join(name).display()));

    let (root, issuing) = (text("root.crt"), text("issuing.crt"));

    assert!(root.contains("Subject: O = hospital.example, CN = Myelin root "), "{root}");
    assert!(root.contains("CA:TRUE, pathlen:1"), "{root}");
    assert!(issuing.contains("Subject: O = hospital.example, CN = Myelin issuing "), "{issuing}");
    assert!(
        issuing.contains("X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0")
    );
    assert!(issuing.contains("X509v3 Authority Key Identifier"), "{issuing}");
    for authority in [&root, &issuing] {
        assert!(authority.contains("Certificate Sign, CRL Sign"), "{authority}");
    }
}

#[test]
fn a_leaf_is_ready_to_be_presented_and_backdated_for_slow_clocks() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();

    let material = authority.issue(&ehr(), &[], HOUR).unwrap();

    assert_eq!(material.presented.cert.len(), 2);
    assert_eq!(material.trusted.bundle.len(), 1);
    assert_eq!(material.facts.spiffe.as_ref(), Some(&ehr()));
    let life = material.facts.not_after - material.facts.not_before;
    assert_eq!(life, params::BACKDATED + HOUR);
    assert!(!format!("{material:?}").contains("presented"));
}

#[test]
fn no_two_leaves_and_no_two_authorities_share_a_name_or_number() {
    let (_a, first) = place();
    let (_b, second) = place();
    let authority = Authority::open_or_create(&first, &domain()).unwrap();
    let other = Authority::open_or_create(&second, &domain()).unwrap();

    let one = authority.issue(&ehr(), &[], HOUR).unwrap();
    let two = authority.issue(&ehr(), &[], HOUR).unwrap();

    assert_ne!(one.facts.serial, two.facts.serial);
    assert_ne!(one.facts.key_sha256, two.facts.key_sha256);
    let subject = |authority: &Authority| inspect::subject(&authority.root.der);
    assert_ne!(subject(&authority), subject(&other));
}

#[test]
fn everything_secret_is_for_its_owner_alone() {
    let (_parent, dir) = place();

    Authority::open_or_create(&dir, &domain()).unwrap();

    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("root.key")), 0o600);
    assert_eq!(mode(&dir.join("issuing.key")), 0o600);
    assert_eq!(mode(&dir.join("lock")), 0o600);
    assert_eq!(mode(&dir.join("root.crt")), 0o644);
    let mut files: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["ca.crl", "issuing.crt", "issuing.key", "lock", "root.crt", "root.key"]);
    Authority::open(&dir, &domain()).unwrap().issue(&ehr(), &[], HOUR).unwrap();
    assert_eq!(mode(&dir.join("issued.jsonl")), 0o600);
}

#[test]
fn a_directory_or_key_that_others_may_use_is_refused() {
    let (_parent, dir) = place();
    Authority::open_or_create(&dir, &domain()).unwrap();

    fs::set_permissions(&dir, Permissions::from_mode(0o750)).unwrap();
    assert_eq!(
        error(Authority::open(&dir, &domain()), &dir),
        "DIR: other users may use it (mode 0750), and it holds an authority's keys: chmod 700 it"
    );
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(dir.join("issuing.key"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        error(Authority::open(&dir, &domain()), &dir),
        "DIR/issuing.key: other users may use it (mode 0644), and it holds an authority's keys: \
         chmod 600 it"
    );
}

#[test]
fn the_same_authority_is_there_after_a_restart() {
    let (_parent, dir) = place();
    let made = Authority::open_or_create(&dir, &domain()).unwrap();

    let opened = Authority::open_or_create(&dir, &domain()).unwrap();

    assert_eq!(made.root.der, opened.root.der);
    assert_eq!(made.issuing.certificate.der, opened.issuing.certificate.der);
}

#[test]
fn processes_that_start_together_share_one_authority() {
    let (_parent, dir) = place();

    let roots: Vec<_> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Authority::open_or_create(&dir, &domain()).unwrap()))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .map(|authority| (authority.root.der, authority.issuing.certificate.der))
            .collect()
    });

    assert!(roots.iter().all(|pair| *pair == roots[0]));
}

#[test]
fn the_issuing_authority_is_replaced_when_less_than_a_third_is_left() {
    let (_parent, dir) = place();
    let now = clock::now();
    let open = |days| {
        Authority::open_or_create_at(&dir, &domain(), now + time::Duration::days(days)).unwrap()
    };
    let made = open(0);

    let kept = open(240);
    let replaced = open(250);

    assert_eq!(kept.issuing.certificate.der, made.issuing.certificate.der);
    assert_ne!(replaced.issuing.certificate.der, made.issuing.certificate.der);
    assert_eq!(replaced.root.der, made.root.der);
    assert_eq!(replaced.crl_count(), 2, "the leaves of the old one live on");
    assert_eq!(open(366).crl_count(), 1, "until it ends");
    assert_eq!(open(251).issuing.certificate.der, replaced.issuing.certificate.der);
}

#[test]
fn a_write_that_broke_off_is_made_good() {
    let (_parent, dir) = place();
    let made = Authority::open_or_create(&dir, &domain()).unwrap();
    let (_other, other) = place();
    Authority::open_or_create(&other, &domain()).unwrap();

    fs::copy(other.join("issuing.key"), dir.join("issuing.key")).unwrap();
    let mismatched = Authority::open(&dir, &domain()).unwrap();
    fs::remove_file(dir.join("issuing.crt")).unwrap();
    let missing = Authority::open(&dir, &domain()).unwrap();

    for repaired in [&mismatched, &missing] {
        assert_eq!(repaired.root.der, made.root.der);
        repaired.issue(&ehr(), &[], HOUR).unwrap();
    }
}

#[test]
fn an_authority_that_was_begun_and_not_finished_is_begun_anew() {
    let (_parent, dir) = place();
    Authority::open_or_create(&dir, &domain()).unwrap();
    for name in ["root.crt", "issuing.crt", "issuing.key"] {
        fs::remove_file(dir.join(name)).unwrap();
    }

    Authority::open_or_create(&dir, &domain()).unwrap().issue(&ehr(), &[], HOUR).unwrap();
}

#[test]
fn a_lost_root_is_not_silently_replaced() {
    let (_parent, dir) = place();
    Authority::open_or_create(&dir, &domain()).unwrap();
    fs::remove_file(dir.join("root.crt")).unwrap();

    assert_eq!(
        error(Authority::open_or_create(&dir, &domain()), &dir),
        "DIR/root.crt: no such file, but other files of the authority are there: restore it, or \
         move the rest away to begin anew"
    );
}

#[test]
fn the_root_key_may_be_kept_elsewhere_until_it_is_needed() {
    let (_parent, dir) = place();
    let made = Authority::open_or_create(&dir, &domain()).unwrap();
    fs::remove_file(dir.join("root.key")).unwrap();

    let open = |days| {
        let at = clock::now() + time::Duration::days(days);
        Authority::open_or_create_at(&dir, &domain(), at)
    };
    assert!(open(1).unwrap().remarks().is_empty());

    let late = open(300).unwrap();
    let ended = open(366);

    let end = rfc3339(inspect::not_after(&made.issuing.certificate.der).unwrap());
    assert_eq!(late.issuing.certificate.der, made.issuing.certificate.der);
    let remark = late.remarks().join("").replace(&dir.display().to_string(), "DIR");
    assert_eq!(
        remark,
        format!(
            "DIR/issuing.crt: ends at {end}, and a new issuing authority cannot be made before that: \
             DIR/root.key: no such file: restore it for a start"
        )
    );
    assert_eq!(
        error(ended, &dir),
        format!(
            "DIR/issuing.crt: ends at {end}; a new issuing authority cannot be made either: \
             DIR/root.key: no such file: restore one of them"
        )
    );
}

#[test]
fn a_root_key_that_is_not_the_roots_signs_nothing() {
    let (_parent, dir) = place();
    let (_other, other) = place();
    Authority::open_or_create(&dir, &domain()).unwrap();
    Authority::open_or_create(&other, &domain()).unwrap();
    fs::copy(other.join("root.key"), dir.join("root.key")).unwrap();
    fs::remove_file(dir.join("issuing.key")).unwrap();

    assert_eq!(
        error(Authority::open(&dir, &domain()), &dir),
        "DIR/issuing.key: no such file; a new issuing authority cannot be made either: \
         DIR/root.crt: does not fit root.key: restore one of them"
    );
    assert!(!dir.join("issuing.key").exists());
}

#[test]
fn what_stands_in_the_way_is_named() {
    let (_parent, dir) = place();
    assert_eq!(
        error(Authority::open(&dir, &domain()), &dir),
        "DIR: no authority here: put back the one that was, or make a new one with `myelin init`"
    );
    Authority::open_or_create(&dir, &domain()).unwrap();

    let other = TrustDomain::parse("other.example").unwrap();
    let text = error(Authority::open_or_create(&dir, &other), &dir);
    assert!(
        text.starts_with(
            "DIR: holds the authority of another trust domain (O=hospital.example, CN=Myelin root "
        ) && text.ends_with(
            "), not of other.example: set identity.embedded.dir to a directory of its own"
        ),
        "{text}"
    );
    let late = clock::now() + time::Duration::days(3660);
    let text = error(Authority::open_or_create_at(&dir, &domain(), late), &dir);
    assert!(text.starts_with("DIR/root.crt: expired at "), "{text}");
    fs::write(dir.join("root.crt"), "nonsense").unwrap();
    assert_eq!(
        error(Authority::open(&dir, &domain()), &dir),
        "DIR/root.crt: is damaged: restore it"
    );
    let file = dir.join("lock");
    for result in [
        Authority::open_or_create(&file, &domain()),
        Authority::open(&file, &domain()),
        Authority::look(&file, &domain()),
    ] {
        assert_eq!(error(result, &file), "DIR: is no directory");
    }
}

#[test]
fn names_of_other_trust_domains_are_not_issued() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let foreign = SpiffeId::parse("spiffe://other.example/ehr").unwrap();

    assert_eq!(
        authority.issue(&foreign, &[], HOUR).unwrap_err().to_string(),
        "spiffe://other.example/ehr is not of the authority's trust domain hospital.example"
    );
}

#[test]
fn a_leaf_does_not_outlive_its_issuer() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();

    let material = authority.issue(&ehr(), &[], HOUR * 24 * 4000).unwrap();

    assert_eq!(Some(material.not_after()), inspect::not_after(&authority.issuing.certificate.der));
}
