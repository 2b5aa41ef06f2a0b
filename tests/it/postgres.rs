//! A real PostgreSQL behind a pair of sidecars.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::mesh::Mesh;
use crate::support::pki::spiffe;
use crate::support::process::{Process, Said, needs, run};
use crate::support::workload::{Kind, Workload};

/// Where Debian keeps the programs of the newest version.
fn bin(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let mut found: Vec<_> = versions
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin").join(program))
        .filter(|file| file.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("{program} is not installed: apt-get install postgresql"))
}

/// PostgreSQL runs as anybody but root.
fn as_user(program: &str) -> Command {
    let id = |of: &str| {
        let said = Command::new("id").args([of, "postgres"]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    if Command::new("id").arg("-u").output().unwrap().stdout != b"0\n" {
        return Command::new(bin(program));
    }
    let mut command = Command::new(needs("setpriv", "util-linux"));
    command.args(["--reuid", &id("-u"), "--regid", &id("-g"), "--clear-groups"]);
    command.arg(bin(program));
    command
}

struct Database {
    dir: TempDir,
    server: Process,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.stop("QUIT");
    }
}

impl Database {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        if Command::new("chown").arg("postgres").arg(path).status().unwrap().success() {
            assert!(path.exists());
        }
        let mut initdb = as_user("initdb");
        initdb.args(["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-D"]);
        let said = run(initdb.arg(path.join("data")).current_dir(path), "").await;
        assert_eq!(said.code, Some(0), "{said:#?}");
        let mut postgres = as_user("postgres");
        postgres.arg("-D").arg(path.join("data")).arg("-k").arg(path).current_dir(path);
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let mut server = Process::start(&mut postgres);
        server.says("ready to accept connections").await;
        Self { dir, server }
    }

    fn socket(&self) -> String {
        format!("unix:{}/.s.PGSQL.5432", self.dir.path().display())
    }
}

async fn client(program: &str, at: SocketAddr, args: &[&str], dir: &Path) -> Said {
    let port = at.port().to_string();
    let mut command = Command::new(bin(program));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port]).args(args);
    run(command.current_dir(dir), "").await
}

#[tokio::test]
async fn psql_and_pgbench_work_through_a_pair_of_sidecars() {
    let mesh = Mesh::new();
    let database = Database::new().await;
    let db = mesh.inbound("db").allow("web").forward(&database.socket()).phi().start().await;
    let web = mesh.outbound("web").allow("db").to(db.address()).start().await;
    let dir = mesh.dir();

    let query = "select sum(n), count(*) from generate_series(1, 100000) n";
    let psql = client("psql", web.address(), &["-X", "-At", "-c", query, "postgres"], dir).await;
    let init = client("pgbench", web.address(), &["-i", "-q", "-s", "1", "postgres"], dir).await;
    let bench = client("pgbench", web.address(), &["-c", "4", "-t", "50", "postgres"], dir).await;

    assert_eq!(psql.stdout, "5000050000|100000\n", "{psql:#?}");
    assert_eq!(init.code, Some(0), "{init:#?}");
    assert!(bench.stdout.contains("processed: 200/200"), "{bench:#?}");
    db.open_connections(0).await;
    let closed = db.trail().all("connection-closed");
    assert!(closed.iter().all(|record| record.reason() == "finished"), "{closed:#?}");
    assert!(!db.trail().text().contains("generate_series"), "what went through is in the trail");
}

#[tokio::test]
async fn a_workload_that_ends_with_its_sidecar_still_writes_to_its_database() {
    let mesh = Mesh::new();
    let database = Database::new().await;
    let workload = Workload::tcp(Kind::Echo).await;
    let db = mesh.inbound("db").allow("ehr").forward(&database.socket()).phi().start().await;
    let ehr = mesh.inbound("ehr").allow("web").forward(workload.target());
    let ehr = ehr.peer("db", &format!("spiffe: {}", spiffe("db")));
    let to = db.address();
    let ehr = ehr.file(&format!(
        "outbound: [{{ name: to-db, listen: 127.0.0.1:0, to: [\"{to}\"], protocol: tcp, expect: [db] }}]"
    ));
    let mut ehr = ehr.file("limits: { drain_timeout: 10m }").spawn().await;
    let (at, dir) = (ehr.address_of("to-db"), mesh.dir());
    let ask =
        async |query| client("psql", at, &["-X", "-At", "-c", query, "postgres"], dir).await.stdout;
    assert_eq!(ask("create table notes (text text)").await, "CREATE TABLE\n");

    ehr.process.signal("TERM");
    ehr.process.says("stay open until the workload is gone").await;
    let written = ask("insert into notes values ('last words')").await;
    let read = ask("select * from notes").await;
    drop(workload);

    assert_eq!((written.as_str(), read.as_str()), ("INSERT 0 1\n", "last words\n"));
    assert_eq!(ehr.process.ended().await.code(), Some(0));
}
