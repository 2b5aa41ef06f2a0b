//! What the workload asks a proxy for, and who takes it.

use super::{HEAD, parse, screen};
use crate::config::{Endpoint, ListenAddr};

const PROXY: &str = "forward_proxy: { listen: 127.0.0.1:9002 }\n";

fn asked(destinations: &str, more: &str) -> String {
    format!(
        "{HEAD}peers: {{ lab: {{ dns: lis.lab.example }} }}\noutbound:\n  - name: to-lab\n    redirect: forward_proxy\n    \
         destinations: {destinations}\n    expect: [lab]\n    protocol: http\n{more}"
    )
}

#[test]
fn its_listeners_lead_to_the_names_that_are_listed_and_resolve_no_others() {
    let destinations = "[{ name: LIS.lab.example, ports: [80, 8080] }, { name: b.example, ports: [80, 81], port: 8443 }, \
                        { address: 10.1.0.0/16 }, { name: lis.lab.example, ports: [8080] }]";

    let config = parse(&asked(destinations, PROXY)).unwrap();

    assert_eq!(config.forward_proxy, Some("127.0.0.1:9002".parse().unwrap()));
    let listener = &config.outbound[0];
    assert_eq!(listener.listen, ListenAddr::ForwardProxy);
    assert_eq!(listener.destinations.len(), 4);
    let endpoint = |host: &str, port| Endpoint { host: host.into(), port };
    let all = ["lis.lab.example:80", "lis.lab.example:8080", "b.example:8443"];
    let all = all.map(|text| text.rsplit_once(':').unwrap());
    assert_eq!(listener.to, all.map(|(host, port)| endpoint(host, port.parse().unwrap())));
}

#[test]
fn what_does_not_fit_is_said_with_a_mend() {
    let good = "[{ name: lis.lab.example, port: 8443 }]";
    for (text, said) in [
        (asked(good, ""), "`forward_proxy` is missing: nothing asks for `to-lab`"),
        (format!("{HEAD}{PROXY}"), "the forward proxy leads nowhere"),
        (
            asked("[{ name: lis.lab.example }]", PROXY),
            "a destination by name without `ports` and `port`",
        ),
        (
            asked(good, &format!("    listen: 127.0.0.1:1\n{PROXY}")),
            "`listen` is not for `redirect: forward_proxy`",
        ),
        (
            asked(good, &format!("    limits: {{ connections: 5 }}\n{PROXY}")),
            "requests of the forward proxy share those of the file",
        ),
        (
            asked(good, PROXY).replace("protocol: http", "protocol: mllp"),
            "a forward proxy is not asked for mllp",
        ),
        (
            asked(good, PROXY).replace("name: to-lab", "name: forward_proxy"),
            "a listener is named `forward_proxy`",
        ),
        (
            asked(good, "forward_proxy: { listen: 0.0.0.0:9002 }\n"),
            "is not loopback, and this side is plaintext",
        ),
        (asked(good, "forward_proxy: { listen: 127.0.0.1:9901 }\n"), "cannot be bound twice"),
        (asked(good, "forward_proxy: { listen: unix:/run/proxy }\n"), "is not IP:PORT"),
        (asked(good, "forward_proxy: {}\n"), "`listen` is missing in forward_proxy"),
    ] {
        let said_all = screen(&text);
        assert!(said_all.contains(said), "{said:?} is not among\n{said_all}");
    }
}
