//! Every handshake is a full one: a resumed session would not be verified again (RFC 8446, 2.2), and
//! with it would be forgotten that its certificate was revoked since.

use rcgen::SerialNumber;
use time::{Duration, OffsetDateTime};

use crate::outbound::ask;
use crate::support::gate::Gate;
use crate::support::mesh::Mesh;
use crate::support::openssl::{SClient, s_server};
use crate::support::process::{free_port, loopback};

async fn nothing_is_resumed(version: &str, name: &str) {
    let mut gate = Gate::new().await;
    let tomorrow = OffsetDateTime::now_utc() + Duration::DAY;
    std::fs::write(gate.crl(), gate.ca.crl(&[], tomorrow)).unwrap();
    gate.db = gate.setup_with_crl().start().await;
    let web = gate.ca.issue_with("web", |params| {
        params.serial_number = Some(SerialNumber::from(42));
    });
    // The sidecar gives nothing away that a session could be resumed with.
    let nothing = web.dir().join("nothing.pem");
    let keep = ["-sess_out", &nothing.display().to_string()];
    let first = gate.client(&web).args(&[version]).args(&keep).send("hello\n").await;
    assert!(first.stdout.contains("you said hello"), "{}", first.all());
    assert!(!nothing.exists(), "openssl has kept a session");

    // One of another server, under the same name and certificate, is not taken either.
    let port = free_port();
    let mut elsewhere = s_server(&gate.identity, port, &["-Verify", "1", "-rev"]);
    elsewhere.says("ACCEPT").await;
    let session = web.dir().join("session.pem").display().to_string();
    let client = SClient::to(loopback(port)).identity(&web);
    let kept = client.args(&[version, "-sess_out", &session]).send("hello\nCLOSE\n").await;
    assert!(std::fs::metadata(&session).is_ok(), "{}", kept.all());
    let again = [version, "-sess_in", &session];
    let resuming = SClient::to(loopback(port)).identity(&web).args(&again).send("CLOSE\n").await;
    assert!(resuming.stdout.contains(&format!("Reused, {name}")), "{}", resuming.all());
    let second = gate.client(&web).args(&again).send("hello\n").await;
    assert!(second.stdout.contains("you said hello"), "{}", second.all());
    assert!(second.stdout.contains(&format!("New, {name}")), "{}", second.all());
    assert!(!second.stdout.contains("Reused, "), "{}", second.all());

    std::fs::write(gate.crl(), gate.ca.crl(&[42], tomorrow)).unwrap();
    gate.db.reload(&gate.setup_with_crl()).await.unwrap();
    let third = gate.client(&web).args(&again).send("hello\n").await;

    assert!(!third.all().contains("you said"), "{}", third.all());
    let refused = gate.db.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "revoked");
    for allowed in gate.db.trail().wait_for("connection-allowed", 2).await {
        assert_eq!(allowed.field("tls.resumed"), false, "{allowed:#?}");
    }
}

#[tokio::test]
async fn a_session_of_tls_1_3_is_not_resumed_nor_its_revoked_certificate_let_in() {
    nothing_is_resumed("-tls1_3", "TLSv1.3").await;
}

#[tokio::test]
async fn a_session_of_tls_1_2_is_not_resumed_nor_its_revoked_certificate_let_in() {
    nothing_is_resumed("-tls1_2", "TLSv1.2").await;
}

#[tokio::test]
async fn going_out_a_session_that_the_server_offers_is_not_resumed() {
    let mesh = Mesh::new();
    for version in ["-tls1_3", "-tls1_2"] {
        let port = free_port();
        let db = mesh.pem("db");
        let mut server = s_server(&db, port, &["-Verify", "1", "-rev", version]);
        server.says("ACCEPT").await;
        let web = mesh.outbound("web").allow("db").to(loopback(port));
        let trail = mesh.dir().join(version);
        let web = web.audit(&format!("dir: {}", trail.display())).start().await;

        for _ in 0..2 {
            assert_eq!(ask(&web, "hello\n").await, "olleh\n");
        }

        for allowed in web.trail().wait_for("connection-allowed", 2).await {
            assert_eq!(allowed.field("tls.resumed"), false, "{allowed:#?}");
        }
        assert!(!server.output().contains("Reused, "), "{}", server.output());
        web.stop().await;
    }
}
