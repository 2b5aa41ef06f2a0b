//! Denials by the thousand: each is counted, few have lines of their own, and the sums add up. What is let through has
//! its line always.

use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::myelin;
use crate::support::client::connect;
use crate::support::h2::H2;
use crate::support::http::{Wire, plain};
use crate::support::legacy::Legacy;
use crate::support::lenient::FAR;
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::pki::spiffe;
use crate::support::process::write;
use crate::support::trail::{Record, Trail};
use crate::support::workload::{Kind, Workload};

const MANY: u64 = 5000;
/// Far more lines than a minute's denials of one kind get, and far less than there are denials.
const FEW: usize = 1000;
const ROUTES: &str = "routes: [{ name: read, methods: [GET], path: /records, allow: [web] }]";

fn ehr(mesh: &Mesh, workload: &Legacy) -> Setup {
    mesh.inbound("ehr").allow("web").http().forward(workload.target()).with(ROUTES)
}

/// The same request again and again, each with its own answer.
async fn asks_often<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    path: &str,
    status: u16,
) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: ehr\r\n\r\n");
    for _ in 0..MANY / 100 {
        wire.send(request.repeat(100)).await;
        for _ in 0..100 {
            assert_eq!(wire.message().await.status(), status);
        }
    }
}

/// For how many denials the lines of `action` stand; there are few.
fn sum(trail: &Trail, action: &str) -> u64 {
    let denied = trail.all(action);
    assert!(denied.len() < FEW, "{} lines", denied.len());
    denied.iter().map(|record| record.field("myelin.flood.count").as_u64().unwrap_or(1)).sum()
}

/// The lines that stand for many.
fn floods(trail: &Trail, action: &str) -> Vec<Record> {
    let all = trail.all(action).into_iter();
    all.filter(|record| !record.field("myelin.flood").is_null()).collect()
}

async fn denied_in_full(ehr: &Running, reason: &str) {
    let labels = [("listener", "ehr"), ("direction", "inbound"), ("reason", reason)];
    ehr.metric_is("myelin_connections_denied_total", &labels, MANY as f64).await;
}

#[tokio::test]
async fn requests_of_who_is_only_observed_share_lines_that_add_up() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).observing(FAR).start().await;
    let lab = H2::peer(&mesh.pem("lab"), &ehr).await;

    for _ in 0..MANY {
        assert_eq!(lab.get("/a/../records").await.0, 400);
    }

    denied_in_full(&ehr, "malformed_request").await;
    let trail = ehr.trail().clone();
    ehr.stop().await;
    assert_eq!(sum(&trail, "request-denied"), MANY);
    let floods = floods(&trail, "request-denied");
    let first = &floods[0];
    assert_eq!(first.reason(), "flood");
    assert_eq!(first.text("myelin.identity"), spiffe("lab"), "all were of one peer");
    let count = first.number("myelin.flood.count");
    assert_eq!(first.field("myelin.flood.reasons"), &json!({ "malformed_request": count }));
    assert!(first.text("message").starts_with(&format!("{count} more ")), "{first:#?}");
    assert!(first.text("myelin.flood.first") <= first.text("myelin.flood.last"));
}

#[tokio::test]
async fn requests_in_plaintext_share_lines_that_add_up() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let ehr = ehr(&mesh, &workload).permissive(FAR).start().await;
    let mut stranger = plain(ehr.address()).await;

    asks_often(&mut stranger, "/else", 403).await;
    let shown = ehr.shown("/denials").await;

    denied_in_full(&ehr, "no_route").await;
    assert!(shown.len() < 200, "{} on the page", shown.len());
    let trail = ehr.trail().clone();
    ehr.stop().await;
    assert_eq!(sum(&trail, "request-denied"), MANY);
    let floods = floods(&trail, "request-denied");
    assert!(floods.iter().all(|flood| flood.field("myelin.plaintext") == &json!(true)));
}

#[tokio::test]
async fn the_same_denial_of_a_named_peer_shares_lines_and_every_other_has_its_own() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let routes = "routes: [{ name: read, methods: [GET], path: /records, allow: [web] }, \
                  { name: images, methods: [GET], path: /images, allow: [ris] }]";
    let setup = mesh.inbound("ehr").allow("web").allow("ris").http().phi().with(routes);
    let setup = setup.forward(workload.target());
    let ehr = setup.start().await;
    let mut web = mesh.http("web", &ehr).await;

    asks_often(&mut web, "/images", 403).await;
    web.send("POST /records HTTP/1.1\r\nHost: ehr\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(web.message().await.status(), 403);
    for _ in 0..150 {
        assert_eq!(web.get("/records").await.status(), 200);
    }
    let trail = ehr.trail().clone();
    ehr.stop().await;

    assert_eq!(sum(&trail, "request-denied"), MANY + 1);
    let floods = floods(&trail, "request-denied");
    for flood in &floods {
        assert_eq!(flood.reason(), "not_listed_for_route");
        assert_eq!((flood.text("myelin.peer"), flood.text("rule.name")), ("web", "ehr/images"));
        assert_eq!(flood.text("url.path"), "/images");
        assert!(flood.text("message").contains("of the same denial of peer `web`"), "{flood:#?}");
    }
    let denied = trail.all("request-denied");
    let own = denied.iter().filter(|record| record.text("http.request.method") == "POST");
    assert!(own.map(|record| record.field("myelin.flood")).eq([&json!(null)]), "{denied:#?}");
    assert_eq!(
        trail.all("request-allowed").len(),
        150,
        "nothing that was let through is summed up"
    );
    assert_eq!(trail.all("request-completed").len(), 150);

    let open = setup.text().replace("allow: [ris] }", "allow: [ris, web] }");
    let file = write(mesh.dir(), "open.yaml", &open);
    let audit = trail.dir().display().to_string();
    let args = ["policy", "replay", "--audit", &audit, "-c", file.to_str().unwrap()];
    let said = myelin(&args).await;
    assert!(said.stdout.contains(&format!(": {MANY} times")), "{said:#?}");
}

#[tokio::test]
async fn connections_of_who_is_not_listed_share_lines_that_add_up_and_known_ones_are_named() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").peer("ris", &format!("spiffe: {}", spiffe("ris")));
    let db = setup.forward(workload.target()).start().await;

    for name in ["lab", "ris"] {
        let identity = mesh.pem(name);
        for _ in 0..150 {
            connect(&identity, db.address(), "db").await.unwrap().first_read().await;
        }
    }
    mesh.connect("web", &db).await.echoes("hello").await;

    let trail = db.trail().clone();
    db.stop().await;
    assert_eq!(sum(&trail, "connection-denied"), 300);
    let floods = floods(&trail, "connection-denied");
    let of = |name: &str| floods.iter().find(|flood| flood.text("myelin.peer") == name).unwrap();
    assert_eq!((of("").reason(), of("").text("myelin.identity")), ("flood", &*spiffe("lab")));
    assert_eq!(of("ris").reason(), "not_listed");
    assert_eq!(workload.connections(), 1);
}
