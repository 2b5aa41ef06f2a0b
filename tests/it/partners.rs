//! What is known of the others: whose certificate ends when, and which authority is still needed.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::support::eventually;
use crate::support::gate::Gate;
use crate::support::mesh::{Mesh, Running};
use crate::support::pki::{Ca, sha256, spiffe};
use crate::support::workload::{Kind, Workload};

async fn status(sidecar: &Running) -> Value {
    serde_json::from_str(&sidecar.page("/status").await.body).unwrap()
}

#[tokio::test]
async fn a_peer_is_shown_with_what_it_presented_and_one_that_never_came_without() {
    let gate = Gate::with(|setup, _| setup.allow("lab")).await;
    let web = gate.ca.issue_with("web", |params| {
        params.not_after = OffsetDateTime::now_utc() + Duration::days(12) + Duration::hours(1);
    });
    gate.admits(&web).await;
    gate.admits(&web).await;

    let status = status(&gate.db).await;

    let [lab, seen] = status["peers"].as_array().unwrap().as_slice() else { panic!("{status:#}") };
    assert_eq!((lab["name"].as_str(), &lab["last_seen"]), (Some("lab"), &Value::Null));
    assert_eq!(
        (&lab["expires_in_days"], &lab["certificates"]),
        (&Value::Null, &Value::Array([].into()))
    );
    assert_eq!((seen["name"].as_str(), seen["expires_in_days"].as_i64()), (Some("web"), Some(12)));
    let [certificate] = seen["certificates"].as_array().unwrap().as_slice() else {
        panic!("{seen:#}")
    };
    assert_eq!(certificate["sha256"], sha256(&web.leaf()));
    assert_eq!(certificate["spiffe"], spiffe("web"));
    assert_eq!(certificate["issuer"], "CN=Hospital CA");
    assert_eq!(certificate["connections"], 2);
    assert_eq!(
        (&certificate["listener"], &certificate["direction"]),
        (&"db".into(), &"inbound".into())
    );
    assert_eq!(certificate["tls"], "1.3");
    assert!(certificate["cipher"].as_str().unwrap().starts_with("TLS_"), "{certificate:#}");
    assert!(
        certificate["first_seen"].as_str().unwrap() <= certificate["last_seen"].as_str().unwrap()
    );
}

#[tokio::test]
async fn an_outbound_listener_knows_its_servers_too_and_the_metric_says_until_when() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let web = mesh.outbound("web").allow("db").to(db.address()).start().await;
    assert_eq!(crate::outbound::ask(&web, "hello\n").await, "you said hello\n");

    let (own, seen) = (status(&db).await, status(&web).await);

    let certificate = &seen["peers"][0]["certificates"][0];
    assert_eq!(certificate["sha256"], own["certificate"]["sha256"]);
    assert_eq!(certificate["direction"], "outbound");
    let name = "myelin_peer_certificate_not_after_timestamp_seconds";
    let until = web.metric(name, &[("peer", "db")]).await;
    let own = db.metric("myelin_certificate_not_after_timestamp_seconds", &[]).await;
    assert!((until - own).abs() < 1.0, "{until} {own}");
}

#[tokio::test]
async fn a_peer_whose_certificate_ends_within_two_weeks_is_warned_of_in_the_log() {
    let mesh = Mesh::new();
    let (ca, workload) = (Ca::new("Hospital CA"), Workload::tcp(Kind::Line).await);
    let identity = ca.issue("db");
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).files(&identity, &[]);
    let mut db = setup.spawn().await;
    let web = ca.issue_with("web", |params| {
        params.not_before = OffsetDateTime::now_utc() - Duration::days(80);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(12) + Duration::hours(1);
    });
    let client = crate::support::openssl::SClient::to(db.address()).identity(&web);
    assert!(client.send("hello\n").await.stdout.contains("you said hello"));

    let log = db.process.says("expires in 12 days").await;

    assert!(log.contains("peer `web`: its certificate (serial "), "{log}");
}

#[tokio::test]
async fn the_status_tells_of_the_source_and_of_the_renewal_to_come() {
    let mesh = Mesh::new();
    let embedded = mesh.inbound("db").allow("web").start().await;
    let gate = Gate::new().await;

    let (embedded, files) = (status(&embedded).await, status(&gate.db).await);

    assert_eq!(embedded["certificate"]["source"], "embedded");
    let (renewal, end) =
        (&embedded["certificate"]["renew_at"], &embedded["certificate"]["not_after"]);
    assert!(renewal.as_str().unwrap() < end.as_str().unwrap(), "{embedded:#}");
    assert_eq!(embedded["certificate"]["rejected"], Value::Null);
    assert_eq!(files["certificate"]["source"], "files");
    assert_eq!(files["certificate"]["renew_at"], Value::Null);
}

#[tokio::test]
async fn what_was_rejected_is_shown_until_the_next_success() {
    let gate = Gate::new().await;
    let setup = || {
        let setup = gate.mesh.inbound("db").allow("web").forward(gate.workload.target());
        setup.files(&gate.identity, &[])
    };
    let good = std::fs::read(gate.identity.key()).unwrap();
    std::fs::copy(gate.ca.issue("db").key(), gate.identity.key()).unwrap();
    gate.db.reload(&setup()).await.unwrap_err();

    let rejected = status(&gate.db).await["certificate"]["rejected"].clone();
    let problem = rejected["problems"][0].as_str().unwrap();
    assert!(problem.contains("the key does not fit the certificate in "), "{rejected:#}");
    assert!(rejected["at"].as_str().unwrap().ends_with('Z'));
    let labels = [("result", "rejected"), ("reason", "key_mismatch")];
    gate.db.metric_is("myelin_certificate_rotations_total", &labels, 1.0).await;

    std::fs::write(gate.identity.key(), good).unwrap();
    gate.db.reload(&setup()).await.unwrap();
    eventually("nothing to be shown as rejected", || async {
        status(&gate.db).await["certificate"]["rejected"].is_null().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_trust_bundle_is_shown_with_who_came_from_where_and_one_in_use_does_not_go_unnoticed() {
    let gate = Gate::new().await;
    let newcomer = Ca::new("Hospital CA"); // of the same name
    let setup = || {
        let setup = gate.mesh.inbound("db").allow("web").forward(gate.workload.target());
        setup.files(&gate.identity, &[])
    };
    let both = newcomer.pem() + &gate.ca.pem();
    std::fs::write(gate.identity.trust_bundle(), both).unwrap();
    gate.db.reload(&setup()).await.unwrap();
    gate.admits(&gate.ca.issue("web")).await;

    let shown = status(&gate.db).await["trust_bundle"].clone();
    let [new, old] = shown.as_array().unwrap().as_slice() else { panic!("{shown:#}") };
    assert_eq!(
        (&new["subject"], &old["subject"]),
        (&"CN=Hospital CA".into(), &"CN=Hospital CA".into())
    );
    assert_eq!((&new["last_seen"], &new["peers"]), (&Value::Null, &0.into()));
    assert!(old["last_seen"].as_str().unwrap().ends_with('Z'), "{old:#}");
    assert_eq!(old["peers"], 1);

    let own = newcomer.issue("db");
    gate.identity.replace_with(&own);
    gate.db.reload(&setup()).await.unwrap();

    let rotated = gate.db.trail().wait_for("certificate-rotated", 2).await;
    let message = rotated[1].text("message");
    let left_out = format!(
        "the trust bundle no longer holds CN=Hospital CA (sha256 {}), last seen in use at ",
        old["sha256"].as_str().unwrap()
    );
    assert!(message.contains(&left_out), "{message}");
    assert!(
        message.contains(", by web: peers with certificates from there are refused"),
        "{message}"
    );
}
