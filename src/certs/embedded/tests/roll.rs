//! Another root in the place of the old one.

use super::*;
use crate::certs::anchors;
use crate::certs::check::Needs;
use crate::certs::source::{Occasion, Source};
use crate::config::{self, KeyType};

fn open(dir: &Path) -> Authority {
    Authority::open(dir, &domain()).unwrap()
}

/// Whether a peer with this trust bundle takes this chain.
fn takes(bundle: &str, chain: &str) -> bool {
    let openssl = OpenSsl::new();
    openssl.write("root.crt", bundle);
    openssl.write("leaf.crt", chain);
    std::process::Command::new("openssl")
        .args("verify -CAfile root.crt -untrusted leaf.crt leaf.crt".split(' '))
        .current_dir(openssl.dir())
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn at_no_step_does_a_peer_that_keeps_up_refuse_anybody() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let leaf = |authority: &Authority| authority.issue_pem(&ehr(), &[], HOUR).unwrap().chain;
    let (old_bundle, old_leaf) = (authority.trust_bundle_pem().to_owned(), leaf(&authority));
    assert_eq!(authority.roll().unwrap(), Roll::Settled);

    authority.begin_roll(None).unwrap();
    let begun = open(&dir);
    assert_eq!(begun.roll().unwrap(), Roll::Begun);
    let both = begun.trust_bundle_pem().to_owned();
    assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(begun.trusted().bundle.len(), 2);
    assert!(takes(&old_bundle, &leaf(&begun)), "a peer that has not heard yet takes new leaves");

    begun.switch_roll().unwrap();
    let switched = open(&dir);
    assert_eq!(switched.roll().unwrap(), Roll::Switched);
    let new_leaf = leaf(&switched);
    assert!(takes(&both, &new_leaf) && takes(&both, &old_leaf));
    assert!(!takes(&old_bundle, &new_leaf), "it is under the new root");
    assert_eq!(switched.crl_count(), 2, "old leaves are still on a list");
    assert_eq!(switched.under_old_roots().unwrap().len(), 2);
    let refused = switched.finish_roll(false).unwrap_err().to_string();
    assert!(refused.starts_with("2 certificates under the old root are still valid"), "{refused}");

    switched.finish_roll(true).unwrap();
    let finished = open(&dir);
    assert_eq!(finished.roll().unwrap(), Roll::Settled);
    assert_eq!(finished.crl_count(), 1);
    assert!(takes(finished.trust_bundle_pem(), &new_leaf));
    assert!(!takes(finished.trust_bundle_pem(), &old_leaf));
    assert!(!dir.join("next.key").exists() && !dir.join("next.crt").exists());
}

#[test]
fn steps_out_of_order_are_refused_and_change_nothing() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let text = |result: Result<(), AuthorityError>| result.unwrap_err().to_string();

    assert!(text(authority.switch_roll()).contains("is not begun"));
    assert!(text(authority.finish_roll(true)).contains("is not begun"));
    authority.begin_roll(None).unwrap();
    assert!(text(open(&dir).finish_roll(true)).contains("is not switched"));
    open(&dir).switch_roll().unwrap();
    assert!(text(open(&dir).begin_roll(None).map(|_| ())).contains("is switched"));
    assert!(text(open(&dir).switch_roll()).contains("is not begun"));
}

#[test]
fn a_step_that_broke_off_is_repeated() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let first = authority.begin_roll(None).unwrap();
    fs::write(dir.join("root.crt"), authority.trust_bundle_pem()).unwrap();

    let second = open(&dir).begin_roll(None).unwrap();
    assert_eq!(first, second, "the same new root");
    assert_eq!(open(&dir).trusted().bundle.len(), 2);

    // The machine dies when the new key is in place, and the certificates are not.
    fs::copy(dir.join("next.key"), dir.join("root.key")).unwrap();
    open(&dir).issue(&ehr(), &[], HOUR).unwrap();
    open(&dir).switch_roll().unwrap();

    let switched = open(&dir);
    assert_eq!(switched.fingerprint(), first);
    assert_eq!(switched.crl_count(), 2);
    switched.issue(&ehr(), &[], HOUR).unwrap();
}

/// The states of `dir` in which a step may break off, in their order: it becomes `after` by one change of
/// `changes` after the other.
fn broken_off(before: &Path, after: &Path, changes: &[String]) -> Vec<(TempDir, PathBuf)> {
    let state = |done: usize| {
        let (parent, dir) = place();
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(before).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
        }
        for name in &changes[..done] {
            match after.join(name).exists() {
                true => drop(fs::copy(after.join(name), dir.join(name)).unwrap()),
                false => fs::remove_file(dir.join(name)).unwrap(),
            }
        }
        (parent, dir)
    };
    (0..=changes.len()).map(state).collect()
}

/// What the directory is like now, in another one.
fn as_it_is(dir: &Path) -> (TempDir, PathBuf) {
    broken_off(dir, dir, &[]).remove(0)
}

fn names_of(dir: &Path, prefix: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

#[test]
fn a_switch_that_broke_off_anywhere_is_repeated_and_the_old_root_is_lost_nowhere() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let old = authority.issue_pem(&ehr(), &[], HOUR).unwrap();
    let next = authority.begin_roll(None).unwrap();
    let (_before, before) = as_it_is(&dir);
    open(&dir).switch_roll().unwrap();
    let [crt, key]: [String; 2] = names_of(&dir, "retired-").try_into().unwrap();
    let changes = [&key, &crt, "root.key", "root.crt", "issuing.key", "issuing.crt", "next.crt"];
    let states = broken_off(&before, &dir, &changes.map(str::to_owned));

    for (done, (_parent, dir)) in states.iter().enumerate() {
        let half = open(dir);
        half.issue(&ehr(), &[], HOUR).unwrap();
        let begun = half.begin_roll(None);
        match done {
            ..4 => assert_eq!(begun.unwrap(), next, "{done}: nothing has come of it yet"),
            4..7 => {
                let text = begun.unwrap_err().to_string();
                let half = "half switched: repeat `myelin ca roll --switch`";
                assert!(text.ends_with(half), "{done}: {text}");
            }
            _ => assert!(begun.unwrap_err().to_string().contains("is switched"), "{done}"),
        }
        if done < 7 {
            open(dir).switch_roll().unwrap();
        }

        let switched = open(dir);
        assert_eq!((switched.roll().unwrap(), switched.fingerprint()), (Roll::Switched, next));
        assert_eq!(switched.trusted().bundle.len(), 2, "{done}");
        let new = switched.issue_pem(&ehr(), &[], HOUR).unwrap();
        for leaf in [&old.chain, &new.chain] {
            assert!(takes(switched.trust_bundle_pem(), leaf), "{done}");
        }
        open(dir).revoke(&old.record.serial, Reason::default()).unwrap();
    }
}

#[test]
fn a_finish_that_broke_off_anywhere_is_repeated() {
    let (_parent, dir) = place();
    let authority = Authority::open_or_create(&dir, &domain()).unwrap();
    let old = authority.issue_pem(&ehr(), &[], HOUR).unwrap();
    authority.begin_roll(None).unwrap();
    open(&dir).switch_roll().unwrap();
    let (_before, before) = as_it_is(&dir);
    let mut changes = names_of(&dir, "retired-");
    changes.push("root.crt".to_owned());
    open(&dir).finish_roll(true).unwrap();
    assert_eq!(names_of(&dir, "retired-"), [""; 0]);

    for (done, (_parent, dir)) in broken_off(&before, &dir, &changes).iter().enumerate() {
        let half = open(dir);
        half.issue(&ehr(), &[], HOUR).unwrap();
        if done < changes.len() {
            assert_eq!(half.roll().unwrap(), Roll::Switched, "{done}");
            half.finish_roll(true).unwrap();
        }

        let finished = open(dir);
        assert_eq!((finished.roll().unwrap(), finished.trusted().bundle.len()), (Roll::Settled, 1));
        assert_eq!(finished.crl_count(), 1, "{done}");
        assert!(!takes(finished.trust_bundle_pem(), &old.chain), "{done}");
        assert!(names_of(dir, "retired-").iter().all(|name| name.ends_with(".key")), "{done}");
    }
}

#[tokio::test]
async fn a_sidecar_follows_step_by_step_and_refuses_a_root_that_comes_from_nowhere() {
    let (_parent, dir) = place();
    let config = config::Embedded { dir: dir.clone(), ttl: HOUR, key_types: vec![KeyType::P256] };
    let source = Embedded::new(config, domain(), ehr(), "ehr");
    let material = |offered| {
        let needs = Needs { server: true, client: true, profile: config::Profile::Nist };
        crate::certs::check::check(offered, needs, &ehr(), None, clock::now()).unwrap().0
    };
    let settled = material(source.offer(Occasion::Start).await.unwrap());

    open(&dir).begin_roll(None).unwrap();
    let begun = material(source.offer(Occasion::Refresh(&settled)).await.unwrap());
    assert_eq!(begun.trusted.bundle.len(), 2);
    assert_eq!(begun.facts.serial, settled.facts.serial);
    open(&dir).switch_roll().unwrap();
    let switched = material(source.offer(Occasion::Renew(&begun)).await.unwrap());
    assert_ne!(switched.facts.issuer, settled.facts.issuer);
    open(&dir).finish_roll(true).unwrap();
    let finished = material(source.offer(Occasion::Refresh(&switched)).await.unwrap());
    assert_eq!(finished.trusted.bundle.len(), 1);
    let kept: Vec<_> = finished.trusted.bundle.iter().collect();
    assert!(anchors::lost(&settled.trusted.bundle, &kept).is_some());

    let behind = source.offer(Occasion::Refresh(&settled)).await.err().unwrap();
    assert!(behind.to_string().contains("holds another authority than the one in use"), "{behind}");
}
