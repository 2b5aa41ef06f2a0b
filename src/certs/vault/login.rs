//! Logs in, and keeps the token while it is good.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::client::{Client, Reply};
use super::refusal::{Step, policy};
use super::secret::Secret;
use crate::certs::MaterialError;
use crate::certs::blocking::Blocking;
use crate::certs::enrol::{EnrolError, EnrolFailure};
use crate::clock;
use crate::config::VaultAuth;

/// A token that ends earlier than this, or than a quarter of its life, is not begun with.
const MARGIN: Duration = Duration::seconds(10);
/// A timer may wake so much too early.
const SLACK: Duration = Duration::seconds(1);
/// No token lives longer: more than what a server would ever say.
const LONGEST: u64 = 100 * 365 * 86_400;

const SECRET_ID: &str = "the secret id of an AppRole";

/// The token that we have. It is nowhere but in memory.
#[derive(Debug, Default)]
pub(super) struct Session {
    token: Mutex<Option<Arc<Token>>>,
}

/// What lets us ask.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: Secret,
    /// When it was given or renewed.
    since: OffsetDateTime,
    /// `None`: it does not end, or somebody else sees to it.
    life: Option<Duration>,
    renewable: bool,
}

impl Token {
    fn is_good(&self, now: OffsetDateTime) -> bool {
        // A clock that was set back says nothing about the token.
        let ends =
            |life: Duration| now >= self.since && now < self.since + life - MARGIN.min(life / 4);
        self.life.is_none_or(ends)
    }

    fn is_half_over(&self, now: OffsetDateTime) -> bool {
        self.renewable && self.life.is_some_and(|life| now + SLACK >= self.since + life / 2)
    }
}

impl Session {
    /// The token that we have, or a new one. The second says whether it is new.
    ///
    /// # Errors
    ///
    /// What we log in with cannot be read, or the server does not let us in.
    pub(super) async fn token(
        &self,
        client: &Client,
        auth: &VaultAuth,
        blocking: &Blocking,
    ) -> Result<(Arc<Token>, bool), MaterialError> {
        let had = self.had().filter(|token| token.is_good(clock::now()));
        if let Some(token) = had {
            return Ok((token, false));
        }
        let token = Arc::new(log_in(client, auth, blocking).await?);
        // One that somebody else keeps alive is read anew each time.
        let kept = token.life.is_some() || !matches!(auth, VaultAuth::TokenFile(_));
        self.put(kept.then(|| Arc::clone(&token)));
        Ok((token, true))
    }

    /// Forgets the token: the server does not take it any more.
    pub(super) fn forget(&self) {
        self.put(None);
    }

    /// When the token should be renewed, if it ends.
    pub(super) fn due(&self) -> Option<OffsetDateTime> {
        let token = self.had().filter(|token| token.renewable)?;
        token.life.map(|life| token.since + life / 2)
    }

    /// Renews the token when half of its life is over: what we log in with may be good for one time only.
    pub(super) async fn renew(&self, client: &Client, auth: &VaultAuth) {
        let Some(token) = self.had().filter(|token| token.is_half_over(clock::now())) else {
            return;
        };
        let body = Zeroizing::new(b"{}".to_vec());
        let step = Step::Token(auth);
        let renewed = match client.write("/v1/auth/token/renew-self", Some(&token.text), body).await
        {
            Ok(reply) => granted(reply, &step),
            Err(error) => Err(error),
        };
        match renewed {
            Ok(token) => self.put(Some(Arc::new(token))),
            Err(error) if error.is_transient() => {}
            Err(error) => {
                tracing::debug!("the token is not renewed, a new one will be asked for: {error}");
                self.forget();
            }
        }
    }

    /// Looks whether we would be let in and may do `step`; the answer is what deserves a look.
    ///
    /// # Errors
    ///
    /// We would not, or may not.
    pub(super) async fn look(
        &self,
        client: &Client,
        auth: &VaultAuth,
        step: &Step<'_>,
        blocking: &Blocking,
    ) -> Result<Vec<String>, MaterialError> {
        if let VaultAuth::AppRole { secret_id_file, .. } = auth {
            read(secret_id_file, SECRET_ID, blocking).await?;
            return Ok(vec![format!(
                "{}: was read and not tried: a secret id may be good for one login only",
                secret_id_file.display()
            )]);
        }
        let token = log_in(client, auth, blocking).await?;
        let allowed = may(client, auth, &token.text, step).await;
        if !matches!(auth, VaultAuth::TokenFile(_)) {
            let body = Zeroizing::new(b"{}".to_vec());
            let _it_ends_by_itself =
                client.write("/v1/auth/token/revoke-self", Some(&token.text), body).await;
        }
        Ok(allowed.map(|()| Vec::new())?)
    }

    fn had(&self) -> Option<Arc<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, token: Option<Arc<Token>>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

/// What we show to be let in.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    AppRole { role_id: &'a str, secret_id: &'a str },
    Kubernetes { role: &'a str, jwt: &'a str },
    Cert { name: &'a str },
    AnyCert {},
}

#[derive(Deserialize)]
struct Granted {
    auth: Option<Grant>,
}

#[derive(Deserialize)]
struct Grant {
    client_token: Secret,
    /// Seconds; 0 for one that does not end.
    lease_duration: u64,
    renewable: bool,
}

#[derive(Deserialize)]
struct Capabilities {
    capabilities: Vec<String>,
}

async fn log_in(
    client: &Client,
    auth: &VaultAuth,
    blocking: &Blocking,
) -> Result<Token, MaterialError> {
    let (mount, shown) = match auth {
        VaultAuth::TokenFile(path) => {
            let text = read(path, "a token", blocking).await?;
            return Ok(Token { text, since: clock::now(), life: None, renewable: false });
        }
        VaultAuth::AppRole { mount, role_id, secret_id_file } => {
            let secret = read(secret_id_file, SECRET_ID, blocking).await?;
            (mount, body(&Shown::AppRole { role_id, secret_id: secret.text() }, secret.text()))
        }
        VaultAuth::Kubernetes { mount, role, token_file } => {
            let jwt = read(token_file, "a service account's token", blocking).await?;
            (mount, body(&Shown::Kubernetes { role, jwt: jwt.text() }, jwt.text()))
        }
        VaultAuth::Cert { mount, role: Some(name), .. } => (mount, body(&Shown::Cert { name }, "")),
        VaultAuth::Cert { mount, role: None, .. } => (mount, body(&Shown::AnyCert {}, "")),
    };
    let path = format!("/v1/auth/{}/login", mount.trim_matches('/'));
    let reply = client.write(&path, None, shown).await?;
    Ok(granted(reply, &Step::Login(auth))?)
}

/// Whether the policies of `token` allow `step`. Not every token may ask.
pub(super) async fn may(
    client: &Client,
    auth: &VaultAuth,
    token: &Secret,
    step: &Step<'_>,
) -> Result<(), EnrolError> {
    let Step::Sign { mount, role, .. } = step else { return Ok(()) };
    let asked = serde_json::json!({ "paths": [format!("{mount}/sign/{role}")] });
    let body = Zeroizing::new(asked.to_string().into_bytes());
    let reply = client.write("/v1/sys/capabilities-self", Some(token), body).await?;
    let at = reply.at.clone();
    if reply.status == StatusCode::FORBIDDEN && matches!(auth, VaultAuth::TokenFile(_)) {
        return Err(reply.refused(&Step::Token(auth)));
    }
    let Ok(Capabilities { capabilities }) = reply.json(step) else { return Ok(()) };
    if capabilities.iter().any(|may| ["update", "root", "sudo"].contains(&may.as_str())) {
        return Ok(());
    }
    let what = format!("lets us in, and not have a certificate: {}", policy(mount, role));
    Err(EnrolError { at, kind: EnrolFailure::Refused, what })
}

async fn read(
    path: &Path,
    what: &'static str,
    blocking: &Blocking,
) -> Result<Secret, MaterialError> {
    let path = path.to_owned();
    blocking.run(move || Ok(Secret::read(&path, what)?)).await
}

fn body(shown: &Shown<'_>, secret: &str) -> Zeroizing<Vec<u8>> {
    // Never grows: a buffer that moves leaves the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * secret.len() + 4096));
    let _cannot_fail_in_memory = serde_json::to_writer(&mut *bytes, shown);
    bytes
}

fn granted(reply: Reply, step: &Step<'_>) -> Result<Token, EnrolError> {
    let at = reply.at.clone();
    let Granted { auth } = reply.json(step)?;
    let Some(grant) = auth.filter(|grant| !grant.client_token.text().is_empty()) else {
        let what = "gives no token: does it want a second factor? that is not supported".to_owned();
        return Err(EnrolError { at, kind: EnrolFailure::Refused, what });
    };
    let seconds = i64::try_from(grant.lease_duration.min(LONGEST)).unwrap_or_default();
    Ok(Token {
        text: grant.client_token,
        since: clock::now(),
        life: (seconds > 0).then(|| Duration::seconds(seconds)),
        renewable: grant.renewable,
    })
}
