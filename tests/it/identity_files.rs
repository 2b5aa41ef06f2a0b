//! Files that somebody else replaces take effect by themselves, whichever way it is done; nobody sends a
//! signal.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::SerialNumber;
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::support::client::{FirstRead, Peer, connect};
use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::openssl::SClient;
use crate::support::pki::{Ca, Identity, sha256};
use crate::support::process::{Process, free_port, loopback, needs, run};
use crate::support::workload::{Kind, Workload};
use crate::support::{eventually, until};

/// A place where somebody puts the files of `db`, and an authority that both sides trust.
struct Place {
    ca: Ca,
    mesh: Mesh,
    workload: Workload,
    dir: TempDir,
    web: Identity,
}

impl Place {
    async fn new() -> Self {
        Self::with(Kind::Echo).await
    }

    async fn with(kind: Kind) -> Self {
        let ca = Ca::new("Hospital CA");
        let web = ca.issue("web");
        let workload = Workload::tcp(kind).await;
        Self { ca, mesh: Mesh::new(), workload, dir: TempDir::new().unwrap(), web }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The sidecar of `db`, which lets in `web`, with these files.
    fn setup(&self, files: &str) -> Setup {
        let setup = self.mesh.inbound("db").allow("web").forward(self.workload.target());
        let dir = self.dir.path().display();
        setup.identity(&format!("files: {{ {} }}", files.replace("DIR", &dir.to_string())))
    }

    /// The names that cert-manager gives them.
    fn usual(&self) -> Setup {
        self.setup("cert: DIR/tls.crt, key: DIR/tls.key, trust_bundle: DIR/ca.crt")
    }

    /// Writes one of an identity's files where it is, as `cp` does.
    fn copy(&self, identity: &Identity, name: &str) {
        fs::copy(identity.dir().join(name), self.path(name)).unwrap();
    }

    /// Writes all of them.
    fn put(&self, identity: &Identity) {
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            self.copy(identity, name);
        }
    }

    async fn connect(&self, db: &Running) -> Peer {
        connect(&self.web, db.address(), "db").await.unwrap()
    }

    /// Waits until the sidecar presents `identity`.
    async fn presents(&self, db: &Running, identity: &Identity) {
        let wanted = identity.pin();
        eventually("the new certificate to be presented", || async {
            (presented(&self.connect(db).await) == wanted).then_some(())
        })
        .await;
    }
}

/// What `pin:` would say of the certificate that the sidecar presented.
fn presented(peer: &Peer) -> String {
    let (_, session) = peer.stream.get_ref();
    format!("sha256:{}", sha256(&session.peer_certificates().unwrap()[0]))
}

/// What a kubelet does with a Secret: a new directory, and a link to it that is swapped by a rename.
fn publish(volume: &Path, version: u32, identity: &Identity) {
    let dir = volume.join(format!("..2027_{version}"));
    fs::create_dir_all(&dir).unwrap();
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        fs::copy(identity.dir().join(name), dir.join(name)).unwrap();
        if fs::symlink_metadata(volume.join(name)).is_err() {
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
    }
    let old = fs::read_link(volume.join("..data"));
    symlink(dir.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if let Ok(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

#[tokio::test]
async fn every_swap_of_a_kubernetes_volume_takes_effect_and_open_connections_stay() {
    let place = Place::new().await;
    publish(place.dir.path(), 1, &place.ca.issue("db"));
    let db = place.usual().start().await;
    let mut open = place.connect(&db).await;
    open.echoes("before").await;

    for version in 2..5 {
        let new = place.ca.issue("db");
        publish(place.dir.path(), version, &new);
        place.presents(&db, &new).await;
    }

    open.echoes("the open connection stays").await;
    assert_eq!(db.trail().wait_for("certificate-rotated", 3).await.len(), 3);
    assert!(db.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn files_that_are_written_in_place_take_effect() {
    let place = Place::new().await;
    place.put(&place.ca.issue("db"));
    let db = place.usual().start().await;

    for _ in 0..2 {
        let new = place.ca.issue("db");
        place.put(&new);
        place.presents(&db, &new).await;
    }

    assert!(db.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn a_key_that_comes_a_second_after_its_certificate_is_waited_for() {
    let place = Place::new().await;
    let old = place.ca.issue("db");
    place.put(&old);
    let db = place.usual().start().await;
    let new = place.ca.issue("db");

    place.copy(&new, "tls.crt");
    tokio::time::sleep(Duration::from_secs(1)).await; // an agent that takes its time
    assert_eq!(presented(&place.connect(&db).await), old.pin());
    place.copy(&new, "tls.key");

    place.presents(&db, &new).await;
    assert!(db.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn a_pair_that_does_not_fit_is_told_and_a_good_one_after_it_takes_effect() {
    let place = Place::new().await;
    let old = place.ca.issue("db");
    place.put(&old);
    let db = place.usual().start().await;

    place.copy(&place.ca.issue("db"), "tls.crt");
    let rejected = db.trail().wait_for("certificate-rejected", 1).await.remove(0);

    let text = rejected.text("message");
    assert!(text.contains("tls.key: the key does not fit the certificate in "), "{text}");
    assert_eq!(presented(&place.connect(&db).await), old.pin());
    let new = place.ca.issue("db");
    place.put(&new);
    place.presents(&db, &new).await;
}

#[tokio::test]
async fn a_new_revocation_list_counts_for_the_next_connection() {
    let place = Place::with(Kind::Line).await;
    let serial = |number: u64| {
        place.ca.issue_with("web", |params| params.serial_number = Some(SerialNumber::from(number)))
    };
    let (lost, kept) = (serial(66), serial(67));
    let tomorrow = tomorrow();
    place.put(&place.ca.issue("db"));
    fs::write(place.path("ca.crl"), place.ca.crl(&[], tomorrow)).unwrap();
    let files = "cert: DIR/tls.crt, key: DIR/tls.key, trust_bundle: DIR/ca.crt, crls: [DIR/ca.crl]";
    let db = place.setup(files).start().await;
    let said = async |identity| SClient::to(db.address()).identity(identity).send("hello\n").await;
    assert!(said(&lost).await.stdout.contains("you said hello"));

    fs::write(place.path("ca.crl"), place.ca.crl(&[66], tomorrow)).unwrap();

    let refused = eventually("the revoked certificate to be refused", || async {
        let _until_it_is_not = said(&lost).await;
        db.trail().all("connection-refused").pop()
    })
    .await;
    assert_eq!(refused.reason(), "revoked", "{refused:#?}");
    assert!(said(&kept).await.stdout.contains("you said hello"));
}

/// A sidecar whose own certificate has the serial number 5, and a peer that is connected to it with 66.
async fn with_lists(place: &Place, ends: OffsetDateTime) -> (Running, Identity, Peer) {
    let numbered = |name, number: u64, ends| {
        place.ca.issue_with(name, |params| {
            params.serial_number = Some(SerialNumber::from(number));
            params.not_after = ends;
        })
    };
    let lost = numbered("web", 66, tomorrow());
    place.put(&numbered("db", 5, ends));
    fs::write(place.path("ca.crl"), place.ca.crl(&[], tomorrow())).unwrap();
    let files = "cert: DIR/tls.crt, key: DIR/tls.key, trust_bundle: DIR/ca.crt, crls: [DIR/ca.crl]";
    let db = place.setup(files).start().await;
    let mut open = connect(&lost, db.address(), "db").await.unwrap();
    open.echoes("before").await;
    (db, lost, open)
}

fn tomorrow() -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::days(1)
}

#[tokio::test]
async fn a_list_that_revokes_us_as_well_takes_the_peer_its_permit_all_the_same() {
    let place = Place::new().await;
    let (db, lost, mut open) = with_lists(&place, tomorrow()).await;

    fs::write(place.path("ca.crl"), place.ca.crl(&[5, 66], tomorrow())).unwrap();

    let withdrawn = db.trail().only("connection-withdrawn").await;
    assert_eq!(withdrawn.reason(), "revoked", "{withdrawn:#?}");
    assert!(!matches!(open.first_read().await, FirstRead::Bytes(_)));
    let mut again = connect(&lost, db.address(), "db").await.unwrap();
    let refused = again.first_read().await;
    assert_eq!(refused, FirstRead::Alert(rustls::AlertDescription::CertificateRevoked));
    place.connect(&db).await.echoes("who is not revoked may").await;
    let rotated = db.trail().only("certificate-rotated").await;
    let told = rotated.text("message");
    assert!(told.contains("tls.crt: is revoked by a list of CN=Hospital CA: it stays"), "{told}");
    assert!(db.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn a_list_that_comes_when_our_own_certificate_has_expired_takes_effect_all_the_same() {
    let place = Place::new().await;
    let ends = OffsetDateTime::now_utc() + time::Duration::seconds(5);
    let (db, _lost, mut open) = with_lists(&place, ends).await;
    let over = ends + time::Duration::SECOND; // its last second counts as a whole one
    until("our own certificate to expire", || OffsetDateTime::now_utc() > over).await;

    fs::write(place.path("ca.crl"), place.ca.crl(&[66], tomorrow())).unwrap();

    let withdrawn = db.trail().only("connection-withdrawn").await;
    assert_eq!(withdrawn.reason(), "revoked", "{withdrawn:#?}");
    assert!(!matches!(open.first_read().await, FirstRead::Bytes(_)));
    assert!(db.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn a_root_that_is_added_to_the_bundle_counts_for_the_next_connection() {
    let place = Place::with(Kind::Line).await;
    place.put(&place.ca.issue("db"));
    let db = place.usual().start().await;
    let newcomer = Ca::new("Second CA");
    let web = newcomer.issue("web");
    fs::write(web.trust_bundle(), place.ca.pem()).unwrap();

    fs::write(place.path("ca.crt"), place.ca.pem() + &newcomer.pem()).unwrap();

    eventually("the new root to be trusted", || async {
        let said = SClient::to(db.address()).identity(&web).send("hello\n").await;
        said.stdout.contains("you said hello").then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_file_with_key_certificate_and_chain_works_as_an_agent_writes_it() {
    let place = Place::new().await;
    let together = |identity: &Identity| {
        let part = |name| fs::read_to_string(identity.dir().join(name)).unwrap();
        fs::write(place.path("bundle.pem"), part("tls.key") + &part("tls.crt") + &part("ca.crt"))
            .unwrap();
    };
    let old = place.ca.issue("db");
    place.copy(&old, "ca.crt");
    together(&old);
    let files = "cert: DIR/bundle.pem, key: DIR/bundle.pem, trust_bundle: DIR/ca.crt";
    let db = place.setup(files).start().await;
    assert_eq!(presented(&place.connect(&db).await), old.pin());

    let new = place.ca.issue("db");
    together(&new);

    place.presents(&db, &new).await;
    assert!(db.trail().all("certificate-rejected").is_empty());
}

#[tokio::test]
async fn a_pkcs12_store_with_its_passphrase_is_served_and_replaced() {
    let place = Place::new().await;
    fs::write(place.path("pass"), "Grüße\n").unwrap();
    let store = async |identity: &Identity, how: &[&str]| {
        let mut openssl = Command::new(needs("openssl", "openssl"));
        openssl.args(["pkcs12", "-export"]).args(how);
        openssl.arg("-in").arg(identity.cert()).arg("-inkey").arg(identity.key());
        openssl.arg("-passout").arg(format!("file:{}", place.path("pass").display()));
        openssl.arg("-out").arg(place.path("new.p12"));
        let said = run(&mut openssl, "").await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        fs::rename(place.path("new.p12"), place.path("db.p12")).unwrap();
    };
    let old = place.ca.issue("db");
    place.copy(&old, "ca.crt");
    store(&old, &[]).await;
    let files = "pkcs12: DIR/db.p12, passphrase_file: DIR/pass, trust_bundle: DIR/ca.crt";
    let db = place.setup(files).start().await;
    assert_eq!(presented(&place.connect(&db).await), old.pin());

    let new = place.ca.issue("db");
    store(&new, &["-legacy"]).await;

    place.presents(&db, &new).await;
}

#[tokio::test]
async fn where_the_system_tells_of_no_changes_files_are_looked_at_and_the_log_says_so() {
    let place = Place::new().await;
    place.put(&place.ca.issue("db"));
    let address = loopback(free_port());
    let command = place.usual().listen(&address.to_string()).command();
    let mut without = Command::new(needs("unshare", "util-linux"));
    let none = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\"";
    without.args(["--user", "--map-root-user", "sh", "-c", none]);
    without.arg(command.get_program()).args(command.get_args());
    without.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let mut db = Process::start(&mut without);
    db.says("\"ready\"").await;

    let said = db.says("fs.inotify.max_user_instances").await;
    assert!(said.contains("changes of certificate files are found by looking"), "{said}");
    let new = place.ca.issue("db");
    place.put(&new);

    eventually("the new certificate to be presented", || async {
        let peer = connect(&place.web, address, "db").await.unwrap();
        (presented(&peer) == new.pin()).then_some(())
    })
    .await;
    assert_eq!(db.output().matches("max_user_instances").count(), 1, "one warning is enough");
}
