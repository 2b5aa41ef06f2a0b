//! What does not take effect, and how that is told.

use super::*;
use crate::certs::Preflight;
use crate::outcome::Rejection;

#[tokio::test]
async fn a_name_that_the_new_certificate_lost_is_warned_of_when_somebody_asked_for_it() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.sign("leaf", "root", &BOTH.replace("DNS:ehr", "DNS:ehr2"), "-days 90");

    running.trigger.reload(None).await.unwrap();

    let events = running.events.lock().unwrap();
    let Rotation::Rotated { warnings, changed, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(
        warnings.as_slice(),
        ["the new certificate no longer names ehr: peers that know us by it will refuse us"]
    );
    assert_eq!(changed, &["certificate"]);
}

#[tokio::test]
async fn a_name_is_not_lost_while_nobody_looks() {
    let pki = OpenSsl::with_leaf();
    let (mut running, changed) = run_told(&pki).await;
    pki.sign("leaf", "root", &BOTH.replace("DNS:ehr", "DNS:ehr2"), "-days 90");

    changed.notify_one();
    let Rejected { problems, .. } = running.rejected().await;

    let begin = "the new certificate, serial ";
    let end = ", no longer names ehr: peers that know us by it would refuse us; if that is meant, \
               SIGHUP or a restart puts it in use";
    assert!(problems[0].starts_with(begin) && problems[0].ends_with(end), "{problems:?}");
    assert!(running.live.snapshot().value.same_as(&running.first));
    let counted = r#"myelin_certificate_rotations_total{result="rejected",reason="names"} 1"#;
    assert!(running.metrics.render().contains(counted));

    running.trigger.reload(None).await.unwrap();
    assert!(!running.live.snapshot().value.same_as(&running.first));
    let standing = &running.standing.snapshot().value;
    assert_eq!(standing.rejected, None, "the next success clears it");
    assert!(standing.rotated.is_some());
}

#[tokio::test]
async fn the_same_rejection_is_counted_each_time_and_told_once() {
    let pki = OpenSsl::with_leaf();
    let (mut running, changed) = run_told(&pki).await;
    let good = pki.read("leaf.crt");
    pki.sign("leaf", "root", BOTH, "-days 0");

    changed.notify_one();
    let first = running.rejected().await;
    let second = running.rejected().await;

    assert_ne!(first.problems, second.problems, "the text says the time by our clock");
    assert_eq!(first.since, second.since);
    assert!(first.at < second.at);
    assert_eq!(running.events.lock().unwrap().len(), 1);
    let counted = r#"myelin_certificate_rotations_total{result="rejected",reason="expired"} 2"#;
    assert!(running.metrics.render().contains(counted));

    pki.write("leaf.crt", pki.read("leaf.csr"));
    let other = running.rejected().await;
    assert!(other.problems[0].contains("holds a certificate request"), "{other:?}");
    assert_eq!(running.events.lock().unwrap().len(), 2, "another problem is told at once");

    pki.write("leaf.crt", good);
    let seen = running.standing.snapshot().generation;
    assert!(running.standing.replaced_after(seen).await);
    assert_eq!(running.standing.snapshot().value.rejected, None);
    assert_eq!(running.standing.snapshot().value.rotated, None, "it is the one in use");
}

#[tokio::test]
async fn what_fails_in_a_handshake_with_itself_is_rejected_and_says_where_it_came_from() {
    let pki = OpenSsl::with_leaf();
    let first = supply(&files(&pki));
    let running = run(first).await;
    pki.sign("leaf", "root", BOTH, "-days 80");
    let picky = Preflight::new(|_, _| Err("nobody would shake its hand".to_owned()));

    let tried = supply(&files(&pki)).tried_out_by(picky);
    let error = running.trigger.reload(Some(tried)).await.unwrap_err();

    let at = pki.path("leaf.crt");
    assert_eq!(error.to_string(), format!("{}: nobody would shake its hand", at.display()));
    assert!(running.live.snapshot().value.same_as(&running.first));
    let counted = r#"myelin_certificate_rotations_total{result="rejected",reason="handshake"} 1"#;
    assert!(running.metrics.render().contains(counted));
}

#[tokio::test]
async fn every_reason_of_a_rejection_is_counted_from_zero() {
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;

    let text = running.metrics.render();

    for label in Rejection::ALL.map(Rejection::label) {
        let line = format!(
            r#"myelin_certificate_rotations_total{{result="rejected",reason="{label}"}} 0"#
        );
        assert!(text.contains(&line), "{line}");
    }
    assert!(text.contains(r#"myelin_certificate_rotations_total{result="ok"} 0"#), "{text}");
}

#[tokio::test]
async fn bad_files_change_nothing_and_the_asker_learns_why() {
    let pki = OpenSsl::with_leaf();
    let running = run(supply(&files(&pki))).await;
    pki.write("leaf.crt", pki.read("leaf.csr"));

    let error = running.trigger.reload(None).await.unwrap_err();

    assert!(error.to_string().contains("holds a certificate request, not a certificate"));
    assert!(running.live.snapshot().value.same_as(&running.first));
    assert_eq!(running.problems(), error.problems());
    let text = running.metrics.render();
    assert!(
        text.contains(
            r#"myelin_certificate_rotations_total{result="rejected",reason="unreadable"} 1"#
        ),
        "{text}"
    );
}

#[tokio::test]
async fn an_authority_that_is_gone_is_not_made_anew_while_its_leaf_is_in_use() {
    let dir = TempDir::new().unwrap();
    let mut running = run(supply(&embedded(&dir, Duration::from_secs(3)))).await;
    let (authority, away) = (dir.path().join("authority"), dir.path().join("away"));
    fs::rename(&authority, &away).unwrap();

    let error = running.trigger.reload(None).await.unwrap_err();
    let asked = running.standing.snapshot().value.rejected.clone().unwrap();
    let renewal = running.rejected().await;
    assert_eq!(renewal.problems, asked.problems, "a renewal finds the same");

    assert_eq!(
        error.to_string(),
        format!(
            "{}: no authority here: put back the one that was, or make a new one with `myelin init`",
            authority.display()
        )
    );
    assert_eq!(running.problems(), error.problems());
    assert!(!authority.exists());
    assert!(running.live.snapshot().value.same_as(&running.first));
    fs::rename(&away, &authority).unwrap();
    assert_eq!(running.replaced().await.trusted.bundle, running.first.trusted.bundle);
}

#[tokio::test]
async fn an_authority_is_not_exchanged_for_another() {
    let dir = TempDir::new().unwrap();
    let running = run(supply(&embedded(&dir, HOUR))).await;
    let authority = dir.path().join("authority");
    fs::rename(&authority, dir.path().join("away")).unwrap();
    supply(&embedded(&dir, HOUR)).load().await.unwrap();

    let error = running.trigger.reload(None).await.unwrap_err().to_string();

    let begin = format!(
        "{}: holds another authority than the one in use, O=td, CN=Myelin root ",
        authority.display()
    );
    assert!(error.starts_with(&begin) && error.contains(" (sha256 "), "{error}");
    assert!(running.live.snapshot().value.same_as(&running.first));
    assert_eq!(running.problems(), [error]);
}
