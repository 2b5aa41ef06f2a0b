//! Programs that nobody here wrote, on the other side of mutual TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::outbound::{ask, ask_at};
use crate::support::mesh::{Mesh, Running};
use crate::support::openssl::s_server;
use crate::support::pki::{Identity, spiffe};
use crate::support::process::{Process, free_port, loopback, needs, run, write};
use crate::support::workload::{Kind, Workload};

/// A workload and its sidecar, which lets in `web`.
struct Server {
    mesh: Mesh,
    db: Running,
    workload: Workload,
    dir: TempDir,
    port: u16,
}

impl Server {
    async fn new(kind: Kind) -> Self {
        let mesh = Mesh::new();
        let workload = Workload::tcp(kind).await;
        let db = mesh.inbound("db").allow("web").forward(workload.target()).start().await;
        Self { mesh, db, workload, dir: TempDir::new().unwrap(), port: free_port() }
    }

    /// Where the foreign program takes plaintext.
    fn plain(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// What a foreign client brought reached the workload, under its own name.
    async fn is_on_record(&self) {
        let allowed = self.db.trail().wait_for("connection-allowed", 1).await;
        assert_eq!(allowed[0].text("myelin.identity"), spiffe("web"));
        assert!(self.workload.connections() > 0);
    }
}

#[tokio::test]
async fn curl_is_a_client() {
    let server = Server::new(Kind::Http).await;
    let (web, address) = (server.mesh.pem("web"), server.db.address());
    let mut curl = Command::new(needs("curl", "curl"));
    curl.args([
        "-sS",
        "--max-time",
        "10",
        "--resolve",
        &format!("db:{}:127.0.0.1", address.port()),
    ]);
    curl.arg("--cert").arg(web.cert()).arg("--key").arg(web.key());
    curl.arg("--cacert").arg(web.trust_bundle()).arg(format!("https://db:{}/", address.port()));

    let said = run(&mut curl, "").await;

    assert_eq!(said.stdout, "hello\n", "{said:#?}");
    server.is_on_record().await;
}

#[tokio::test]
async fn nginx_is_a_client_for_any_bytes() {
    let server = Server::new(Kind::Line).await;
    let web = server.mesh.pem("web");
    let config = format!(
        "stream {{ server {{ listen {}; proxy_pass {}; proxy_ssl on; proxy_ssl_name db;
         proxy_ssl_verify on; proxy_ssl_verify_depth 3; proxy_ssl_trusted_certificate {};
         proxy_ssl_certificate {}; proxy_ssl_certificate_key {}; }} }}",
        server.plain(),
        server.db.address(),
        web.trust_bundle().display(),
        web.cert().display(),
        web.key().display(),
    );
    let mut nginx = nginx(server.dir.path(), &config);
    nginx.listens(server.plain()).await;

    assert_eq!(ask_at(server.plain(), "hello\n").await, "you said hello\n");
    server.is_on_record().await;
}

#[tokio::test]
async fn nginx_is_a_client_for_http() {
    let server = Server::new(Kind::Http).await;
    let web = server.mesh.pem("web");
    let config = format!(
        "http {{ {} server {{ listen {}; location / {{ proxy_pass https://{}; proxy_ssl_name db;
         proxy_ssl_verify on; proxy_ssl_verify_depth 3; proxy_ssl_trusted_certificate {};
         proxy_ssl_certificate {}; proxy_ssl_certificate_key {};
         proxy_http_version 1.1; proxy_set_header Connection ''; }} }} }}",
        temporary(server.dir.path()),
        server.plain(),
        server.db.address(),
        web.trust_bundle().display(),
        web.cert().display(),
        web.key().display(),
    );
    let mut nginx = nginx(server.dir.path(), &config);
    nginx.listens(server.plain()).await;

    let said = curl(server.plain()).await;

    assert_eq!(said, "hello\n");
    server.is_on_record().await;
}

#[tokio::test]
async fn haproxy_is_a_client() {
    let server = Server::new(Kind::Line).await;
    let web = server.mesh.pem("web");
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         frontend f\n bind {}\n default_backend b\n\
         backend b\n server s {} ssl verify required verifyhost db ca-file {} crt {}\n",
        server.plain(),
        server.db.address(),
        web.trust_bundle().display(),
        web.both().display(),
    );
    let mut haproxy = haproxy(server.dir.path(), &config);
    haproxy.listens(server.plain()).await;

    assert_eq!(ask_at(server.plain(), "hello\n").await, "you said hello\n");
    server.is_on_record().await;
}

#[tokio::test]
async fn stunnel_is_a_client() {
    let server = Server::new(Kind::Line).await;
    let web = server.mesh.pem("web");
    let config = format!(
        "foreground = yes\npid =\n[db]\nclient = yes\naccept = {}\nconnect = {}\ncert = {}\n\
         key = {}\nCAfile = {}\nverifyChain = yes\ncheckHost = db\n",
        server.plain(),
        server.db.address(),
        web.cert().display(),
        web.key().display(),
        web.trust_bundle().display(),
    );
    let mut stunnel = stunnel(server.dir.path(), &config);
    stunnel.listens(server.plain()).await;

    assert_eq!(ask_at(server.plain(), "hello\n").await, "you said hello\n");
    server.is_on_record().await;
}

/// A caller's sidecar, which expects `db`, and what the program in `db`'s place needs.
struct Client {
    mesh: Mesh,
    workload: Workload,
    db: Identity,
    dir: TempDir,
    port: u16,
}

impl Client {
    async fn new(kind: Kind) -> Self {
        let mesh = Mesh::new();
        let db = mesh.pem("db");
        let workload = Workload::tcp(kind).await;
        Self { mesh, workload, db, dir: TempDir::new().unwrap(), port: free_port() }
    }

    /// Where the foreign program takes mutual TLS.
    fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    async fn start(&self) -> Running {
        self.mesh.outbound("web").allow("db").to(self.address()).start().await
    }
}

async fn is_on_record(web: &Running) {
    let allowed = web.trail().wait_for("connection-allowed", 1).await;
    assert_eq!(allowed[0].text("myelin.identity"), spiffe("db"));
    assert_eq!(allowed[0].text("myelin.peer"), "db");
}

#[tokio::test]
async fn openssl_is_a_server() {
    let client = Client::new(Kind::Line).await;
    let mut server =
        s_server(&client.db, client.port, &["-Verify", "3", "-verify_return_error", "-rev"]);
    server.says("ACCEPT").await;
    let web = client.start().await;

    assert_eq!(ask(&web, "hello\n").await, "olleh\n");
    is_on_record(&web).await;
}

#[tokio::test]
async fn nginx_is_a_server_for_any_bytes() {
    let client = Client::new(Kind::Line).await;
    let config = format!(
        "stream {{ server {{ listen {} ssl; proxy_pass {}; ssl_certificate {};
         ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client on;
         ssl_verify_depth 3; }} }}",
        client.address(),
        client.workload.target(),
        client.db.cert().display(),
        client.db.key().display(),
        client.db.trust_bundle().display(),
    );
    let mut nginx = nginx(client.dir.path(), &config);
    nginx.listens(client.address()).await;
    let web = client.start().await;

    assert_eq!(ask(&web, "hello\n").await, "you said hello\n");
    is_on_record(&web).await;
}

#[tokio::test]
async fn nginx_is_a_server_for_http() {
    let client = Client::new(Kind::Http).await;
    let config = format!(
        "http {{ {} server {{ listen {} ssl; ssl_certificate {}; ssl_certificate_key {};
         ssl_client_certificate {}; ssl_verify_client on; ssl_verify_depth 3;
         location / {{ return 200 \"$ssl_client_verify $ssl_client_s_dn\\n\"; }} }} }}",
        temporary(client.dir.path()),
        client.address(),
        client.db.cert().display(),
        client.db.key().display(),
        client.db.trust_bundle().display(),
    );
    let mut nginx = nginx(client.dir.path(), &config);
    nginx.listens(client.address()).await;
    let web = client.start().await;

    let said = curl(web.address()).await;

    assert_eq!(said, "SUCCESS CN=web,O=hospital.example\n");
    is_on_record(&web).await;
}

#[tokio::test]
async fn haproxy_is_a_server() {
    let client = Client::new(Kind::Line).await;
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         frontend f\n bind {} ssl crt {} ca-file {} verify required\n default_backend b\n\
         backend b\n server s {}\n",
        client.address(),
        client.db.both().display(),
        client.db.trust_bundle().display(),
        client.workload.target(),
    );
    let mut haproxy = haproxy(client.dir.path(), &config);
    haproxy.listens(client.address()).await;
    let web = client.start().await;

    assert_eq!(ask(&web, "hello\n").await, "you said hello\n");
    is_on_record(&web).await;
}

#[tokio::test]
async fn stunnel_is_a_server() {
    let client = Client::new(Kind::Line).await;
    let config = format!(
        "foreground = yes\npid =\n[db]\naccept = {}\nconnect = {}\ncert = {}\nkey = {}\n\
         CAfile = {}\nverifyChain = yes\n",
        client.address(),
        client.workload.target(),
        client.db.cert().display(),
        client.db.key().display(),
        client.db.trust_bundle().display(),
    );
    let mut stunnel = stunnel(client.dir.path(), &config);
    stunnel.listens(client.address()).await;
    let web = client.start().await;

    assert_eq!(ask(&web, "hello\n").await, "you said hello\n");
    is_on_record(&web).await;
}

/// `GET /` over HTTP; the body.
async fn curl(address: SocketAddr) -> String {
    let mut curl = Command::new(needs("curl", "curl"));
    let said = run(curl.args(["-sS", "--max-time", "10", &format!("http://{address}/")]), "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    said.stdout
}

/// One process, so that it is ended by its id.
pub(crate) fn nginx(dir: &Path, config: &str) -> Process {
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    assert!(module.exists(), "apt-get install libnginx-mod-stream");
    let text = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log stderr info;
         load_module {1}; events {{}}\n{config}\n",
        dir.display(),
        module.display()
    );
    let file = write(dir, "nginx.conf", &text);
    let mut command = Command::new(needs("nginx", "nginx-light"));
    Process::start(command.arg("-p").arg(dir).arg("-c").arg(file).args(["-e", "stderr"]))
}

/// Where nginx may keep what it is sent.
pub(crate) fn temporary(dir: &Path) -> String {
    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};", dir.display()))
        .concat()
        + "access_log off;"
}

pub(crate) fn haproxy(dir: &Path, config: &str) -> Process {
    let file = write(dir, "haproxy.cfg", config);
    Process::start(Command::new(needs("haproxy", "haproxy")).args(["-db", "-f"]).arg(file))
}

pub(crate) fn stunnel(dir: &Path, config: &str) -> Process {
    let file = write(dir, "stunnel.conf", config);
    Process::start(Command::new(needs("stunnel4", "stunnel4")).arg(file))
}
