//! est-ca behind a TLS terminator: `est-ca-server CERT KEY TOKEN`, the authority's certificate and key in PEM.
//!
//! It takes TOKEN for whoever says to be somebody, as often as it comes, and whom the terminator names in
//! `x-client` as proven by a certificate.

use std::sync::Arc;

use axum::http::Request;
use axum::middleware::{Next, from_fn};
use est_ca::auth::{AuthBackend, Principal};
use est_ca::ca::serial::InMemorySerialStore;
use est_ca::ca::{CertProfile, Issuer};
use est_ca::est::server::EstServer;

struct OneToken(String);

impl AuthBackend for OneToken {
    fn verify_bootstrap(&self, user: &str, pass: &str) -> Result<Principal, String> {
        if pass == self.0 { Ok(Principal::new(user)) } else { Err("no such token".to_owned()) }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [cert, key, token] = std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
    let profile = CertProfile { server_auth: true, ..CertProfile::default() };
    let issuer =
        Issuer::load_pem(cert, key, profile, Arc::new(InMemorySerialStore::new())).unwrap();
    let named = from_fn(|mut request: Request<_>, next: Next<_>| async move {
        if let Some(name) = request.headers().get("x-client").and_then(|name| name.to_str().ok()) {
            let name = name.trim_start_matches("CN=").to_owned();
            if !name.is_empty() {
                request.extensions_mut().insert(Principal::new(name));
            }
        }
        next.run(request).await
    });
    let app = EstServer::new(issuer, Arc::new(OneToken(token))).router().layer(named);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    println!("listening {}", listener.local_addr().unwrap().port());
    axum::Server::from_tcp(listener).unwrap().serve(app.into_make_service()).await.unwrap();
}
