//! Who is not let in: tried with `openssl s_client`, as anybody would.
//!
//! Every refusal is on record with what was presented, is counted, and reaches the workload with no byte.

use std::time::Duration;

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SerialNumber};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::gate::Gate;
use crate::support::mesh::Setup;
use crate::support::openssl::{SClient, lax};
use crate::support::pki::{Ca, dns, spiffe, uri};

fn in_hours(hours: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::hours(hours)
}

#[tokio::test]
async fn a_listed_peer_is_let_in() {
    let gate = Gate::new().await;

    let allowed = gate.admits(&gate.ca.issue("web")).await;

    assert_eq!(allowed.text("myelin.identity"), spiffe("web"));
    assert_eq!(allowed.text("myelin.peer"), "web");
    assert_eq!(allowed.text("rule.name"), "db");
    assert_eq!(allowed.text("tls.client.subject"), "CN=web");
    assert_eq!(allowed.text("tls.client.issuer"), "CN=Hospital CA");
    assert_eq!(allowed.text("source.ip"), "127.0.0.1");
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let gate = Gate::new().await;
    let anonymous = SClient::to(gate.db.address());

    let record = gate.refuses_with(anonymous, "no_certificate", 116).await;

    assert!(record.field("tls.client.subject").is_null());
}

#[tokio::test]
async fn a_peer_with_a_certificate_from_a_foreign_authority_is_refused() {
    let gate = Gate::new().await;
    let forged = Ca::new("Foreign CA").issue("web");

    let record = gate.refuses(&forged, "unknown_issuer", 48).await;

    assert_eq!(record.text("tls.client.issuer"), "CN=Foreign CA");
    assert_eq!(record.field("tls.client.x509.alternative_names").to_string(), "[]");
}

#[tokio::test]
async fn a_foreign_authority_of_the_same_name_is_foreign_all_the_same() {
    let gate = Gate::new().await;
    let forged = Ca::new("Hospital CA").issue("web");

    gate.refuses(&forged, "unknown_issuer", 48).await;
}

#[tokio::test]
async fn a_peer_whose_certificate_has_expired_is_refused() {
    let gate = Gate::new().await;
    let expired = gate.ca.issue_with("web", |params| {
        params.not_before = in_hours(-48);
        params.not_after = in_hours(-24);
    });

    gate.refuses(&expired, "expired", 45).await;
}

#[tokio::test]
async fn a_peer_whose_certificate_is_not_valid_yet_is_refused() {
    let gate = Gate::new().await;
    let early = gate.ca.issue_with("web", |params| {
        params.not_before = in_hours(24);
        params.not_after = in_hours(48);
    });

    gate.refuses(&early, "not_yet_valid", 45).await;
}

#[tokio::test]
async fn a_peer_whose_certificate_is_for_servers_only_is_refused() {
    let gate = Gate::new().await;
    let server = gate.ca.issue_with("web", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });

    gate.refuses(&server, "wrong_purpose", 43).await;
}

#[tokio::test]
async fn a_peer_whose_certificate_names_no_purpose_is_refused() {
    let gate = Gate::new().await;
    let vague = gate.ca.issue_with("web", |params| params.extended_key_usages.clear());

    gate.refuses(&vague, "unfit_leaf", 43).await;
}

#[tokio::test]
async fn a_peer_whose_certificate_is_good_for_anything_is_refused() {
    let gate = Gate::new().await;
    let anything = gate.ca.issue_with("web", |params| {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::Any, ExtendedKeyUsagePurpose::ClientAuth];
    });

    gate.refuses(&anything, "unfit_leaf", 43).await;
}

#[tokio::test]
async fn a_peer_whose_certificate_may_sign_others_is_refused() {
    let gate = Gate::new().await;
    let signer = gate.ca.issue_with("web", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    });

    gate.refuses(&signer, "unfit_leaf", 43).await;
}

#[tokio::test]
async fn an_authority_is_not_a_peer() {
    let gate = Gate::new().await;
    let authority = gate.ca.issue_with("web", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    });

    gate.refuses(&authority, "unfit_leaf", 43).await;
}

#[tokio::test]
async fn a_peer_with_two_spiffe_ids_is_refused() {
    let gate = Gate::new().await;
    let two = gate.ca.issue_with("web", |params| {
        params.subject_alt_names = vec![uri(&spiffe("web")), uri(&spiffe("mallory"))];
    });

    gate.refuses(&two, "several_spiffe_ids", 42).await;
}

#[tokio::test]
async fn a_peer_with_a_malformed_spiffe_id_is_refused() {
    let gate = Gate::new().await;
    let malformed = gate.ca.issue_with("web", |params| {
        params.subject_alt_names = vec![uri("spiffe://hospital.example//web"), dns("web")];
    });

    gate.refuses(&malformed, "malformed_name", 42).await;
}

#[tokio::test]
async fn a_peer_that_nobody_has_listed_is_denied() {
    let gate = Gate::new().await;

    let record = gate.denies(&gate.ca.issue("stranger"), "unknown_peer").await;

    assert_eq!(record.text("myelin.identity"), spiffe("stranger"));
    assert!(record.field("myelin.peer").is_null());
}

#[tokio::test]
async fn a_peer_that_is_known_and_not_on_this_listeners_list_is_denied() {
    let adjust = |setup: Setup, _: &Ca| setup.peer("lab", &format!("spiffe: {}", spiffe("lab")));
    let gate = Gate::with(adjust).await;

    let record = gate.denies(&gate.ca.issue("lab"), "not_listed").await;

    assert!(record.text("myelin.nearest").contains("`lab`"), "{record:?}");
}

#[tokio::test]
async fn a_peer_whose_listing_has_expired_is_denied() {
    let adjust = |setup: Setup, _: &Ca| {
        let entry = format!("spiffe: {}, expires: 2020-01-01", spiffe("lab"));
        setup.peer("lab", &entry).allow_known("lab")
    };
    let gate = Gate::with(adjust).await;

    gate.denies(&gate.ca.issue("lab"), "listing_expired").await;
}

#[tokio::test]
async fn a_peer_may_be_listed_by_dns_name_or_by_subject() {
    let adjust = |setup: Setup, _: &Ca| {
        let setup = setup.peer("lis", "dns: lis.lab.example").allow_known("lis");
        setup.peer("ris", "subject: { cn: ris }").allow_known("ris")
    };
    let gate = Gate::with(adjust).await;
    let by_dns = gate.ca.issue_with("x", |params| {
        params.subject_alt_names = vec![dns("lis.lab.example")];
    });
    let by_subject = gate.ca.issue_with("ris", |params| params.subject_alt_names.clear());

    let lis = gate.client(&by_dns).send("hello\n").await;
    let ris = gate.client(&by_subject).send("hello\n").await;

    assert!(lis.stdout.contains("you said"), "{lis:#?}");
    assert!(ris.stdout.contains("you said"), "{ris:#?}");
    let allowed = gate.db.trail().wait_for("connection-allowed", 2).await;
    let peers: Vec<_> = allowed.iter().map(|record| record.text("myelin.peer")).collect();
    assert_eq!(peers, ["lis", "ris"]);
}

/// A sidecar with a revocation list, on which number 66 stands.
async fn with_crl(next_update: OffsetDateTime) -> Gate {
    let gate = Gate::new().await;
    std::fs::write(gate.crl(), gate.ca.crl(&[66], next_update)).unwrap();
    let db = gate.setup_with_crl().start().await;
    Gate { db, ..gate }
}

#[tokio::test]
async fn a_peer_whose_certificate_is_revoked_is_refused() {
    let gate = with_crl(in_hours(24)).await;
    let revoked = gate.ca.issue_with("web", |params| {
        params.serial_number = Some(SerialNumber::from(66));
    });

    gate.refuses(&revoked, "revoked", 44).await;
}

#[tokio::test]
async fn a_peer_whose_certificate_is_not_on_the_revocation_list_is_let_in() {
    let gate = with_crl(in_hours(24)).await;

    gate.admits(&gate.ca.issue("web")).await;
}

#[tokio::test]
async fn a_revocation_list_that_is_overdue_lets_nobody_in() {
    let gate = with_crl(in_hours(24)).await;
    let list = gate.ca.crl(&[], OffsetDateTime::now_utc() + time::Duration::seconds(1));
    std::fs::write(gate.identity.dir().join("ca.crl"), list).unwrap();
    let reloaded = gate.db.reload(&gate.setup_with_crl()).await;
    assert!(reloaded.is_ok(), "{reloaded:?}");

    let web = gate.ca.issue("web");
    let said = crate::support::eventually("the list to be overdue", || async {
        let said = gate.client(&web).send("hello\n").await;
        said.stderr.contains("SSL alert").then_some(said)
    })
    .await;

    assert!(!said.stdout.contains("you said"), "{said:#?}");
    let refused = gate.db.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "crl_expired");
}

#[tokio::test]
async fn a_peer_of_an_authority_without_a_revocation_list_is_refused_when_others_have_one() {
    let gate = with_crl(in_hours(24)).await;
    let other = Ca::new("Second CA");
    std::fs::write(gate.identity.trust_bundle(), gate.ca.pem() + &other.pem()).unwrap();
    gate.db.reload(&gate.setup_with_crl()).await.unwrap();
    let web = other.issue("web");
    std::fs::write(web.trust_bundle(), gate.ca.pem()).unwrap();

    gate.refuses(&web, "revocation_unknown", 48).await;
}

#[tokio::test]
async fn plaintext_on_the_tls_port_is_refused_and_recorded() {
    let gate = Gate::new().await;

    let mut caller = TcpStream::connect(gate.db.address()).await.unwrap();
    caller.write_all(b"GET / HTTP/1.1\r\nHost: db\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _broken_off = caller.read_to_end(&mut answer).await;

    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    assert_eq!(gate.db.trail().only("connection-refused").await.reason(), "not_tls");
    gate.db.metric_is("myelin_handshakes_total", &[("result", "not_tls")], 1.0).await;
    gate.nothing_passed();
}

#[tokio::test]
async fn a_peer_that_has_tls_1_1_only_is_refused() {
    let gate = Gate::new().await;
    let old = lax(gate.db.config.parent().unwrap());
    let web = gate.ca.issue("web");
    let client = gate.client(&web).args(&["-tls1_1"]).settings(&old);

    gate.refuses_with(client, "no_shared_version", 40).await;
}

#[tokio::test]
async fn a_peer_without_a_cipher_suite_in_common_is_refused() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");
    let client = gate.client(&web).args(&["-tls1_2", "-cipher", "AES128-SHA256"]);

    gate.refuses_with(client, "no_shared_cipher", 40).await;
}

#[tokio::test]
async fn a_peer_that_only_looks_whether_the_port_is_open_is_recorded() {
    let gate = Gate::new().await;

    drop(TcpStream::connect(gate.db.address()).await.unwrap());

    assert_eq!(gate.db.trail().only("connection-refused").await.reason(), "lost");
    gate.nothing_passed();
}

#[tokio::test]
async fn refusals_can_be_read_on_the_administrative_listener() {
    let gate = Gate::new().await;
    gate.refuses(&Ca::new("Foreign CA").issue("web"), "unknown_issuer", 48).await;

    let page = gate.db.page("/denials").await.body;
    let denials: Vec<serde_json::Value> = serde_json::from_str(&page).unwrap();

    assert_eq!(denials.len(), 1);
    assert_eq!(denials[0]["event"]["reason"], "unknown_issuer");
    assert_eq!(denials[0]["tls"]["client"]["issuer"], "CN=Foreign CA");
}

#[tokio::test]
async fn a_flood_of_refused_peers_does_not_keep_out_a_good_one() {
    let gate = Gate::with(|setup, _| setup.limits("handshake_timeout: 10s")).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(gate.db.address()).await.unwrap());
    }

    let web = gate.ca.issue("web");
    let admitted = tokio::time::timeout(Duration::from_secs(5), gate.admits(&web)).await;

    assert!(admitted.is_ok());
}
