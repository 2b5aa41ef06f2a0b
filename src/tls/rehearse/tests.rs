use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use time::OffsetDateTime;

use super::*;
use crate::certs::Trusted;
use crate::config::{CrlExpired, Profile};

const SERVER_AND_CLIENT: &str = "serverAuth,clientAuth";

/// What `openssl` makes: a root, and a leaf over a new key of the kind `key`.
struct Made {
    dir: TempDir,
}

impl Made {
    fn new(key: &str, purpose: &str) -> Self {
        let made = Self { dir: TempDir::new().unwrap() };
        made.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout root.key -out \
             root.crt -subj /CN=root -addext basicConstraints=critical,CA:TRUE -addext \
             keyUsage=critical,keyCertSign",
        );
        made.leaf("leaf", key, purpose);
        made
    }

    fn leaf(&self, name: &str, key: &str, purpose: &str) {
        let extensions = format!(
            "subjectAltName=URI:spiffe://td/ehr\nextendedKeyUsage={purpose}\n\
             keyUsage=critical,digitalSignature\n"
        );
        std::fs::write(self.dir.path().join("leaf.ext"), extensions).unwrap();
        self.openssl(&format!("genpkey {key} -out {name}.key"));
        self.openssl(&format!("req -new -key {name}.key -subj /CN=ehr -out {name}.csr"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile leaf.ext \
             -days 30 -out {name}.crt"
        ));
    }

    fn openssl(&self, line: &str) {
        let mut command = std::process::Command::new("openssl");
        let output = command.args(line.split_whitespace()).current_dir(self.dir.path()).output();
        let output = output.expect("openssl is not installed: apt-get install openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn pair(&self, certificate: &str, key: &str) -> Arc<CertifiedKey> {
        let leaf = self.certificate(certificate);
        let key = PrivateKeyDer::from_pem_file(self.dir.path().join(format!("{key}.key"))).unwrap();
        Arc::new(CertifiedKey::new(vec![leaf], any_supported_type(&key).unwrap()))
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.dir.path().join(format!("{name}.crt"))).unwrap()
    }

    fn material(&self, presented: Arc<CertifiedKey>) -> Material {
        let facts = PeerCertificate::parse(&presented.cert[0]).unwrap();
        let bundle = vec![self.certificate("root")];
        Material {
            presented,
            others: Vec::new(),
            facts: Arc::new(facts),
            issued: OffsetDateTime::now_utc(),
            trusted: Arc::new(Trusted { bundle, ..Trusted::default() }),
        }
    }
}

fn settings(profile: Profile) -> TlsSettings {
    TlsSettings { profile, cipher_suites: Vec::new(), crl_expired: CrlExpired::Refuse }
}

fn needs(server: bool, client: bool) -> Needs {
    Needs { server, client, profile: Profile::Nist }
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

#[test]
fn good_material_of_every_kind_of_key_shakes_its_own_hand_in_every_profile() {
    let kinds = [
        P256,
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        "-algorithm ED25519",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    ];
    for kind in kinds {
        let made = Made::new(kind, SERVER_AND_CLIENT);
        let material = made.material(made.pair("leaf", "leaf"));
        for profile in [Profile::Nist, Profile::Modern, Profile::Compatible] {
            let rehearsed = rehearse(&material, &settings(profile), needs(true, true));
            assert!(rehearsed.is_ok(), "{kind} {profile:?}: {rehearsed:?}");
        }
    }
}

#[test]
fn a_certificate_for_one_role_shakes_hands_in_that_role_and_not_in_the_other() {
    for (purpose, server, client) in [("serverAuth", true, false), ("clientAuth", false, true)] {
        let made = Made::new(P256, purpose);
        let material = made.material(made.pair("leaf", "leaf"));
        let settings = settings(Profile::Nist);

        rehearse(&material, &settings, needs(server, client)).unwrap();

        let error = rehearse(&material, &settings, needs(true, true)).unwrap_err().to_string();
        let side = if server { "the server" } else { "the client" };
        let begin = format!("a handshake with itself over TLS 1.3 came to nothing: {side} found ");
        assert!(error.starts_with(&begin), "{error}");
        assert!(take_findings().is_none(), "nothing is left for another handshake to find");
    }
}

#[test]
fn the_key_of_another_pair_shakes_no_hand() {
    let made = Made::new(P256, SERVER_AND_CLIENT);
    made.leaf("other", P256, SERVER_AND_CLIENT);
    let material = made.material(made.pair("leaf", "other"));

    let error = rehearse(&material, &settings(Profile::Nist), needs(true, true)).unwrap_err();

    assert!(error.to_string().contains("the client found"), "{error}");
}

#[test]
fn each_of_several_certificates_is_tried() {
    let made = Made::new(P256, SERVER_AND_CLIENT);
    made.leaf("other", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "serverAuth");
    let mut material = made.material(made.pair("leaf", "leaf"));
    material.others = vec![made.pair("other", "other")];
    let settings = settings(Profile::Nist);

    rehearse(&material, &settings, needs(true, false)).unwrap();
    assert!(rehearse(&material, &settings, needs(true, true)).is_err());
}

#[test]
fn the_old_version_is_tried_where_the_profile_has_it() {
    let made = Made::new(P256, SERVER_AND_CLIENT);
    let material = made.material(made.pair("leaf", "leaf"));
    let old = |profile| narrowed(&settings(profile), &rustls::version::TLS12);
    assert!(old(Profile::Modern).is_none());
    assert!(old(Profile::Nist).unwrap().cipher_suites.iter().all(|suite| !suite.contains("TLS13")));
    // An RSA certificate is no use where only ECDSA suites are left of TLS 1.2: nobody notices in TLS 1.3.
    let made_rsa = Made::new("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", SERVER_AND_CLIENT);
    let rsa = made_rsa.material(made_rsa.pair("leaf", "leaf"));
    let suites = ["TLS13_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"];
    let settings =
        TlsSettings { cipher_suites: suites.map(String::from).to_vec(), ..settings(Profile::Nist) };

    rehearse(&material, &settings, needs(true, true)).unwrap();
    let error = rehearse(&rsa, &settings, needs(true, true)).unwrap_err().to_string();

    assert!(error.contains("over TLS 1.2"), "{error}");
}

#[test]
fn lists_that_do_not_cover_ourselves_are_no_obstacle() {
    let made = Made::new(P256, SERVER_AND_CLIENT);
    let elsewhere = Made::new(P256, SERVER_AND_CLIENT);
    std::fs::write(
        elsewhere.dir.path().join("ca.cnf"),
        "[ca]\ndefault_ca=own\n[own]\ndatabase=db\ncrlnumber=number\ndefault_md=sha256\n\
         default_crl_days=7\n",
    )
    .unwrap();
    std::fs::write(elsewhere.dir.path().join("db"), "").unwrap();
    std::fs::write(elsewhere.dir.path().join("number"), "01\n").unwrap();
    elsewhere.openssl("ca -config ca.cnf -cert root.crt -keyfile root.key -gencrl -out ca.crl");
    let mut material = made.material(made.pair("leaf", "leaf"));
    let list = rustls::pki_types::CertificateRevocationListDer::from_pem_file(
        elsewhere.dir.path().join("ca.crl"),
    );
    Arc::make_mut(&mut material.trusted).crls = vec![list.unwrap()];

    rehearse(&material, &settings(Profile::Nist), needs(true, true)).unwrap();
}
