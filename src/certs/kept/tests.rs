use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::*;
use crate::certs::openssl::OpenSsl;

fn keeper(dir: &TempDir) -> Keeper {
    Keeper::new(dir.path().join("kept"), "ehr".to_owned())
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("kept").join(FILE)
}

fn kept(pki: &OpenSsl) -> Kept {
    pki.crl("list", "root", &[], "-crldays 7");
    let root = CertificateDer::from_pem_file(pki.path("root.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(pki.path("leaf.key")).unwrap();
    let chain = vec![CertificateDer::from_pem_file(pki.path("leaf.crt")).unwrap(), root.clone()];
    let key = Arc::new(Zeroizing::new(key.secret_der().to_vec()));
    let der = CertificateRevocationListDer::from_pem_file(pki.path("list.crl")).unwrap();
    Kept {
        pairs: vec![KeptPair { chain, key }],
        issued: OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap(),
        bundle: vec![root],
        lists: vec![KeptList { url: "http://ca.example/\"list\"".to_owned(), der }],
    }
}

#[test]
fn what_was_stored_is_loaded() {
    let (dir, stored) = (TempDir::new().unwrap(), kept(&OpenSsl::with_leaf()));
    assert!(keeper(&dir).load().unwrap().is_none());

    keeper(&dir).store(&stored).unwrap();
    let (loaded, tried) = keeper(&dir).load_standing().unwrap().unwrap();

    assert!(tried);
    assert_eq!(loaded.issued, stored.issued);
    assert_eq!(loaded.bundle, stored.bundle);
    assert_eq!(loaded.pairs[0].chain, stored.pairs[0].chain);
    assert_eq!(**loaded.pairs[0].key, **stored.pairs[0].key);
    assert_eq!(loaded.lists[0].url, stored.lists[0].url);
    assert_eq!(loaded.lists[0].der, stored.lists[0].der);
    keeper(&dir).store_untried(&stored).unwrap();
    assert!(!keeper(&dir).load_standing().unwrap().unwrap().1);
}

#[test]
fn nobody_else_can_read_it_and_no_other_file_stays_behind() {
    let dir = TempDir::new().unwrap();
    let stored = kept(&OpenSsl::with_leaf());
    keeper(&dir).store(&stored).unwrap();
    keeper(&dir).store(&stored).unwrap();

    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&dir.path().join("kept")), mode(&file(&dir))), (0o700, 0o600));
    let all = fs::read_dir(dir.path().join("kept")).unwrap();
    let mut names: Vec<_> = all.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [FILE, "lock"]);
}

#[test]
fn a_file_that_others_may_use_is_not_used() {
    let dir = TempDir::new().unwrap();
    keeper(&dir).store(&kept(&OpenSsl::with_leaf())).unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();

    set(&file(&dir), 0o640);
    let text = keeper(&dir).load().err().unwrap().to_string();
    assert!(text.contains("mode 0640") && text.ends_with("chmod 600 it"), "{text}");
    set(&file(&dir), 0o600);
    set(&dir.path().join("kept"), 0o755);
    let text = keeper(&dir).load().err().unwrap().to_string();
    assert!(text.ends_with("chmod 700 it"), "{text}");
    assert!(keeper(&dir).prepare().is_err());
}

#[test]
fn what_is_torn_or_foreign_is_told_and_its_key_not() {
    let dir = TempDir::new().unwrap();
    let pki = OpenSsl::with_leaf();
    keeper(&dir).store(&kept(&pki)).unwrap();
    let whole = fs::read_to_string(file(&dir)).unwrap();
    let secret = whole.split("\"key\":\"").nth(1).unwrap()[..40].to_owned();
    pki.leaf("leaf", "root", crate::certs::openssl::BOTH);
    let other = kept(&pki);
    let mixed = Kept {
        pairs: vec![KeptPair {
            key: Arc::clone(&kept(&OpenSsl::with_leaf()).pairs[0].key),
            ..other.pairs[0].clone()
        }],
        ..other
    };

    let damaged = |text: String| {
        fs::write(file(&dir), text).unwrap();
        let text = keeper(&dir).load().err().unwrap().to_string();
        assert!(!text.contains(&secret), "{text}");
        text
    };
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        assert!(damaged(whole[..length].to_owned()).contains("is damaged"));
    }
    assert!(damaged(whole.replace("\"form\":1", "\"form\":2")).contains("another release"));
    assert!(damaged(whole.replace(&secret, &secret.to_lowercase())).contains("do not fit"));
    assert!(
        damaged(whole.replace("\"owner\":\"ehr\"", "\"owner\":\"lab\""))
            .contains("for lab, not for ehr")
    );
    keeper(&dir).store(&mixed).unwrap();
    assert!(keeper(&dir).load().err().unwrap().to_string().contains("do not fit"));
}

#[test]
fn what_a_killed_process_left_unfinished_is_not_read_and_goes_with_the_next() {
    let dir = TempDir::new().unwrap();
    let stored = kept(&OpenSsl::with_leaf());
    keeper(&dir).store(&stored).unwrap();
    let torn = dir.path().join("kept/.identity-torn");
    fs::write(&torn, b"{\"form\":1,").unwrap();

    assert!(keeper(&dir).load().unwrap().is_some());
    keeper(&dir).store(&stored).unwrap();
    assert!(!torn.exists());
    assert!(keeper(&dir).load().unwrap().is_some());
}

#[test]
fn a_directory_that_is_none_is_told_before_anything_is_at_stake() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("kept"), b"").unwrap();

    let text = keeper(&dir).prepare().unwrap_err().to_string();

    assert!(text.contains("kept: cannot be made"), "{text}");
}

#[test]
fn two_that_store_at_once_take_turns() {
    let (dir, stored) = (TempDir::new().unwrap(), kept(&OpenSsl::with_leaf()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..5).for_each(|_| keeper(&dir).store(&stored).unwrap()));
        }
    });

    assert!(keeper(&dir).load().unwrap().is_some());
}
