//! EST servers that say no, or nonsense: each is told from the others, with the mend.

use myelin::certs::{EnrolFailure, MaterialError};
use myelin::config::{Est, EstTrust};
use myelin::identity::Fingerprint;

use crate::support::est::{EstServer, other, supply};
use crate::support::pki::Ca;
use crate::support::until;

/// One attempt at a start that has to fail for good.
async fn refused(config: Est) -> (EnrolFailure, String) {
    said(supply(config).load().await.unwrap_err())
}

/// One look that has to fail.
async fn unseen(config: Est) -> (EnrolFailure, String) {
    said(supply(config).look().await.unwrap_err())
}

fn said(error: MaterialError) -> (EnrolFailure, String) {
    let MaterialError::Enrol(error) = error else { panic!("{error}") };
    (error.kind, error.to_string())
}

#[tokio::test]
async fn a_wrong_token_is_refused_at_once_and_told_without_it() {
    let server = EstServer::start().await;
    server.token("s3cret");
    server.write("token", "gu3ssed\n");

    let (kind, text) = refused(server.client()).await;

    assert_eq!(kind, EnrolFailure::Refused);
    assert!(text.starts_with(&format!("{}/simpleenroll: answers 401", server.url())), "{text}");
    assert!(text.contains("token_file") && !text.contains("gu3ssed"), "{text}");
    assert!(!server.path("identity/identity.json").exists());
}

#[tokio::test]
async fn a_token_that_was_used_gets_nothing_for_anybody_else() {
    let server = EstServer::start().await;
    server.token("s3cret");
    supply(server.client()).load().await.unwrap();

    let (kind, text) = refused(Est { dir: server.path("thief"), ..server.client() }).await;

    assert_eq!(kind, EnrolFailure::Refused);
    assert!(text.contains("used up"), "{text}");
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let server = EstServer::start().await;
    for (token_file, problem) in
        [(None, "no token_file"), (Some(server.path("none")), "there is no token in")]
    {
        let config = Est { token_file, ..server.client() };
        for (kind, text) in [refused(config.clone()).await, unseen(config).await] {
            assert_eq!(kind, EnrolFailure::Unprepared);
            assert!(text.contains(problem), "{text}");
            assert!(text.contains("no certificate is kept there"), "{text}");
        }
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_token_is_not_used_up_where_the_certificate_could_not_be_kept() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let dir = server.write("a-file", "");

    let (kind, text) = refused(Est { dir, ..server.client() }).await;

    assert_eq!(kind, EnrolFailure::Unprepared);
    assert!(text.contains("a-file: cannot be made"), "{text}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_token() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let other = server.write("other.crt", Ca::new("Other").pem());

    for (trust, problem) in [
        (EstTrust::Bundle(other), "does not come from the configured trust bundle"),
        (EstTrust::Fingerprint(Fingerprint([7; 32])), "has the fingerprint sha256:0707"),
    ] {
        let (kind, text) = refused(Est { trust, ..server.client() }).await;
        assert_eq!(kind, EnrolFailure::Untrusted);
        assert!(text.contains(problem), "{text}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_url_without_an_est_server_behind_it_is_told() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let at = |url: String| Est { url: url.parse().unwrap(), ..server.client() };

    let (_, wrong_path) = unseen(at(server.url().replace("/est", "/scep"))).await;
    assert!(wrong_path.contains("404") && wrong_path.contains("label"), "{wrong_path}");

    let lists = server.list("x").replace("http:", "https:");
    let (kind, plain) = unseen(at(lists)).await;
    assert_eq!(kind, EnrolFailure::BadAnswer);
    assert!(plain.contains("does not speak TLS"), "{plain}");

    server.behave("redirect https://elsewhere.example/.well-known/est/cacerts");
    let (kind, elsewhere) = unseen(server.client()).await;
    assert_eq!(kind, EnrolFailure::BadAnswer);
    assert!(elsewhere.contains("https://elsewhere.example"), "{elsewhere}");
    server.behave("redirect /label/cacerts");
    let (_, around) = unseen(server.client()).await;
    assert!(around.contains("redirected more than 3 times"), "{around}");
}

#[tokio::test]
async fn nobody_there_is_worth_another_attempt() {
    let mut server = EstServer::start().await;
    server.token("s3cret");
    server.end();

    let (kind, text) = unseen(server.client()).await;

    assert_eq!(kind, EnrolFailure::Unreachable);
    assert!(text.contains("cannot be connected to"), "{text}");
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_is_in_trouble() {
    let server = EstServer::start().await;
    server.token("s3cret\nan0ther");
    server.write("token", "s3cret");
    server.behave("status 503");
    let supply = supply(server.client());

    let enrolled = tokio::spawn(async move { supply.load().await });
    until("a first attempt", || server.asked().iter().any(|line| line.contains("simpleenroll")))
        .await;
    server.token("s3cret");
    server.behave("");

    enrolled.await.unwrap().unwrap();
}

#[tokio::test]
async fn answers_that_make_no_sense_are_told_apart() {
    let server = EstServer::start().await;
    server.write("html", "<html>Sign in</html>");
    server.write("empty", "");
    server.openssl("crl2pkcs7 -nocrl -certfile root.crt -out root.p7b");
    let cut = std::fs::read_to_string(server.path("root.p7b")).unwrap();
    server.write("cut", &cut[..cut.len() / 2]);

    for (behaviour, problem) in [
        ("body html", "is not in base64"),
        ("body empty", "is not PKCS#7"),
        ("body cut", "its answer is not"),
        ("body root.p7b", "issued no certificate over the key"),
        ("other-key", "issued no certificate over the key"),
        ("cacerts html", "cacerts: its answer is not in base64"),
        ("endless", "cacerts: answers with more than 4194304 bytes"),
        ("status 204", "204 No Content: which means nothing in EST"),
        ("status 501", "there is no such EST operation"),
    ] {
        server.token("s3cret");
        server.behave(behaviour);
        let (kind, text) = refused(server.client()).await;
        assert_eq!(kind, EnrolFailure::BadAnswer, "{text}");
        assert!(text.contains(problem), "{behaviour}: {text}");
    }
    server.token("s3cret");
    server.behave("status 400");
    let (kind, text) = refused(server.client()).await;
    assert_eq!(kind, EnrolFailure::Refused);
    assert!(text.contains("key_types"), "{text}");
}

#[tokio::test]
async fn a_chain_is_put_in_order_however_it_comes() {
    let server = EstServer::start().await;
    server.token("s3cret");
    server.behave("root-too");

    let loaded = supply(server.client()).load().await.unwrap();

    let chain = &loaded.material.presented.cert;
    assert_eq!(chain[1..], [server.certificate("issuing.crt")]);
}

#[tokio::test]
async fn a_refused_renewal_goes_on_with_a_new_token_and_the_old_certificate_until_then() {
    let server = EstServer::start().await;
    server.token("s3cret");
    let source = supply(server.client());
    let first = source.load().await.unwrap();
    std::fs::remove_file(server.path("token")).unwrap();
    let other = other(&server);

    server.behave("status 403");
    let refused = other.load_again(&source, &first.material).await.unwrap_err();
    server.token("an0ther");
    let still = other.load_again(&source, &first.material).await.unwrap_err();
    let used = server.asked().iter().filter(|line| line.contains("simpleenroll")).count();
    let again = other.load_again(&source, &first.material).await.unwrap_err();

    assert!(refused.to_string().contains("may not be renewed"), "{refused}");
    assert!(still.to_string().contains("the token or user name is refused"), "{still}");
    assert!(again.to_string().contains("may not be renewed"), "{again}");
    let now = server.asked().iter().filter(|line| line.contains("simpleenroll")).count();
    assert_eq!(now, used, "a refused token was sent again");
    server.token("a-th1rd");
    server.behave("");
    other.load_again(&source, &first.material).await.unwrap();
}
