//! A sidecar at its door: lets in, refuses, denies, and says so in every way.

use std::path::PathBuf;

use super::mesh::{Mesh, Running, Setup};
use super::openssl::SClient;
use super::pki::{Ca, Identity};
use super::process::Said;
use super::trail::Record;
use super::workload::{Kind, Workload};

/// A sidecar that trusts an authority of which the test has the key, and lets in `web`.
pub(crate) struct Gate {
    pub(crate) ca: Ca,
    pub(crate) db: Running,
    pub(crate) workload: Workload,
    pub(crate) identity: Identity,
    pub(crate) mesh: Mesh,
}

impl Gate {
    pub(crate) async fn new() -> Self {
        Self::with(|setup, _| setup).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(Setup, &Ca) -> Setup) -> Self {
        let mesh = Mesh::new();
        let ca = Ca::new("Hospital CA");
        let identity = ca.issue("db");
        let workload = Workload::tcp(Kind::Line).await;
        let setup = mesh.inbound("db").allow("web").forward(workload.target());
        let db = adjust(setup.files(&identity, &[]), &ca).start().await;
        Self { ca, db, workload, identity, mesh }
    }

    pub(crate) fn crl(&self) -> PathBuf {
        self.identity.dir().join("ca.crl")
    }

    /// The same gate with a revocation list, and a trail of its own.
    pub(crate) fn setup_with_crl(&self) -> Setup {
        let setup = self.mesh.inbound("db").allow("web").forward(self.workload.target());
        let audit = format!("dir: {}", self.mesh.dir().join("trail").display());
        setup.audit(&audit).files(&self.identity, &[&self.crl()])
    }

    pub(crate) fn client(&self, identity: &Identity) -> SClient {
        SClient::to(self.db.address()).identity(identity)
    }

    /// Lets this peer in, and says so in every way.
    pub(crate) async fn admits(&self, identity: &Identity) -> Record {
        self.admits_with(self.client(identity)).await
    }

    pub(crate) async fn admits_with(&self, client: SClient) -> Record {
        let said = client.send("hello\n").await;
        assert!(said.stdout.contains("you said hello"), "{said:#?}");
        let closed = self.db.trail().wait_for("connection-closed", 1).await.remove(0);
        let allowed = self.db.trail().wait_for("connection-allowed", 1).await.remove(0);
        assert_eq!(closed.connection(), allowed.connection());
        allowed
    }

    /// Refuses this peer for `reason`, and says so in every way.
    pub(crate) async fn refuses(&self, identity: &Identity, reason: &str, alert: u8) -> Record {
        let record = self.refuses_with(self.client(identity), reason, alert).await;
        let is_told = !record.text("tls.client.subject").is_empty();
        let of_ours = !["unknown_issuer", "unfit_leaf", "wrong_purpose"].contains(&reason);
        assert!(is_told || !of_ours, "the certificate is not on record: {record:?}");
        assert!(!is_told || reason != "unknown_issuer", "nobody vouches for that name: {record:?}");
        assert_eq!(is_told, !record.text("message").contains("names are not told"), "{record:?}");
        assert_eq!(
            format!("sha256:{}", record.text("tls.client.hash.sha256").to_lowercase()),
            identity.pin()
        );
        record
    }

    pub(crate) async fn refuses_with(&self, client: SClient, reason: &str, alert: u8) -> Record {
        let said = client.send("hello\n").await;
        self.is_alerted(&said, alert);
        let record = self.db.trail().only("connection-refused").await;
        assert_eq!(record.reason(), reason, "{record:#?}");
        assert_eq!(record.text("event.outcome"), "failure");
        assert_eq!(record.text("myelin.listener"), "db");
        assert!(!record.text("message").is_empty());
        assert!(record.field("myelin.identity").is_null(), "nobody was authenticated");
        self.db
            .metric_is("myelin_handshakes_total", &[("listener", "db"), ("result", reason)], 1.0)
            .await;
        self.db.ended("refused", 1.0).await;
        self.nothing_passed();
        record
    }

    /// Knows this peer, and does not let it in for `reason`.
    pub(crate) async fn denies(&self, identity: &Identity, reason: &str) -> Record {
        let said = self.client(identity).send("hello\n").await;
        assert!(!said.stdout.contains("you said"), "{said:#?}");
        let record = self.db.trail().only("connection-denied").await;
        assert_eq!(record.reason(), reason, "{record:#?}");
        assert_eq!(record.text("rule.name"), "db");
        assert!(record.text("rule.version").starts_with("sha256:"));
        assert!(!record.text("myelin.nearest").is_empty());
        assert!(!record.text("tls.client.subject").is_empty());
        self.db
            .metric_is(
                "myelin_connections_denied_total",
                &[("listener", "db"), ("reason", reason)],
                1.0,
            )
            .await;
        self.db.ended("denied", 1.0).await;
        self.nothing_passed();
        record
    }

    /// The peer learns what TLS tells everybody, and nothing about our inside.
    fn is_alerted(&self, said: &Said, alert: u8) {
        let said = said.all();
        assert!(!said.contains("you said"), "{said}");
        assert!(said.contains(&format!("SSL alert number {alert}")), "{said}");
    }

    pub(crate) fn nothing_passed(&self) {
        assert_eq!(self.workload.connections(), 0);
        assert!(self.db.trail().all("connection-allowed").is_empty());
    }
}
