//! What the kernel redirects, and who takes it.

use super::{HEAD, parse, screen};
use crate::config::{ListenAddr, Place};

const PEERS: &str = "peers: { lab: { dns: lis.lab.example } }\n";

fn transparent(more: &str) -> String {
    format!(
        "{HEAD}{PEERS}outbound:\n  - name: to-lab\n    redirect: transparent\n    expect: [lab]\n    protocol: http\n{more}"
    )
}

#[test]
fn a_transparent_listener_has_destinations_by_address_and_by_name() {
    let config = parse(&transparent(
        "    destinations:\n      - { name: LIS.lab.example, ports: [80, 8080], port: 8443 }\n      - { address: 10.1.0.0/16 }\n\
         redirect: { port: 15001 }\n",
    ))
    .unwrap();

    let listener = &config.outbound[0];
    assert_eq!(listener.listen, ListenAddr::Redirected);
    assert!(listener.to.is_empty());
    let [named, within] = &listener.destinations[..] else { panic!("{listener:?}") };
    assert_eq!(named.place, Place::Named("lis.lab.example".into()));
    assert_eq!((named.has_port(80), named.has_port(81), named.port), (true, false, Some(8443)));
    assert!(within.has_port(1) && within.port.is_none());
    assert_eq!(config.redirected_to(), Some(15001));
}

#[test]
fn what_does_not_fit_is_said_with_a_mend() {
    let redirect = "redirect: { port: 15001 }\n";
    let good = "    destinations: [{ address: 10.1.0.0/16 }]\n";
    let inbound = |listen: &str, ports: &str| {
        format!(
            "{HEAD}inbound:\n  - {{ name: web, listen: \"{listen}\", redirect_ports: {ports}, forward: 127.0.0.1:8080, \
             protocol: tcp, allow: [] }}\nadmin: {{ probe_listen: 0.0.0.0:9902 }}\n"
        )
    };
    for (text, said) in [
        (transparent(good), "`redirect` is missing: nothing is sent to `to-lab`"),
        (transparent(redirect), "`destinations` is missing in outbound[0]"),
        (
            transparent(&format!("{good}    to: [a:1]\n{redirect}")),
            "`to` is not for `redirect: transparent`",
        ),
        (
            transparent(&format!("    destinations: []\n{redirect}")),
            "an empty list takes no connection",
        ),
        (
            transparent(&format!("    destinations: [{{ ports: [1] }}]\n{redirect}")),
            "a destination without `address` and `name`",
        ),
        (
            transparent(&format!(
                "    destinations: [{{ address: 10.1.0.1, name: a.example }}]\n{redirect}"
            )),
            "a destination is an address or a name, not both",
        ),
        (
            transparent(&format!("    destinations: [{{ name: 10.1.0.1 }}]\n{redirect}")),
            "`name: 10.1.0.1` is not a DNS name",
        ),
        (
            transparent(&format!("    destinations: [{{ address: 10.1.0.1/16 }}]\n{redirect}")),
            "`address: 10.1.0.1/16` has bits that its first 16 do not cover",
        ),
        (
            transparent(&format!("{good}{redirect}")).replace("name: to-lab", "name: redirect"),
            "a listener is named `redirect`",
        ),
        (
            transparent(&format!("{good}{redirect}")).replace("transparent", "tproxy"),
            "`redirect: tproxy` is not transparent",
        ),
        (
            format!(
                "{HEAD}{PEERS}outbound:\n  - {{ name: a, listen: 127.0.0.1:1, to: [a:1], expect: [lab], protocol: tcp, destinations: [] }}\n"
            ),
            "`destinations` needs `redirect: transparent`",
        ),
        (transparent(&format!("{good}redirect: {{ port: 9901 }}\n")), "cannot be bound twice"),
        (inbound("127.0.0.1:8443", "[8080]"), "does not take what is redirected"),
        (inbound("[::]:8443", "[8443]"), "`web` redirects port 8443, which `web` has already"),
        (
            inbound("[::]:8443", "[9902]"),
            "`web` redirects port 9902, which admin.probe_listen has already",
        ),
        (
            inbound("[::]:8443", "[8080]").replace(
                "admin:",
                "  - { name: api, listen: \"[::]:8444\", redirect_ports: [8080], forward: 127.0.0.1:8081, \
                 protocol: tcp, allow: [] }\nadmin:",
            ),
            "`api` redirects port 8080, which `web` has already",
        ),
        (inbound("[::]:8443", "[]"), "an empty list names no port"),
    ] {
        let errors = screen(&text);
        assert!(errors.contains(said), "{said:?} is not among\n{errors}");
    }
}
