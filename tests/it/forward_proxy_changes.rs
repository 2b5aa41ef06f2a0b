//! The forward proxy while things change: a reload, a hand-over, a drain, a disk that is full.

use crate::audit::SmallDisk;
use crate::forward_proxy::{Clinic, EHR, HELLO};
use crate::support::eventually;
use crate::support::process::write;

#[tokio::test]
async fn destinations_change_with_a_reload_and_the_port_is_handed_over() {
    let mut clinic = Clinic::new().await;
    clinic.gets(HELLO).await;
    let narrower = EHR.replace(
        "{ name: lis.lab.example, ports: [80, 8080], port: 8443 }",
        "{ name: other.example, ports: [80] }",
    );
    write(clinic.dir.path(), "ehr.yaml", &narrower);

    clinic.running.last().unwrap().signal("HUP");
    eventually("the narrower configuration", async || {
        (clinic.answer(HELLO).await.0 == "403").then_some(())
    })
    .await;
    clinic.gets("http://[fd77::2]:8080/hello.txt").await;

    let fewer = narrower.replace("drain_timeout: 2s", "drain_timeout: 2s, connections: 5");
    write(clinic.dir.path(), "ehr.yaml", &fewer);
    clinic.running.last().unwrap().signal("HUP");
    let rejected = clinic.trail("ehr").only("config-rejected").await;
    assert!(rejected.text("message").contains("limits.connections"), "{rejected:?}");
    write(clinic.dir.path(), "ehr.yaml", &narrower);

    clinic.running.last().unwrap().signal("USR2");
    clinic.running.last_mut().unwrap().says("\"handed over\"").await;
    clinic.gets("http://[fd77::2]:8080/hello.txt").await;
    assert_eq!(clinic.answer(HELLO).await.0, "403");
    let tunnelled = clinic.curl("-p http://tcp.lab.example:5432/hello.txt").await;
    assert_eq!(tunnelled.stdout, "results of the day\n", "{}", tunnelled.all());
}

/// Opens a tunnel, says so, and waits for its end.
const HOLD: &str = "\
import socket
held = socket.create_connection(('127.0.0.1', 9002))
held.sendall(b'CONNECT tcp.lab.example:5432 HTTP/1.1\\r\\nHost: tcp.lab.example:5432\\r\\n\\r\\n')
print(held.recv(4096), flush=True)
print('the end', held.recv(4096), flush=True)
";

#[tokio::test]
async fn at_a_drain_tunnels_have_their_time_and_the_sidecar_ends() {
    let mut clinic = Clinic::new().await;
    clinic.gets(HELLO).await;
    write(clinic.dir.path(), "hold.py", HOLD);
    let mut ehr = clinic.running.pop().unwrap();
    clinic.starts("ehr", "exec python3 hold.py", "200 Connection established").await;

    ehr.signal("TERM");

    clinic.running.last_mut().unwrap().says("the end").await;
    assert!(ehr.ended().await.success());
    let over = clinic.trail("ehr").all("connection-closed");
    let tunnel = over.iter().find(|record| record.text("myelin.listener") == "to-anything");
    assert_eq!(tunnel.unwrap().reason(), "cut");
    let closed = over.iter().find(|record| record.text("myelin.listener") == "to-lab");
    assert_eq!(closed.unwrap().reason(), "finished");
}

/// Asks for half a tunnel; for the other half when it is seen that the sidecar drains.
const LATE: &str = "\
import socket
proxy = ('127.0.0.1', 9002)
late = socket.create_connection(proxy)
late.sendall(b'CONNECT tcp.lab.example:5432 HTTP/1.1\\r\\n')
other = socket.create_connection(proxy)  # accepted after it
other.sendall(b'GET http://elsewhere.example/ HTTP/1.1\\r\\nHost: elsewhere.example\\r\\n\\r\\n')
other.recv(4096)
print('begun', flush=True)
while other.recv(4096):  # until the drain closes it
    pass
late.sendall(b'Host: tcp.lab.example:5432\\r\\n\\r\\n')
print('answered', late.recv(4096), flush=True)
";

#[tokio::test]
async fn a_tunnel_that_is_half_asked_for_at_a_drain_is_still_opened() {
    let patient = EHR.replace("drain_timeout: 2s", "drain_timeout: 6s");
    let mut clinic = Clinic::with(&patient).await;
    write(clinic.dir.path(), "late.py", LATE);
    let mut ehr = clinic.running.pop().unwrap();
    clinic.starts("ehr", "exec python3 late.py", "begun").await;

    ehr.signal("TERM");

    let said = clinic.running.last_mut().unwrap().says("answered").await;
    let answer = said.lines().find(|line| line.starts_with("answered")).unwrap();
    assert!(answer.contains("200 Connection established"), "{said}");
    assert!(ehr.ended().await.success());
}

/// Takes a connection, and passes it on to the lab's sidecar when another one comes to the port behind.
const SLOW: &str = "\
import socket, threading
came, free = (socket.create_server(('10.77.0.2', port)) for port in (8446, 8447))
print('listening', flush=True)
near, _ = came.accept()
print('came', flush=True)
free.accept()
far = socket.create_connection(('10.77.0.2', 8443))
def pump(one, other):
    while some := one.recv(65536):
        other.sendall(some)
threading.Thread(target=pump, args=(far, near), daemon=True).start()
pump(near, far)
";

#[tokio::test]
async fn a_request_does_not_go_where_a_reload_has_closed_the_way_while_it_connected() {
    let mut clinic = Clinic::new().await;
    write(clinic.dir.path(), "slow.py", SLOW);
    clinic.starts("lab", "exec python3 slow.py", "listening").await;
    let mut slow = clinic.running.pop().unwrap();
    let url = "http://slow.lab.example/hello.txt";
    let closing = "      - { name: nowhere.lab.example, ports: [80] }\n      \
                   - { name: slow.lab.example, ports: [80], port: 8446 }\n";
    let narrower = EHR.replace(closing, "");
    assert_ne!(narrower, EHR);

    let closed = async {
        slow.says("came").await;
        write(clinic.dir.path(), "ehr.yaml", &narrower);
        clinic.running.last().unwrap().signal("HUP");
        eventually("the narrower configuration", async || {
            (clinic.answer("http://nowhere.lab.example/").await.0 == "403").then_some(())
        })
        .await;
        clinic.lab.fine("exec 3<>/dev/tcp/10.77.0.2/8447").await;
    };
    let (answer, ()) = tokio::join!(clinic.answer(url), closed);

    assert_eq!(answer, ("403".to_owned(), "not allowed\n".to_owned()));
    clinic.gets(HELLO).await;
    let denied = clinic.trail("ehr").wait_for("request-denied", 2).await;
    assert_eq!(denied[1].reason(), "unknown_destination");
    assert_eq!(denied[1].text("destination.address"), "slow.lab.example:80");
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_denied_as_its_listeners() {
    let disk = SmallDisk::new();
    let audit = format!("audit: {{ dir: {} }}", disk.trail().display());
    let clinic = Clinic::with(&EHR.replace("audit: { dir: audit-ehr }", &audit)).await;
    let url = "http://app.lab.example/headers";
    assert_eq!(clinic.answer(url).await.0, "200"); // its connection stays open for the next

    disk.fill();
    eventually("the trail to fail", async || (clinic.answer(url).await.0 == "503").then_some(()))
        .await;

    let metrics = clinic.fine("curl -sS --noproxy '*' http://127.0.0.1:9901/metrics").await;
    let denied = |line: &&str| line.contains("not_audited") && !line.ends_with(" 0");
    let of = |name: &str| metrics.lines().filter(denied).any(|line| line.contains(name));
    assert!(of("listener=\"to-app\""), "{metrics}");
    assert!(!of("listener=\"forward_proxy\""), "{metrics}");
}
