//! What the trail says of the wall clock that its times come from.

use crate::clock::Clock;
use crate::support::mesh::Mesh;
use crate::support::process::needs;

/// All that can be said of whether somebody keeps it right.
const STATES: [&str; 3] = ["yes", "no", "unknown"];

#[tokio::test]
async fn how_the_clock_is_kept_stands_at_the_beginning_and_with_each_checkpoint() {
    let mesh = Mesh::new();
    let db = mesh.inbound("db").allow("web").start().await;
    let trail = db.trail().clone();
    db.stop().await;

    let (started, sealed) = (trail.all("recording-started"), trail.all("checkpoint"));
    assert!(!sealed.is_empty());
    for record in started.iter().chain(&sealed) {
        let said = record.text("myelin.clock.synchronised");
        assert!(STATES.contains(&said), "{record:?}");
        let errors = ["estimated_error_ms", "max_error_ms"];
        for error in errors.map(|name| record.field(&format!("myelin.clock.{name}"))) {
            assert_eq!(error.as_f64().is_some(), said == "yes", "{record:?}");
        }
    }
}

#[tokio::test]
async fn what_the_trail_says_of_the_clock_is_what_another_program_reads_from_the_kernel() {
    let mesh = Mesh::new();
    let db = mesh.inbound("db").allow("web").start().await;
    let trail = db.trail().clone();
    db.stop().await;

    let script =
        "import ctypes; print(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256)))";
    let asked =
        std::process::Command::new(needs("python3", "python3")).args(["-c", script]).output();
    let answer = String::from_utf8(asked.unwrap().stdout).unwrap();

    let says = match answer.trim() {
        "5" => "no",
        "-1" => "unknown",
        _ => "yes",
    };
    assert_eq!(trail.all("recording-started")[0].text("myelin.clock.synchronised"), says);
}

#[tokio::test]
async fn a_clock_that_is_set_is_on_record_with_how_far() {
    let mesh = Mesh::new();
    let clock = Clock::new(mesh.dir());
    let setup = mesh.inbound("db").allow("web");
    let mut command = setup.command();
    clock.set("+7200");
    clock.worn_by(&mut command);
    let mut db = setup.spawn_by(&mut command).await;
    db.trail().wait_for("config-loaded", 1).await;

    clock.set("+3600");
    let stepped = db.trail().only("clock-stepped").await;
    let by = stepped.field("myelin.clock.stepped_ms").as_i64().unwrap();
    assert!((-3_605_000..=-3_595_000).contains(&by), "{by}");
    assert!(stepped.text("message").contains("set back"), "{stepped:?}");

    db.process.signal("TERM");
    db.process.ended().await;
    clock.set("+0"); // while nobody looks
    let mut command = setup.command();
    clock.worn_by(&mut command);
    let again = setup.spawn_by(&mut command).await;
    let stepped = again.trail().wait_for("clock-stepped", 2).await.pop().unwrap();
    assert_eq!(stepped.reason(), "since_last_record");
    let by = stepped.field("myelin.clock.stepped_ms").as_i64().unwrap();
    assert!((-3_600_000..=-3_500_000).contains(&by), "{by}");
}
