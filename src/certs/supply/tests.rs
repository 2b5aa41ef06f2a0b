use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::certs::openssl::{BOTH, OpenSsl};
use crate::config::{self, PairFiles, PairForm, Profile};

fn supply_of(identity: &IdentitySource, trust_domain: &str) -> Supply {
    let needs = Needs { server: true, client: true, profile: Profile::Nist };
    Supply::new(identity, &TrustDomain::parse(trust_domain).unwrap(), "ehr", needs).unwrap()
}

fn supply(identity: &IdentitySource) -> Supply {
    supply_of(identity, "td")
}

fn embedded(dir: &TempDir, ttl: Duration) -> IdentitySource {
    IdentitySource::Embedded(config::Embedded {
        dir: dir.path().join("authority"),
        ttl,
        key_types: vec![config::KeyType::P256],
    })
}

fn files(pki: &OpenSsl) -> IdentitySource {
    IdentitySource::Files(pki.files(&[]))
}

#[tokio::test]
async fn a_pair_that_is_caught_in_the_middle_of_a_swap_is_read_again() {
    let pki = OpenSsl::with_leaf();
    let old = pki.read("leaf.key");
    pki.leaf("leaf", "root", BOTH);
    let new = pki.read("leaf.key");
    pki.write("leaf.key", old);
    let path = pki.path("leaf.key");

    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        fs::write(path, new).unwrap();
    });
    let loaded = supply(&files(&pki)).load().await;
    late.join().unwrap();

    assert!(loaded.is_ok(), "{loaded:?}");
}

#[tokio::test]
async fn renewal_is_due_after_two_thirds_give_or_take_a_twentieth_and_never_for_files() {
    let dir = TempDir::new().unwrap();
    let day = Duration::from_secs(24 * 3600);
    let embedded = supply(&embedded(&dir, day));
    let mut due = Vec::new();
    for _ in 0..20 {
        let material = embedded.load().await.unwrap().material;
        let at = embedded.renew_at(&material).unwrap();
        assert_eq!(embedded.renew_at(&material), Some(at));
        due.push((at - (material.not_after() - day)) / time::Duration::try_from(day).unwrap());
    }
    let pki = OpenSsl::with_leaf();
    let files = supply(&files(&pki));

    assert!(due.iter().all(|share| (0.616..0.718).contains(share)), "{due:?}");
    assert!(due.iter().any(|share| (share - due[0]).abs() > 0.001), "{due:?}");
    assert_eq!(files.renew_at(&files.load().await.unwrap().material), None);
}

#[tokio::test]
async fn an_embedded_leaf_names_the_service_in_both_ways() {
    let dir = TempDir::new().unwrap();

    let loaded = supply(&embedded(&dir, Duration::from_secs(60))).load().await.unwrap();

    assert_eq!(loaded.material.facts.alternative_names, ["URI:spiffe://td/ehr", "DNS:ehr"]);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[tokio::test]
async fn an_embedded_leaf_is_replaced_when_it_is_due_and_kept_until_then() {
    let dir = TempDir::new().unwrap();
    let supply = supply(&embedded(&dir, Duration::from_secs(3)));
    let first = supply.load().await.unwrap().material;

    let kept = supply.load_again(&supply, &first).await.unwrap().material;
    std::thread::sleep(Duration::from_secs(3));
    let replaced = supply.load_again(&supply, &first).await.unwrap().material;

    assert!(kept.same_as(&first));
    assert!(!replaced.same_as(&first));
}

#[tokio::test]
async fn a_look_makes_no_authority() {
    let dir = TempDir::new().unwrap();
    let supply = supply(&embedded(&dir, Duration::from_secs(60)));

    let error = supply.look().await.unwrap_err();
    assert!(matches!(error, MaterialError::Authority(AuthorityError::Missing { .. })), "{error}");
    assert!(!dir.path().join("authority").exists());

    let root = supply.load().await.unwrap().material.trusted.bundle.clone();
    assert_eq!(supply.look().await.unwrap().trusted.bundle, root);
}

#[tokio::test]
async fn a_check_of_the_embedded_authority_writes_nothing() {
    let dir = TempDir::new().unwrap();
    let identity = embedded(&dir, Duration::from_secs(60));
    let authority = dir.path().join("authority");

    let before = supply(&identity).check().await.unwrap();
    assert_eq!(
        before,
        [format!("{}: no authority here yet: a new one will be made", authority.display())]
    );
    assert!(!authority.exists());

    supply(&identity).load().await.unwrap();
    fs::remove_file(authority.join("lock")).unwrap();
    assert_eq!(supply(&identity).check().await.unwrap(), [""; 0]);
    assert!(!authority.join("lock").exists());
}

#[tokio::test]
async fn a_check_of_a_damaged_authority_tells_what_a_start_would_do() {
    let dir = TempDir::new().unwrap();
    let supply = supply(&embedded(&dir, Duration::from_secs(60)));
    let authority = dir.path().join("authority");
    let path = |name: &str| authority.join(name).display().to_string();
    supply.load().await.unwrap();
    let chain = async || supply.load().await.unwrap().material.presented.cert.clone();
    let before = chain().await;

    fs::remove_file(path("issuing.key")).unwrap();
    let key = path("issuing.key");
    assert_eq!(
        supply.check().await.unwrap(),
        [format!("{key}: no such file: a new issuing authority will be made")]
    );
    assert!(!fs::exists(&key).unwrap());
    assert_ne!(chain().await[1], before[1]);

    fs::remove_file(path("issuing.key")).unwrap();
    fs::rename(path("root.key"), path("away")).unwrap();
    let told = supply.check().await.unwrap_err().problems();
    assert_eq!(
        told,
        [format!(
            "{key}: no such file; a new issuing authority cannot be made either: {}: no such file: \
             restore one of them",
            path("root.key")
        )]
    );
    assert_eq!(supply.load().await.unwrap_err().problems(), told);

    fs::remove_file(path("root.crt")).unwrap();
    let told = supply.check().await.unwrap_err().problems();
    assert!(told[0].starts_with(&format!("{}: no such file, but other files", path("root.crt"))));
    assert_eq!(supply.load().await.unwrap_err().problems(), told);

    fs::remove_file(path("issuing.crt")).unwrap();
    fs::rename(path("away"), path("root.key")).unwrap();
    let told = supply.check().await.unwrap();
    assert!(told[0].ends_with("no authority here yet: a new one will be made"), "{told:?}");
    supply.load().await.unwrap();
}

#[tokio::test]
async fn a_check_of_files_tells_what_a_load_would() {
    let pki = OpenSsl::with_leaf();
    assert_eq!(supply(&files(&pki)).check().await.unwrap(), [""; 0]);

    fs::remove_file(pki.path("leaf.key")).unwrap();

    let error = supply(&files(&pki)).check().await.unwrap_err();
    assert_eq!(error.problems(), supply(&files(&pki)).load().await.unwrap_err().problems());
}

#[tokio::test]
async fn material_knows_when_its_parts_are_due() {
    let pki = OpenSsl::with_leaf();
    pki.crl("week", "root", &[], "-crldays 7");
    pki.crl("day", "root", &[], "-crldays 1");
    let identity = IdentitySource::Files(pki.files(&["week.crl", "day.crl"]));

    let material = supply(&identity).load().await.unwrap().material;

    let days = |at: OffsetDateTime| (at - clock::now() + time::Duration::hours(1)).whole_days();
    assert_eq!(days(material.not_after()), 90);
    assert_eq!(days(material.trusted.not_after().unwrap()), 365);
    assert_eq!(days(material.trusted.crl_next_update().unwrap()), 1);
}

#[tokio::test]
async fn the_shell_lines_of_the_guide_work() {
    let guide = include_str!("../../../certs/README.md");
    let blocks = guide.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let script: String = blocks.collect();
    let dir = TempDir::new().unwrap();

    let output =
        Command::new("sh").args(["-e", "-c", &script]).current_dir(dir.path()).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = |name: &str| dir.path().join(name);
    let identity = |name: &str| {
        let (cert, key) = (path(&format!("{name}.crt")), path(&format!("{name}.key")));
        let form = PairForm::Pem { cert, key };
        IdentitySource::Files(config::Files {
            pair: PairFiles { form, passphrase_file: None },
            others: Vec::new(),
            trust_bundle: path("root.crt"),
            crls: vec![path("root.crl")],
        })
    };
    let loaded = supply_of(&identity("tls"), "hospital.example").load().await.unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    assert_eq!(loaded.material.trusted.crls.len(), 1);
    let stolen = supply_of(&identity("stolen"), "hospital.example").load().await.unwrap_err();
    assert!(
        stolen.to_string().ends_with(
            "stolen.crt: is revoked by a list of O=hospital.example, CN=Development root"
        ),
        "{stolen}"
    );
}
