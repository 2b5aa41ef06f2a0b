//! The trail's seals: what an auditor keeps elsewhere, and what it betrays.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::myelin;
use crate::support::eventually;
use crate::support::mesh::Mesh;
use crate::support::process::Said;
use crate::support::trail::Trail;
use crate::support::workload::{Kind, Workload};

/// A trail with a few accesses that a running sidecar has sealed, and what an auditor took away of it.
pub(crate) struct Sealed {
    mesh: Mesh,
    pub(crate) trail: Trail,
    /// A checkpoint that covers the accesses.
    pub(crate) kept: PathBuf,
    /// How many records it covers.
    size: u64,
    /// The verifier key of the trail's first segment.
    pub(crate) key: String,
}

impl Sealed {
    pub(crate) async fn new() -> Self {
        let mesh = Mesh::new();
        let workload = Workload::tcp(Kind::Echo).await;
        let setup = mesh.inbound("db").allow("web").forward(workload.target()).phi();
        let db = setup.start().await;
        for _ in 0..3 {
            mesh.connect("web", &db).await.echoes("hello").await;
        }
        let trail = db.trail().clone();
        let last = trail.wait_for("connection-closed", 3).await[2].number("event.sequence");
        // Nobody asks for it: the sidecar seals whatever it has recorded.
        let checkpoint = eventually("a checkpoint of it all", || async {
            let covers = |record: &_| size(record) >= last;
            trail.all("checkpoint").into_iter().find(covers)
        })
        .await;
        db.stop().await;
        let kept = mesh.dir().join("kept.checkpoint");
        fs::write(&kept, checkpoint.text("myelin.checkpoint.note")).unwrap();
        let key = trail.lines()[0].text("myelin.segment.key").to_owned();
        Self { mesh, trail, kept, size: size(&checkpoint), key }
    }

    /// A place for files.
    pub(crate) fn dir(&self) -> &Path {
        self.mesh.dir()
    }

    async fn verify(&self) -> Said {
        let (dir, kept) = (self.trail.dir().to_str().unwrap(), self.kept.to_str().unwrap());
        myelin(&["audit", "verify", dir, "--checkpoint", kept, "--key", &self.key]).await
    }
}

fn size(checkpoint: &crate::support::trail::Record) -> u64 {
    checkpoint.number("myelin.checkpoint.size")
}

#[tokio::test]
async fn what_is_recorded_is_sealed_and_a_kept_checkpoint_and_key_vouch_for_it() {
    let sealed = Sealed::new().await;

    let said = sealed.verify().await;

    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.stdout.contains(&sealed.key), "{said:#?}");
    assert!(said.stdout.contains("2 of the given checkpoints and keys fit"), "{said:#?}");
    assert!(sealed.key.starts_with("hospital.example/db/"), "{}", sealed.key);
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_betrayed_by_the_kept_checkpoint_alone() {
    let sealed = Sealed::new().await;
    let file = sealed.trail.segments().pop().unwrap();
    let left = usize::try_from(sealed.size).unwrap() - 1;
    let text = fs::read_to_string(&file).unwrap();
    let cut: String = text.lines().take(left).map(|line| format!("{line}\n")).collect();
    fs::write(&file, cut).unwrap();

    let alone = myelin(&["audit", "verify", sealed.trail.dir().to_str().unwrap()]).await;
    let said = sealed.verify().await;

    assert_eq!((alone.code, said.code), (Some(0), Some(1)), "{alone:#?} {said:#?}");
    let why = format!(
        "kept.checkpoint: it is of {} records, and the trail has {left}: its end is cut off",
        sealed.size
    );
    assert!(said.stderr.contains(&why), "{said:#?}");
}

#[tokio::test]
async fn a_checkpoint_of_another_trail_vouches_for_nothing() {
    let (sealed, other) = (Sealed::new().await, Sealed::new().await);
    let dir = other.trail.dir().to_str().unwrap();

    let by_file =
        myelin(&["audit", "verify", dir, "--checkpoint", sealed.kept.to_str().unwrap()]).await;
    let by_key = myelin(&["audit", "verify", dir, "--key", &sealed.key]).await;

    assert_eq!((by_file.code, by_key.code), (Some(1), Some(1)), "{by_file:#?} {by_key:#?}");
    assert!(by_file.stderr.contains("it is of the trail hospital.example/db/"), "{by_file:#?}");
    assert!(by_key.stderr.contains("has sealed nothing of this trail"), "{by_key:#?}");
}

#[tokio::test]
async fn what_is_no_checkpoint_and_no_key_is_a_bad_command() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    fs::write(&file, "see you at lunch\n").unwrap();
    let (dir, file) = (dir.path().to_str().unwrap(), file.to_str().unwrap());

    let by_file = myelin(&["audit", "verify", dir, "--checkpoint", file]).await;
    let by_key = myelin(&["audit", "verify", dir, "--key", "AAAA"]).await;

    assert_eq!((by_file.code, by_key.code), (Some(2), Some(2)), "{by_file:#?} {by_key:#?}");
    assert!(by_file.stderr.contains("notes.txt: this is no signed note"), "{by_file:#?}");
    assert!(by_key.stderr.contains("AAAA: this is no key"), "{by_key:#?}");
}
