//! Which way redirected connections take: from the first on, each on record as its own, until the listener that takes them goes.

use crate::redirect::{Clinic, EHR, HELLO_V6};
use crate::support::process::{Process, write};

/// A program of the workload that knows nothing of a proxy, as nobody.
fn workload(clinic: &Clinic, script: &str) -> Process {
    write(clinic.dir.path(), "workload.py", script);
    Process::start(&mut clinic.ehr.shell(clinic.dir.path(), "exec python3 -u workload.py"))
}

async fn redirected(config: &str) -> Clinic {
    let clinic = Clinic::of(config).await;
    clinic.fine("lab", "myelin redirect apply -c lab.yaml --user root").await;
    clinic.fine("ehr", "myelin redirect apply -c ehr.yaml --user root").await;
    clinic
}

const CONNECT: &str = "\
import os, socket, time
os.setgid(65534)
os.setuid(65534)
def connect():
    while True:
        there = socket.socket(socket.AF_INET6)
        try:
            there.connect(('fd77::2', 8080))
            return there
        except ConnectionRefusedError:
            there.close()
            time.sleep(0.001)
def hello(there):
    there.sendall(b'GET /hello.txt HTTP/1.0\\r\\nHost: lab\\r\\n\\r\\n')
    return there.makefile('rb').read().decode()
";

#[tokio::test]
async fn what_comes_while_the_sidecar_starts_is_not_refused() {
    // So many listeners that they are not in place at once.
    let other = |n| {
        format!(
            "  - name: to-{n}\n    redirect: transparent\n    destinations: [{{ address: 192.0.2.{n}, ports: [1] }}]\n    \
             expect: [lab]\n    protocol: tcp\n"
        )
    };
    let others: String = (1..=200).map(other).collect();
    let many = EHR.replace("  - name: to-lab\n", &format!("{others}  - name: to-lab\n"));
    let mut clinic = redirected(&many).await;

    for _ in 0..3 {
        clinic.running.pop().unwrap().stop("TERM");
        let mut eager = workload(&clinic, &format!("{CONNECT}print(hello(connect()))\n"));
        clinic.sidecar("ehr").await;
        eager.says("results of the day").await;
    }

    assert!(clinic.trail("ehr").all("connection-denied").is_empty());
}

#[tokio::test]
async fn each_request_is_on_record_with_where_it_was_to_go() {
    let one_place = "address: fd77::/64, ports: [8080, 8081]";
    let clinic = redirected(&EHR.replace("address: fd77::/64, ports: [8080]", one_place)).await;

    clinic.gets(HELLO_V6).await;
    clinic.gets("http://[fd77::2]:8081/hello.txt").await;

    let allowed = clinic.trail("ehr").wait_for("connection-allowed", 2).await;
    let asked: Vec<_> = allowed.iter().map(|it| it.number("destination.port")).collect();
    assert_eq!(asked, [8080, 8081]);
    assert!(allowed.iter().all(|it| it.text("myelin.endpoint") == "[fd77::2]:8443"));
}

#[tokio::test]
async fn what_waits_for_a_place_is_served_when_its_listener_goes() {
    let narrow =
        EHR.replace("protocol: http\n", "protocol: http\n    limits: { connections: 1 }\n");
    let clinic = redirected(&narrow).await;
    let script = "\
first = connect()
first.sendall(b'GET /hello.txt HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n')
first.recv(65536)
print('one is open')
second = connect()
print('one waits')
print(hello(second))
";
    let mut workload = workload(&clinic, &format!("{CONNECT}{script}"));
    workload.says("one waits").await;

    write(clinic.dir.path(), "ehr.yaml", &narrow.replace("to-lab", "to-the-lab"));
    clinic.running.last().unwrap().signal("HUP");

    workload.says("results of the day").await;
    assert!(workload.ended().await.success());
    let allowed = clinic.trail("ehr").all("connection-allowed");
    assert!(allowed.iter().all(|it| it.text("myelin.listener") == "to-lab"), "{allowed:#?}");
}
