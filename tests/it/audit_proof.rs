//! One record of the trail, proven to somebody who has nothing else of it. An auditor's own script decides.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoints::Sealed;
use crate::cli::myelin;
use crate::support::process::{Said, run};
use crate::support::python::{finishes, peer};

impl Sealed {
    fn accesses(&self) -> Vec<u64> {
        let allowed = self.trail.all("connection-allowed");
        allowed.iter().map(|record| record.number("event.sequence")).collect()
    }

    /// What `audit prove` prints for a record, in a file.
    async fn prove(&self, sequence: u64, by: &[&str]) -> PathBuf {
        let (dir, number) = (self.trail.dir().to_str().unwrap(), sequence.to_string());
        let args = [&["audit", "prove", "--sequence", &number, "--audit", dir], by].concat();
        let said = myelin(&args).await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        let proof = self.dir().join(format!("{sequence}.tlog-proof"));
        fs::write(&proof, said.stdout).unwrap();
        proof
    }

    async fn verify_proof(&self, proof: &std::path::Path, by: &[&str]) -> Said {
        myelin(&[&["audit", "verify-proof", proof.to_str().unwrap()], by].concat()).await
    }

    fn kept(&self) -> &str {
        self.kept.to_str().unwrap()
    }
}

fn auditor(args: &[&str]) -> std::process::Command {
    peer("audit_proof", "cryptography", args)
}

#[tokio::test]
async fn an_auditor_with_the_key_alone_checks_the_proof_of_each_record() {
    let sealed = Sealed::new().await;

    for sequence in sealed.accesses() {
        let proof = sealed.prove(sequence, &[]).await;

        let auditor = finishes(auditor(&[proof.to_str().unwrap(), &sealed.key])).await;
        let own = sealed.verify_proof(&proof, &["--key", &sealed.key]).await;

        assert_eq!(auditor.stdout, format!("proven {sequence} connection-allowed\n"));
        assert_eq!(own.code, Some(0), "{own:#?}");
        let line = sealed
            .trail
            .text()
            .lines()
            .nth(usize::try_from(sequence).unwrap() - 1)
            .unwrap()
            .to_owned();
        assert!(own.stdout.contains(&line), "{own:#?}");
    }
}

#[tokio::test]
async fn an_auditor_who_holds_a_checkpoint_is_given_proofs_by_that_one() {
    let sealed = Sealed::new().await;

    for sequence in 1..=sealed.accesses()[0] {
        let proof = sealed.prove(sequence, &["--checkpoint", sealed.kept()]).await;

        let args = [proof.to_str().unwrap(), &sealed.key, sealed.kept()];
        finishes(auditor(&args)).await;
        let own = sealed.verify_proof(&proof, &["--checkpoint", sealed.kept()]).await;

        assert_eq!(own.code, Some(0), "{own:#?}");
    }
}

#[tokio::test]
async fn a_changed_record_is_proven_to_nobody() {
    let sealed = Sealed::new().await;
    let proof = sealed.prove(sealed.accesses()[0], &["--checkpoint", sealed.kept()]).await;
    let text = fs::read_to_string(&proof).unwrap();
    let line = text.lines().nth(1).unwrap().strip_prefix("extra ").unwrap();
    let record = String::from_utf8(STANDARD.decode(line).unwrap()).unwrap();
    let changed = STANDARD.encode(record.replace("127.0.0.1", "127.0.0.2"));
    assert_ne!(changed, line);
    fs::write(&proof, text.replace(line, &changed)).unwrap();

    let auditor = run(&mut auditor(&[proof.to_str().unwrap(), &sealed.key]), "").await;
    let by_key = sealed.verify_proof(&proof, &["--key", &sealed.key]).await;
    let by_checkpoint = sealed.verify_proof(&proof, &["--checkpoint", sealed.kept()]).await;

    assert_eq!(auditor.code, Some(1), "{auditor:#?}");
    assert!(
        auditor.stderr.contains("refused: the record does not lead to the root"),
        "{auditor:#?}"
    );
    for said in [by_key, by_checkpoint] {
        assert_eq!(said.code, Some(1), "{said:#?}");
        assert!(
            said.stderr.contains("the record is not one that the checkpoint seals"),
            "{said:#?}"
        );
    }
}

#[tokio::test]
async fn a_proof_by_another_trails_checkpoint_or_key_is_refused_by_both() {
    let (sealed, other) = (Sealed::new().await, Sealed::new().await);
    let proof = sealed.prove(1, &[]).await;

    let auditor = run(&mut auditor(&[proof.to_str().unwrap(), &other.key]), "").await;
    let by_key = sealed.verify_proof(&proof, &["--key", &other.key]).await;
    let by_checkpoint = sealed.verify_proof(&proof, &["--checkpoint", other.kept()]).await;
    let by_nothing = sealed.verify_proof(&proof, &[]).await;

    assert!(auditor.stderr.contains("refused: the key has not signed"), "{auditor:#?}");
    assert_eq!((by_key.code, by_checkpoint.code), (Some(1), Some(1)));
    assert!(by_key.stderr.contains("is not signed by hospital.example/db/"), "{by_key:#?}");
    assert!(by_checkpoint.stderr.contains("kept.checkpoint: that is of"), "{by_checkpoint:#?}");
    assert_eq!(by_nothing.code, Some(2), "{by_nothing:#?}");
}

#[tokio::test]
async fn what_is_not_there_not_sealed_or_changed_cannot_be_proven() {
    let sealed = Sealed::new().await;
    let (dir, last) = (sealed.trail.dir().to_str().unwrap(), sealed.trail.lines().len());
    let prove = async |number: usize, by: &[&str]| {
        let number = number.to_string();
        let said =
            myelin(&[&["audit", "prove", "--sequence", &number, "--audit", dir], by].concat())
                .await;
        assert_eq!(said.code, Some(1), "{said:#?}");
        said.stderr
    };

    let missing = prove(last + 1, &[]).await;
    let unsealed = prove(last, &[]).await; // the last checkpoint, which seals what is before it
    let too_early = prove(last, &["--checkpoint", sealed.kept()]).await;
    let file = sealed.trail.segments().pop().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("127.0.0.1", "127.0.0.2")).unwrap();
    let changed = prove(1, &["--checkpoint", sealed.kept()]).await;

    assert!(
        missing.contains(&format!("there is no record {} in the trail", last + 1)),
        "{missing}"
    );
    assert!(unsealed.contains(&format!("no checkpoint covers record {last} yet")), "{unsealed}");
    assert!(too_early.contains(&format!("does not cover record {last}")), "{too_early}");
    assert!(changed.contains("are not those that the checkpoint seals"), "{changed}");
}
