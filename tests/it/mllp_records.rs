//! What the trail has of a message, and what it must not have.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cli::myelin;
use crate::support::mesh::Mesh;
use crate::support::mllp::{Engine, content, exchange, framed};

#[tokio::test]
async fn who_has_the_key_finds_a_message_by_its_control_identifier() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let key = mesh.dir().join("pseudonyms.key");
    fs::write(&key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let dir = mesh.dir().join("ehr/audit");
    let audit = format!("dir: {} , pseudonyms: {{ key_file: {} }}", dir.display(), key.display());
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().audit(&audit);
    let ehr = setup.forward(engine.target()).start().await;
    let mut lab = mesh.connect("lab", &ehr).await;

    exchange(&mut lab.stream, "ADT^A01", "7").await;
    exchange(&mut lab.stream, "ADT^A01", "8").await;

    let config = ehr.config.display().to_string();
    let args = ["audit", "pseudonym", "-c", &config, "--type", "MSH-10", "--id", "PHIMRN7"];
    let said = myelin(&args).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let completed = ehr.trail().wait_for("message-completed", 2).await;
    assert_eq!(completed[0].text("myelin.hl7.control_id"), said.stdout.trim());
    assert_ne!(completed[1].text("myelin.hl7.control_id"), said.stdout.trim());
    assert!(!ehr.trail().text().contains("PHIMRN"));
}

#[tokio::test]
async fn a_name_where_the_type_should_be_is_not_on_record() {
    let mesh = Mesh::new();
    let engine = Engine::start().await;
    let setup = mesh.inbound("ehr").allow("lab").mllp().phi().with("messages: [ \"ADT^*\" ]");
    let ehr = setup.forward(engine.target()).start().await;

    for (count, (kind, recorded)) in [
        ("PHIDOE JOHN^PHI4711-8", "other^other"),
        ("phidoe^A01", "other^A01"),
        ("ORU^PHIDOE JOHN", "ORU^other"),
        ("PHIDOEPHIDOEPHIDOEPHIDOE", "other"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut lab = mesh.connect("lab", &ehr).await;
        lab.send(framed(&content("LIS", kind, "1"))).await;
        assert_eq!(lab.rest().await, b"");
        let denied = ehr.trail().wait_for("message-denied", count + 1).await.remove(count);
        assert_eq!(denied.text("myelin.hl7.type"), recorded);
        assert!(denied.text("myelin.nearest").contains(recorded), "{denied:#?}");
    }

    let said = ehr.trail().text() + &ehr.page("/denials").await.body;
    assert!(!said.contains("DOE") && !said.contains("doe"), "{said}");
}
