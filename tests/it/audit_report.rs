//! `myelin audit report` and `myelin audit sign-off`: what a reviewer is told, held against the trail's own lines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::myelin;
use crate::readme::{blocks, shell};
use crate::support::day::Day;
use crate::support::mesh::Mesh;
use crate::support::process::{Said, needs, run};
use crate::support::python::peer;
use crate::support::trail::Trail;
use crate::support::workload::{Kind, Workload};

/// A time in which all records of a test are.
const ALWAYS: [&str; 4] = ["--from", "2020-01-01", "--to", "2099-12-31"];

async fn report(trail: &Path, args: &[&str]) -> Said {
    let trail = trail.to_str().unwrap();
    myelin(&[&["audit", "report", "--audit", trail], &ALWAYS[..], args].concat()).await
}

/// A report that is as it should be.
async fn told(trail: &Path, format: &str) -> String {
    let said = report(trail, &["--format", format]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:#?}");
    said.stdout
}

async fn sign_off(trail: &Path, args: &[&str]) -> Said {
    let trail = trail.to_str().unwrap();
    let always =
        ["audit", "sign-off", "--audit", trail, "--from", "2020-01-01", "--to", "2020-12-31"];
    myelin(&[&always, args].concat()).await
}

/// A trail of one allowed connection, of which nothing is written any more.
async fn short(mesh: &Mesh) -> Trail {
    let workload = Workload::tcp(Kind::Echo).await;
    let ehr = mesh.inbound("ehr").allow("billing").forward(workload.target()).start().await;
    mesh.connect("billing", &ehr).await.echoes("hello").await;
    ehr.trail().wait_for("connection-closed", 1).await;
    let trail = ehr.trail().clone();
    ehr.stop().await;
    trail
}

/// What the browser complains of when it shows a page. It also makes a paper of it.
async fn browsed(page: &Path, paper: &Path) -> Vec<String> {
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Command::new(needs("chromium", "chromium"));
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr"])
        .args(["--no-first-run", "--disable-background-networking", "--no-pdf-header-footer"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--print-to-pdf={}", paper.display()))
        .arg(format!("file://{}", page.display()));
    let said = run(&mut browser, "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    said.stderr.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect()
}

#[tokio::test]
async fn page_rows_and_json_say_what_the_lines_of_the_trail_say() {
    let day = Day::new().await;

    for trail in &day.trails {
        for (format, shape) in [("html", "page"), ("json", "json"), ("csv", "csv")] {
            let text = told(trail.dir(), format).await;

            let dir = trail.dir().to_str().unwrap();
            let args = [shape, dir, "2020-01-01", "2100-01-01"];
            let said = run(&mut peer("report_peer", "html5lib, tinycss2", &args), &text).await;
            assert_eq!(said.code, Some(0), "{format} of {dir}: {}{}", said.stdout, said.stderr);
            assert!(said.stdout.starts_with("agree on "), "{said:#?}");
            for phi in ["PQ4711", "Meier", "PHI4711", "PHIDOE", "PHIMRN", "PHISECRET"] {
                assert!(!text.contains(phi), "{phi} is in the {format} of {dir}");
            }
        }
    }
}

#[tokio::test]
async fn a_number_that_is_wrong_is_noticed() {
    let mesh = Mesh::new();
    let trail = short(&mesh).await;
    let wrong = told(trail.dir(), "json").await.replace("\"connections\": 1", "\"connections\": 2");

    let args = ["json", trail.dir().to_str().unwrap(), "2020-01-01", "2100-01-01"];
    let said = run(&mut peer("report_peer", "html5lib, tinycss2", &args), &wrong).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
}

#[tokio::test]
async fn a_browser_shows_and_prints_the_page_without_a_complaint() {
    let day = Day::new().await;
    let dir = tempfile::tempdir().unwrap();
    let (page, paper) = (dir.path().join("report.html"), dir.path().join("report.pdf"));
    let text = told(day.trails[0].dir(), "html").await;
    fs::write(&page, &text).unwrap();

    assert_eq!(browsed(&page, &paper).await, [""; 0]);

    assert!(fs::read(&paper).unwrap().starts_with(b"%PDF"));
    fs::write(&page, text.replace("color: var(--quiet)", "color: red")).unwrap();
    let complaints = browsed(&page, &paper).await;
    assert!(
        complaints.iter().any(|told| told.contains("Content Security Policy")),
        "{complaints:?}"
    );
}

#[tokio::test]
async fn what_was_seen_before_the_period_is_not_new_and_not_counted() {
    let mesh = Mesh::new();
    let trail = short(&mesh).await;
    let trail = trail.dir().to_str().unwrap();
    let all = ["audit", "report", "--audit", trail, "--format", "json"];

    let today = myelin(&[&all[..], &["--from", "1h"]].concat()).await;
    let later = myelin(&[&all[..], &["--from", "2090-01-01", "--to", "2090-02-01"]].concat()).await;

    let new = |said: &Said| {
        let report: Value = serde_json::from_str(&said.stdout).unwrap();
        let peers = report["parts"]["newcomers"]["tables"]["peers"].as_array().unwrap().clone();
        (peers.len(), report["records"]["count"].as_u64().unwrap() > 0)
    };
    assert_eq!((new(&today), new(&later)), ((1, true), (0, false)));
}

#[tokio::test]
async fn a_trail_that_was_changed_is_told_on_the_page_and_by_the_exit_code() {
    let mesh = Mesh::new();
    let trail = short(&mesh).await;
    let file = &trail.segments()[0];
    fs::write(file, fs::read_to_string(file).unwrap().replace("billing", "willing")).unwrap();

    let said = report(trail.dir(), &[]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.stderr.contains("does not stand its checks"), "{}", said.stderr);
    assert!(said.stdout.contains("<p class=\"verdict bad\">The trail does not stand its checks"));
    assert!(said.stdout.contains("The first thing that does not fit: "), "{}", said.stdout);
}

#[tokio::test]
async fn lines_that_are_no_records_are_passed_over_and_told() {
    let mesh = Mesh::new();
    let trail = short(&mesh).await;
    let file = &trail.segments()[0];
    fs::write(file, fs::read_to_string(file).unwrap() + "Smith, Jane\n").unwrap();

    let said = report(trail.dir(), &[]).await;

    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(
        said.stdout.contains("1 line of the trail is no record and was passed over"),
        "{}",
        said.stdout
    );
    assert!(!said.all().contains("Smith"));
}

#[tokio::test]
async fn a_checkpoint_that_was_kept_elsewhere_vouches_for_the_report() {
    let mesh = Mesh::new();
    let trail = short(&mesh).await;
    let note = trail.all("checkpoint").last().unwrap().text("myelin.checkpoint.note").to_owned();
    let kept = mesh.dir().join("kept.checkpoint");
    fs::write(&kept, note).unwrap();

    let alone = told(trail.dir(), "html").await;
    let held = report(trail.dir(), &["--checkpoint", kept.to_str().unwrap()]).await.stdout;

    assert!(alone.contains("held against nothing that was kept elsewhere"));
    assert!(held.contains("and 1 of them vouch for it"), "{held}");
}

#[tokio::test]
async fn a_report_in_a_file_stays_as_it_is_and_is_signed_off_by_its_digest() {
    let mesh = Mesh::new();
    let ehr = mesh.inbound("ehr").allow("billing").start().await;
    let trail = ehr.trail().clone();
    trail.wait_for("checkpoint", 1).await;
    let out = mesh.dir().join("report.html");
    let args = ["--out", out.to_str().unwrap()];

    let made = report(trail.dir(), &args).await;
    let again = report(trail.dir(), &args).await;
    let arguments = ["--reviewer", "Jane Doe", "--note", "nothing unusual", "--report", args[1]];
    let signed = sign_off(trail.dir(), &arguments).await;
    let record = trail.only("review-signed").await;

    let sum = run(Command::new("sha256sum").arg(&out), "").await.stdout;
    let sum = sum.split_whitespace().next().unwrap();
    assert_eq!((made.code, made.stdout.as_str()), (Some(0), ""), "{made:#?}");
    assert!(made.stderr.contains(sum), "{made:#?}");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(again.code, Some(2), "{again:#?}");
    assert!(again.stderr.contains("give another name"), "{again:#?}");
    assert_eq!((signed.code, signed.stderr.as_str()), (Some(0), ""), "{signed:#?}");
    for (field, expected) in [
        ("reviewer", "Jane Doe"),
        ("note", "nothing unusual"),
        ("report.file", "report.html"),
        ("report.sha256", sum),
        ("from", "2020-01-01T00:00:00Z"),
        ("to", "2021-01-01T00:00:00Z"),
    ] {
        assert_eq!(record.text(&format!("myelin.review.{field}")), expected, "{record:#?}");
    }
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(record.number("myelin.review.by.uid"), u64::from(uid));
    // The checkpoint that it names is one of the trail, and came before it.
    let note = record.text("myelin.review.trail.note");
    let checkpoints = trail.all("checkpoint");
    let named = checkpoints.iter().find(|it| it.text("myelin.checkpoint.note") == note).unwrap();
    assert!(named.number("event.sequence") < record.number("event.sequence"));
    let size = named.number("myelin.checkpoint.size");
    assert_eq!(record.number("myelin.review.trail.size"), size);
}

#[tokio::test]
async fn a_sign_off_waits_for_the_sidecar_and_is_in_reports_before_and_after_that() {
    let mesh = Mesh::new();
    let setup = mesh.inbound("ehr").allow("billing");
    let ehr = setup.start().await;
    let trail = ehr.trail().clone();
    ehr.stop().await;

    for reviewer in ["Jane Doe", "<b>Joe</b>"] {
        let signed = sign_off(trail.dir(), &["--reviewer", reviewer]).await;
        assert_eq!(signed.code, Some(0), "{signed:#?}");
    }
    let waiting = told(trail.dir(), "html").await;
    let ehr = setup.start().await;
    trail.wait_for("review-signed", 2).await;
    ehr.stop().await;
    let on_record = told(trail.dir(), "html").await;

    assert!(waiting.contains("2 sign-offs handed in and not on record yet"), "{waiting}");
    assert!(on_record.contains("2 sign-offs on record"), "{on_record}");
    assert!(!on_record.contains("not on record yet"), "{on_record}");
    assert!(on_record.contains("The last sign-off covers what was until 2021-01-01 00:00 UTC."));
    for page in [waiting, on_record] {
        assert!(page.contains("Jane Doe") && page.contains("&lt;b&gt;Joe&lt;/b&gt;"), "{page}");
    }
}

#[tokio::test]
async fn what_has_not_happened_yet_is_not_signed_off() {
    let mesh = Mesh::new();
    let ehr = mesh.inbound("ehr").allow("billing").start().await;
    let dir = ehr.trail().dir().to_str().unwrap();

    let signed = myelin(
        &[&["audit", "sign-off", "--audit", dir, "--reviewer", "Jane Doe"], &ALWAYS[..]].concat(),
    )
    .await;
    let record = ehr.trail().only("review-signed").await;

    assert_eq!(signed.code, Some(0), "{signed:#?}");
    assert!(
        record.text("myelin.review.to")[..19] <= record.text("@timestamp")[..19],
        "{record:#?}"
    );
}

#[tokio::test]
async fn a_copy_of_a_trail_is_reported_on_and_not_signed_off() {
    let mesh = Mesh::new();
    let trail = short(&mesh).await;
    let copy = mesh.dir().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in trail.segments() {
        fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
    }

    let page = told(&copy, "html").await;
    let refused = sign_off(&copy, &["--reviewer", "Jane Doe"]).await;

    assert!(page.contains("The trail stands its checks"), "{page}");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:#?}");
    assert!(refused.stderr.contains("sign off where the sidecar keeps it"), "{refused:#?}");
}

#[tokio::test]
async fn who_had_a_report_made_is_in_the_next_one() {
    let mesh = Mesh::new();
    let setup = mesh.inbound("ehr").allow("billing");
    let ehr = setup.start().await;
    let trail = ehr.trail().clone();

    told(trail.dir(), "csv").await;
    let read = trail.only("log-read").await;
    ehr.stop().await;
    let report: Value = serde_json::from_str(&told(trail.dir(), "json").await).unwrap();

    let reads = report["parts"]["readers"]["tables"]["reads"].as_array().unwrap();
    assert_eq!((reads.len(), &reads[0]["command"]), (1, &"audit report".into()), "{reads:?}");
    assert_eq!(reads[0]["time"], read.text("myelin.read.at"));
    assert_eq!(reads[0]["records"], read.number("myelin.read.records"));
    assert_eq!(reads[0]["filters"], "from to");
    // The same trail says how its clock was kept, and which configuration it began with.
    let clock = report["parts"]["clock"]["tables"]["kept"].as_array().unwrap();
    let kept = trail.all("recording-started").remove(0);
    assert_eq!(clock[0]["synchronised"], kept.text("myelin.clock.synchronised"));
    let changes = report["parts"]["policy"]["tables"]["changes"].as_array().unwrap();
    assert_eq!(changes[0]["action"], "config-loaded", "{changes:?}");
}

#[tokio::test]
async fn what_cannot_be_reported_or_signed_is_told_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().to_str().unwrap();

    for (args, code, told) in [
        (&["report", "--audit", empty][..], 2, "--from"),
        (
            &["report", "--audit", empty, "--from", "2026-11-22", "--to", "2026-11-20"],
            2,
            "--to is before --from",
        ),
        (&["report", "--audit", empty, "--from", "7d"], 1, "no trail-*.jsonl in it"),
        (
            &["report", "--audit", "/proc/version", "--from", "7d"],
            2,
            "is a file; --audit takes the directory",
        ),
        (&["report", "-c", "/nowhere/myelin.yaml", "--from", "7d"], 3, "--audit DIR"),
        (&["report", "--audit", empty, "--from", "7d", "--format", "pdf"], 2, "html"),
        (
            &["sign-off", "--audit", empty, "--from", "7d", "--to", "1d", "--reviewer", "J"],
            1,
            "no trail-*.jsonl in it",
        ),
        (
            &["sign-off", "--audit", empty, "--from", "7d", "--to", "1d", "--reviewer", " "],
            2,
            "1 to 200 characters",
        ),
        (
            &[
                "sign-off",
                "--audit",
                empty,
                "--from",
                "2099-01-01",
                "--to",
                "2099-01-02",
                "--reviewer",
                "J",
            ],
            2,
            "in the future",
        ),
        (
            &[
                "sign-off",
                "--audit",
                empty,
                "--from",
                "7d",
                "--to",
                "1d",
                "--reviewer",
                "J",
                "--note",
                "a\nb",
            ],
            2,
            "on one line",
        ),
    ] {
        let said = myelin(&[&["audit"], args].concat()).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{args:?} {said:#?}");
        assert!(said.stderr.contains(told), "{args:?} {said:#?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn the_review_of_the_readme_is_made_and_signed_off() {
    let mesh = Mesh::new();
    let trail = short(&mesh).await;
    let dir = tempfile::tempdir().unwrap();
    fs::rename(trail.dir(), dir.path().join("audit")).unwrap();
    let review = blocks(include_str!("../../docs/audit.md"), "sh review");
    assert_eq!(review.len(), 1);

    let said = run(&mut shell(dir.path(), &review[0]), "").await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.stdout.contains("signed off: 2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z"),
        "{said:#?}"
    );
    assert!(fs::read_to_string(dir.path().join("october.html")).unwrap().contains("Audit report"));
}
