//! `myelin ca serve` told by curl and openssl: an EST server (RFC 7030) like any other.

use std::time::Duration;

use crate::support::ca::{CaServer, PKCS10};
use crate::support::until;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn it_says_how_to_go_on_and_which_authorities_it_has() {
    let mut server = CaServer::start().await;

    let said = server.process().says("crl_urls").await;
    let fingerprint =
        server.openssl("x509 -in authority/root.crt -noout -fingerprint -sha256").await;
    let fingerprint = fingerprint.trim().split('=').nth(1).unwrap().replace(':', "").to_lowercase();
    assert!(said.contains(&format!("fingerprint: \"sha256:{fingerprint}\"")), "{said}");
    assert!(said.contains(&format!("url: {}", server.url(""))), "{said}");

    let answered = server.curl(&[&server.url("/cacerts")]).await;
    assert!(
        answered.head.contains("content-type: application/pkcs7-mime; smime-type=certs-only"),
        "{answered:#?}"
    );
    server.keep(&answered, "cacerts").await;
    server.openssl("verify -CAfile authority/root.crt -untrusted cacerts.crt cacerts.crt").await;
    let attributes = server.curl(&[&server.url("/csrattrs")]).await;
    assert_eq!((attributes.status, attributes.body.as_str()), (204, ""));
    let live = server.curl(&[&server.url("/../../live")]).await;
    assert_eq!((live.status, live.body.as_str()), (200, "live\n"));
}

#[tokio::test]
async fn a_token_gets_a_certificate_once_and_again_for_the_same_key() {
    let mut server = CaServer::start().await;
    let token = server.token("billing").await;
    server.ec_request("billing").await;

    let first = server.enrol(&token, "billing.b64").await;
    let serial = server.keep(&first, "billing").await;
    let again = server.enrol(&token, "billing.csr").await; // PEM, and the answer got lost
    let another = server.keep(&again, "again").await;

    assert_ne!(serial, another);
    let text = server.openssl("x509 -in billing.crt -noout -subject -ext subjectAltName").await;
    assert!(text.contains("URI:spiffe://hospital.example/billing, DNS:billing"), "{text}");
    let public = server.openssl("pkey -in billing.key -pubout").await;
    assert_eq!(server.openssl("x509 -in billing.crt -noout -pubkey").await, public);
    server.openssl("verify -x509_strict -purpose sslclient -CAfile authority/root.crt -untrusted authority/issuing.crt billing.crt").await;

    server.ec_request("thief").await;
    let replayed = server.enrol(&token, "thief.b64").await;
    assert_eq!(replayed.status, 401, "{replayed:#?}");
    let list = server.list().await;
    let how: Vec<_> = list.iter().filter(|it| it["authorized"]["by"] == "token").collect();
    assert_eq!(how.len(), 2, "{list:#?}");
    server.process().says(&serial).await;
    let log = server.process().says("for another key").await;
    assert!(!log.contains(&token), "{log}");
}

#[tokio::test]
async fn a_certificate_gets_the_next_with_the_same_names_until_it_is_revoked() {
    let server = CaServer::start().await;
    let serial = server.client("billing", HOUR).await;
    server.ec_request("next").await;

    let answered = server.reenrol("billing", "next.b64").await;
    server.keep(&answered, "next").await;

    let names = |name: &str| format!("x509 -in {name}.crt -noout -subject -ext subjectAltName");
    assert_eq!(server.openssl(&names("next")).await, server.openssl(&names("billing")).await);
    let public = server.openssl("pkey -in next.key -pubout").await;
    assert_eq!(server.openssl("x509 -in next.crt -noout -pubkey").await, public);
    let list = server.list().await;
    let last = list.last().unwrap();
    assert_eq!(last["authorized"]["by"], "reenrolment", "{last:#?}");
    assert_eq!(last["authorized"]["serial"], serial.as_str(), "{last:#?}");

    assert_eq!(server.ca(&["revoke", &serial]).await.code, Some(0));
    let refused = server.reenrol("billing", "next.b64").await;
    assert!(refused.status == 403 || refused.code != Some(0), "{refused:#?}");
    // Within seconds it does not even come through the handshake.
    let seen = async {
        loop {
            let refused = server.reenrol("billing", "next.b64").await;
            assert_ne!(refused.status, 200, "{refused:#?}");
            if refused.status == 0 {
                break refused;
            }
        }
    };
    let refused = tokio::time::timeout(crate::support::PATIENCE, seen).await.unwrap();
    assert!(refused.error.contains("certificate revoked"), "{refused:#?}");
    assert_eq!(server.list().await.len(), list.len());
}

#[tokio::test]
async fn whoever_renewed_a_stolen_certificate_loses_what_it_got_unless_the_operator_says_otherwise()
{
    let server = CaServer::start().await;
    let left = server.client("billing", HOUR).await;
    server.ec_request("next").await;
    server.keep(&server.reenrol("billing", "next.b64").await, "next").await;
    let said = server.ca(&["revoke", &left, "--only"]).await;
    assert!(said.stdout.starts_with(&format!("{left}: revoked\n")), "{said:#?}");
    assert!(!said.stdout.contains("in all"), "{said:#?}");

    let stolen = server.client("lab", HOUR).await;
    server.ec_request("thief").await;
    let thief = server.keep(&server.reenrol("lab", "thief.b64").await, "thief").await;
    let cert = server.path("lab.crt").display().to_string();
    let said = server.ca(&["revoke", "--cert", &cert]).await;

    let along = "2 certificates in all, along with what was had by renewing it";
    let expected = format!("{stolen}: revoked\n{thief}: revoked\n{along}\n");
    assert!(said.stdout.starts_with(&expected), "{said:#?}");
    let list = server.list().await;
    let valid: Vec<_> = list.iter().filter(|it| it["state"] == "valid").collect();
    assert_eq!(valid.len(), 2, "the server's own and the one that was left: {valid:#?}");
    let refused = server.reenrol("thief", "thief.b64").await;
    assert!(refused.status == 403 || refused.code != Some(0), "{refused:#?}");
}

#[tokio::test]
async fn the_revocation_list_is_there_over_tls_and_without() {
    let server = CaServer::start().await;
    let serial = server.client("billing", HOUR).await;
    assert_eq!(server.ca(&["revoke", &serial]).await.code, Some(0));
    server.publishes_lists().await;

    for url in [
        server.url("/crl"),
        server.url("/../../ca.crl"),
        format!("http://{}/ca.crl", server.crl_address()),
    ] {
        let answered = server.curl(&["-o", "list.crl", &url]).await;
        assert_eq!(answered.code, Some(0), "{answered:#?}");
        let bytes = std::fs::read(server.path("list.crl")).unwrap();
        // curl's -i puts the head before the list.
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        assert!(text.contains("content-type: application/pkix-crl"), "{text}");
        std::fs::write(server.path("list.der"), &bytes[head + 4..]).unwrap();
        let list = server.openssl("crl -inform DER -in list.der -noout -text").await;
        assert!(list.contains(&format!("Serial Number: {serial}")), "{list}");
        server.openssl("crl -inform DER -in list.der -noout -CAfile authority/issuing.crt").await;
    }
    let plain = format!("http://{}/.well-known/est/cacerts", server.crl_address());
    assert_eq!(server.curl(&[&plain]).await.status, 404, "lists alone are in the clear");
}

#[tokio::test]
async fn what_is_published_is_there_while_the_directory_is_locked_or_away() {
    let server = CaServer::start().await;
    let served = async || {
        for url in [server.url("/cacerts"), server.url("/crl"), server.url("/../../crls.pem")] {
            // Less than another process's lock is waited for.
            let args = ["--max-time", "5", "-o", "answer", "--cacert", "root.crt", &url];
            let answered = server.curl(&args).await;
            assert_eq!(answered.code, Some(0), "{url} {answered:#?}");
            let bytes = std::fs::read(server.path("answer")).unwrap();
            assert!(bytes.starts_with(b"HTTP/1.1 200"), "{url}");
        }
    };
    std::fs::copy(server.authority().join("root.crt"), server.path("root.crt")).unwrap();

    let lock = std::fs::File::open(server.authority().join("lock")).unwrap();
    lock.lock().unwrap(); // as another process that does not let go
    served().await;
    std::fs::rename(server.authority(), server.path("elsewhere")).unwrap();
    served().await;
}

#[tokio::test]
async fn tokens_that_are_not_honoured_are_told_apart_in_the_log_alone() {
    let mut server = CaServer::start().await;
    server.ec_request("billing").await;
    let expiring = server.token_for("billing", Duration::from_secs(1), HOUR);
    let used = server.token("billing").await;
    server.client("other", HOUR).await;
    assert_eq!(server.enrol(&used, "other.b64").await.status, 200);
    let unknown = format!("{expiring}-"); // no token of ours ends so

    let mut bodies = Vec::new();
    for token in [&*unknown, "nonsense", "", &*used] {
        let answered = server.enrol(token, "billing.b64").await;
        assert_eq!(answered.status, 401, "{answered:#?}");
        assert!(answered.head.contains("www-authenticate: basic realm="), "{answered:#?}");
        bodies.push(answered.body);
    }
    // It is still good for a second: what is waited for is its end.
    loop {
        let answered = server.enrol(&expiring, "other.b64").await;
        if answered.status == 401 {
            bodies.push(answered.body);
            break;
        }
        // Honoured, and perhaps too often for one service.
        assert!([200, 429].contains(&answered.status), "{answered:#?}");
    }

    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:#?}");
    for cause in ["is not known here", "was used at", "expired at"] {
        server.process().says(cause).await;
    }
    let url = server.url("/simpleenroll");
    let without = server.curl(&["-H", PKCS10, "-d", "@billing.b64", &url]).await;
    assert_eq!(without.status, 401);
    assert!(without.body.contains("a join token is wanted"), "{without:#?}");
}

#[tokio::test]
async fn whoever_guesses_tokens_waits_and_renewals_from_there_go_on() {
    let server = CaServer::start().await;
    server.client("billing", HOUR).await;
    let token = server.token("billing").await;

    for _ in 0..10 {
        assert_eq!(server.enrol("myelin-join-guess", "billing.b64").await.status, 401);
    }
    let guessed = server.enrol(&token, "billing.b64").await;

    assert_eq!(guessed.status, 429, "{guessed:#?}");
    assert!(guessed.head.contains("retry-after: "), "{guessed:#?}");
    server.ec_request("next").await;
    assert_eq!(server.reenrol("billing", "next.b64").await.status, 200);
}

#[tokio::test]
async fn a_service_that_renews_without_an_end_waits_and_others_do_not() {
    let mut server = CaServer::start().await;
    server.client("billing", HOUR).await;
    server.ec_request("next").await;

    let mut refused = server.reenrol("billing", "next.b64").await;
    for _ in 0..100 {
        if refused.status != 200 {
            break;
        }
        refused = server.reenrol("billing", "next.b64").await;
    }

    assert_eq!(refused.status, 429, "{refused:#?}");
    assert!(refused.head.contains("retry-after: "), "{refused:#?}");
    let on_record = server.list().await.len();
    assert_eq!(server.reenrol("billing", "next.b64").await.status, 429);
    assert_eq!(server.list().await.len(), on_record);
    server.client("ehr", HOUR).await;
    let said = server.process().says("spiffe://hospital.example/ehr").await;
    assert_eq!(said.matches("too many certificates").count(), 1, "{said}");
}

#[tokio::test]
async fn a_request_that_is_refused_is_told_why_and_leaves_the_token_as_it_is() {
    let server = CaServer::start().await;
    let token = server.token("billing").await;
    let ec = "ec -pkeyopt ec_paramgen_curve:P-256";
    server.request("ca", ec, "-addext basicConstraints=critical,CA:TRUE").await;
    server.request("foreign", ec, "-addext subjectAltName=DNS:ehr").await;
    server.request("weak", "rsa:1024", "").await;
    server.ec_request("good").await;
    let good = std::fs::read_to_string(server.path("good.b64")).unwrap().replace('\n', "");
    std::fs::write(server.path("cut.b64"), &good[..100]).unwrap();
    std::fs::write(server.path("ragged.b64"), &good[..101]).unwrap();
    std::fs::write(server.path("garbage.b64"), "\u{1f4a3} not base64 at all").unwrap();
    std::fs::write(server.path("empty.b64"), "").unwrap();
    std::fs::write(server.path("large.b64"), vec![b'A'; 1 << 20]).unwrap();

    for (name, status, why) in [
        ("ca", 400, "asks for an authority's certificate"),
        ("foreign", 400, "(ehr), which is not granted"),
        ("weak", 400, "1024 bits"),
        ("cut", 400, "cut off"),
        ("ragged", 400, "not in base64"),
        ("garbage", 400, "not in base64"),
        ("empty", 400, "cut off"),
        ("large", 413, "at most"),
    ] {
        let answered = server.enrol(&token, &format!("{name}.b64")).await;
        assert_eq!(answered.status, status, "{name}: {answered:#?}");
        assert!(answered.head.contains("content-type: text/plain"), "{answered:#?}");
        assert!(answered.body.contains(why), "{name}: {answered:#?}");
    }
    assert_eq!(server.list().await.len(), 1, "the server's own");
    let answered = server.enrol(&token, "good.b64").await;
    server.keep(&answered, "good").await;
    // A renewal asks for no more than there is.
    let more = server.reenrol("good", "foreign.b64").await;
    assert_eq!(more.status, 400, "{more:#?}");
}

#[tokio::test]
async fn what_is_not_est_is_refused_with_a_word() {
    let server = CaServer::start().await;
    server.ec_request("billing").await;
    let enrol = server.url("/simpleenroll");
    let post = ["--data-binary", "@billing.b64"];

    for (args, status, why) in [
        (vec!["--user", ":x", post[0], post[1], &enrol], 415, "application/pkcs10"),
        (vec![&*enrol], 405, "POST only"),
        (vec![post[0], post[1], &server.url("/cacerts")], 405, "GET, HEAD only"),
        (vec![&*server.url("/label/cacerts")], 404, "without a label"),
        (vec![&*server.url("/fullcmc")], 404, "no such page"),
        (vec!["-H", PKCS10, post[0], post[1], &server.url("/simplereenroll")], 401, "simpleenroll"),
    ] {
        let answered = server.curl(&args).await;
        assert_eq!(answered.status, status, "{args:?} {answered:#?}");
        assert!(answered.body.contains(why), "{args:?} {answered:#?}");
    }
    let long = format!("X-Long: {}", "a".repeat(20_000));
    let answered = server.curl(&["-H", &long, &server.url("/cacerts")]).await;
    assert_eq!(answered.status, 431, "{answered:#?}");
}

#[tokio::test]
async fn a_certificate_that_expired_or_is_a_strangers_renews_nothing() {
    let server = CaServer::start().await;
    server.client("billing", Duration::from_secs(2)).await;
    server.ec_request("next").await;
    let checkend = |seconds| format!("x509 -in billing.crt -noout -checkend {seconds}");
    until("the certificate to expire", || {
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(checkend(0).split(' ')).current_dir(server.path("."));
        !openssl.output().unwrap().status.success()
    })
    .await;
    let before = server.list().await.len();

    let expired = server.reenrol("billing", "next.b64").await;
    assert_ne!(expired.status, 200, "{expired:#?}");
    let why = expired.error + &expired.body;
    assert!(why.contains("expired"), "{why}");

    let other = CaServer::start().await;
    other.client("billing", HOUR).await;
    for name in ["billing.crt", "billing.key"] {
        std::fs::copy(other.path(name), server.path(name)).unwrap();
    }
    let foreign = server.reenrol("billing", "next.b64").await;
    assert_eq!(foreign.status, 0, "{foreign:#?}");
    assert!(foreign.error.contains("unknown ca"), "{foreign:#?}");
    assert_eq!(server.list().await.len(), before);
}
