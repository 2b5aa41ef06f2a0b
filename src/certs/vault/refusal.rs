//! What a server's refusals mean, and the mend.

use http::StatusCode;

use crate::certs::enrol::EnrolFailure;
use crate::config::VaultAuth;
use crate::identity::SpiffeId;

/// So much of what a server says is told.
const QUOTED: usize = 300;
/// Texts that begin so, and are as long as this, are tokens.
const TOKENS: [&str; 7] = ["s.", "b.", "r.", "hvs.", "hvb.", "hvr.", "eyJ"];
const TOKEN_LENGTH: usize = 20;

/// What the server was asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// To give us a token.
    Login(&'a VaultAuth),
    /// To say whether our token is good.
    Token(&'a VaultAuth),
    /// To issue a certificate.
    Sign {
        /// Where the PKI is mounted.
        mount: &'a str,
        /// The PKI role.
        role: &'a str,
        /// Whom the certificate is to name.
        spiffe: &'a SpiffeId,
    },
    /// To tell its authorities and revocation lists.
    Read {
        /// Where the PKI is mounted.
        mount: &'a str,
    },
}

/// The kind of failure, and a text with what the server said and the mend.
pub(super) fn meaning(
    step: &Step<'_>,
    status: StatusCode,
    errors: &[String],
) -> (EnrolFailure, String) {
    let said = quoted(errors);
    let spoken = errors.join(" ").to_lowercase();
    let says = |words: &str| spoken.contains(words);
    if status == StatusCode::SERVICE_UNAVAILABLE && says("sealed") {
        let mend = "is sealed: unseal it (`bao operator unseal`)";
        return (EnrolFailure::Unreachable, mend.to_owned());
    }
    // Of the certificate that we show, and yet answered as the server's own failure.
    let is_ours = says("missing name in alias");
    let busy = [StatusCode::PRECONDITION_FAILED, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if !is_ours && (busy || status.is_server_error()) {
        let what = format!("cannot serve us at the moment: {status}{}", after(&said));
        return (EnrolFailure::Unreachable, what);
    }
    if errors.is_empty() && status != StatusCode::NOT_FOUND {
        let what = format!("answers {status}: is this the address of OpenBao or Vault?");
        return (EnrolFailure::BadAnswer, what);
    }
    let mend = if says("namespace not found") || says("no namespace") {
        "correct identity.vault.namespace (`bao namespace list`)".to_owned()
    } else {
        match step {
            Step::Login(auth) | Step::Token(auth) => of_login(auth, status, &says),
            Step::Sign { mount, role, spiffe } => of_sign(mount, role, spiffe, status, &says),
            Step::Read { mount } => of_read(mount, status, &says),
        }
    };
    let said = if said.is_empty() { status.to_string() } else { said };
    (EnrolFailure::Refused, format!("refuses ({said}): {mend}"))
}

/// Whether a certificate was refused for a DNS name that the role does not allow.
pub(super) fn is_about_dns(status: StatusCode, errors: &[String]) -> bool {
    status == StatusCode::BAD_REQUEST
        && errors.iter().any(|error| error.contains("subject alternate name "))
}

/// What the server says, fit for a log: bounded, one line, and no token in it.
pub(super) fn quoted(errors: &[String]) -> String {
    let words = errors.iter().flat_map(|error| error.split_whitespace());
    let words = words.map(|word| if holds_token(word) { "[…]" } else { word });
    let text = words.collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn holds_token(word: &str) -> bool {
    word.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).any(|part| {
        part.len() >= TOKEN_LENGTH && TOKENS.iter().any(|begin| part.starts_with(begin))
    })
}

fn after(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

fn of_login(auth: &VaultAuth, status: StatusCode, says: &dyn Fn(&str) -> bool) -> String {
    match auth {
        VaultAuth::TokenFile(path) => format!(
            "the token in {} is over, withdrawn, or of another server or namespace",
            path.display()
        ),
        VaultAuth::AppRole { mount, secret_id_file, .. } => {
            if status == StatusCode::BAD_REQUEST || says("secret id") {
                format!(
                    "role_id is wrong, or the secret id in {} is over or used up: put a new one \
                     there (`bao write -f auth/{mount}/role/NAME/secret-id`)",
                    secret_id_file.display()
                )
            } else {
                unmounted(mount, "approle")
            }
        }
        VaultAuth::Kubernetes { mount, role, .. } => {
            if says("invalid role name") {
                format!(
                    "make the role (`bao write auth/{mount}/role/{role} …`) or correct its name"
                )
            } else if says("not authorized") {
                format!(
                    "add our service account and its namespace to the role (`bao write \
                     auth/{mount}/role/{role} bound_service_account_names=… \
                     bound_service_account_namespaces=…`)"
                )
            } else {
                format!(
                    "the service account's token was not accepted: look at `bao read \
                     auth/{mount}/config`; {}",
                    unmounted(mount, "kubernetes")
                )
            }
        }
        VaultAuth::Cert { mount, cert, .. } => of_cert_login(mount, cert, says),
    }
}

fn of_cert_login(mount: &str, cert: &std::path::Path, says: &dyn Fn(&str) -> bool) -> String {
    let cert = cert.display();
    if says("missing name in alias") {
        format!(
            "the certificate in {cert} has no common name, which this kind of login needs: use one \
             that has"
        )
    } else if says("no client certificate found") {
        "no certificate reached it: its listener must not say tls_disable_client_certs, and what \
         stands between may not end TLS"
            .to_owned()
    } else if says("certificate") {
        format!(
            "the certificate in {cert} does not fit any role (`bao list auth/{mount}/certs`): its \
             authority and its names have to be those that the role allows"
        )
    } else {
        unmounted(mount, "cert")
    }
}

fn unmounted(mount: &str, kind: &str) -> String {
    format!("is {kind} mounted at auth/{mount} (`bao auth list`)?")
}

fn of_sign(
    mount: &str,
    role: &str,
    spiffe: &SpiffeId,
    status: StatusCode,
    says: &dyn Fn(&str) -> bool,
) -> String {
    if status == StatusCode::FORBIDDEN {
        return policy(mount, role);
    }
    if status == StatusCode::NOT_FOUND {
        return no_pki(mount);
    }
    let write = format!("bao write {mount}/roles/{role}");
    if says("unknown role") {
        format!(
            "make the role (`{write} …`) or correct identity.vault.role (`bao list {mount}/roles`)"
        )
    } else if says("uri subject alternative name") {
        format!("the role has to allow {spiffe} (`{write} allowed_uri_sans=…`)")
    } else if says("common_name field is required") {
        format!(
            "the role has to do without (`{write} require_cn=false`), or set identity.vault.common_name"
        )
    } else if says("common name") {
        format!("the role does not allow identity.vault.common_name (`{write} allowed_domains=…`)")
    } else if says("requires keys of type") || says("bit key") {
        format!("set identity.vault.key_types to it, or the role to any (`{write} key_type=any`)")
    } else if says("issuer") {
        format!("the mount has no authority that signs (`bao list {mount}/issuers`)")
    } else {
        format!("look at the role (`bao read {mount}/roles/{role}`)")
    }
}

/// Which policy lets us have certificates.
pub(super) fn policy(mount: &str, role: &str) -> String {
    format!(
        "our token's policies have to hold `path \"{mount}/sign/{role}\" {{ capabilities = \
         [\"update\"] }}`; are mount and role right?"
    )
}

fn of_read(mount: &str, status: StatusCode, says: &dyn Fn(&str) -> bool) -> String {
    if status == StatusCode::NOT_FOUND && !says("no handler") {
        return format!(
            "the mount {mount} has no authority yet: make one (`bao write \
             {mount}/root/generate/internal …`)"
        );
    }
    no_pki(mount)
}

fn no_pki(mount: &str) -> String {
    format!("is a PKI mounted at {mount} (`bao secrets list`)? correct identity.vault.mount")
}

#[cfg(test)]
mod tests;
