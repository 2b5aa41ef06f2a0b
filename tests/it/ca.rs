//! `myelin ca` from outside, told by openssl; and what is left of it when it is killed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::cli::myelin;
use crate::support::client::{FirstRead, connect};
use crate::support::eventually;
use crate::support::mesh::Mesh;
use crate::support::process::{Said, needs, run};
use crate::support::workload::{Kind, Workload};

/// An authority, and a directory for what it gives to others.
struct Place {
    dir: TempDir,
}

impl Place {
    /// With an authority that `myelin ca init` has made.
    async fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        place.fine(&["init", "--trust-domain", "hospital.example"]).await;
        place
    }

    fn authority(&self) -> PathBuf {
        self.dir.path().join("authority")
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// The arguments, with the directory of the authority behind the first.
    fn arguments<'a>(&self, args: &[&'a str]) -> Vec<String> {
        let dir = self.authority().display().to_string();
        let all = ["ca", args[0], "--dir", &dir];
        all.iter().chain(&args[1..]).map(ToString::to_string).collect()
    }

    async fn ca(&self, args: &[&str]) -> Said {
        let all = self.arguments(args);
        myelin(&all.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// What it says when it succeeds, and says nothing else.
    async fn fine(&self, args: &[&str]) -> String {
        let said = self.ca(args).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{args:?} {said:#?}");
        said.stdout
    }

    async fn fails(&self, args: &[&str], code: i32) -> String {
        let said = self.ca(args).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{args:?} {said:#?}");
        said.stderr
    }

    /// Issues into [`Self::out`]; the answer is the serial number.
    async fn issue(&self, service: &str) -> String {
        let out = self.out().display().to_string();
        self.fine(&["issue", "--service", service, "--out", &out]).await;
        self.openssl("x509 -in out/tls.crt -noout -serial").await.trim()[7..].to_owned()
    }

    async fn list(&self) -> Vec<Value> {
        let text = self.fine(&["list", "--format", "json"]).await;
        serde_json::from_str(&text).unwrap()
    }

    async fn run_openssl(&self, line: &str) -> Said {
        let mut command = Command::new(needs("openssl", "openssl"));
        run(command.args(line.split_whitespace()).current_dir(self.dir.path()), "").await
    }

    async fn openssl(&self, line: &str) -> String {
        let said = self.run_openssl(line).await;
        assert_eq!(said.code, Some(0), "{line}: {said:#?}");
        said.stdout
    }

    /// Whether openssl takes `out/tls.crt`, by the list in the authority's directory.
    async fn takes(&self) -> bool {
        let said = self
            .run_openssl(
                "verify -crl_check -CAfile authority/root.crt -CRLfile authority/ca.crl \
                 -untrusted out/tls.crt out/tls.crt",
            )
            .await;
        assert!(said.code == Some(0) || said.stderr.contains("certificate revoked"), "{said:#?}");
        said.code == Some(0)
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_authority_is_made_once_and_tells_its_fingerprint_as_openssl_does() {
    let place = Place { dir: TempDir::new().unwrap() };

    let init = ["init", "--trust-domain", "hospital.example", "--name", "St. Mary's"];
    let said = place.fine(&init).await;

    let fingerprint =
        place.openssl("x509 -in authority/root.crt -noout -fingerprint -sha256").await;
    let fingerprint = fingerprint.trim().split('=').nth(1).unwrap().replace(':', "").to_lowercase();
    assert!(said.contains(&format!("sha256:       {fingerprint}")), "{said}");
    assert!(said.contains("authority/root.crt"), "{said}");
    let subject = place.openssl("x509 -in authority/root.crt -noout -subject").await;
    assert!(subject.contains("O = hospital.example, CN = St. Mary's "), "{subject}");
    let root = std::fs::read(place.authority().join("root.crt")).unwrap();
    let again = place.fails(&init, 1).await;
    assert!(again.contains("holds an authority already"), "{again}");
    assert_eq!(std::fs::read(place.authority().join("root.crt")).unwrap(), root);
}

#[tokio::test]
async fn without_an_authority_nothing_is_issued_and_none_is_made() {
    let place = Place { dir: TempDir::new().unwrap() };

    for args in [
        &["issue", "--service", "ehr"][..],
        &["list"],
        &["revoke", "1a2b"],
        &["crl"],
        &["token", "--service", "ehr"],
    ] {
        let said = place.fails(args, 3).await;
        assert!(said.contains("no authority here"), "{said}");
    }
    assert!(!place.authority().exists());
}

#[tokio::test]
async fn what_is_issued_is_fit_for_other_programs_and_for_a_sidecar() {
    let place = Place::new().await;
    for kind in ["p256", "p384", "ed25519", "rsa2048"] {
        let out = place.out().display().to_string();
        let names = ["--service", "ehr", "--dns", "ehr.hospital.example"];
        place.fine(&[&["issue", "--out", &out, "--key-type", kind], &names[..]].concat()).await;

        place.openssl("verify -x509_strict -purpose sslserver -CAfile out/ca.crt -untrusted out/tls.crt out/tls.crt").await;
        let text = place.openssl("x509 -in out/tls.crt -noout -text").await;
        let names = "URI:spiffe://hospital.example/ehr, DNS:ehr, DNS:ehr.hospital.example";
        assert!(text.contains(names), "{text}");
        let public = place.openssl("pkey -in out/tls.key -pubout").await;
        assert_eq!(place.openssl("x509 -in out/tls.crt -noout -pubkey").await, public, "{kind}");
    }
    assert_eq!(mode(&place.out().join("tls.key")), 0o600);
    let config = place.dir.path().join("myelin.yaml");
    let (out, crl) = (place.out(), place.authority().join("ca.crl"));
    let text = format!(
        "version: 1\nservice: ehr\ntrust_domain: hospital.example\nidentity:\n  files:\n    \
         cert: {out}/tls.crt\n    key: {out}/tls.key\n    trust_bundle: {out}/ca.crt\n    \
         crls: [{crl}]\ninbound:\n  - {{ name: db, listen: 127.0.0.1:0, forward: 127.0.0.1:9, \
         protocol: tcp, allow: [web] }}\npeers:\n  web: {{ spiffe: spiffe://hospital.example/web }}\n\
         admin: {{ listen: 127.0.0.1:0 }}\naudit: {{ dir: {out}/audit }}\n",
        out = out.display(),
        crl = crl.display(),
    );
    std::fs::write(&config, text).unwrap();
    let checked = myelin(&["check", "--config", config.to_str().unwrap()]).await;
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:#?}");
}

#[tokio::test]
async fn a_request_is_answered_without_a_key_and_one_that_wants_more_is_refused() {
    let place = Place::new().await;
    let out = place.out().display().to_string();
    place
        .openssl("req -new -newkey rsa:2048 -nodes -keyout own.key -subj /CN=x -out own.csr")
        .await;
    place
        .openssl("req -new -key own.key -subj /CN=x -addext basicConstraints=CA:TRUE -out ca.csr")
        .await;
    place
        .openssl("req -new -newkey rsa:1024 -nodes -keyout weak.key -subj /CN=x -out weak.csr")
        .await;
    let csr = |name: &str| place.dir.path().join(name).display().to_string();
    std::fs::write(csr("cut.csr"), &std::fs::read(csr("own.csr")).unwrap()[..300]).unwrap();

    for (name, text) in [
        ("ca.csr", "asks for an authority's certificate"),
        ("weak.csr", "1024 bits"),
        ("cut.csr", "no certificate request"),
    ] {
        let csr = csr(name);
        let said =
            place.fails(&["issue", "--service", "ehr", "--csr", &csr, "--out", &out], 3).await;
        assert!(said.contains(text), "{said}");
        assert!(!place.out().join("tls.crt").exists());
    }
    let own = csr("own.csr");
    place.fine(&["issue", "--service", "ehr", "--csr", &own, "--out", &out]).await;

    assert!(!place.out().join("tls.key").exists());
    let public = place.openssl("pkey -in own.key -pubout").await;
    assert_eq!(place.openssl("x509 -in out/tls.crt -noout -pubkey").await, public);
    assert_eq!(place.list().await.len(), 1);
}

#[tokio::test]
async fn what_was_issued_is_listed_with_how_it_stands() {
    let place = Place::new().await;
    assert_eq!(place.fine(&["list"]).await, "nothing on record\n");
    let (ehr, lab) = (place.issue("ehr").await, place.issue("lab").await);

    place.fine(&["revoke", &ehr.to_lowercase(), "--reason", "superseded"]).await;

    let table = place.fine(&["list"]).await;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("SERIAL ") && lines[0].ends_with("HOW"), "{table}");
    assert!(
        lines[1].starts_with(&ehr) && lines[1].contains("revoked (superseded)  local"),
        "{table}"
    );
    assert!(lines[2].starts_with(&lab) && lines[2].contains("valid "), "{table}");
    let list = place.list().await;
    assert_eq!(list[0]["revoked"]["reason"], "superseded");
    assert_eq!(list[1]["state"], "valid");
    assert_eq!(list[1]["spiffe"], "spiffe://hospital.example/lab");
    assert_eq!(list[1]["key_type"], "ECDSA P-256");
    assert_eq!(list[1]["authorized"]["by"], "local");
    let sha256 = place.openssl("x509 -in out/tls.crt -noout -fingerprint -sha256").await;
    let sha256 = sha256.trim().split('=').nth(1).unwrap().replace(':', "").to_lowercase();
    assert_eq!(list[1]["sha256"], sha256.as_str());
}

#[tokio::test]
async fn a_certificate_is_revoked_by_number_by_name_or_by_file() {
    let place = Place::new().await;
    let file = place.out().join("tls.crt").display().to_string();

    let serial = place.issue("ehr").await;
    assert!(place.takes().await);
    let said = place.fine(&["revoke", &serial, "--reason", "key-compromise"]).await;
    assert!(said.starts_with(&format!("{serial}: revoked\n")), "{said}");
    assert!(!place.takes().await);

    let serial = place.issue("ehr").await;
    let said = place.fine(&["revoke", "--spiffe", "spiffe://hospital.example/ehr"]).await;
    assert!(said.starts_with(&format!("{serial}: revoked\n")), "{said}");
    assert!(!place.takes().await);

    place.issue("ehr").await;
    place.fine(&["revoke", "--cert", &file]).await;
    assert!(!place.takes().await);
    let again = place.fine(&["revoke", "--cert", &file]).await;
    assert!(again.contains("was revoked before"), "{again}");
}

#[tokio::test]
async fn what_cannot_be_revoked_is_a_bad_argument() {
    let place = Place::new().await;
    let stranger = Place::new().await;
    stranger.issue("ehr").await;
    let file = stranger.out().join("tls.crt").display().to_string();

    for (args, text) in [
        (&["revoke", "1a2b"][..], "no certificate with serial number 1A2B is on record"),
        (&["revoke", "xyz"], "not a serial number"),
        (&["revoke", "--spiffe", "spiffe://hospital.example/ehr"], "no certificate of spiffe://"),
        (&["revoke", "--cert", &file], "issued by O=hospital.example, CN=Myelin issuing "),
        (&["revoke", "--cert", "/nowhere"], "/nowhere: "),
        (&["revoke", "1a2b", "--reason", "boredom"], "one of unspecified, key-compromise"),
        (&["revoke"], "required"),
    ] {
        let said = place.fails(args, 2).await;
        assert!(said.contains(text), "{args:?}: {said}");
    }
    assert!(place.openssl("crl -in authority/ca.crl -noout -text").await.contains("No Revoked"));
}

#[tokio::test]
async fn the_list_comes_in_both_forms() {
    let place = Place::new().await;
    let serial = place.issue("ehr").await;
    place.fine(&["revoke", &serial]).await;
    let der = place.dir.path().join("list.der").display().to_string();

    let pem = place.fine(&["crl"]).await;
    place.fine(&["crl", "--format", "der", "--out", &der]).await;

    std::fs::write(place.dir.path().join("list.pem"), &pem).unwrap();
    let from_der = place.openssl("crl -inform DER -in list.der -noout -text").await;
    assert_eq!(place.openssl("crl -in list.pem -noout -text").await, from_der);
    assert!(from_der.contains(&format!("Serial Number: {serial}")), "{from_der}");
    place.openssl("crl -in list.pem -noout -CAfile authority/issuing.crt").await;
}

#[tokio::test]
async fn a_token_goes_to_standard_output_alone_and_is_listed_without_its_text() {
    let place = Place::new().await;

    let said = place.ca(&["token", "--service", "ehr", "--ttl", "10m"]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    let token = said.stdout.strip_suffix('\n').unwrap();
    assert!(token.starts_with("myelin-join-") && token.len() == 55, "{said:#?}");
    assert!(said.stderr.contains("spiffe://hospital.example/ehr"), "{said:#?}");
    assert!(!said.stderr.contains(token), "{said:#?}");
    let table = place.fine(&["list", "--tokens"]).await;
    assert!(table.contains("unused") && !table.contains(token), "{table}");
    let record = std::fs::read_to_string(place.authority().join("issued.jsonl")).unwrap();
    assert!(!record.contains(token), "{record}");
}

#[tokio::test]
async fn a_root_is_exchanged_in_three_steps_and_each_tells_the_next() {
    let place = Place::new().await;
    let serial = place.issue("ehr").await;

    let begun = place.fine(&["roll"]).await;
    assert!(begun.contains("myelin ca roll --switch"), "{begun}");
    assert!(place.takes().await);
    let switched = place.fine(&["roll", "--switch"]).await;
    assert!(switched.contains("myelin ca roll --finish"), "{switched}");
    let left = place.fine(&["roll"]).await;
    assert!(left.contains(&serial) && left.contains("\n1 certificates under"), "{left}");
    let refused = place.fails(&["roll", "--finish"], 1).await;
    assert!(refused.contains("still valid"), "{refused}");
    place.fine(&["revoke", &serial]).await;
    place.fine(&["roll", "--finish"]).await;

    place.issue("ehr").await;
    assert!(place.takes().await);
    place.openssl("verify -CAfile authority/root.crt authority/issuing.crt").await;
}

#[tokio::test]
async fn every_command_of_the_guide_works() {
    let guide = include_str!("../../certs/README.md");
    let script = guide.split("```sh ca\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = TempDir::new().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_myelin")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).env("PATH", path).current_dir(dir.path());

    let said = run(&mut command, "").await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains("spiffe://hospital.example/billing"), "{said:#?}");
    for file in ["billing/tls.crt", "billing/tls.key", "billing/ca.crt", "ca.crl", "token"] {
        assert!(dir.path().join(file).metadata().unwrap().len() > 0, "{file}");
    }
}

/// Runs the program and kills it after so long, if it is still running then. Whether it was done before.
fn kill_after(place: &Place, args: &[&str], pause: Option<Duration>) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(place.arguments(args))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if let Some(pause) = pause {
        std::thread::sleep(pause);
        let _ended_before = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    output.status.success()
}

/// So long the command takes on this machine now, with something to spare.
fn takes_so_long(place: &Place, args: &[&str]) -> Duration {
    let begun = tokio::time::Instant::now();
    assert!(kill_after(place, args, None), "{args:?}");
    begun.elapsed() * 5 / 4
}

#[tokio::test]
async fn killed_at_any_moment_it_has_recorded_whatever_it_gave_out() {
    const KILLS: u32 = 60;
    let place = Place::new().await;
    let out = place.out().display().to_string();
    let issue = ["issue", "--service", "ehr", "--out", &out];
    let whole = takes_so_long(&place, &issue);
    let mut done = 1;

    for step in 0..KILLS {
        let _new = std::fs::remove_dir_all(place.out());
        let finished = kill_after(&place, &issue, Some(whole * step / KILLS));

        let on_record = place.list().await;
        done += usize::from(finished);
        assert!(on_record.len() >= done, "an issue that was acknowledged is lost");
        if place.out().join("tls.crt").exists() {
            let serial = place.openssl("x509 -in out/tls.crt -noout -serial").await;
            let serial = serial.trim().trim_start_matches("serial=");
            assert!(on_record.iter().any(|it| it["serial"] == serial), "{serial} is not on record");
            assert!(place.takes().await);
        }
    }
    assert!(!place.issue("ehr").await.is_empty());
}

#[tokio::test]
async fn killed_while_it_revokes_record_and_list_agree_and_nothing_acknowledged_is_lost() {
    const KILLS: u32 = 40;
    let place = Place::new().await;
    let serial = place.issue("ehr").await;
    let whole = takes_so_long(&place, &["revoke", &serial]);

    for step in 0..KILLS {
        let serial = place.issue("ehr").await;
        let pause = Some(whole * step / KILLS);
        let acknowledged = kill_after(&place, &["revoke", &serial], pause);

        let list = place.list().await; // opens the authority, and so makes good what broke off
        let its = list.iter().find(|it| it["serial"] == serial.as_str()).unwrap();
        let revoked = its["state"] == "revoked";
        assert_eq!(place.takes().await, !revoked);
        assert!(revoked || !acknowledged, "{serial} was acknowledged and is lost");
    }
}

#[tokio::test]
async fn a_running_sidecar_refuses_whom_the_authority_revokes_without_being_told() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).spawn().await;
    let (stolen, good) = (mesh.pem("web"), mesh.pem("web"));
    connect(&stolen, db.address(), "db").await.unwrap().echoes("before").await;
    let authority = mesh.dir().join("authority").display().to_string();
    let cert = stolen.cert().display().to_string();

    let said = myelin(&["ca", "revoke", "--dir", &authority, "--cert", &cert]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    let refused = eventually("the revoked certificate to be refused", || async {
        let mut peer = connect(&stolen, db.address(), "db").await.unwrap();
        peer.stream.get_mut().0.set_nodelay(true).unwrap();
        let asked = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, b"after").await;
        let answer = peer.first_read().await;
        (asked.is_err() || answer != FirstRead::Bytes(b"after".to_vec())).then_some(answer)
    })
    .await;
    assert_eq!(refused, FirstRead::Alert(rustls::AlertDescription::CertificateRevoked));
    connect(&good, db.address(), "db").await.unwrap().echoes("the other one may").await;
    let record = db.trail().wait_for("connection-refused", 1).await.remove(0);
    assert_eq!(record.reason(), "revoked", "{record:#?}");
}

#[tokio::test]
async fn a_sidecar_whose_own_certificate_is_revoked_takes_another_at_once() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).spawn().await;
    let authority = mesh.dir().join("authority").display().to_string();
    mesh.connect("web", &db).await.echoes("before").await;

    let spiffe = "spiffe://hospital.example/db";
    let said = myelin(&["ca", "revoke", "--dir", &authority, "--spiffe", spiffe]).await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    db.trail().wait_for("certificate-rotated", 1).await;
    mesh.connect("web", &db).await.echoes("after").await;
    let list = myelin(&["ca", "list", "--dir", &authority, "--format", "json"]).await.stdout;
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let states: Vec<_> =
        list.iter().filter(|it| it["spiffe"] == spiffe).map(|it| it["state"].clone()).collect();
    assert_eq!(states, ["revoked", "valid"]);
}
