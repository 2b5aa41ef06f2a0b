//! Revocation lists from where they are published (RFC 5280, 4.2.1.13).
//!
//! They are signed, so plain HTTP will do. What a stranger on the way can do is to hold one back, or to send
//! an older one or another authority's: the first is seen by its next update, the others are not taken.

use futures_util::future::join_all;
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use time::{Duration, OffsetDateTime};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::inspect::{self, Signed};
use crate::certs::kept::KeptList;
use crate::certs::web::{Answer, Call, Limits, Web, WebTrust};

/// A list is not asked for more often.
const APART: Duration = Duration::seconds(60);
/// A list is asked for at least so often, whatever its next update is: its authority may publish early.
const OFTEN: Duration = Duration::minutes(5);
/// So long before its next update a new one may be there.
const BEFORE: Duration = Duration::seconds(30);

/// What is known of the places where lists are published.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists(Vec<Place>);

#[derive(Debug, Clone)]
struct Place {
    url: Uri,
    asked: Option<OffsetDateTime>,
    /// By which the server tells whether its list has changed.
    unless: Vec<(HeaderName, HeaderValue)>,
}

/// What asking has brought.
pub(super) struct Fetched {
    /// One for each place, in their order.
    pub(super) lists: Vec<KeptList>,
    /// What went wrong with a place whose old list is still there.
    pub(super) warnings: Vec<String>,
}

impl Lists {
    pub(super) fn new(urls: &[Uri]) -> Self {
        let place = |url: &Uri| Place { url: url.clone(), asked: None, unless: Vec::new() };
        Self(urls.iter().map(place).collect())
    }

    /// Asks every place that was not asked a moment ago, all at once. `known` are the lists of before,
    /// `authorities` those who may have signed, `trust` whom to trust at `https` places.
    ///
    /// # Errors
    ///
    /// A place has no list, and there is none of before: without it, revoked peers would be let in.
    pub(super) async fn fetch(
        &mut self,
        known: &[KeptList],
        authorities: &[CertificateDer<'static>],
        trust: &WebTrust,
        now: OffsetDateTime,
    ) -> Result<Fetched, EnrolError> {
        let asking = self.0.iter_mut().map(|place| async {
            let url = place.url.to_string();
            let old = known.iter().find(|list| list.url == url);
            match place.ask(old, known, authorities, trust, now).await {
                Ok(list) => Ok((list, None)),
                Err(error) => match old {
                    Some(old) => Ok((old.clone(), Some(error.to_string()))),
                    None => Err(error),
                },
            }
        });
        let mut fetched = Fetched { lists: Vec::new(), warnings: Vec::new() };
        for asked in join_all(asking).await {
            let (list, warning) = asked?;
            fetched.lists.push(list);
            fetched.warnings.extend(warning.map(|warning| {
                format!("{warning}; the revocation list of before is used until its next update")
            }));
        }
        Ok(fetched)
    }
}

/// When `lists` should be asked for again.
pub(super) fn due(lists: &[KeptList], now: OffsetDateTime) -> OffsetDateTime {
    let next = lists.iter().filter_map(|list| inspect::next_update(&list.der)).min();
    let before = next.map_or(now + OFTEN, |next| next - BEFORE);
    before.clamp(now + APART, now + OFTEN)
}

impl Place {
    async fn ask(
        &mut self,
        old: Option<&KeptList>,
        known: &[KeptList],
        authorities: &[CertificateDer<'static>],
        trust: &WebTrust,
        now: OffsetDateTime,
    ) -> Result<KeptList, EnrolError> {
        let asked_lately = self.asked.is_some_and(|asked| asked <= now && now < asked + APART);
        if let Some(old) = old.filter(|_| asked_lately) {
            return Ok(old.clone());
        }
        self.asked = Some(now);
        let is_https = self.url.scheme() == Some(&Scheme::HTTPS);
        let trust = if is_https { trust.clone() } else { WebTrust::Signed };
        let web = Web::new(self.url.clone(), trust, None)?.limited(Limits::LIST);
        let mut call = Call::get("");
        if old.is_some() {
            call.headers.extend(self.unless.iter().cloned());
        }
        let answer = web.send(call).await?;
        match (answer.status, old) {
            (StatusCode::NOT_MODIFIED, Some(old)) => return Ok(old.clone()),
            (StatusCode::OK, _) => {}
            (status, _) => {
                let what = format!("answers {status} when asked for a revocation list");
                return Err(web.error("", EnrolFailure::Unreachable, what));
            }
        }
        let list = read(&answer, old, known, authorities)
            .map_err(|what| web.error("", EnrolFailure::BadAnswer, what))?;
        self.unless = validators(&answer.headers);
        Ok(KeptList { url: self.url.to_string(), der: list })
    }
}

/// RFC 9110, 13.1.2 and 13.1.3.
fn validators(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)]
        .into_iter()
        .filter_map(|(said, asked)| headers.get(said).map(|value| (asked, value.clone())))
        .collect()
}

/// The list that was answered, if peers can be judged by it.
fn read(
    answer: &Answer,
    old: Option<&KeptList>,
    known: &[KeptList],
    authorities: &[CertificateDer<'static>],
) -> Result<CertificateRevocationListDer<'static>, String> {
    let body = &answer.body;
    let der = if body.trim_ascii_start().starts_with(b"-----BEGIN") {
        CertificateRevocationListDer::from_pem_slice(body).map_err(|_other| {
            "answers with PEM that holds no revocation list (X509 CRL)".to_owned()
        })?
    } else {
        CertificateRevocationListDer::from(body.to_vec())
    };
    let parsed = inspect::revocation_list(&der);
    let parsed = parsed.ok_or("answers with something else than a revocation list, DER or PEM")?;
    let by: Vec<_> = authorities.iter().collect();
    let signed = inspect::signed_by(&der, &by);
    if signed == Signed::No {
        return Err(
            "its revocation list is not signed by the authority whose it claims to be".to_owned()
        );
    }
    if let Err(error) = webpki::OwnedCertRevocationList::from_der(&der) {
        return Err(format!("its revocation list cannot be used: {error}"));
    }
    let before = old.and_then(|old| inspect::revocation_list(&old.der));
    // In the place of the old one it would revoke nobody of that authority any more.
    let is_its =
        |list: &CertificateRevocationList<'_>| list.issuer().as_raw() == parsed.issuer().as_raw();
    let has_another = || {
        known.iter().filter_map(|list| inspect::revocation_list(&list.der)).any(|it| is_its(&it))
    };
    if before.as_ref().is_some_and(|before| !is_its(before))
        && (signed != Signed::Yes || has_another())
    {
        return Err(
            "answers with another authority's revocation list than before: is it exchanged on \
                    the way?"
                .to_owned(),
        );
    }
    if before.is_some_and(|before| parsed.last_update() < before.last_update()) {
        return Err("answers with an older revocation list than before: is it replayed?".to_owned());
    }
    Ok(der)
}

#[cfg(test)]
mod tests;
