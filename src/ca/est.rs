//! One request of EST, and who may have what.

use std::error::Error;
use std::sync::Arc;

use base64::Engine;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use zeroize::Zeroizing;

use super::Office;
use super::answer::{self, Answer};
use super::connection::{Received, Scope};
use super::quota::{Quota, TooMany};
use crate::certs::embedded::{
    Authority, AuthorityError, Authorized, Issued, RequestError, Serial, Standing, TokenError,
};
use crate::certs::est::armour;
use crate::identity::PeerCertificate;
use crate::report::Report;

/// Where EST is served (RFC 7030, 3.2.2).
const EST: &str = "/.well-known/est/";

/// Why nothing was issued.
enum No {
    /// The request is at fault, and its sender may know why.
    Request(RequestError),
    /// The join token is not honoured; its holder does not learn why.
    Token(TokenError),
    /// The certificate that was presented is not one to renew with.
    NotOurs(&'static str),
    /// Its service has got too many.
    TooMany(TooMany),
    /// The authority cannot be used.
    Authority(AuthorityError),
}

impl From<AuthorityError> for No {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Request(error) => Self::Request(error),
            AuthorityError::AlreadyRevoked { .. } => {
                Self::NotOurs("the client's certificate is revoked")
            }
            error => Self::Authority(error),
        }
    }
}

impl From<TokenError> for No {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Authority(error) => error.into(),
            error => Self::Token(error),
        }
    }
}

impl From<TooMany> for No {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

/// Answers one request.
pub(super) async fn answer(office: &Office, scope: Scope, asked: Received) -> Answer {
    let path = asked.request.uri().path();
    let get = matches!(*asked.request.method(), Method::GET | Method::HEAD);
    match (scope, path.strip_prefix(EST).unwrap_or(path)) {
        (_, "/live") if get => answer::text(StatusCode::OK, "live\n"),
        (_, "crl" | "/ca.crl") if get => match &office.published.load().list {
            Some(list) => answer::list(list),
            None => answer::text(StatusCode::NOT_FOUND, "no revocation list\n"),
        },
        (_, "/crls.pem") if get => answer::lists(office.published.load().lists.clone()),
        (Scope::Est, "cacerts") if get => {
            answer::certificates(&office.published.load().authorities)
        }
        (Scope::Est, "csrattrs") if get => answer::nothing(),
        (_, "/live" | "crl" | "/ca.crl" | "/crls.pem") | (Scope::Est, "cacerts" | "csrattrs") => {
            answer::method("GET, HEAD")
        }
        (Scope::Est, operation @ ("simpleenroll" | "simplereenroll")) => {
            if asked.request.method() != Method::POST {
                return answer::method("POST");
            }
            let first = operation == "simpleenroll";
            enrol(office, &asked, first).await
        }
        (Scope::Est | Scope::Lists, _) => answer::text(
            StatusCode::NOT_FOUND,
            "no such page; there are /.well-known/est/{cacerts,csrattrs,simpleenroll,simplereenroll} \
             without a label, /ca.crl, /crls.pem and /live\n",
        ),
    }
}

/// Issues, or says no; both go into the log.
async fn enrol(office: &Office, asked: &Received, first: bool) -> Answer {
    let source = asked.source;
    // Whoever guesses tokens behind the same address must not keep sidecars from renewing.
    if let Some(seconds) = office.door.closed_for(source.ip()).filter(|_| first) {
        if let Some(untold) = office.line(source) {
            tracing::warn!(
                %source, untold, "not heard: too many join tokens of this source were not honoured"
            );
        }
        let why = "too many failures; try again later\n";
        return answer::later(StatusCode::TOO_MANY_REQUESTS, seconds, why);
    }
    let headers = asked.request.headers();
    if !is_request(headers) {
        let why = "the body of a request is application/pkcs10\n";
        return answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    }
    let Ok(request) = armour::der(asked.request.body()) else {
        return answer::text(StatusCode::BAD_REQUEST, "the body is not in base64\n");
    };
    let quota = Arc::clone(&office.quota);
    let issued = if first {
        let Some(token) = token(headers) else {
            return answer::unauthorized("a join token is wanted, as the password (HTTP Basic)\n");
        };
        office
            .desk
            .with_authority(move |authority| join(&authority, &quota, &token, &request))
            .await
    } else {
        let Some(client) = asked.client.clone() else {
            let why = "simplereenroll wants the current certificate as the TLS client's; to begin, use \
                       simpleenroll with a join token\n";
            return answer::unauthorized(why);
        };
        office
            .desk
            .with_authority(move |authority| renew(&authority, &quota, &client, &request))
            .await
    };
    match issued {
        Ok(Ok(issued)) => {
            let record = &issued.record;
            let (spiffe, serial, how) = (&record.spiffe, &record.serial, &record.authorized);
            tracing::info!(%source, %spiffe, %serial, %how, not_after = %record.not_after, "issued");
            let [leaf, _issuing] = &issued.chain;
            answer::certificates(std::slice::from_ref(leaf)) // RFC 7030, 4.2.3: it alone
        }
        Ok(Err(no)) => refused(office, asked, &no),
        Err(error) => unavailable(office, asked, &error),
    }
}

/// A stranger with a join token: the token says what the certificate says.
fn join(authority: &Authority, quota: &Quota, token: &str, request: &[u8]) -> Result<Issued, No> {
    let (grant, authorized) = authority.redeem(token, request)?;
    quota.count(&grant, || {
        authority.sign_request(request, &grant, &authorized).map_err(|error| {
            match (error, &authorized) {
                (AuthorityError::AlreadyRevoked { .. }, Authorized::Token { id }) => {
                    No::Token(TokenError::Revoked { id: id.clone() })
                }
                (error, _) => error.into(),
            }
        })
    })
}

/// A sidecar with a certificate of ours, which TLS has verified: the new one says what the old one says.
fn renew(
    authority: &Authority,
    quota: &Quota,
    client: &[u8],
    request: &[u8],
) -> Result<Issued, No> {
    let unreadable = |_error| No::NotOurs("the client's certificate cannot be read");
    let certificate = PeerCertificate::parse(client).map_err(unreadable)?;
    let serial = Serial::parse(&certificate.serial)
        .map_err(|_odd| No::NotOurs("the client's certificate was not issued here"))?;
    let Some(listed) = authority.find(&serial)? else {
        return Err(No::NotOurs("the client's certificate is not on record here"));
    };
    if listed.record.sha256 != certificate.sha256.to_string() {
        return Err(No::NotOurs("the client's certificate is not the one on record"));
    }
    match listed.standing {
        Standing::Valid => {}
        Standing::Expired => return Err(No::NotOurs("the client's certificate has expired")),
        Standing::Revoked(_) => return Err(No::NotOurs("the client's certificate is revoked")),
    }
    let (grant, authorized) = (listed.record.grant(), Authorized::Reenrolment { serial });
    quota.count(&grant, || Ok(authority.sign_request(request, &grant, &authorized)?))
}

fn refused(office: &Office, asked: &Received, no: &No) -> Answer {
    let source = asked.source;
    match no {
        No::Request(error) => {
            if let Some(untold) = office.line(source) {
                tracing::warn!(%source, %error, untold, "request refused");
            }
            answer::text(StatusCode::BAD_REQUEST, format!("{error}\n"))
        }
        No::Token(error) => {
            office.door.failed(source.ip());
            if let Some(untold) = office.line(source) {
                tracing::warn!(%source, %error, untold, "join token not honoured");
            }
            answer::unauthorized("the join token is not honoured\n")
        }
        No::NotOurs(why) => {
            if let Some(untold) = office.line(source) {
                tracing::warn!(%source, why, untold, "re-enrolment refused");
            }
            answer::text(StatusCode::FORBIDDEN, format!("{why}\n"))
        }
        No::TooMany(TooMany { spiffe, seconds, is_first }) => {
            if *is_first {
                tracing::warn!(
                    %source, %spiffe,
                    "not issued: too many certificates for this service; if it is not its sidecars \
                     that ask, revoke what it has"
                );
            }
            let why = "too many certificates for this service; try again later\n";
            answer::later(StatusCode::TOO_MANY_REQUESTS, *seconds, why)
        }
        No::Authority(error) => unavailable(office, asked, error),
    }
}

fn unavailable(office: &Office, asked: &Received, error: &(dyn Error + 'static)) -> Answer {
    if let Some(untold) = office.line(asked.source) {
        let error = Report(error);
        tracing::error!(source = %asked.source, untold, "the authority cannot be used at the moment: {error}");
    }
    let why = "the authority cannot be used at the moment; its log says why\n";
    answer::later(StatusCode::SERVICE_UNAVAILABLE, 30, why)
}

/// RFC 7030, 4.2.1. What says nothing is taken at its content; a form, which is curl's default, is not.
fn is_request(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/pkcs10", "application/x-pkcs10", "application/octet-stream"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

/// The password of HTTP Basic (RFC 7617); the user's name does not matter.
fn token(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = Zeroizing::new(armour::BASE64.decode(credentials.trim()).ok()?);
    let (_user, password) = std::str::from_utf8(&credentials).ok()?.split_once(':')?;
    Some(Zeroizing::new(password.to_owned()))
}
