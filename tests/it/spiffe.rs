//! Identity from the SPIFFE Workload API: what the agent pushes is what peers see, and each trust domain
//! keeps to itself.

use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use time::OffsetDateTime;

use crate::outbound::ask;
use crate::support::client::{FirstRead, Peer, connect};
use crate::support::eventually;
use crate::support::mesh::{Mesh, Running};
use crate::support::pki::{Ca, Identity, sha256, uri};
use crate::support::workload::{Kind, Workload};
use crate::support::workload_api::{Agent, Update, check};

/// A sidecar whose identity comes from an agent, and that lets in `web` and `lab` of another domain.
struct Site {
    ca: Ca,
    agent: Agent,
    db: Running,
    workload: Workload,
    mesh: Mesh,
}

impl Site {
    async fn new() -> Self {
        Self::with(|ca| Update::of(&ca.issue("db"))).await
    }

    async fn with(first: impl FnOnce(&Ca) -> Update) -> Self {
        let mesh = Mesh::new();
        let ca = Ca::new("Hospital CA");
        let agent = Agent::saying(mesh.dir(), &first(&ca)).await;
        let workload = Workload::tcp(Kind::Echo).await;
        let setup = mesh.inbound("db").allow("web").forward(workload.target());
        let setup = setup.peer("lab", "spiffe: spiffe://lab.example/lis").allow_known("lab");
        let db = setup.spiffe(agent.socket()).start().await;
        Self { ca, agent, db, workload, mesh }
    }

    /// A connection of `identity`, which trusts the site's authority.
    async fn connect(&self, identity: &Identity) -> Peer {
        std::fs::write(identity.trust_bundle(), self.ca.pem()).unwrap();
        connect(identity, self.db.address(), "db").await.unwrap()
    }

    async fn admits(&self, identity: &Identity) -> Peer {
        let mut peer = self.connect(identity).await;
        peer.echoes("hello").await;
        peer
    }

    /// SHA-256 of the certificate that is presented now.
    async fn presents(&self) -> String {
        let peer = self.connect(&self.ca.issue("web")).await;
        sha256(&peer.stream.get_ref().1.peer_certificates().unwrap()[0])
    }

    /// Waits until a rejection that says so is on record.
    async fn rejects(&self, what: &str) {
        eventually(what, || async {
            let rejected = self.db.trail().all("certificate-rejected");
            rejected.iter().any(|record| record.text("message").contains(what)).then_some(())
        })
        .await;
    }

    /// Waits until this is presented.
    async fn comes_to_present(&self, identity: &Identity) {
        let wanted = sha256(&identity.leaf());
        eventually("the new certificate", || async {
            (self.presents().await == wanted).then_some(())
        })
        .await;
    }
}

/// A certificate of `lis` in the trust domain `lab.example`.
fn lis(ca: &Ca) -> Identity {
    ca.issue_with("lis", |params| {
        params.subject_alt_names = vec![uri("spiffe://lab.example/lis")];
    })
}

#[tokio::test]
async fn what_the_agent_pushes_takes_effect_at_once_and_no_connection_closes() {
    let mut site = Site::new().await;
    let mut open = site.admits(&site.ca.issue("web")).await;

    for rotation in 1..=3 {
        let next = site.ca.issue("db");
        site.agent.say(&Update::of(&next)).await;
        site.comes_to_present(&next).await;
        open.echoes("still here").await;
        let rotated = site.db.trail().wait_for("certificate-rotated", rotation).await;
        assert!(rotated[rotation - 1].text("message").contains(&sha256(&next.leaf())));
    }

    assert_eq!(site.agent.streams(), 1, "updates come on one stream");
    assert!(site.db.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_no_rotation() {
    let mut site = Site::with(|ca| Update::of(&ca.issue("db"))).await;
    let first = site.ca.issue("db");
    site.agent.say(&Update::of(&first)).await;
    site.comes_to_present(&first).await;
    site.agent.say(&Update::of(&first)).await;
    let second = site.ca.issue("db");
    site.agent.say(&Update::of(&second)).await;
    site.comes_to_present(&second).await;

    let rotated = site.db.trail().wait_for("certificate-rotated", 2).await;
    assert_eq!(rotated.len(), 2);
}

#[tokio::test]
async fn svids_with_keys_of_every_kind_are_presented() {
    let mut site = Site::new().await;
    for key in [
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
        KeyPair::generate().unwrap(),
    ] {
        let identity = site.ca.issue_for("db", &key, |_| {});
        site.agent.say(&Update::of(&identity)).await;
        site.comes_to_present(&identity).await;
        site.admits(&site.ca.issue("web")).await;
    }
}

#[tokio::test]
async fn of_several_svids_the_one_of_our_service_is_taken() {
    let ca = Ca::new("Hospital CA");
    let (db, other) = (ca.issue("db"), ca.issue("other"));
    let update = Update::default().and("spiffe://hospital.example/other", &other);
    let mut site = Site::with(|_| update.and("spiffe://hospital.example/db", &db)).await;
    site.ca = ca;

    assert_eq!(site.presents().await, sha256(&db.leaf()));
}

#[tokio::test]
async fn without_an_svid_of_our_service_the_agents_default_is_taken_and_warned_of() {
    let mesh = Mesh::new();
    let ca = Ca::new("Hospital CA");
    let update = Update::of(&ca.issue("other")).and("spiffe://hospital.example/x", &ca.issue("x"));
    let agent = Agent::saying(mesh.dir(), &update).await;

    let said = check(&mesh.inbound("db").allow("web").spiffe(agent.socket())).await;

    assert_eq!(said.code, Some(0), "{}", said.all());
    assert!(
        said.all().contains(
            "SVID spiffe://hospital.example/other: names spiffe://hospital.example/other, not \
             spiffe://hospital.example/db: peers know us by it"
        ),
        "{}",
        said.all()
    );
}

#[tokio::test]
async fn peers_of_a_federated_trust_domain_come_in_until_it_is_no_longer_federated() {
    let lab = Ca::new("Lab CA");
    let mut site =
        Site::with(|ca| Update::of(&ca.issue("db")).federated("lab.example", &lab)).await;
    site.admits(&lis(&lab)).await;

    let next = site.ca.issue("db");
    site.agent.say(&Update::of(&next)).await;
    site.comes_to_present(&next).await;

    let mut refused = site.connect(&lis(&lab)).await;
    assert!(matches!(refused.first_read().await, FirstRead::Alert(_)));
    let record = site.db.trail().only("connection-refused").await;
    assert_eq!(record.reason(), "unknown_issuer");
    assert!(
        record
            .text("message")
            .contains("lab.example, is not federated with ours, hospital.example"),
        "{record:?}"
    );
    site.admits(&site.ca.issue("web")).await;
}

#[tokio::test]
async fn a_federated_authority_that_makes_itself_one_of_our_services_is_refused() {
    let lab = Ca::new("Lab CA");
    let site = Site::with(|ca| Update::of(&ca.issue("db")).federated("lab.example", &lab)).await;

    for stranger in [lab.issue("web"), lis(&site.ca)] {
        let mut refused = site.connect(&stranger).await;
        assert!(matches!(refused.first_read().await, FirstRead::Alert(_)));
    }

    let records = site.db.trail().wait_for("connection-refused", 2).await;
    assert!(records.iter().all(|record| record.reason() == "unknown_issuer"), "{records:?}");
    assert_eq!(site.workload.connections(), 0);
}

#[tokio::test]
async fn a_federated_authority_cannot_stand_in_for_our_servers_either() {
    let lab = Ca::new("Lab CA");
    let site = Site::with(|ca| Update::of(&ca.issue("db")).federated("lab.example", &lab)).await;
    // The impostor believes in us: otherwise it would be the one who refuses.
    let impostor = lab.issue("ehr");
    std::fs::write(impostor.trust_bundle(), site.ca.pem() + &lab.pem()).unwrap();

    for (name, identity, answer) in
        [("impostor", impostor, ""), ("real", site.ca.issue("ehr"), "hello\n")]
    {
        let server = site.mesh.inbound(name).allow("db").files(&identity, &[]);
        let server = server.forward(site.workload.target()).start().await;
        let caller = site.mesh.outbound(&format!("to-{name}")).allow("ehr").to(server.address());
        let caller = caller.spiffe(site.agent.socket()).start().await;

        assert_eq!(ask(&caller, "hello\n").await, answer, "{name}");

        if answer.is_empty() {
            assert_eq!(caller.trail().only("connection-refused").await.reason(), "unknown_issuer");
        }
    }
}

/// Updates that cannot be read, and what is said about each.
fn unreadable(good: &Identity) -> Vec<(Update, &'static str)> {
    let update = || Update::of(good);
    vec![
        (update().chain(|der| der.truncate(der.len() / 2)), "X.509 SVID"),
        (update().chain(|der| der.extend([0x30, 0x82])), "X.509 SVID"),
        (update().chain(|der| der.fill(0xff)), "X.509 SVID"),
        (update().chain(Vec::clear), "X509SVID.x509_svid"),
        (update().key(|der| der.truncate(20)), "PKCS#8"),
        (update().key(Vec::clear), "X509SVID.x509_svid_key"),
        (update().bundle(Vec::clear), "X509SVID.bundle"),
        (update().bundle(|der| der.truncate(100)), "X.509 bundle"),
        (update().federated_der("lab.example", vec![0x30, 0x03, 1]), "X.509 bundle"),
        (update().federated_der("lab example", Vec::new()), "SPIFFE ID"),
        (update().bundle(|der| der.resize(5 << 20, 0)), "too large"),
        (Update::default(), "X509SVIDResponse.svids"),
    ]
}

#[tokio::test]
async fn what_an_agent_says_and_nobody_can_read_is_told_by_check() {
    let mesh = Mesh::new();
    let mut agent = Agent::start(mesh.dir()).await;
    let setup = mesh.inbound("db").allow("web").spiffe(agent.socket());

    for (update, what) in unreadable(&Ca::new("Hospital CA").issue("db")) {
        agent.say(&update).await;
        let said = check(&setup).await;

        assert_eq!(said.code, Some(3), "{what}: {}", said.all());
        let told = "the agent's update ";
        assert!(said.all().contains(told) && said.all().contains(what), "{what}: {}", said.all());
    }
}

#[tokio::test]
async fn updates_that_cannot_be_read_change_nothing_and_are_on_record() {
    let mut site = Site::new().await;
    let first = site.presents().await;
    let good = site.ca.issue("db");

    for (update, what) in unreadable(&good).into_iter().step_by(4) {
        site.agent.say(&update).await;
        site.rejects(what).await;
        assert_eq!(site.presents().await, first, "{what}");
    }

    site.agent.say(&Update::of(&good)).await;
    site.comes_to_present(&good).await;
}

#[tokio::test]
async fn svids_that_peers_would_refuse_change_nothing_and_are_on_record() {
    let mut site = Site::new().await;
    let first = site.presents().await;
    let good = site.ca.issue("db");
    let key_of_another = site.ca.issue("db").private_key().secret_der().to_vec();
    let expired = site.ca.issue_with("db", |params| {
        params.not_before = OffsetDateTime::now_utc() - time::Duration::hours(2);
        params.not_after = OffsetDateTime::now_utc() - time::Duration::hours(1);
    });
    let stranger = Ca::new("Stranger").issue("db");
    std::fs::write(stranger.trust_bundle(), site.ca.pem()).unwrap();

    for (update, what) in [
        (Update::of(&good).key(|der| *der = key_of_another), "the key does not fit"),
        (Update::of(&expired), "expired at"),
        (Update::of(&stranger), "no chain to"),
    ] {
        site.agent.say(&update).await;
        site.rejects(what).await;
        assert_eq!(site.presents().await, first, "{what}");
    }

    site.agent.say(&Update::of(&good)).await;
    site.comes_to_present(&good).await;
}

#[tokio::test]
async fn a_federated_bundle_with_a_certificate_that_is_no_authoritys_does_not_hold_up_our_own() {
    let lab = Ca::new("Lab CA");
    let odd = lab.issue_with("odd", |params| {
        params.subject_alt_names = vec![uri("spiffe://a/b"), uri("spiffe://c/d")];
    });
    let mut site = Site::new().await;
    let next = site.ca.issue("db");
    let bundle = [odd.leaf().to_vec(), lis(&lab).leaf().to_vec()].concat();

    site.agent.say(&Update::of(&next).federated_der("lab.example", bundle)).await;

    site.comes_to_present(&next).await;
    let said = check(&site.mesh.inbound("db").allow("web").spiffe(site.agent.socket())).await;
    assert!(
        said.all().contains("trust bundle, federated lab.example: certificate 1 is left out: "),
        "{}",
        said.all()
    );
}
