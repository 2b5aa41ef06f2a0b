//! What is negotiated, and what is not.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::outbound::ask;
use crate::support::client::{config, connect_with};
use crate::support::gate::Gate;
use crate::support::openssl::without_ems;
use crate::support::process::needs;
use crate::support::workload::Kind;
use crate::tcp::pair;

#[tokio::test]
async fn tls_1_3_is_spoken_with_openssl() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");

    let allowed = gate.admits_with(gate.client(&web).args(&["-tls1_3"])).await;

    assert_eq!(allowed.text("tls.version"), "1.3");
    assert_eq!(allowed.text("tls.cipher"), "TLS_AES_256_GCM_SHA384");
    assert_eq!(allowed.field("tls.resumed"), &serde_json::Value::Bool(false));
}

#[tokio::test]
async fn tls_1_2_is_spoken_with_openssl() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");

    let allowed = gate.admits_with(gate.client(&web).args(&["-tls1_2"])).await;

    assert_eq!(allowed.text("tls.version"), "1.2");
    assert_eq!(allowed.text("tls.cipher"), "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384");
}

#[tokio::test]
async fn tls_1_2_without_extended_master_secret_is_refused() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");
    let settings = without_ems(gate.db.config.parent().unwrap());
    let client = gate.client(&web).args(&["-tls1_2"]).settings(&settings);

    gate.refuses_with(client, "protocol", 40).await;
}

#[tokio::test]
async fn two_sidecars_agree_on_a_key_exchange_that_quantum_computers_do_not_break() {
    let pair = pair(Kind::Line).await;

    assert_eq!(ask(&pair.web, "hello\n").await, "you said hello\n");

    for sidecar in [&pair.web, &pair.db] {
        let allowed = sidecar.trail().only("connection-allowed").await;
        assert_eq!(allowed.text("tls.version"), "1.3");
        assert_eq!(allowed.text("tls.curve"), "X25519MLKEM768");
    }
}

#[tokio::test]
async fn no_session_is_resumed_in_tls_1_3_and_no_early_data_is_offered() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");

    let said = gate.client(&web).args(&["-tls1_3"]).send("hello\n").await;

    assert!(said.stdout.contains("you said hello"), "{said:#?}");
    assert!(said.stdout.contains("Early data was not sent"), "{said:#?}");
    assert!(!said.stdout.contains("Session Ticket"), "{said:#?}");
}

#[tokio::test]
async fn no_session_is_resumed_in_tls_1_2() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");

    let said = gate.client(&web).args(&["-tls1_2", "-reconnect"]).send("hello\n").await;

    assert!(said.stdout.contains("New, TLSv1.2"), "{said:#?}");
    assert!(!said.stdout.contains("Reused"), "{said:#?}");
    assert!(!said.stdout.contains("TLS session ticket"), "{said:#?}");
}

#[tokio::test]
async fn a_client_that_resumes_is_asked_for_its_certificate_again() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");
    let mut config = config(&web);
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    config.enable_early_data = true;
    let config = Arc::new(config);

    for _ in 0..3 {
        let config = rustls::ClientConfig::clone(&config);
        let mut peer = connect_with(config, gate.db.address(), "db").await.unwrap();
        peer.send("hello\n").await;
        assert_eq!(peer.rest().await, b"you said hello\n");
        let kind = peer.stream.get_ref().1.handshake_kind();
        assert_ne!(kind, Some(rustls::HandshakeKind::Resumed));
    }
}

#[tokio::test]
async fn renegotiation_is_refused() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");
    let mut command = tokio::process::Command::new(needs("openssl", "openssl"));
    command.args(["s_client", "-tls1_2", "-connect"]).arg(gate.db.address().to_string());
    command.arg("-cert").arg(web.cert()).arg("-key").arg(web.key());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();

    // To s_client, a line with `R` alone means: renegotiate.
    stdin.write_all(b"R\n").await.unwrap();
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut log = String::new();
    let reading =
        async { tokio::join!(stderr.read_to_string(&mut said), out.read_to_string(&mut log)) };
    let ended = tokio::time::timeout(Duration::from_secs(10), reading).await;

    assert!(ended.is_ok(), "s_client goes on");
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(said.contains("no renegotiation"), "{said}");
    assert_eq!(gate.workload.received(), b"");
}

#[tokio::test]
async fn modern_refuses_tls_1_2() {
    let gate = Gate::with(|setup, _| setup.profile("modern")).await;
    let web = gate.ca.issue("web");

    gate.refuses_with(gate.client(&web).args(&["-tls1_2"]), "no_shared_version", 70).await;
}

#[tokio::test]
async fn modern_takes_every_good_cipher_and_group() {
    let gate = Gate::with(|setup, _| setup.profile("modern")).await;
    let web = gate.ca.issue("web");
    let args = ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "-groups", "X25519"];

    let allowed = gate.admits_with(gate.client(&web).args(&args)).await;

    assert_eq!(allowed.text("tls.cipher"), "TLS_CHACHA20_POLY1305_SHA256");
    assert_eq!(allowed.text("tls.curve"), "X25519");
}

#[tokio::test]
async fn nist_refuses_ciphers_that_are_not_approved() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");
    let client =
        gate.client(&web).args(&["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", "-tls1_3"]);

    gate.refuses_with(client, "no_shared_cipher", 40).await;
}

#[tokio::test]
async fn nist_refuses_groups_that_are_not_approved() {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");

    gate.refuses_with(gate.client(&web).args(&["-groups", "X25519"]), "no_shared_cipher", 40).await;
}

#[tokio::test]
async fn compatible_takes_old_clients_and_certificates_that_name_no_purpose() {
    let gate = Gate::with(|setup, _| setup.profile("compatible")).await;
    let vague = gate.ca.issue_with("web", |params| params.extended_key_usages.clear());
    let settings = without_ems(gate.db.config.parent().unwrap());
    let args = ["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"];

    let client = gate.client(&vague).args(&args).settings(&settings);
    let allowed = gate.admits_with(client).await;

    assert_eq!(allowed.text("tls.version"), "1.2");
}

#[tokio::test]
async fn compatible_still_refuses_a_certificate_for_another_purpose() {
    let gate = Gate::with(|setup, _| setup.profile("compatible")).await;
    let mail = gate.ca.issue_with("web", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    });

    gate.refuses(&mail, "wrong_purpose", 43).await;
}

#[tokio::test]
async fn cipher_suites_narrow_the_profile() {
    let line = "tls: { cipher_suites: [TLS13_AES_128_GCM_SHA256] }";
    let gate = Gate::with(|setup, _| setup.file(line)).await;
    let web = gate.ca.issue("web");

    let allowed = gate.admits(&web).await;
    let said = gate.client(&web).args(&["-ciphersuites", "TLS_AES_256_GCM_SHA384"]).send("").await;

    assert_eq!(allowed.text("tls.cipher"), "TLS_AES_128_GCM_SHA256");
    assert!(said.all().contains("SSL alert number 40"), "{said:#?}");
}

/// The id that both sides of a connection can derive, as another program derives it.
async fn id_by_openssl(version: &str) -> (String, String) {
    let gate = Gate::new().await;
    let web = gate.ca.issue("web");
    let export =
        ["-keymatexport", "EXPORTER-myelin-connection-id", "-keymatexportlen", "16", version];
    let said = gate.client(&web).args(&export).send("hello\n").await;
    let derived = said.stdout.split("Keying material: ").nth(1).unwrap();
    let derived = derived.lines().next().unwrap().to_lowercase();
    let allowed = gate.db.trail().only("connection-allowed").await;
    (derived, allowed.connection().to_owned())
}

#[tokio::test]
async fn a_foreign_program_derives_the_same_connection_id_from_tls_1_3() {
    let (derived, recorded) = id_by_openssl("-tls1_3").await;

    assert_eq!(derived, recorded);
}

#[tokio::test]
async fn a_foreign_program_derives_the_same_connection_id_from_tls_1_2() {
    let (derived, recorded) = id_by_openssl("-tls1_2").await;

    assert_eq!(derived, recorded);
}
