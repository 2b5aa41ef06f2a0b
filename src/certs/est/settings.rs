//! What one enrolment is made of: configuration, files and directory.

use std::sync::Arc;

use super::client::Token;
use super::enrolment::Subject;
use super::held::Held;
use crate::certs::MaterialError;
use crate::certs::blocking::Blocking;
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::certs::files::parts;
use crate::certs::kept::{Keeper, Kept};
use crate::certs::secret_file;
use crate::certs::web::WebTrust;
use crate::clock;
use crate::config::{self, EstTrust};

/// Who enrols where, and what of it is on disk.
pub(super) struct Settings {
    pub(super) config: config::Est,
    pub(super) subject: Subject,
    pub(super) keeper: Keeper,
    pub(super) blocking: Blocking,
}

impl Settings {
    /// Whether a list that is asked for was never had.
    pub(super) fn lacks_lists(&self, kept: &Kept) -> bool {
        let has = |url: String| kept.lists.iter().any(|list| list.url == url);
        !self.config.crl_urls.iter().all(|url| has(url.to_string()))
    }

    /// What is kept, and why it is not to be had if it is not.
    pub(super) async fn recall(&self) -> (Option<Held>, String) {
        let keeper = self.keeper.clone();
        let found = self.blocking.run(move || Ok(keeper.load_standing()?)).await;
        match found {
            Ok(Some((kept, tried))) => {
                let held = Held::new(kept, tried);
                let remark = held.remark(&self.keeper.at(), clock::now());
                (Some(held), remark)
            }
            Ok(None) => (None, format!("{}: no certificate is kept there", self.keeper.at())),
            Err(error) => {
                tracing::warn!("what was kept is not used: {error}");
                (None, error.to_string())
            }
        }
    }

    /// Keeps it for the next start; without that the rest goes on.
    pub(super) async fn store(&self, kept: &Kept, tried: bool) {
        let (keeper, kept) = (self.keeper.clone(), kept.clone());
        let store =
            move || Ok(if tried { keeper.store(&kept) } else { keeper.store_untried(&kept) }?);
        if let Err(error) = self.blocking.run(store).await {
            tracing::error!(
                "what is kept is not up to date; if the certificate is new, a restart will need a new \
                 token: {error}"
            );
        }
    }

    /// By what the server is known: what is configured, and the authorities that it vouched for before
    /// (RFC 7030, 4.1.3).
    pub(super) async fn trust(&self, kept: Option<&Kept>) -> Result<WebTrust, MaterialError> {
        let known = kept.map(|kept| kept.bundle.clone()).unwrap_or_default();
        match &self.config.trust {
            EstTrust::Fingerprint(fingerprint) => Ok(WebTrust::Fingerprint(*fingerprint, known)),
            EstTrust::Bundle(path) => {
                let path = path.clone();
                let mut bundle = self.blocking.run(move || Ok(parts::authorities(&path)?)).await?;
                bundle.extend(known);
                Ok(WebTrust::Bundle(bundle))
            }
        }
    }

    /// The token, if there is one that was not refused already.
    pub(super) async fn token(
        &self,
        refused: Option<&Token>,
    ) -> Result<Option<Arc<Token>>, MaterialError> {
        let Some(path) = self.config.token_file.clone() else { return Ok(None) };
        let secret = self.blocking.run(move || Ok(secret_file::read(&path, "a token")?)).await?;
        let username = self.config.username.clone();
        let username = username.unwrap_or_else(|| self.subject.service.clone());
        let token = secret.map(|secret| Token { username, secret });
        let refused = refused.map(|refused| refused.secret.as_str());
        Ok(token.filter(|token| refused != Some(token.secret.as_str())).map(Arc::new))
    }

    /// Why there can be no first certificate; `remark` says why there is none already.
    pub(super) fn no_token(&self, remark: &str) -> EnrolError {
        let what = match &self.config.token_file {
            Some(path) => format!(
                "there is no token in {}, or it was refused before: have one made (`myelin ca token`, or by \
                 whoever runs the authority) and put it there",
                path.display()
            ),
            None => "there is no token_file for a first certificate".to_owned(),
        };
        let what = format!("{remark}, and {what}");
        EnrolError { at: self.config.url.to_string(), kind: EnrolFailure::Unprepared, what }
    }
}
