//! `myelin check --nagios`: each state of a sidecar, caused for real, as pynag's parser of plugins' output reads it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::cli::myelin;
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::mesh::{Mesh, Setup};
use crate::support::pki::Ca;
use crate::support::process::{free_port, loopback, needs, run};
use crate::support::python::peer;
use crate::support::workload::{Kind, Workload};

const OK: i64 = 0;
const WARNING: i64 = 1;
const CRITICAL: i64 = 2;
const UNKNOWN: i64 = 3;
/// Certificates of the tests live for a day, and those from files are renewed by nobody.
const SHORT: &[&str] = &["--warning", "6h", "--critical", "2h"];

fn with_socket(setup: Setup, mesh: &Mesh) -> Setup {
    let socket = mesh.dir().join("control.sock");
    setup.admin(&format!("listen: 127.0.0.1:0, socket: {}", socket.display()))
}

/// What the plugin says, by pynag.
async fn asked(mesh: &Mesh, args: &[&str]) -> Value {
    let socket = mesh.dir().join("control.sock");
    let mut plugin: Command = peer("nagios_plugin", "pynag", &[env!("CARGO_BIN_EXE_myelin")]);
    plugin.args(["check", "--nagios", "--socket"]).arg(socket).args(args);
    let said = run(&mut plugin, "").await;
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:#?}"))
}

/// Waits until it says so, in this state.
async fn says(mesh: &Mesh, args: &[&str], code: i64, words: &str) {
    eventually(words, || async {
        let told = asked(mesh, args).await;
        (told["code"] == code && told["summary"].as_str()?.contains(words)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_without_fault_is_ok_with_performance_data_by_the_guidelines() {
    let mesh = Mesh::new();
    let _db = with_socket(mesh.inbound("db").allow("web"), &mesh).start().await;

    let told = asked(&mesh, &[]).await;

    assert_eq!((&told["code"], &told["lines"]), (&OK.into(), &1.into()), "{told}");
    assert_eq!(told["summary"].as_str().unwrap().trim(), "MYELIN OK - ready", "{told}");
    let metric = |label: &str| {
        let metrics = told["metrics"].as_array().unwrap();
        metrics
            .iter()
            .find(|metric| metric["label"] == label)
            .unwrap_or_else(|| panic!("{label}: {told}"))
    };
    let left = metric("certificate_left");
    assert!(
        (80_000..=86_400).contains(&left["value"].as_str().unwrap().parse::<i64>().unwrap()),
        "{told}"
    );
    assert_eq!(left["uom"], "s");
    // It renews itself when a third of its day is left, or up to a twentieth of the day more or less.
    let seconds = |of: &Value| of.as_str().unwrap().trim_end_matches(':').parse::<u32>().unwrap();
    let (warning, critical) = (seconds(&left["warn"]), seconds(&left["crit"]));
    assert!((12_000..=16_700).contains(&warning), "{told}");
    assert!(critical.abs_diff(warning / 2) <= 1, "{told}");
    assert_eq!(metric("trust_bundle_left")["crit"], "172800:", "{told}");
    assert_eq!(
        (&metric("trail_records")["uom"], &metric("trail_records")["min"]),
        (&"c".into(), &"0".into())
    );
    assert_eq!(told["valid"], true, "{told}");
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_of_by_the_thresholds() {
    let mesh = Mesh::new();
    let files = Ca::new("hospital").issue("db");
    let setup = mesh.inbound("db").allow("web").files(&files, &[]);
    let _db = with_socket(setup, &mesh).start().await;

    says(
        &mesh,
        &["--warning", "3d", "--critical", "2h"],
        WARNING,
        "own certificate expires in 23h",
    )
    .await;
    says(&mesh, &[], CRITICAL, "own certificate expires in 23h").await;
}

#[tokio::test]
async fn a_sidecar_that_does_not_answer_is_critical_and_a_bad_command_line_unknown() {
    let mesh = Mesh::new();

    says(&mesh, &[], CRITICAL, "nobody answers on").await;
    says(&mesh, &["--warnin", "3d"], UNKNOWN, "--warnin").await;
    says(&mesh, &["--warning", "1h", "--critical", "1d"], UNKNOWN, "longer than").await;
    let plain = myelin(&["check", "--nagios", "-c", "/nowhere/myelin.yaml"]).await;
    assert_eq!(plain.code, Some(3), "{plain:#?}");
    assert!(plain.stdout.starts_with("MYELIN UNKNOWN - "), "{plain:#?}");
}

#[tokio::test]
async fn a_bad_environment_is_unknown() {
    for (name, value) in [("MYELIN_LOG", "louder=than"), ("MYELIN_LOG_FORMAT", "xml")] {
        let mut plugin = Command::new(env!("CARGO_BIN_EXE_myelin"));
        let said = run(plugin.args(["check", "--nagios"]).env(name, value), "").await;

        assert_eq!(said.code, Some(3), "{said:#?}");
        assert!(said.stdout.starts_with(&format!("MYELIN UNKNOWN - {name}")), "{said:#?}");
    }
}

#[tokio::test]
async fn a_sidecar_that_hangs_is_told_of_within_seconds() {
    let mesh = Mesh::new();
    let path = mesh.dir().join("control.sock");
    let _hangs = UnixListener::bind(&path).unwrap();
    let drain = ["drain", "--wait", "--socket", path.to_str().unwrap()];

    let (told, drained) = tokio::join!(asked(&mesh, &[]), myelin(&drain));

    assert_eq!(told["code"], CRITICAL, "{told}");
    assert!(told["summary"].as_str().unwrap().contains("not within 5s"), "{told}");
    assert_eq!(drained.code, Some(1), "{drained:#?}");
    assert!(drained.stderr.contains("not within 5s"), "{drained:#?}");
}

#[tokio::test]
async fn an_account_that_may_not_ask_at_the_socket_asks_the_listener_or_knows_nothing() {
    let (mesh, port) = (Mesh::new(), free_port());
    let socket = mesh.dir().join("control.sock");
    let setup = mesh.inbound("db").allow("web");
    let admin = format!("listen: 127.0.0.1:{port}, socket: {}", socket.display());
    let db = setup.admin(&admin).start().await;
    let readable = TempDir::new().unwrap();
    std::fs::set_permissions(readable.path(), Permissions::from_mode(0o755)).unwrap();
    let config = readable.path().join("myelin.yaml");
    std::fs::copy(&db.config, &config).unwrap();
    std::fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    let nagios = async |option: &str, value: &Path| {
        let mut plugin = Command::new(needs("setpriv", "util-linux"));
        plugin.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        plugin.args([env!("CARGO_BIN_EXE_myelin"), "check", "--nagios", option]).arg(value);
        run(&mut plugin, "").await
    };

    let knows_nothing = nagios("--socket", &socket).await;
    let told = nagios("-c", &config).await;

    assert_eq!(knows_nothing.code, Some(3), "{knows_nothing:#?}");
    assert!(knows_nothing.stdout.contains("for the sidecar's user and root alone"));
    assert_eq!(told.code, Some(0), "{told:#?}");
    assert!(told.stdout.starts_with("MYELIN OK - ready"), "{told:#?}");
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_is_critical() {
    let mesh = Mesh::new();
    let disk = Disk::new();
    let workload = Workload::tcp(Kind::Echo).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target()).audit(&disk.audit());
    let db = with_socket(setup, &mesh).start().await;
    mesh.connect("web", &db).await.echoes("hello").await;

    disk.fail();
    mesh.connect("web", &db).await;

    says(&mesh, SHORT, CRITICAL, "audit trail").await;
}

#[tokio::test]
async fn an_export_that_fails_is_a_warning() {
    let mesh = Mesh::new();
    let dir = mesh.dir().join("db/trail");
    let nobody = loopback(free_port());
    let audit = format!(
        "dir: {} , export: [{{ syslog: {{ address: \"{nobody}\", format: json, plaintext: true }} }}]",
        dir.display()
    );
    let _db = with_socket(mesh.inbound("db").allow("web").audit(&audit), &mesh).start().await;

    says(&mesh, SHORT, WARNING, "export syslog: ").await;
    let told = asked(&mesh, SHORT).await;
    let metrics = told["metrics"].as_array().unwrap();
    assert!(metrics.iter().any(|metric| metric["label"] == "export_syslog_lag"), "{told}");
}

#[tokio::test]
async fn some_upstreams_down_are_a_warning_and_all_are_critical() {
    let mesh = Mesh::new();
    let workload = Workload::tcp(Kind::Line).await;
    let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
    let web = mesh.outbound("web").allow("db").to(loopback(free_port())).to(db.address());
    let web = with_socket(web, &mesh).start().await;

    for _ in 0..2 {
        crate::outbound::ask(&web, "hello\n").await;
    }
    says(&mesh, SHORT, WARNING, "1 of 2 upstreams are set aside").await;
    db.stop().await;
    for _ in 0..2 {
        crate::outbound::ask(&web, "hello\n").await;
    }
    says(&mesh, SHORT, CRITICAL, "no upstream is in use").await;
}

#[tokio::test]
async fn plaintext_whose_date_is_near_is_a_warning() {
    let mesh = Mesh::new();
    let setup =
        mesh.inbound("db").allow("web").http().permissive(std::time::Duration::from_secs(3 * 3600));
    let _db = with_socket(setup, &mesh).start().await;

    says(&mesh, SHORT, WARNING, "db takes plaintext for 2h").await;
    says(&mesh, &["--warning", "1h", "--critical", "1h"], OK, "ready").await;
}

#[tokio::test]
async fn a_revocation_list_that_is_out_of_date_is_critical() {
    let mesh = Mesh::new();
    let (ca, list) = (Ca::new("hospital"), mesh.dir().join("ca.crl"));
    let due = OffsetDateTime::now_utc() + time::Duration::seconds(3);
    std::fs::write(&list, ca.crl(&[], due)).unwrap();
    let setup = mesh.inbound("db").allow("web").file("tls: { crl_expired: warn }");
    let _db = with_socket(setup.files(&ca.issue("db"), &[&list]), &mesh).start().await;

    says(&mesh, SHORT, CRITICAL, "a revocation list is out of date").await;
}
