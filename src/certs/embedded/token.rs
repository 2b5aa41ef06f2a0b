//! Join tokens: whoever holds one may enrol once, as whom the token says.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::ledger::{Authorized, Entry, Ledger, Redemption, Token};
use super::request::{self, requested_key};
use super::store::Store;
use super::{Authority, AuthorityError, Grant, params};
use crate::clock::{self, rfc3339};

/// Every token begins with this, so that scanners for secrets know it.
const PREFIX: &str = "myelin-join-";
/// No token is longer.
const LONGEST: usize = 128;

/// A token that was just made.
pub struct NewToken {
    /// What lists call it.
    pub id: String,
    /// Its text, a secret. It is kept nowhere: this is the only time that it can be seen.
    pub text: Zeroizing<String>,
    /// It may be used until then.
    pub expires: OffsetDateTime,
}

/// Why a token is not honoured. For operators; to the holder they are all the same.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was never made here, or long ago.
    #[error("the join token is not known here: was it made for another authority, or mistyped?")]
    Unknown,
    /// Its time is over.
    #[error("join token {id} expired at {}: make another one with `myelin ca token`", rfc3339(*at))]
    Expired {
        /// The token.
        id: String,
        /// When.
        at: OffsetDateTime,
    },
    /// It was used for another key.
    #[error("join token {id} was used at {} for another key: if that was not its holder, revoke what it got (`myelin ca list`), and make another token", rfc3339(*at))]
    Used {
        /// The token.
        id: String,
        /// When it was used.
        at: OffsetDateTime,
    },
    /// What it was used for was revoked.
    #[error(
        "a certificate that was issued for join token {id} is revoked, and so is the token: make another one with `myelin ca token`"
    )]
    Revoked {
        /// The token.
        id: String,
    },
    /// The authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Authority {
    /// Makes a token that grants `grant` to whoever uses it first, within `valid_for`. It is on record
    /// when this returns, as its SHA-256.
    ///
    /// # Errors
    ///
    /// The SPIFFE ID is of another trust domain, or the record cannot be written.
    pub fn make_token(
        &self,
        grant: &Grant,
        valid_for: Duration,
    ) -> Result<NewToken, AuthorityError> {
        self.may_grant(grant)?;
        let now = params::whole(clock::now());
        let secret = Zeroizing::new(params::random::<32>()?);
        let text = Zeroizing::new(format!("{PREFIX}{}", *encoded(&secret)));
        let sha256 = hex::encode(digest(&SHA256, text.as_bytes()));
        let id = hex::encode(params::random::<4>()?);
        let valid_for = time::Duration::try_from(valid_for).unwrap_or(time::Duration::MAX);
        let expires = now.saturating_add(valid_for);
        let token = Token {
            at: now,
            id: id.clone(),
            sha256,
            spiffe: grant.spiffe.clone(),
            dns: grant.dns.clone(),
            ttl_seconds: grant.ttl.as_secs(),
            expires,
            user: params::user(),
        };
        let store = Store::open(self.dir())?;
        Ledger::of(&store).append(&Entry::Token(token), now)?;
        Ok(NewToken { id, text, expires })
    }

    /// What `text` grants to the sender of the request `der` (PKCS#10), and how to put it on record. From
    /// then on the token is that request's key's: who comes again with it, because an answer got lost, is
    /// answered again until the token expires; another key is a replay. A request that
    /// [`Self::sign_request`] would refuse leaves the token as it is.
    ///
    /// # Errors
    ///
    /// The request is refused, the token grants nothing (any more), or its use cannot be put on record.
    pub fn redeem(&self, text: &str, der: &[u8]) -> Result<(Grant, Authorized), TokenError> {
        let key = requested_key(der).map_err(AuthorityError::Request)?;
        if text.len() > LONGEST || !text.starts_with(PREFIX) {
            return Err(TokenError::Unknown);
        }
        let now = params::whole(clock::now());
        let sha256 = hex::encode(digest(&SHA256, text.as_bytes()));
        let key_sha256 = hex::encode(digest(&SHA256, &key));
        let store = Store::open(self.dir())?;
        let ledger = Ledger::of(&store);
        let book = ledger.read()?;
        let token = book.tokens().iter().find(|token| token.sha256 == sha256);
        let token = token.ok_or(TokenError::Unknown)?;
        let id = token.id.clone();
        if token.expires <= now {
            return Err(TokenError::Expired { id, at: token.expires });
        }
        let authorized = Authorized::Token { id: id.clone() };
        if book.withdrawn(&authorized).is_some() {
            return Err(TokenError::Revoked { id });
        }
        match book.redemption(&id) {
            Some(used) if used.key_sha256 == key_sha256 => {}
            Some(used) => return Err(TokenError::Used { id, at: used.at }),
            None => {
                request::judge(der, &token.grant()).map_err(AuthorityError::Request)?;
                let redemption = Redemption { at: now, id, key_sha256 };
                ledger.append(&Entry::Redeemed(redemption), now)?;
            }
        }
        Ok((token.grant(), authorized))
    }
}

fn encoded(secret: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(secret))
}
