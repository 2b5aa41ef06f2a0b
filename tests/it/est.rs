//! Certificates from an EST server (RFC 7030): the first for a token, each further one for the one before.

use std::os::unix::fs::PermissionsExt;

use myelin::certs::{Loaded, Supply};
use myelin::config::{EstTrust, KeyType};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::support::client::connect;
use crate::support::est::{EstServer, other, supply};
use crate::support::mesh::Mesh;
use crate::support::pki::Identity;
use crate::support::until;
use crate::support::workload::{Kind, Workload};

fn leaf(loaded: &Loaded) -> CertificateDer<'static> {
    loaded.material.presented.cert[0].clone()
}

/// Tells the source that what it offered is in use.
async fn in_use(supply: &Supply, loaded: &Loaded) {
    supply.load_again(supply, &loaded.material).await.unwrap();
}

#[tokio::test]
async fn a_token_gets_a_certificate_in_our_name_and_whom_to_trust() {
    let server = EstServer::start().await;
    server.token("s3cret");

    let loaded = supply(server.client()).load().await.unwrap();

    let facts = &loaded.material.facts;
    assert_eq!(facts.alternative_names, ["URI:spiffe://hospital.example/ehr", "DNS:ehr"]);
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let chain = &loaded.material.presented.cert;
    assert_eq!(chain[1..], [server.certificate("issuing.crt")]);
    assert_eq!(loaded.material.trusted.bundle, [server.certificate("root.crt")]);
    assert_eq!(server.asked(), ["cacerts -", "simpleenroll token of ehr"]);
}

#[tokio::test]
async fn the_key_stays_with_us_and_is_kept_where_nobody_else_can_read_it() {
    let server = EstServer::start().await;
    server.token("s3cret");

    supply(server.client()).load().await.unwrap();

    let mode = |path: &str| server.path(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("identity"), 0o700);
    assert_eq!(mode("identity/identity.json"), 0o600);
    let kept = std::fs::read_to_string(server.path("identity/identity.json")).unwrap();
    assert!(!kept.contains("s3cret"), "{kept}");
}

#[tokio::test]
async fn a_certificate_gets_the_next_one_with_another_key_and_no_token() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let source = supply(server.client());
    let first = source.load().await.unwrap();
    std::fs::remove_file(server.path("token")).unwrap();

    let second = other(&server).load_again(&source, &first.material).await.unwrap();

    assert_ne!(first.material.facts.key_sha256, second.material.facts.key_sha256);
    assert_eq!(first.material.facts.alternative_names, second.material.facts.alternative_names);
    let asked = server.asked();
    assert_eq!(asked[asked.len() - 2..], ["cacerts -", "simplereenroll certificate"]);
    assert_eq!(asked.iter().filter(|line| line.contains("simpleenroll")).count(), 1);
}

#[tokio::test]
async fn a_start_needs_neither_server_nor_token_while_the_kept_certificate_is_good() {
    let mut server = EstServer::start().await;
    server.token("s3cret");
    let first = supply(server.client());
    let loaded = first.load().await.unwrap();
    in_use(&first, &loaded).await;
    server.end();
    std::fs::remove_file(server.path("token")).unwrap();

    let again = supply(server.client()).load().await.unwrap();

    assert_eq!(leaf(&again), leaf(&loaded));
    assert_eq!(again.material.trusted, loaded.material.trusted);
    assert!(again.material.same_as(&loaded.material));
}

#[tokio::test]
async fn what_nobody_has_tried_yet_is_exchanged_at_the_next_start() {
    let mut server = EstServer::start().await;
    server.token("s3cret");
    // The process dies before its listeners take the certificate up.
    let loaded = supply(server.client()).load().await.unwrap();

    let another = supply(server.client()).load().await.unwrap();
    server.end();
    let same = supply(server.client()).load().await.unwrap();

    assert_ne!(leaf(&another), leaf(&loaded));
    assert_eq!(leaf(&same), leaf(&loaded));
}

#[tokio::test]
async fn a_certificate_that_expired_while_nothing_ran_needs_another_token() {
    let server = EstServer::start().await;
    server.token("s3cret");
    server.behave("lasts 8");
    let first = supply(server.client());
    let loaded = first.load().await.unwrap();
    in_use(&first, &loaded).await;
    let ends = loaded.material.not_after();
    until("the certificate to expire", || OffsetDateTime::now_utc() > ends).await;

    let refused = supply(server.client()).load().await.unwrap_err().to_string();
    server.token("an0ther");
    let loaded = supply(server.client()).load().await.unwrap();

    assert!(refused.contains("401") && refused.contains("myelin ca token"), "{refused}");
    assert!(loaded.material.not_after() > ends);
    std::fs::remove_file(server.path("token")).unwrap();
}

#[tokio::test]
async fn an_old_peer_and_a_new_one_each_get_a_certificate_for_one_token() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let kinds = vec![KeyType::P384, KeyType::Rsa2048];
    let supply = supply(myelin::config::Est { key_types: kinds, ..server.client() });

    let loaded = supply.load().await.unwrap();

    let keys = |certificate: &CertificateDer<'_>| {
        server.write("seen.der", certificate);
        server.openssl("x509 -inform DER -in seen.der -noout -text")
    };
    assert!(keys(&leaf(&loaded)).contains("ASN1 OID: secp384r1"));
    assert!(keys(&loaded.material.others[0].cert[0]).contains("Public-Key: (2048 bit)"));
    let asked = server.asked();
    assert_eq!(asked, ["cacerts -", "simpleenroll token of ehr", "simplereenroll certificate"]);
}

#[tokio::test]
async fn other_kinds_of_key_are_had_at_the_next_start() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let first = supply(server.client());
    in_use(&first, &first.load().await.unwrap()).await;

    let kinds = vec![KeyType::Ed25519];
    let second = supply(myelin::config::Est { key_types: kinds, ..server.client() });
    let loaded = second.load().await.unwrap();

    server.write("seen.der", leaf(&loaded));
    let text = server.openssl("x509 -inform DER -in seen.der -noout -text");
    assert!(text.contains("ED25519"), "{text}");
}

#[tokio::test]
async fn a_server_may_be_known_by_the_fingerprint_of_its_authority() {
    let server = EstServer::start().await;
    server.token("s3cret");
    for name in ["root.crt", "issuing.crt"] {
        let trust = EstTrust::Fingerprint(server.fingerprint(name));
        let client = myelin::config::Est { trust, ..server.client() };
        supply(client).look().await.unwrap();
    }
}

#[tokio::test]
async fn somebody_may_have_to_approve_first_and_is_asked_with_the_same_request() {
    let server = EstServer::start().await;
    server.token("s3cret");
    server.behave("approve 2\nretry 1");

    supply(server.client()).load().await.unwrap();

    let undecided = std::fs::read_to_string(server.path("undecided")).unwrap();
    let asked: Vec<_> = undecided.lines().collect();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
}

#[tokio::test]
async fn a_look_uses_up_no_token() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let supply = supply(server.client());

    let seen = supply.look().await.unwrap();

    assert!(seen.material.is_none());
    assert_eq!(seen.trusted.bundle, [server.certificate("root.crt")]);
    assert_eq!(server.asked(), ["cacerts -"]);
    assert!(!server.path("identity").exists());
    supply.load().await.unwrap();
}

#[tokio::test]
async fn a_sidecar_lives_through_its_certificates_and_an_absent_server_and_closes_nothing() {
    let mut server = EstServer::start().await;
    server.token("s3cret");
    server.behave("lasts 6");
    let workload = Workload::tcp(Kind::Echo).await;
    let mesh = Mesh::new();
    let source = format!(
        "est: {{ url: \"{}\", trust_bundle: {}, token_file: {}, dir: {} }}",
        server.url(),
        server.path("root.crt").display(),
        server.path("token").display(),
        server.path("identity").display()
    );
    let setup = mesh.inbound("ehr").allow("web").forward(workload.target()).identity(&source);
    let ehr = setup.start().await;
    let web = web(&server);
    let mut open = connect(&web, ehr.address(), "ehr").await.unwrap();
    open.echoes("before").await;
    // Long enough for what is to come before it expires.
    server.behave("lasts 15");
    let rotations = ehr.trail().all("certificate-rotated").len();
    ehr.trail().wait_for("certificate-rotated", rotations + 1).await;

    server.end();
    let rejected = ehr.trail().wait_for("certificate-rejected", 1).await.remove(0);
    open.echoes("while the server is away").await;
    server.begin().await;
    let before = ehr.trail().all("certificate-rotated").len();
    ehr.trail().wait_for("certificate-rotated", before + 1).await;

    assert!(rejected.text("message").contains("cannot be connected to"), "{rejected:?}");
    open.echoes("after").await;
    let mut next = connect(&web, ehr.address(), "ehr").await.unwrap();
    next.echoes("with the new certificate").await;
    assert!(ehr.trail().all("connection-closed").is_empty());
}

/// A peer with a certificate from the server's authority.
pub(crate) fn web(server: &EstServer) -> Identity {
    server.write(
        "web.ext",
        "subjectAltName=URI:spiffe://hospital.example/web\nextendedKeyUsage=clientAuth\n\
         keyUsage=critical,digitalSignature\n",
    );
    server.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out web.key");
    server.openssl("req -new -key web.key -subj /CN=web -config ca.cnf -out web.csr");
    server.openssl(
        "x509 -req -in web.csr -CA issuing.crt -CAkey issuing.key -extfile web.ext -days 1 -out web.crt",
    );
    let read = |name: &str| std::fs::read_to_string(server.path(name)).unwrap();
    Identity::new(&(read("web.crt") + &read("issuing.crt")), &read("web.key"), &read("root.crt"))
}
