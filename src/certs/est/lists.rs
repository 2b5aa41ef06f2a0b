//! Revocation lists from where they are published (RFC 5280, 4.2.1.13).
//!
//! They are signed, so plain HTTP will do. What a stranger on the way can do is to hold one back or to send
//! an older one again: the first is seen by its next update, the second is not taken.

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
/// So many lists a place may publish: one for each authority whose certificates are alive.
const MOST: usize = 16;
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
    /// What was had last, to which `asked` and `unless` belong: an attempt that failed for another reason
    /// may not have handed it on.
    had: Vec<KeptList>,
}

/// What asking has brought.
pub(super) struct Fetched {
    /// At least one for each place, in their order.
    pub(super) lists: Vec<KeptList>,
    /// What went wrong with a place whose old list is still there.
    pub(super) warnings: Vec<String>,
}

impl Lists {
    pub(super) fn new(urls: &[Uri]) -> Self {
        let place = |url: &Uri| Place {
            url: url.clone(),
            asked: None,
            unless: Vec::new(),
            had: Vec::new(),
        };
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
            let mut old: Vec<_> = known.iter().filter(|list| list.url == url).cloned().collect();
            if !place.had.is_empty() {
                old.clone_from(&place.had);
            }
            match place.ask(&old, authorities, trust, now).await {
                Ok(lists) => Ok((lists, None)),
                Err(error) if old.is_empty() => Err(error),
                Err(error) => Ok((old, Some(error.to_string()))),
            }
        });
        let mut fetched = Fetched { lists: Vec::new(), warnings: Vec::new() };
        for asked in join_all(asking).await {
            let (lists, warning) = asked?;
            fetched.lists.extend(lists);
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
        old: &[KeptList],
        authorities: &[CertificateDer<'static>],
        trust: &WebTrust,
        now: OffsetDateTime,
    ) -> Result<Vec<KeptList>, EnrolError> {
        let asked_lately = self.asked.is_some_and(|asked| asked <= now && now < asked + APART);
        if asked_lately && !old.is_empty() {
            return Ok(old.to_vec());
        }
        self.asked = Some(now);
        let is_https = self.url.scheme() == Some(&Scheme::HTTPS);
        let trust = if is_https { trust.clone() } else { WebTrust::Signed };
        let web = Web::new(self.url.clone(), trust, None)?.limited(Limits::LIST);
        let mut call = Call::get("");
        if !old.is_empty() {
            call.headers.extend(self.unless.iter().cloned());
        }
        let answer = web.send(call).await?;
        match answer.status {
            StatusCode::NOT_MODIFIED if !old.is_empty() => return Ok(old.to_vec()),
            StatusCode::OK => {}
            status => {
                let what = format!("answers {status} when asked for a revocation list");
                return Err(web.error("", EnrolFailure::Unreachable, what));
            }
        }
        let lists = read(&answer, old, authorities)
            .map_err(|what| web.error("", EnrolFailure::BadAnswer, what))?;
        self.unless = validators(&answer.headers);
        let kept = |der| KeptList { url: self.url.to_string(), der };
        let mut lists: Vec<_> = lists.into_iter().map(kept).collect();
        let left_out = left_out(&lists, old, authorities, now);
        lists.extend(left_out);
        self.had.clone_from(&lists);
        Ok(lists)
    }
}

/// The lists of before whose authorities have none any more. Without them revoked certificates would be
/// good again, and whoever answers a plain request on the way could bring that about. They go when they
/// are past their next update and their authority is not trusted any more.
fn left_out(
    lists: &[KeptList],
    old: &[KeptList],
    authorities: &[CertificateDer<'static>],
    now: OffsetDateTime,
) -> Vec<KeptList> {
    let has = |lists: &[KeptList], issuer: &[u8]| lists.iter().any(|list| is_of(list, issuer));
    let trusted = |issuer: &[u8]| {
        let certificates = authorities.iter().filter_map(|der| inspect::certificate(der));
        certificates.into_iter().any(|authority| authority.subject().as_raw() == issuer)
    };
    let stays = |list: &&KeptList| {
        inspect::revocation_list(&list.der).is_some_and(|parsed| {
            let issuer = parsed.issuer().as_raw();
            let is_current = parsed.next_update().is_some_and(|due| due.to_datetime() > now);
            !has(lists, issuer) && (is_current || trusted(issuer))
        })
    };
    old.iter().filter(stays).take(MOST).cloned().collect()
}

fn is_of(list: &KeptList, issuer: &[u8]) -> bool {
    inspect::revocation_list(&list.der).is_some_and(|list| list.issuer().as_raw() == issuer)
}

/// RFC 9110, 13.1.2 and 13.1.3.
fn validators(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)]
        .into_iter()
        .filter_map(|(said, asked)| headers.get(said).map(|value| (asked, value.clone())))
        .collect()
}

/// The lists that were answered, if peers can be judged by each. In PEM there may be several: an authority
/// that was replaced has one of its own while its certificates live.
fn read(
    answer: &Answer,
    old: &[KeptList],
    authorities: &[CertificateDer<'static>],
) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let body = &answer.body;
    if !body.trim_ascii_start().starts_with(b"-----BEGIN") {
        let der = CertificateRevocationListDer::from(body.to_vec());
        return read_one(der, old, authorities).map(|list| vec![list]);
    }
    let none = "answers with PEM that holds no revocation list (X509 CRL)";
    let mut lists = Vec::new();
    for der in CertificateRevocationListDer::pem_slice_iter(body) {
        let der = der.map_err(|_damaged| none.to_owned())?;
        if lists.len() == MOST {
            return Err(format!("answers with more than {MOST} revocation lists"));
        }
        lists.push(read_one(der, old, authorities)?);
    }
    if lists.is_empty() { Err(none.to_owned()) } else { Ok(lists) }
}

fn read_one(
    der: CertificateRevocationListDer<'static>,
    old: &[KeptList],
    authorities: &[CertificateDer<'static>],
) -> Result<CertificateRevocationListDer<'static>, String> {
    let parsed = inspect::revocation_list(&der);
    let parsed = parsed.ok_or("answers with something else than a revocation list, DER or PEM")?;
    let by: Vec<_> = authorities.iter().collect();
    let signed = inspect::signed_by(&der, &by);
    if signed == Signed::No {
        return Err(
            "its revocation list is not signed by the authority whose it claims to be".to_owned()
        );
    }
    let is_known = old.iter().any(|list| is_of(list, parsed.issuer().as_raw()));
    if signed == Signed::Unknown && !old.is_empty() && !is_known {
        return Err(
            "answers with the revocation list of an authority that is not trusted and had \
                    none there before: is it exchanged on the way?"
                .to_owned(),
        );
    }
    if let Err(error) = webpki::OwnedCertRevocationList::from_der(&der) {
        return Err(format!("its revocation list cannot be used: {error}"));
    }
    let mut before = old.iter().filter_map(|old| inspect::revocation_list(&old.der));
    let is_newer = |before: &CertificateRevocationList<'_>| {
        before.issuer().as_raw() == parsed.issuer().as_raw()
            && parsed.last_update() < before.last_update()
    };
    if before.any(|before| is_newer(&before)) {
        return Err("answers with an older revocation list than before: is it replayed?".to_owned());
    }
    Ok(der)
}

#[cfg(test)]
mod tests;
