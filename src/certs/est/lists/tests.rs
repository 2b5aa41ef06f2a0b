use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;
use crate::certs::openssl::OpenSsl;
use crate::clock;

/// Answers each connection with the next of `answers`; the requests come back.
fn publish(answers: Vec<Vec<u8>>) -> (Lists, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/list.crl", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let one = |answer: &Vec<u8>| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut sent = [0; 4096];
            let count = stream.read(&mut sent).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&sent[..count]).to_lowercase()
        };
        answers.iter().map(one).collect()
    });
    (Lists::new(&[url.parse().unwrap()]), served)
}

fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nETag: \"one\"\r\n\r\n", body.as_ref()].concat()
}

fn pki() -> (OpenSsl, Vec<CertificateDer<'static>>) {
    let pki = OpenSsl::with_leaf();
    let root = CertificateDer::from_pem_file(pki.path("root.crt")).unwrap();
    (pki, vec![root])
}

fn list(pki: &OpenSsl, revoked: &[&str], validity: &str) -> Vec<u8> {
    pki.crl("list", "root", revoked, validity);
    pki.run("crl -in list.crl -outform DER -out list.der");
    std::fs::read(pki.path("list.der")).unwrap()
}

async fn fetch(
    lists: &mut Lists,
    known: &[KeptList],
    roots: &[CertificateDer<'static>],
    now: OffsetDateTime,
) -> Result<Fetched, EnrolError> {
    lists.fetch(known, roots, &WebTrust::Bundle(roots.to_vec()), now).await
}

#[tokio::test]
async fn a_list_is_asked_for_again_after_a_minute_and_only_taken_if_it_changed() {
    let (pki, roots) = pki();
    let (first, second) = (list(&pki, &[], "-crldays 7"), list(&pki, &["leaf"], "-crldays 7"));
    let unchanged = b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec();
    let (mut lists, served) = publish(vec![ok(&first), unchanged, ok(&second)]);
    let now = clock::now();

    let had = fetch(&mut lists, &[], &roots, now).await.unwrap();
    let at_once = fetch(&mut lists, &had.lists, &roots, now + APART / 2).await.unwrap();
    let same = fetch(&mut lists, &had.lists, &roots, now + APART).await.unwrap();
    let other = fetch(&mut lists, &had.lists, &roots, now + APART * 2).await.unwrap();

    assert_eq!(*had.lists[0].der, *first);
    assert_eq!(*at_once.lists[0].der, *first);
    assert_eq!(*same.lists[0].der, *first);
    assert_eq!(*other.lists[0].der, *second);
    assert!(same.warnings.is_empty() && other.warnings.is_empty());
    let requests = served.join().unwrap();
    let conditions: Vec<_> =
        requests.iter().map(|request| request.contains("if-none-match: \"one\"")).collect();
    assert_eq!(conditions, [false, true, true]);
}

#[tokio::test]
async fn the_old_list_stays_with_a_warning_when_there_is_no_better_one() {
    let (pki, roots) = pki();
    let good = list(&pki, &[], "-crldays 7");
    let older = list(&pki, &[], "-crl_lastupdate 20250101000000Z -crl_nextupdate 20450101000000Z");
    pki.root("root");
    let forged = list(&pki, &[], "-crldays 7");
    let broken = b"HTTP/1.1 500 Oops\r\n\r\n".to_vec();
    for (answer, problem) in [
        (ok(&older), "an older revocation list than before"),
        (ok(&forged), "not signed by the authority whose it claims to be"),
        (ok(&good[..good.len() - 1]), "something else than a revocation list"),
        (ok(std::fs::read(pki.path("leaf.crt")).unwrap()), "holds no revocation list"),
        (broken, "answers 500"),
        (Vec::new(), "broke off"),
    ] {
        let (mut lists, _served) = publish(vec![ok(&good), answer.clone(), answer]);
        let now = clock::now();
        let had = fetch(&mut lists, &[], &roots, now).await.unwrap();

        let kept = fetch(&mut lists, &had.lists, &roots, now + APART).await.unwrap();

        assert_eq!(*kept.lists[0].der, *good);
        let [warning] = kept.warnings.as_slice() else { panic!("{:?}", kept.warnings) };
        assert!(warning.contains(problem), "{warning}");
        assert!(warning.contains("/list.crl") && warning.contains("until its next update"));
    }
}

#[tokio::test]
async fn the_list_of_another_authority_does_not_take_the_place_of_one_that_revokes() {
    let (pki, mut roots) = pki();
    let good = list(&pki, &["leaf"], "-crldays 7");
    let list_of = |name: &str| {
        pki.root(name);
        pki.crl("list", name, &[], "-crldays 7");
        pki.run("crl -in list.crl -outform DER -out list.der");
        std::fs::read(pki.path("list.der")).unwrap()
    };
    let (stranger, second) = (list_of("stranger"), list_of("second"));
    roots.push(CertificateDer::from_pem_file(pki.path("second.crt")).unwrap());
    let (mut lists, _served) = publish([&good, &stranger, &second].map(ok).to_vec());
    let now = clock::now();
    let der = |fetched: &Fetched| -> Vec<_> {
        fetched.lists.iter().map(|list| list.der.to_vec()).collect()
    };

    let had = fetch(&mut lists, &[], &roots, now).await.unwrap();
    let strange = fetch(&mut lists, &had.lists, &roots, now + APART).await.unwrap();
    assert_eq!(der(&strange), std::slice::from_ref(&good));
    assert!(strange.warnings[0].contains("exchanged on the way?"), "{:?}", strange.warnings);

    let both = fetch(&mut lists, &had.lists, &roots, now + APART * 2).await.unwrap();
    assert_eq!(der(&both), [second, good]);
    assert!(both.warnings.is_empty(), "{:?}", both.warnings);
}

#[tokio::test]
async fn a_place_may_publish_the_lists_of_several_authorities() {
    let (pki, roots) = pki();
    pki.root("other");
    let pem = |revoked: &[&str]| {
        pki.crl("list", "root", revoked, "-crldays 7");
        pki.crl("second", "other", &[], "-crldays 7");
        pki.read("list.crl") + &pki.read("second.crl")
    };
    let (both, later) = (pem(&[]), pem(&["leaf"]));
    let half = later.rsplit_once("\n-----END").unwrap().0.to_owned();
    let many = later.repeat(MOST);
    let answers = [&both, &later, &half, &many].map(ok).to_vec();
    let (mut lists, _served) = publish(answers);
    let now = clock::now();

    let had = fetch(&mut lists, &[], &roots, now).await.unwrap();
    let next = fetch(&mut lists, &had.lists, &roots, now + APART).await.unwrap();
    assert_eq!((had.lists.len(), next.lists.len()), (2, 2));
    let der =
        |fetched: &Fetched| fetched.lists.iter().map(|list| list.der.clone()).collect::<Vec<_>>();
    assert_ne!(der(&had), der(&next));
    for (step, problem) in [(2, "PEM"), (3, "more than 16 revocation lists")] {
        let kept = fetch(&mut lists, &next.lists, &roots, now + APART * step).await.unwrap();
        assert_eq!(der(&kept), der(&next));
        assert!(kept.warnings[0].contains(problem), "{:?}", kept.warnings);
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_no_fetching() {
    let (pki, roots) = pki();
    let (first, second) = (list(&pki, &[], "-crldays 7"), list(&pki, &["leaf"], "-crldays 7"));
    let (mut lists, _served) = publish(vec![ok(&first), ok(&second)]);
    let now = clock::now();
    let had = fetch(&mut lists, &[], &roots, now + Duration::days(300)).await.unwrap();

    let other = fetch(&mut lists, &had.lists, &roots, now).await.unwrap();

    assert_eq!(*other.lists[0].der, *second);
}

#[test]
fn lists_are_due_in_five_minutes_or_just_before_their_next_update_but_not_at_once() {
    let (pki, _roots) = pki();
    let now = clock::now();
    let due_with = |seconds: i64| {
        let at = (now + Duration::seconds(seconds)).to_offset(time::UtcOffset::UTC);
        let stamp = time::macros::format_description!("[year][month][day][hour][minute][second]Z");
        let next = at.format(&stamp).unwrap();
        let der =
            list(&pki, &[], &format!("-crl_lastupdate 20250101000000Z -crl_nextupdate {next}"));
        let list = KeptList { url: String::new(), der: der.into() };
        (due(&[list], now) - now).whole_seconds()
    };

    assert_eq!(due(&[], now) - now, OFTEN);
    assert_eq!(due_with(86_400), 300);
    assert!((168..=170).contains(&due_with(200)), "{}", due_with(200));
    assert_eq!(due_with(10), 60);
    assert_eq!(due_with(-86_400), 60);
}
