//! Keys of every kind, made by the openssl program, in handshakes with it; and several at once, of which
//! each peer gets one that it can verify.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::mesh::{Mesh, Running, Setup};
use crate::support::openssl::SClient;
use crate::support::pki::spiffe;
use crate::support::process::{Process, Said, free_port, loopback, needs, run};
use crate::support::workload::{Kind, Workload};

/// Each kind of key: its name, how openssl makes it, and the signature that it makes in TLS 1.3.
const KINDS: [(&str, &str, &str); 5] = [
    ("p256", "EC -pkeyopt ec_paramgen_curve:P-256", "ecdsa_secp256r1_sha256"),
    ("p384", "EC -pkeyopt ec_paramgen_curve:P-384", "ecdsa_secp384r1_sha384"),
    ("ed25519", "Ed25519", "ed25519"),
    ("rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048", "rsa_pss_rsae_sha256"),
    ("rsa4096", "RSA -pkeyopt rsa_keygen_bits:4096", "rsa_pss_rsae_sha512"),
];

/// A directory with a root, in which openssl makes certificates.
struct OpenSsl {
    dir: TempDir,
}

impl OpenSsl {
    async fn new() -> Self {
        let pki = Self { dir: TempDir::new().unwrap() };
        pki.run(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=root \
             -keyout root.key -out root.crt -addext keyUsage=critical,keyCertSign,cRLSign",
        )
        .await;
        pki
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn run(&self, line: &str) {
        let mut openssl = Command::new(needs("openssl", "openssl"));
        openssl.args(line.split_whitespace()).current_dir(self.dir());
        let said = run(&mut openssl, "").await;
        assert_eq!(said.code, Some(0), "openssl {line}: {said:#?}");
    }

    /// `NAME.key`, and `NAME.crt` of the service `service` over it.
    async fn issue(&self, name: &str, kind: &str, service: &str) {
        let extensions = format!(
            "subjectAltName=URI:{},DNS:{service}\nextendedKeyUsage=serverAuth,clientAuth\n\
             keyUsage=critical,digitalSignature\n",
            spiffe(service)
        );
        std::fs::write(self.dir().join(format!("{name}.ext")), extensions).unwrap();
        self.run(&format!("genpkey -algorithm {kind} -out {name}.key")).await;
        self.run(&format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr")).await;
        self.run(&format!(
            "x509 -req -in {name}.csr -CA root.crt -CAkey root.key -CAcreateserial -days 9 -extfile \
             {name}.ext -out {name}.crt"
        ))
        .await;
    }

    /// `setup` with these pairs, the first of them preferred.
    fn identity(&self, setup: Setup, names: &[&str]) -> Setup {
        let dir = self.dir().display();
        let pair = |name: &&str| format!("cert: {dir}/{name}.crt, key: {dir}/{name}.key");
        let others: Vec<_> =
            names[1..].iter().map(|name| format!("{{ {} }}", pair(name))).collect();
        setup.identity(&format!(
            "files: {{ {}, trust_bundle: {dir}/root.crt, others: [{}] }}",
            pair(&names[0]),
            others.join(", ")
        ))
    }

    /// A handshake of `openssl s_client` as `web`, which says `hello`.
    async fn hello(&self, db: &Running, args: &[&str]) -> Said {
        let file = |name: &str| self.dir().join(name).display().to_string();
        let (cert, key, root) = (file("web.crt"), file("web.key"), file("root.crt"));
        let own = ["-cert", &cert, "-key", &key, "-CAfile", &root, "-verify_return_error"];
        let client = SClient::to(db.address()).args(&own);
        client.args(&["-verify_hostname", "db"]).args(args).send("hello\n").await
    }
}

/// The common name of the certificate that openssl was shown.
fn shown(said: &Said) -> &str {
    let line = said.stdout.lines().find_map(|line| line.strip_prefix("subject=CN = "));
    line.unwrap_or_else(|| panic!("no certificate was shown: {said:#?}"))
}

async fn inbound(pki: &OpenSsl, mesh: &Mesh, names: &[&str]) -> (Running, Workload) {
    let workload = Workload::tcp(Kind::Line).await;
    let setup = mesh.inbound("db").allow("web").forward(workload.target());
    (pki.identity(setup, names).start().await, workload)
}

#[tokio::test]
async fn a_key_of_each_kind_serves_openssl() {
    let pki = OpenSsl::new().await;
    for (name, kind, signature) in KINDS {
        pki.issue(name, kind, "db").await;
        // What s_client verifies is what it signs with, too.
        pki.issue("web", kind, "web").await;
        let mesh = Mesh::new();
        let (db, _workload) = inbound(&pki, &mesh, &[name]).await;

        let said = pki.hello(&db, &["-tls1_3", "-sigalgs", signature]).await;

        assert!(said.stdout.contains("you said hello"), "{name}: {said:#?}");
        assert_eq!(shown(&said), name);
    }
}

#[tokio::test]
async fn a_peer_gets_the_first_certificate_that_it_can_verify() {
    let pki = OpenSsl::new().await;
    for (name, kind, _) in KINDS {
        pki.issue(name, kind, "db").await;
    }
    pki.issue("web", KINDS[3].1, "web").await;
    let mesh = Mesh::new();
    let (db, _workload) = inbound(&pki, &mesh, &["ed25519", "p256", "rsa2048"]).await;

    for (args, wanted) in [
        (&["-sigalgs", "rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256:ed25519"][..], "ed25519"),
        (&["-sigalgs", "rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256"], "p256"),
        (&["-sigalgs", "rsa_pss_rsae_sha256"], "rsa2048"),
        (&["-tls1_2", "-sigalgs", "ECDSA+SHA256:RSA+SHA256"], "p256"),
        (&["-tls1_2", "-sigalgs", "RSA+SHA256"], "rsa2048"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "rsa2048"),
    ] {
        // What is signed by the root is verified whichever signature the leaf makes.
        let said = pki.hello(&db, args).await;

        assert!(said.stdout.contains("you said hello"), "{args:?}: {said:#?}");
        assert_eq!(shown(&said), wanted, "{args:?}");
    }
}

#[tokio::test]
async fn a_server_gets_the_first_client_certificate_that_it_can_verify() {
    let pki = OpenSsl::new().await;
    pki.issue("db", KINDS[0].1, "db").await;
    pki.issue("p256", KINDS[0].1, "web").await;
    pki.issue("rsa2048", KINDS[3].1, "web").await;
    for (verifies, wanted) in
        [("rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256", "p256"), ("rsa_pss_rsae_sha256", "rsa2048")]
    {
        let port = free_port();
        let mut command = Command::new(needs("openssl", "openssl"));
        command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-rev"]);
        command.args(["-cert", "db.crt", "-key", "db.key", "-CAfile", "root.crt", "-Verify", "3"]);
        command.args(["-verify_return_error", "-client_sigalgs", verifies]).current_dir(pki.dir());
        let mut server = Process::start(&mut command);
        server.says("ACCEPT").await;
        let mesh = Mesh::new();
        let setup = mesh.outbound("web").allow("db").to(loopback(port));
        let web = pki.identity(setup, &["p256", "rsa2048"]).start().await;

        assert_eq!(crate::outbound::ask(&web, "hello\n").await, "olleh\n", "{}", server.output());

        let said = server.says("depth=0 CN = ").await;
        assert!(said.contains(&format!("depth=0 CN = {wanted}")), "{verifies}: {said}");
    }
}

#[tokio::test]
async fn the_certificate_that_ends_first_is_the_one_in_the_metrics() {
    let pki = OpenSsl::new().await;
    pki.issue("p256", KINDS[0].1, "db").await;
    pki.issue("rsa2048", KINDS[3].1, "db").await;
    pki.run(
        "x509 -req -in rsa2048.csr -CA root.crt -CAkey root.key -CAcreateserial -days 2 -extfile \
         rsa2048.ext -out rsa2048.crt",
    )
    .await;
    let mesh = Mesh::new();
    let (db, _workload) = inbound(&pki, &mesh, &["p256", "rsa2048"]).await;

    let end = db.metric("myelin_certificate_not_after_timestamp_seconds", &[]).await;

    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let days = (end - f64::from(u32::try_from(now).unwrap())) / 86400.0;
    assert!((1.9..2.1).contains(&days), "{days}");
}
