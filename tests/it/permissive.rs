//! `mode: permissive`: one port takes plaintext and mutual TLS, until a date, and says who comes how.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::audit::SmallDisk;
use crate::http_foreign::{as_peer, curl};
use crate::support::eventually;
use crate::support::http::{ByHand, Wire, plain};
use crate::support::legacy::Legacy;
use crate::support::lenient::{FAR, SOON};
use crate::support::mesh::{Mesh, Setup};

fn ehr(mesh: &Mesh, target: &str) -> Setup {
    mesh.inbound("ehr").allow("web").http().forward(target)
}

/// A request in plaintext by curl, and the status of its answer.
async fn status_by_curl(address: impl ToString, path: &str) -> String {
    let url = format!("http://{}{path}", address.to_string());
    curl(&["-o", "/dev/null", "-w", "%{http_code}", &url]).await
}

#[tokio::test]
async fn one_port_takes_plaintext_and_mutual_tls_and_both_are_on_record_before_the_first_byte() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).phi().permissive(FAR).start().await;
    let web = mesh.pem("web");

    let said = curl(&[&format!("http://{}/plain", ehr.address())]).await;
    let mut args = as_peer(&web, &ehr);
    args.push(format!("https://ehr:{}/tls", ehr.address().port()));
    let by_tls = curl(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;

    assert_eq!((said.as_str(), by_tls.as_str()), ("/plain", "/tls"));
    let allowed = ehr.trail().wait_for("connection-allowed", 2).await;
    let (plain, tls) = (&allowed[0], &allowed[1]);
    assert_eq!(plain.field("myelin.plaintext"), &json!(true));
    assert_eq!(plain.field("tls"), &json!({ "established": false }));
    assert_eq!(plain.text("rule.name"), "ehr");
    assert_eq!(plain.text("source.ip"), "127.0.0.1");
    for nobody in ["myelin.identity", "myelin.peer", "user"] {
        assert!(plain.field(nobody).is_null(), "{plain:#?}");
    }
    assert!(tls.field("myelin.plaintext").is_null());
    assert_eq!(tls.text("myelin.peer"), "web");
    let requests = ehr.trail().wait_for("request-allowed", 2).await;
    assert_eq!(requests[0].field("myelin.plaintext"), &json!(true));
    assert_eq!(requests[0].connection(), plain.connection());
    let listener = [("listener", "ehr")];
    ehr.metric_is("myelin_plaintext_connections_total", &listener, 1.0).await;
    let handshakes = [("listener", "ehr"), ("result", "ok")];
    ehr.metric_is("myelin_handshakes_total", &handshakes, 1.0).await;
}

#[tokio::test]
async fn the_workload_is_told_that_nobody_proved_who_they_are() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).permissive(FAR).start().await;
    let mut stranger = plain(ehr.address()).await;

    stranger
        .send(
            "GET /a HTTP/1.1\r\nHost: ehr\r\nX-Forwarded-Client-Cert: URI=spiffe://hospital.example/web\
             \r\nX-Forwarded-Proto: https\r\n\r\n",
        )
        .await;

    assert_eq!(stranger.message().await.status(), 200);
    let head = workload.only().head;
    assert_eq!(head.header("x-forwarded-proto"), Some("http"));
    assert_eq!(head.header("x-forwarded-client-cert"), None, "{head:?}");
    assert_eq!(head.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn http_2_with_prior_knowledge_comes_in_plaintext_as_well() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).phi().permissive(FAR).start().await;
    let url = format!("http://{}/a", ehr.address());

    let said = curl(&["--http2-prior-knowledge", "-w", " %{http_version}", &url]).await;

    assert_eq!(said, "/a 2");
    assert_eq!(ehr.trail().only("request-allowed").await.text("http.version"), "2");
}

#[tokio::test]
async fn in_plaintext_one_may_ask_for_what_some_rule_lets_somebody_ask_for() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let routes = "routes: [{ name: read, methods: [GET], path: /records, allow: [web] }]";
    let ehr = ehr(&mesh, workload.target()).with(routes).permissive(FAR).start().await;

    let read = status_by_curl(ehr.address(), "/records").await;
    let other = status_by_curl(ehr.address(), "/else").await;

    assert_eq!((read.as_str(), other.as_str()), ("200", "403"));
    assert_eq!(workload.targets(), ["/records"]);
    let denied = ehr.trail().only("request-denied").await;
    assert_eq!(denied.reason(), "no_route");
    assert_eq!(denied.field("myelin.plaintext"), &json!(true));
}

#[tokio::test]
async fn status_tells_until_when_plaintext_is_taken_and_who_still_comes_so() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).permissive(FAR).start().await;

    let before = ehr.strictness().await;
    assert_eq!(status_by_curl(ehr.address(), "/a").await, "200");
    assert_eq!(status_by_curl(ehr.address(), "/b").await, "200");
    let after = ehr.strictness().await;

    assert_eq!((&before["mode"], &before["enforce"]), (&json!("permissive"), &json!(true)));
    assert_eq!(before["plaintext"]["days_left"], 1);
    assert_eq!(before["plaintext"]["last"], Value::Null);
    assert_eq!(before["plaintext"]["days_since_last"], Value::Null);
    assert_eq!(before["fails_open"], json!(["inbound.ehr.mode"]));
    assert_eq!(after["plaintext"]["connections"], 2);
    assert_eq!(after["plaintext"]["days_since_last"], 0);
    assert_eq!(after["plaintext"]["sources"], 1);
    assert_eq!(after["plaintext"]["last_sources"][0]["ip"], "127.0.0.1");
    let until =
        ehr.metric("myelin_permissive_until_timestamp_seconds", &[("listener", "ehr")]).await;
    let left = until - ehr.metric("process_start_time_seconds", &[]).await;
    assert!((left - FAR.as_secs_f64()).abs() < 60.0, "{left}");
}

#[tokio::test]
async fn when_the_date_passes_open_plaintext_ends_and_no_more_is_taken_without_a_restart() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, workload.target());
    let ehr = setup.clone().permissive(FAR).start().await;
    let mut stranger = plain(ehr.address()).await;
    assert_eq!(stranger.get("/before").await.status(), 200);
    let mut web = mesh.http("web", &ehr).await;
    assert_eq!(web.get("/web/1").await.status(), 200);

    let ended = ehr.turns_strict(&setup.permissive(SOON)).await;

    stranger.ends().await;

    let withdrawn = ehr.trail().only("connection-withdrawn").await;
    assert_eq!(withdrawn.reason(), "not_tls");
    assert_eq!(withdrawn.field("myelin.plaintext"), &json!(true));
    let closed = ehr.trail().only("connection-closed").await;
    assert_eq!((closed.reason(), closed.connection()), ("withdrawn", withdrawn.connection()));
    plain(ehr.address()).await.try_send("GET /late HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    assert_eq!(ehr.trail().only("connection-refused").await.reason(), "not_tls");
    assert_eq!(web.get("/web/2").await.status(), 200, "whoever speaks TLS notices nothing");
    assert_eq!(workload.targets(), ["/before", "/web/1", "/web/2"]);
    assert_eq!(ended.reason(), "permissive_ended");
    assert!(ended.text("message").contains("`ehr`"), "{ended:?}");
    let status = ehr.strictness().await;
    assert_eq!((&status["mode"], &status["fails_open"]), (&json!("strict"), &json!([])));
    assert_eq!(status["plaintext"]["days_left"], Value::Null);
    let withdrawn = [("listener", "ehr"), ("reason", "not_tls")];
    ehr.metric_is("myelin_permits_withdrawn_total", &withdrawn, 1.0).await;
}

#[tokio::test]
async fn an_answer_in_flight_when_the_date_passes_comes_to_its_end() {
    let mesh = Mesh::new();
    let workload = ByHand::new().await;
    let setup = ehr(&mesh, &workload.target());
    let ehr = setup.clone().permissive(FAR).start().await;
    let mut stranger = plain(ehr.address()).await;
    stranger.send("GET /first HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    let mut call = workload.accept().await;
    call.head().await;
    call.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").await;
    assert_eq!(stranger.head().await.status(), 200);
    assert_eq!(stranger.bytes(5).await, b"half ");

    ehr.turns_strict(&setup.permissive(SOON)).await;
    ehr.trail().only("connection-withdrawn").await;
    stranger.try_send("GET /second HTTP/1.1\r\nHost: ehr\r\n\r\n").await;
    call.send("whole").await;

    assert_eq!(stranger.bytes(5).await, b"whole");
    stranger.ends().await;
    let closed = ehr.trail().only("connection-closed").await;
    assert_eq!(closed.reason(), "withdrawn");
    drop(call);
}

#[tokio::test]
async fn a_reload_that_makes_the_listener_strict_ends_open_plaintext() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let strict = ehr(&mesh, workload.target());
    let ehr = strict.clone().permissive(FAR).start().await;
    let mut stranger = plain(ehr.address()).await;
    assert_eq!(stranger.get("/before").await.status(), 200);

    ehr.reload(&strict).await.unwrap();

    stranger.ends().await;
    assert_eq!(ehr.trail().only("connection-withdrawn").await.reason(), "not_tls");
    let status = ehr.strictness().await;
    assert_eq!(status["plaintext"]["until"], Value::Null);
    assert_eq!(status["plaintext"]["connections"], 1, "what was is not forgotten");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_longer_than_a_handshake() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, workload.target()).limits("handshake_timeout: 200ms");
    let ehr = setup.permissive(FAR).start().await;

    let mut silent = Wire::new(TcpStream::connect(ehr.address()).await.unwrap());

    silent.ends().await;
    let refused = ehr.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "too_slow");
    assert!(refused.text("message").contains("said nothing within 200ms"), "{refused:?}");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn who_begins_with_tls_has_to_go_on_with_it() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let setup = ehr(&mesh, workload.target()).limits("handshake_timeout: 200ms");
    let ehr = setup.permissive(FAR).start().await;

    let mut socket = TcpStream::connect(ehr.address()).await.unwrap();
    socket.write_all(&[0x16]).await.unwrap(); // and no more

    Wire::new(socket).ends().await;
    assert_eq!(ehr.trail().only("connection-refused").await.reason(), "too_slow");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_refused_where_plaintext_is_taken() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, workload.target()).permissive(FAR).start().await;
    let foreign = crate::support::pki::Ca::new("Elsewhere").issue("web");
    std::fs::copy(mesh.pem("web").trust_bundle(), foreign.trust_bundle()).unwrap();

    let mut web = crate::support::http::https(&foreign, &ehr).await;
    web.try_send("GET / HTTP/1.1\r\nHost: ehr\r\n\r\n").await;

    assert!(web.rest().await.is_empty());
    assert_eq!(ehr.trail().only("connection-refused").await.reason(), "unknown_issuer");
    assert_eq!(workload.connections(), 0);
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_come_in_plaintext_either() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let disk = SmallDisk::new();
    let audit = format!("dir: {}", disk.trail().display());
    let setup = ehr(&mesh, workload.target()).phi().permissive(FAR).audit(&audit);
    let ehr = setup.start().await;
    assert_eq!(status_by_curl(ehr.address(), "/1").await, "200");

    disk.fill();
    eventually("the trail to fail", || async {
        let mut stranger = plain(ehr.address()).await;
        stranger.try_send("GET /2 HTTP/1.1\r\nHost: ehr\r\nConnection: close\r\n\r\n").await;
        (!stranger.rest().await.starts_with(b"HTTP/1.1 200")).then_some(())
    })
    .await;
    let (passed, counted) = (workload.asked().len(), ehr.strictness().await);
    let mut stranger = plain(ehr.address()).await;
    stranger.try_send("GET /3 HTTP/1.1\r\nHost: ehr\r\n\r\n").await;

    stranger.ends().await;
    assert_eq!(workload.asked().len(), passed);
    assert_eq!(ehr.strictness().await["plaintext"], counted["plaintext"]);
    assert!(
        ehr.metric("myelin_connections_denied_total", &[("reason", "not_audited")]).await >= 1.0
    );
}
