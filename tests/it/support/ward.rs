//! A peer that is going to lose its right, for one reason or another.

use std::future::Future;
use std::path::PathBuf;

use rcgen::SerialNumber;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::mesh::{Mesh, Running, Setup, Spawned};
use super::outside::Outside;
use super::pki::{Ca, Identity, spiffe};
use super::trail::Record;

/// So long a right lasts that ends by itself.
const LIFE: Duration = Duration::seconds(8);

/// What a permit may be lost for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    TakenOffTheList,
    Revoked,
    AuthorityNotTrustedAnyMore,
    PinTakenAway,
    EntryExpires,
    CertificateExpires,
}

impl Cause {
    const ALL: [Self; 6] = [
        Self::TakenOffTheList,
        Self::Revoked,
        Self::AuthorityNotTrustedAnyMore,
        Self::PinTakenAway,
        Self::EntryExpires,
        Self::CertificateExpires,
    ];

    fn reason(self) -> &'static str {
        match self {
            Self::TakenOffTheList => "not_listed",
            Self::Revoked => "revoked",
            Self::AuthorityNotTrustedAnyMore | Self::PinTakenAway => "unknown_issuer",
            Self::EntryExpires => "listing_expired",
            Self::CertificateExpires => "expired",
        }
    }
}

/// Tries all causes at once.
pub(crate) async fn whatever_the_cause<F>(case: impl Fn(Cause) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for (cause, case) in Cause::ALL.map(|cause| (cause, tokio::spawn(case(cause)))) {
        assert!(case.await.is_ok(), "with {cause:?}");
    }
}

/// The peer `lab`, which is going to lose its right, and a sidecar that knows it until then.
pub(crate) struct Ward {
    cause: Cause,
    pub(crate) mesh: Mesh,
    own: Ca,
    vendor: Ca,
    /// The sidecar's own.
    identity: Identity,
    /// The peer's.
    pub(crate) lab: Identity,
    setup: Setup,
    /// When a right ends that ends by itself.
    ends: OffsetDateTime,
}

impl Ward {
    /// A sidecar with mutual TLS in, `ehr`, to which `web` may come as well.
    pub(crate) fn inbound(cause: Cause, adjust: impl FnOnce(Setup) -> Setup) -> Self {
        Self::new(cause, |mesh| adjust(mesh.inbound("ehr").allow("web")))
    }

    /// A sidecar with mutual TLS out, `web`, which expects `other` as well.
    pub(crate) fn outbound(cause: Cause) -> Self {
        Self::new(cause, |mesh| mesh.outbound("web").allow("other"))
    }

    fn new(cause: Cause, setup: impl FnOnce(&Mesh) -> Setup) -> Self {
        let mesh = Mesh::new();
        let (own, vendor) = (Ca::new("Hospital CA"), Ca::new("Vendor CA"));
        let identity = own.issue("ehr");
        let ends = OffsetDateTime::now_utc() + LIFE;
        let lab = match cause {
            Cause::PinTakenAway => Identity::self_signed(|_| {}),
            Cause::Revoked => vendor.issue_with("lab", |params| {
                params.serial_number = Some(SerialNumber::from(42));
            }),
            Cause::CertificateExpires => vendor.issue_with("lab", |params| params.not_after = ends),
            Cause::TakenOffTheList | Cause::AuthorityNotTrustedAnyMore | Cause::EntryExpires => {
                vendor.issue("lab")
            }
        };
        std::fs::write(lab.trust_bundle(), own.pem()).unwrap();
        let entry = match cause {
            Cause::PinTakenAway => format!("pin: \"{}\"", lab.pin()),
            Cause::EntryExpires => {
                let ends = ends.format(&Rfc3339).unwrap();
                format!("spiffe: {}, expires: {ends:?}", spiffe("lab"))
            }
            _ => format!("spiffe: {}", spiffe("lab")),
        };
        let setup = setup(&mesh).peer("lab", &entry).allow_known("lab");
        let ward = Self { cause, mesh, own, vendor, identity, lab, setup, ends };
        std::fs::write(ward.identity.trust_bundle(), ward.own.pem() + &ward.vendor.pem()).unwrap();
        ward.write_lists(&[]);
        ward
    }

    /// When a right ends that ends by itself.
    pub(crate) fn ends(&self) -> OffsetDateTime {
        self.ends
    }

    /// Another peer, which keeps its right.
    pub(crate) fn web(&self) -> Identity {
        self.own.issue("web")
    }

    /// Another server, which keeps its right.
    pub(crate) fn other(&self) -> Identity {
        self.own.issue("other")
    }

    /// Starts the sidecar.
    pub(crate) async fn start(&mut self, adjust: impl FnOnce(Setup) -> Setup) -> Running {
        self.set_up(adjust);
        self.setup.start().await
    }

    /// Starts it as a process of its own.
    pub(crate) async fn spawn(&mut self, adjust: impl FnOnce(Setup) -> Setup) -> Spawned {
        self.set_up(adjust);
        self.setup.spawn().await
    }

    fn set_up(&mut self, adjust: impl FnOnce(Setup) -> Setup) {
        let crls = self.lists();
        let crls: Vec<_> = match self.cause {
            Cause::Revoked => crls.iter().map(PathBuf::as_path).collect(),
            _ => Vec::new(),
        };
        self.setup = adjust(self.setup.clone()).files(&self.identity, &crls);
    }

    /// The peer loses its right, or is about to lose it by itself.
    pub(crate) async fn lose(&self, sidecar: &Running) {
        if let Some(setup) = self.lost() {
            sidecar.reload(&setup).await.unwrap();
        }
    }

    /// What the peer loses its right by: files are changed already, and the configuration is what is returned. `None` when it
    /// loses it by itself.
    pub(crate) fn lost(&self) -> Option<Setup> {
        let setup = self.setup.clone();
        match self.cause {
            Cause::TakenOffTheList => Some(setup.unlist("lab")),
            Cause::Revoked => {
                self.write_lists(&[42]);
                Some(setup)
            }
            Cause::AuthorityNotTrustedAnyMore => {
                std::fs::write(self.identity.trust_bundle(), self.own.pem()).unwrap();
                Some(setup)
            }
            Cause::PinTakenAway => {
                let entry = format!("pin: \"sha256:{}\"", "00".repeat(32));
                Some(setup.forget("lab").peer("lab", &entry).allow_known("lab"))
            }
            Cause::EntryExpires | Cause::CertificateExpires => None,
        }
    }

    /// The peer has its right back.
    pub(crate) async fn gain(&self, sidecar: &Running) {
        sidecar.reload(&self.setup).await.unwrap();
    }

    /// A change that concerns nobody who is connected.
    pub(crate) async fn also_allow(&self, sidecar: &Running, name: &str) {
        sidecar.reload(&self.setup.clone().allow(name)).await.unwrap();
    }

    /// The peer loses its right; waits until that is on record.
    pub(crate) async fn strike(&self, sidecar: &Running) -> Record {
        self.lose(sidecar).await;
        let withdrawn = sidecar.trail().only("connection-withdrawn").await;
        assert_eq!(withdrawn.reason(), self.cause.reason(), "{withdrawn:#?}");
        assert_eq!(withdrawn.text("event.outcome"), "failure");
        assert_eq!(withdrawn.text("myelin.peer"), "lab");
        assert!(!withdrawn.text("message").is_empty());
        let labels = [("reason", self.cause.reason())];
        sidecar.metric_is("myelin_permits_withdrawn_total", &labels, 1.0).await;
        withdrawn
    }

    /// The connection that lost its permit is over because of that, and none besides.
    pub(crate) async fn is_over(&self, sidecar: &Outside, withdrawn: &Record) -> Record {
        let closed = sidecar.trail().only("connection-closed").await;
        assert_eq!(closed.reason(), "withdrawn", "{closed:#?}");
        assert_eq!(closed.connection(), withdrawn.connection());
        assert!(closed.number("event.sequence") > withdrawn.number("event.sequence"));
        closed
    }

    fn lists(&self) -> [PathBuf; 2] {
        ["own.crl", "vendor.crl"].map(|name| self.mesh.dir().join(name))
    }

    fn write_lists(&self, revoked: &[u64]) {
        let [own, vendor] = self.lists();
        let due = OffsetDateTime::now_utc() + Duration::DAY;
        std::fs::write(own, self.own.crl(&[], due)).unwrap();
        std::fs::write(vendor, self.vendor.crl(revoked, due)).unwrap();
    }
}
