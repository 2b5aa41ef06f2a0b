//! `myelin ca` from outside, told by openssl.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::cli::myelin;
use crate::support::authority::Place;
use crate::support::process::run;

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
