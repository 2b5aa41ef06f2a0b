//! Changes are heard, whichever way files are replaced; what is the same is no news.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;

use super::*;
use crate::certs::source::{Occasion, Source};

/// No news within this are none: several times what it takes to look.
const SILENCE: Duration = Duration::from_millis(1200);
const PATIENCE: Duration = Duration::from_secs(10);

/// A source that has offered what is in `config`.
async fn started(config: config::Files) -> Files {
    let files = Files::new(config);
    files.offer(Occasion::Start).await.unwrap_or_else(|error| panic!("{error}"));
    files
}

async fn has_news(files: &Files) {
    timeout(PATIENCE, files.news()).await.expect("waited in vain for news");
}

async fn has_none(files: &Files) {
    assert!(timeout(SILENCE, files.news()).await.is_err(), "news without a change");
}

/// What a kubelet does with a Secret: a new directory, and a link to it that is swapped by a rename.
fn publish(volume: &Path, version: u32, files: &[(&str, String)]) {
    let dir = format!("..version_{version}");
    fs::create_dir(volume.join(&dir)).unwrap();
    for (name, content) in files {
        fs::write(volume.join(&dir).join(name), content).unwrap();
    }
    symlink(&dir, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (name, _) in files {
        if fs::symlink_metadata(volume.join(name)).is_err() {
            symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
        }
    }
    for old in 0..version {
        if let Err(error) = fs::remove_dir_all(volume.join(format!("..version_{old}"))) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}

#[tokio::test]
async fn every_swap_of_a_kubernetes_volume_is_news_and_its_names_are_cert_managers() {
    let pki = OpenSsl::with_leaf();
    let volume = pki.path("volume");
    fs::create_dir(&volume).unwrap();
    let secret = || {
        [("tls.crt", "leaf.crt"), ("tls.key", "leaf.key"), ("ca.crt", "root.crt")]
            .map(|(name, from)| (name, pki.read(from)))
    };
    publish(&volume, 0, &secret());
    let files = started(config::Files {
        pair: pki.pem("volume/tls.crt", "volume/tls.key"),
        trust_bundle: volume.join("ca.crt"),
        ..pki.files(&[])
    })
    .await;
    has_none(&files).await;

    for version in 1..4 {
        pki.leaf("leaf", "root", crate::certs::openssl::BOTH);
        publish(&volume, version, &secret());
        has_news(&files).await;
        files.offer(Occasion::Start).await.unwrap();
    }
    publish(&volume, 4, &secret());
    has_none(&files).await;
}

#[tokio::test]
async fn files_that_are_written_in_place_renamed_or_gone_for_a_while_are_news() {
    let pki = OpenSsl::with_leaf();
    pki.crl("list", "root", &[], "");
    let files = started(pki.files(&["list.crl"])).await;
    has_none(&files).await;

    pki.sign("leaf", "root", crate::certs::openssl::BOTH, "-days 80");
    has_news(&files).await;
    pki.leaf("new", "root", crate::certs::openssl::BOTH);
    fs::rename(pki.path("new.key"), pki.path("leaf.key")).unwrap();
    has_news(&files).await;
    pki.root("second");
    pki.write("root.crt", pki.read("root.crt") + &pki.read("second.crt"));
    has_news(&files).await;
    fs::remove_file(pki.path("list.crl")).unwrap();
    has_news(&files).await;
    pki.crl("list", "root", &["leaf"], "");
    has_news(&files).await;
    has_none(&files).await;
}

#[tokio::test]
async fn a_directory_that_is_removed_and_made_anew_is_watched_again() {
    let pki = OpenSsl::with_leaf();
    let dir = pki.path("certs");
    let make = || {
        fs::create_dir(&dir).unwrap();
        fs::copy(pki.path("leaf.crt"), dir.join("tls.crt")).unwrap();
    };
    make();
    let pair = pki.pem("certs/tls.crt", "leaf.key");
    let files = started(config::Files { pair, ..pki.files(&[]) }).await;
    has_none(&files).await;

    for _ in 0..2 {
        fs::remove_dir_all(&dir).unwrap();
        has_news(&files).await;
        make();
        has_news(&files).await;
        fs::copy(pki.path("root.crt"), dir.join("tls.crt")).unwrap();
        has_news(&files).await;
    }
}

#[tokio::test]
async fn nothing_is_missed_while_nobody_waits_and_nothing_is_told_twice() {
    let pki = OpenSsl::with_leaf();
    let files = started(pki.files(&[])).await;
    pki.sign("leaf", "root", crate::certs::openssl::BOTH, "-days 80");
    for _ in 0..5 {
        assert!(files.news().now_or_never().is_none(), "it has not looked yet");
    }

    has_news(&files).await;
    has_none(&files).await;

    pki.sign("leaf", "root", crate::certs::openssl::BOTH, "-days 70");
    files.offer(Occasion::Start).await.unwrap();
    has_none(&files).await;
}

#[tokio::test]
async fn what_is_written_again_as_it_was_and_what_happens_beside_it_are_no_news() {
    let pki = OpenSsl::with_leaf();
    let files = started(pki.files(&[])).await;
    has_none(&files).await;

    pki.write("leaf.crt", pki.read("leaf.crt"));
    pki.write("another", "file");
    fs::set_permissions(pki.path("leaf.key"), Permissions::from_mode(0o400)).unwrap();

    has_none(&files).await;
}

#[tokio::test]
async fn files_are_looked_at_even_if_something_happens_beside_them_all_the_time() {
    let pki = OpenSsl::with_leaf();
    let files = started(pki.files(&[])).await;
    has_none(&files).await;
    pki.sign("leaf", "root", crate::certs::openssl::BOTH, "-days 80");

    let noise = async {
        loop {
            pki.write("noise", "…");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };

    tokio::select! {
        () = noise => {}
        () = has_news(&files) => {}
    }
}

#[tokio::test]
async fn a_pair_that_is_written_one_file_after_the_other_is_waited_for() {
    let pki = OpenSsl::with_leaf();
    let files = started(pki.files(&[])).await;
    let in_use = files.offer(Occasion::Start).await.unwrap();
    let material = material(in_use);
    pki.leaf("new", "root", crate::certs::openssl::BOTH);
    pki.write("leaf.crt", pki.read("new.crt"));

    let offering = files.offer(Occasion::Refresh(&material));
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await; // an agent that takes its time
        pki.write("leaf.key", pki.read("new.key"));
    };
    let (offered, ()) = tokio::join!(offering, later);

    assert!(crate::certs::check::key_fits(&offered.unwrap()).is_none());
}

#[tokio::test]
async fn a_pair_that_never_fits_is_told_after_a_while_and_a_wrong_file_at_once() {
    let pki = OpenSsl::with_leaf();
    let files = started(pki.files(&[])).await;
    let material = material(files.offer(Occasion::Start).await.unwrap());
    let leaf = pki.read("leaf.key");
    pki.write("leaf.key", &leaf[..100]);

    let begun = tokio::time::Instant::now();
    let error = files.offer(Occasion::Refresh(&material)).await.err().unwrap();
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(error.to_string().contains("leaf.key: is damaged"), "{error}");

    pki.write("leaf.key", pki.read("leaf.csr"));
    let begun = tokio::time::Instant::now();
    let error = files.offer(Occasion::Refresh(&material)).await.err().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(error.to_string().contains("holds a certificate request"), "{error}");
}

#[tokio::test]
async fn a_source_that_is_dropped_leaves_no_thread_behind() {
    let watching = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
        tasks.filter_map(|task| name(task.unwrap()).ok()).filter(|n| n.contains("notify")).count()
    };
    let pki = OpenSsl::with_leaf();
    let files = started(pki.files(&[])).await;
    assert_eq!(watching(), 0, "a source that nobody asks for news watches nothing");
    has_none(&files).await;
    assert_eq!(watching(), 1);

    drop(files);

    timeout(PATIENCE, async {
        while watching() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

fn material(offered: Offered) -> crate::certs::Material {
    use crate::certs::check::{Needs, check};

    let needs = Needs { server: true, client: true, profile: config::Profile::Nist };
    let expected = crate::identity::SpiffeId::parse("spiffe://td/ehr").unwrap();
    check(offered, needs, &expected, None, crate::clock::now()).unwrap().0
}
