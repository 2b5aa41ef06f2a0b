//! Thousands of questions while certificates and authorities rotate underneath: none fails, and no
//! connection of a caller closes.

use std::time::Duration;

use crate::support::eventually;
use crate::support::load::Load;
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::outside::Outside;
use crate::support::pki::{Ca, Identity};
use crate::support::process::Process;
use crate::support::python::{peer, serves};
use crate::support::workload::{Kind, Workload};

/// What a caller reaches through a pair of sidecars: an HTTP service, an echo, a WebSocket service.
struct Workloads {
    http: Workload,
    echo: Workload,
    feed: String,
    _feed: Process,
}

impl Workloads {
    async fn start() -> Self {
        let (_feed, feed) = serves(peer("websocket_peer", "websockets", &["server"])).await;
        let (http, echo) = (Workload::tcp(Kind::Http).await, Workload::tcp(Kind::Echo).await);
        Self { http, echo, feed, _feed }
    }

    fn ehr(&self, mesh: &Mesh) -> Setup {
        let item = |name: &str, protocol: &str, forward: &str| {
            format!(
                "{{ name: {name}, listen: 127.0.0.1:0, forward: {forward}, protocol: {protocol}, \
                 allow: [web] }}"
            )
        };
        let setup = mesh.inbound("ehr").allow("web").http().forward(self.http.target());
        setup.also(&item("echo", "tcp", self.echo.target())).also(&item("feed", "http", &self.feed))
    }
}

fn web(mesh: &Mesh, ehr: &Outside) -> Setup {
    let item = |name: &str, protocol: &str, to: &str| {
        format!(
            "{{ name: to-{name}, listen: 127.0.0.1:0, to: [\"{}\"], protocol: {protocol}, \
             expect: [ehr] }}",
            ehr.address_of(to)
        )
    };
    let setup = mesh.outbound("web").allow("ehr").http().to(ehr.address());
    setup.also(&item("echo", "tcp", "echo")).also(&item("feed", "http", "feed"))
}

/// A pair whose certificates are in files, and an authority that makes them.
struct Pair {
    ca: Ca,
    ehr: (Running, Setup, Identity),
    web: (Running, Setup, Identity),
    _mesh: Mesh,
    _workloads: Workloads,
}

impl Pair {
    async fn start() -> Self {
        let (mesh, workloads) = (Mesh::new(), Workloads::start().await);
        let ca = Ca::new("Hospital CA");
        let (ehr_identity, web_identity) = (ca.issue("ehr"), ca.issue("web"));
        let ehr_setup = workloads.ehr(&mesh).files(&ehr_identity, &[]);
        let ehr = ehr_setup.start().await;
        let web_setup = web(&mesh, &ehr).files(&web_identity, &[]);
        let web = web_setup.start().await;
        Self {
            ca,
            ehr: (ehr, ehr_setup, ehr_identity),
            web: (web, web_setup, web_identity),
            _mesh: mesh,
            _workloads: workloads,
        }
    }

    /// New certificates of `ca` for both, who trust `bundle` from now on.
    async fn rotate(&self, ca: &Ca, bundle: &str) {
        for (name, (sidecar, setup, identity)) in [("ehr", &self.ehr), ("web", &self.web)] {
            let new = ca.issue(name);
            std::fs::write(new.trust_bundle(), bundle).unwrap();
            identity.replace_with(&new);
            sidecar.reload(setup).await.unwrap();
        }
    }

    /// The same certificates; both trust `bundle` from now on.
    async fn trust(&self, bundle: &str) {
        for (sidecar, setup, identity) in [&self.ehr, &self.web] {
            std::fs::write(identity.trust_bundle(), bundle).unwrap();
            sidecar.reload(setup).await.unwrap();
        }
    }

    fn http_load(&self) -> Load {
        let address = self.web.0.address();
        Load::default().keep_alive(address, 4).fresh(address, 2)
    }

    async fn chat(&self) -> Process {
        let port = self.web.0.address_of("to-feed").port().to_string();
        let mut chat = Process::start(&mut peer("websocket_peer", "websockets", &["chat", &port]));
        chat.says("connected").await;
        chat
    }

    fn nobody_was_refused(&self) {
        for (sidecar, ..) in [&self.ehr, &self.web] {
            for action in ["connection-refused", "connection-denied", "certificate-rejected"] {
                let found = sidecar.trail().all(action);
                assert!(found.is_empty(), "{found:#?}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_fails_and_nothing_closes_while_leaves_rotate() {
    let pair = Pair::start().await;
    let load = pair.http_load().lines(pair.web.0.address_of("to-echo"), 2);
    let mut chat = pair.chat().await;

    for _ in 0..12 {
        pair.rotate(&pair.ca, &pair.ca.pem()).await;
        load.goes_on(200).await;
    }

    chat.signal("TERM");
    chat.says("all said").await;
    assert!(chat.ended().await.success(), "{}", chat.output());
    let answered = load.ends().await;
    assert!(answered > 2000, "{answered}");
    for (sidecar, ..) in [&pair.ehr, &pair.web] {
        sidecar.trail().wait_for("certificate-rotated", 12).await;
    }
    pair.nobody_was_refused();
}

#[tokio::test]
async fn nothing_fails_while_one_authority_takes_the_place_of_another() {
    let pair = Pair::start().await;
    let (old, new) = (pair.ca.pem(), Ca::new("Hospital CA")); // of the same name: as it is done
    let both = old.clone() + &new.pem();
    let load = pair.http_load();
    let early = Load::default().lines(pair.web.0.address_of("to-echo"), 2);

    pair.trust(&both).await;
    load.goes_on(200).await;
    pair.rotate(&new, &both).await;
    load.goes_on(200).await;
    early.goes_on(50).await;
    // A byte stream rests on what its handshake showed: it has to be made anew before the old one goes.
    early.ends().await;
    let late = Load::default().lines(pair.web.0.address_of("to-echo"), 2);
    late.goes_on(50).await;
    pair.trust(&new.pem()).await;
    load.goes_on(500).await;
    late.goes_on(50).await;

    late.ends().await;
    let answered = load.ends().await;
    assert!(answered > 900, "{answered}");
    pair.nobody_was_refused();
}

#[tokio::test]
async fn nothing_fails_while_short_lived_leaves_renew_and_their_source_is_away_for_a_while() {
    let (mesh, workloads) = (Mesh::new(), Workloads::start().await);
    let ttl = Duration::from_secs(9);
    let ehr = workloads.ehr(&mesh).start_with_ttl(ttl).await;
    let web = web(&mesh, &ehr).start_with_ttl(ttl).await;
    let load = Load::default().keep_alive(web.address(), 4).fresh(web.address(), 2);
    let rotated = |sidecar: &Running, count: usize| {
        let trail = sidecar.trail().clone();
        async move { trail.wait_for("certificate-rotated", count).await }
    };
    rotated(&ehr, 1).await;
    rotated(&web, 1).await;

    let (authority, away) = (mesh.dir().join("authority"), mesh.dir().join("away"));
    std::fs::rename(&authority, &away).unwrap();
    ehr.trail().wait_for("certificate-rejected", 1).await;
    std::fs::rename(&away, &authority).unwrap();

    let at = ehr.trail().all("certificate-rotated").len();
    rotated(&ehr, at + 1).await;
    rotated(&web, 2).await;
    eventually("no rejection to be shown any more", || async {
        ehr.page("/status").await.body.contains("\"rejected\": null").then_some(())
    })
    .await;
    let answered = load.ends().await;
    assert!(answered > 2000, "{answered}");
    for sidecar in [&ehr, &web] {
        assert!(sidecar.trail().all("connection-refused").is_empty());
    }
}
