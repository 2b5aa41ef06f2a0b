//! Asks a server over its HTTP interface.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize, Zeroizing};

use super::refusal::{self, Step};
use super::secret::Secret;
use crate::certs::MaterialError;
use crate::certs::blocking::Blocking;
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::files::parts;
use crate::certs::web::{Call, Limits, Web, WebTrust};
use crate::config;
use crate::config::VaultAuth;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Agents and proxies may insist on it: a page in a browser cannot be made to send it.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// A server as it is configured and known at the moment: the files were read for this.
pub(super) struct Client {
    web: Web,
    headers: HeaderMap,
}

/// What was answered.
pub(super) struct Reply {
    /// Whom we asked, for operators.
    pub(super) at: String,
    pub(super) status: StatusCode,
    body: Bytes,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Client {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    ///
    /// One of them cannot be used.
    pub(super) async fn of(
        config: &Arc<config::Vault>,
        blocking: &Blocking,
    ) -> Result<Self, MaterialError> {
        let files = Arc::clone(config);
        let (trust, client) = blocking.run(move || Ok((trust(&files)?, client(&files)?))).await?;
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        let web = Web::new(config.address.clone(), trust, client)?;
        if let Some(namespace) = &config.namespace {
            let value = HeaderValue::from_str(namespace).map_err(|_invalid| {
                let what = "cannot be asked: identity.vault.namespace is no text for a header";
                web.error("", EnrolFailure::Unprepared, what)
            })?;
            headers.insert(NAMESPACE, value);
        }
        Ok(Self { web, headers })
    }

    /// Reads what everybody may read.
    pub(super) async fn read(&self, path: &str) -> Result<Reply, EnrolError> {
        let call = Call { headers: self.headers.clone(), ..Call::get(path) };
        self.send(&self.web, call).await
    }

    /// The same for what may be long.
    pub(super) async fn read_list(&self, path: &str) -> Result<Reply, EnrolError> {
        let call = Call { headers: self.headers.clone(), ..Call::get(path) };
        self.send(&self.web.clone().limited(Limits::LIST), call).await
    }

    /// Sends `body`, in JSON.
    pub(super) async fn write(
        &self,
        path: &str,
        token: Option<&Secret>,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Reply, EnrolError> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.text()).map_err(|_never_quoted| {
                let what = "cannot be asked: the token is none";
                self.web.error(path, EnrolFailure::Unprepared, what)
            })?;
            value.set_sensitive(true);
            headers.insert(TOKEN, value);
        }
        let call = Call { method: Method::POST, path, headers, body: Bytes::from_owner(body) };
        self.send(&self.web, call).await
    }

    /// The URL of `path`, for operators.
    pub(super) fn at(&self, path: &str) -> String {
        self.web.error(path, EnrolFailure::BadAnswer, "").at
    }

    async fn send(&self, web: &Web, call: Call<'_>) -> Result<Reply, EnrolError> {
        let at = self.at(call.path);
        let answer = web.send(call).await?;
        Ok(Reply { at, status: answer.status, body: answer.body })
    }
}

impl Reply {
    /// What the answer says.
    ///
    /// # Errors
    ///
    /// It is a refusal of `step`, or cannot be understood.
    pub(super) fn json<T: DeserializeOwned>(self, step: &Step<'_>) -> Result<T, EnrolError> {
        let reply = self.accepted(step)?;
        serde_json::from_slice(&reply.body).map_err(|_may_quote| reply.strange())
    }

    /// The bytes of the answer.
    ///
    /// # Errors
    ///
    /// It is a refusal of `step`.
    pub(super) fn bytes(self, step: &Step<'_>) -> Result<Bytes, EnrolError> {
        self.accepted(step).map(|reply| reply.body.clone())
    }

    /// What the server says went wrong; nothing if it says nothing.
    pub(super) fn errors(&self) -> Vec<String> {
        serde_json::from_slice(&self.body).map_or_else(|_| Vec::new(), |Errors { errors }| errors)
    }

    /// The answer, unless it is a refusal.
    fn accepted(self, step: &Step<'_>) -> Result<Self, EnrolError> {
        if self.status.is_success() { Ok(self) } else { Err(self.refused(step)) }
    }

    /// What a refusal of `step` means.
    pub(super) fn refused(&self, step: &Step<'_>) -> EnrolError {
        let (kind, what) = refusal::meaning(step, self.status, &self.errors());
        EnrolError { at: self.at.clone(), kind, what }
    }

    /// It is no answer of OpenBao or Vault.
    pub(super) fn strange(&self) -> EnrolError {
        let what = "answers, but not as OpenBao and Vault do: is the address right?".to_owned();
        EnrolError { at: self.at.clone(), kind: EnrolFailure::BadAnswer, what }
    }
}

/// It may hold a token.
impl Drop for Reply {
    fn drop(&mut self) {
        if let Ok(mut bytes) = std::mem::take(&mut self.body).try_into_mut() {
            bytes.zeroize();
        }
    }
}

fn trust(config: &config::Vault) -> Result<WebTrust, MaterialError> {
    let authorities: Vec<CertificateDer<'static>> = match &config.trust_bundle {
        Some(path) => parts::authorities(path)?,
        None => Vec::new(),
    };
    let is_plain = config.address.scheme() == Some(&Scheme::HTTP);
    Ok(if is_plain { WebTrust::PlainLoopback } else { WebTrust::Bundle(authorities) })
}

/// A token that was had with a certificate is good only beside it.
fn client(config: &config::Vault) -> Result<Option<Arc<CertifiedKey>>, MaterialError> {
    match &config.auth {
        VaultAuth::Cert { cert, key, .. } => Ok(Some(parts::pair(cert, key)?)),
        VaultAuth::TokenFile(_) | VaultAuth::AppRole { .. } | VaultAuth::Kubernetes { .. } => {
            Ok(None)
        }
    }
}
