//! What the trail says of configurations: which, what is new in it, and no secret.

use crate::support::mesh::{Mesh, Setup};
use crate::support::process::write;
use crate::support::trail::Record;
use crate::support::workload::{Kind, Workload};

/// What a record of a configuration says that is different: key, old value, new value.
fn changed(record: &Record) -> Vec<(&str, &str, &str)> {
    let changes = record.field("myelin.configuration.changed").as_array().unwrap();
    changes
        .iter()
        .map(|change| {
            let part = |name: &str| change[name].as_str().unwrap_or("");
            (part("key"), part("old"), part("new"))
        })
        .collect()
}

fn inbound(mesh: &Mesh, workload: &Workload) -> Setup {
    mesh.inbound("db").allow("web").forward(workload.target())
}

#[tokio::test]
async fn the_first_configuration_is_on_record_with_what_the_program_was_built_from() {
    let mesh = Mesh::new();
    let db = mesh.inbound("db").allow("web").start().await;

    let loaded = db.trail().only("config-loaded").await;

    assert!(loaded.text("myelin.configuration.version").starts_with("sha256:"), "{loaded:?}");
    assert!(loaded.field("myelin.configuration.previous").is_null());
    assert_eq!(loaded.text("myelin.build.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(loaded.text("myelin.build.provider"), "aws-lc-rs");
    assert_eq!(loaded.field("myelin.build.fips"), false);
}

#[tokio::test]
async fn a_reload_is_on_record_with_what_is_new_and_names_and_secrets_are_left_out() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = inbound(&mesh, &workload).peer("lab", "dns: lis.lab.example, note: ask Jane Doe");
    let db = setup.start().await;
    let first = db.trail().only("config-loaded").await;

    let new = inbound(&mesh, &workload).peer("lab", "dns: lis2.lab.example, note: ask John Doe");
    db.reload(&new.phi().limits("connections: 7")).await.unwrap();
    let loaded = db.trail().wait_for("config-loaded", 2).await.pop().unwrap();

    assert_eq!(
        changed(&loaded),
        [
            ("inbound[db].limits.connections", "", "7"),
            ("inbound[db].phi", "", "true"),
            ("peers.lab.dns", "", ""),
            ("peers.lab.note", "", ""),
        ]
    );
    let (version, previous) = ("myelin.configuration.version", "myelin.configuration.previous");
    assert_eq!(loaded.text(previous), first.text(version));
    assert_ne!(loaded.text(version), first.text(version));
    assert!(!db.trail().text().contains("Doe"));
}

#[tokio::test]
async fn a_refused_configuration_is_on_record_with_its_digest_and_the_one_that_stays() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let db = inbound(&mesh, &workload).start().await;
    let first = db.trail().only("config-loaded").await;

    let setup = inbound(&mesh, &workload).with("alow: []");
    db.reload(&setup).await.unwrap_err();
    let rejected = db.trail().only("config-rejected").await;

    let digest = crate::support::pki::sha256(setup.text().as_bytes());
    assert_eq!(rejected.text("myelin.configuration.version"), format!("sha256:{digest}"));
    let stays = rejected.text("myelin.configuration.previous");
    assert_eq!(stays, first.text("myelin.configuration.version"));
}

#[tokio::test]
async fn another_file_of_policy_is_on_record_by_its_digest() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let text = "package myelin\nimport rego.v1\ndefault allow := true\n";
    let rego = write(mesh.dir(), "p.rego", text);
    let setup = inbound(&mesh, &workload).file(&format!("policy: {{ rego: {} }}", rego.display()));
    let db = setup.start().await;

    let changed_text = format!("{text}# looked at\n");
    write(mesh.dir(), "p.rego", &changed_text);
    db.reload(&setup).await.unwrap();
    let loaded = db.trail().wait_for("config-loaded", 2).await.pop().unwrap();

    let digest = |text: &str| format!("sha256:{}", crate::support::pki::sha256(text.as_bytes()));
    let (old, new) = (digest(text), digest(&changed_text));
    let key = format!("policy file {}", rego.display());
    assert_eq!(changed(&loaded), [(&*key, &*old, &*new)]);
}

#[tokio::test]
async fn breaking_the_glass_is_a_record_of_its_own_and_so_is_its_end() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let strict = inbound(&mesh, &workload).http();
    let db = strict.start().await;

    let lenient = strict.clone().with("mode: permissive").with("until: 2100-01-01");
    db.reload(&lenient).await.unwrap();
    let started = db.trail().only("break-glass-started").await;
    assert_eq!(started.reason(), "permissive");
    assert!(started.text("message").contains("takes plaintext from anybody"), "{started:?}");

    db.reload(&strict).await.unwrap();
    let ended = db.trail().only("break-glass-ended").await;
    assert_eq!(ended.reason(), "permissive_ended");
    assert!(ended.text("message").contains("strict from now on"), "{ended:?}");
}

#[tokio::test]
async fn a_legal_hold_is_on_record_with_its_reason() {
    let mesh = Mesh::new();
    let held = format!(
        "dir: {}/db/audit, legal_hold: {{ reason: case 2026-114, since: '2026-11-01T00:00:00Z' }}",
        mesh.dir().display()
    );
    let db = mesh.inbound("db").allow("web").audit(&held).start().await;

    let loaded = db.trail().only("config-loaded").await;

    let hold = loaded.text("myelin.configuration.legal_hold");
    assert_eq!(hold, "since 2026-11-01T00:00:00Z: case 2026-114");
}
