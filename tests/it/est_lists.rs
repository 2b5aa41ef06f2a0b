//! Revocation lists beside EST: fetched where they are published, and kept with the rest.

use myelin::certs::MaterialError;
use myelin::config::Est;

use super::clock::Clock;
use super::est::web;
use crate::support::client::{FirstRead, connect};
use crate::support::est::{EstServer, supply};
use crate::support::mesh::Mesh;
use crate::support::workload::{Kind, Workload};

fn with_list(server: &EstServer, name: &str) -> Est {
    Est { crl_urls: vec![server.list(name).parse().unwrap()], ..server.client() }
}

#[tokio::test]
async fn a_list_is_fetched_before_the_token_is_used_in_der_or_pem() {
    let server = EstServer::start().await;
    server.publish("list.pem", &["server.crt"]);
    server.openssl("crl -in list.pem -outform DER -out list.der");
    let der = std::fs::read(server.path("list.der")).unwrap();

    for name in ["list.pem", "list.der"] {
        server.token("s3cret");
        let loaded = supply(Est {
            dir: server.path(name).with_extension("dir"),
            ..with_list(&server, name)
        })
        .load()
        .await
        .unwrap();
        assert_eq!(loaded.material.trusted.crls.len(), 1);
        assert_eq!(*loaded.material.trusted.crls[0], *der);
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
    let asked = server.asked();
    let at = |what: &str| asked.iter().position(|line| line.contains(what)).unwrap();
    assert!(at("list.pem") < at("simpleenroll"), "{asked:?}");
}

#[tokio::test]
async fn a_list_that_is_not_to_be_had_at_first_lets_nobody_in() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let error = supply(with_list(&server, "none.crl")).look().await.unwrap_err();
    let MaterialError::Enrol(error) = error else { panic!("{error}") };
    assert!(error.is_transient());
    assert!(error.to_string().contains("none.crl: answers 404"), "{error}");

    for (name, problem) in [
        ("root.crt", "holds no revocation list"),
        ("tokens", "something else than a revocation list"),
    ] {
        let error = supply(with_list(&server, name)).load().await.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    assert!(!server.asked().iter().any(|line| line.contains("simpleenroll")));
}

#[tokio::test]
async fn a_kept_list_stays_while_nobody_can_be_asked_and_a_new_place_must_have_one() {
    let mut server = EstServer::start().await;
    server.token("s3cret");
    server.publish("list.crl", &[]);
    let first = supply(with_list(&server, "list.crl"));
    let loaded = first.load().await.unwrap();
    let refreshed = first.load_again(&first, &loaded.material).await.unwrap();
    assert!(refreshed.material.same_as(&loaded.material));
    server.end();

    let again = supply(with_list(&server, "list.crl")).load().await.unwrap();
    assert_eq!(again.material.trusted.crls, loaded.material.trusted.crls);

    let error = supply(with_list(&server, "other.crl")).look().await.unwrap_err().to_string();
    assert!(error.contains("other.crl: cannot be connected to"), "{error}");
}

#[tokio::test]
async fn lists_and_authorities_take_effect_while_our_certificate_is_not_renewed() {
    let server = EstServer::start().await;
    server.token("s3cret");
    server.publish("list.crl", &[]);
    let (mesh, workload) = (Mesh::new(), Workload::tcp(Kind::Echo).await);
    let clock = Clock::new(mesh.dir());
    let source = format!(
        "est: {{ url: \"{}\", trust_bundle: {}, token_file: {}, dir: {}, crl_urls: [\"{}\"] }}",
        server.url(),
        server.path("root.crt").display(),
        server.path("token").display(),
        server.path("identity").display(),
        server.list("list.crl"),
    );
    let setup = mesh.inbound("ehr").allow("web").forward(workload.target()).identity(&source);
    let mut command = setup.command();
    clock.worn_by(&mut command);
    let ehr = setup.spawn_by(&mut command).await;
    let mut open = connect(&web(&server), ehr.address(), "ehr").await.unwrap();
    open.echoes("before").await;

    server.openssl(
        "req -x509 -newkey ed25519 -nodes -config ca.cnf -extensions authority -keyout second.key \
         -out second.crt -subj /O=Clinic/CN=second",
    );
    server.openssl(
        "crl2pkcs7 -nocrl -certfile issuing.crt -certfile root.crt -certfile second.crt \
         -outform DER -out all.der",
    );
    server.openssl("base64 -in all.der -out all.p7");
    server.behave("status 503\ncacerts all.p7");
    server.publish("list.crl", &["web.crt"]);
    clock.set("+45m"); // more than two thirds of its hour are over

    let withdrawn = ehr.trail().only("connection-withdrawn").await;
    assert_eq!(withdrawn.reason(), "revoked", "{withdrawn:#?}");
    assert!(!matches!(open.first_read().await, FirstRead::Bytes(_)));
    let rotated = ehr.trail().wait_for("certificate-rotated", 1).await;
    let told: Vec<_> = rotated.iter().map(|record| record.text("message")).collect();
    let new = "the trust bundle now holds O=Clinic, CN=second (sha256 ";
    assert!(told.iter().any(|text| text.contains(new)), "{told:#?}");
    let rejected = ehr.trail().wait_for("certificate-rejected", 1).await.remove(0);
    assert!(rejected.text("message").contains("503"), "{rejected:#?}");
}
