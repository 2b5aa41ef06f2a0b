//! The path that was judged is the path that the workload gets, and no workload reads another out of it.

use std::process::Command;

use crate::support::curl::Curl;
use crate::support::legacy::Legacy;
use crate::support::mesh::Mesh;
use crate::support::python::{peer, serves};

/// Ways out of `/open`, as attackers have written them.
const WAYS_OUT: &[&str] = &[
    "/open/../secret",
    "/open/./../secret",
    "/open/..;/secret",
    "/open/..;x=1/secret",
    "/open;x=1/../secret",
    "/open/x;/../../secret",
    "/open/%2e%2e/secret",
    "/open/%2E%2E%2Fsecret",
    "/open/..%2fsecret",
    "/open/..%5csecret",
    "/open/..\\secret",
    "/open/%252e%252e/secret",
    "/open/%252e%252e%252fsecret",
    "/open/%25%32%65%25%32%65/secret",
    "/open/%2%65%2%65/secret",
    "/open/x%25%32%66..%25%32%66secret",
    "/open/%25u002e%25u002e/secret",
    "/open/%u002e%u002e/secret",
    "/open/%c0%ae%c0%ae/secret",
    "/open/%e0%80%ae%e0%80%ae/secret",
    "/open/%ef%bc%8e%ef%bc%8e/secret",
    "/open/%e2%80%a5/secret",
    "/open/x%ef%bc%8f..%ef%bc%8fsecret",
    "/open/.%00./secret",
    "/open/..%00/secret",
    "/open/..%20/secret",
    "/open/...../secret",
    "/open/.%09./secret",
    "/open//../secret",
    "/open/%2f../secret",
    "//secret",
    "///secret",
    "/%2fsecret",
    "/open%3f/../secret",
    "/secret%3f/open/x",
    "/secret%23/open/x",
    "/secret;/open/x",
    "/SECRET",
    "/secret/",
    "/%73ecret",
    "/secret%20",
    "/secret.",
    "/secret::$DATA",
    "/Open/../secret",
    "/open/x?/../../secret",
];

/// What the most obliging workload makes of a target: everything decoded as often as there is something to
/// decode, every kind of slash and dot taken for one, segments cut at `;`, and resolved.
fn most_obliging(target: &str) -> String {
    let mut path = target.split(['?', '#']).next().unwrap().as_bytes().to_vec();
    loop {
        let decoded = decode(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let text = String::from_utf8_lossy(&path).to_lowercase();
    let text = text.replace(['\\', '\u{ff0f}', '\u{2215}'], "/").replace('\u{ff0e}', ".");
    let mut kept = Vec::new();
    for segment in text.replace('\u{2025}', "..").split('/') {
        let cut = segment.split([';', '?', '#', '\0']).next().unwrap();
        match cut.trim().trim_end_matches(['.', ' ']) {
            "" if cut.starts_with("..") => drop(kept.pop()),
            "" => {}
            name => kept.push(name.to_owned()),
        }
    }
    format!("/{}", kept.join("/"))
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), bytes);
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let octet = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match octet.filter(|_| *first == b'%') {
            Some(octet) => {
                decoded.push(octet);
                rest = &tail[2..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

#[tokio::test]
async fn no_spelling_leads_out_of_the_path_that_is_allowed() {
    let mesh = Mesh::new();
    let workload = Legacy::start().await;
    let routes = r#"routes: [ { name: open, path: "/open/{rest...}", allow: [web] } ]"#;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(workload.target()).with(routes);
    let ehr = ehr.start().await;
    let web = mesh.pem("web");
    let curl = Curl { identity: &web, to: &ehr };

    for version in ["--http1.1", "--http2"] {
        for path in WAYS_OUT {
            let got = curl.ask(path, &[version]).await;
            assert!(matches!(got.status, 200 | 400 | 403), "{path}: {got:?}");
        }
        assert_eq!(curl.ask("/open/M%C3%BCller%20a/100%25", &[version]).await.status, 200);
    }

    let arrived = workload.targets();
    assert!(arrived.contains(&"/open/M%C3%BCller%20a/100%25".to_owned()), "{arrived:?}");
    for target in arrived {
        assert!(most_obliging(&target).starts_with("/open"), "{target}");
        assert!(!most_obliging(&target).contains("secret"), "{target}");
    }
}

#[test]
fn the_most_obliging_workload_is_led_out_by_most_of_them() {
    let out = WAYS_OUT.iter().filter(|way| most_obliging(way).starts_with("/secret")).count();
    assert!(out > 25, "{out} of {}", WAYS_OUT.len());
}

#[tokio::test]
async fn no_header_tells_a_wsgi_server_another_path() {
    let mesh = Mesh::new();
    let (_server, target) = serves(peer("wsgi_peer", "gunicorn", &[])).await;
    let routes = r#"routes: [ { name: open, path: "/open/{rest...}", allow: [web] } ]"#;
    let ehr = mesh.inbound("ehr").allow("web").http().forward(&target).with(routes);
    let ehr = ehr.start().await;
    let web = mesh.pem("web");
    let curl = Curl { identity: &web, to: &ehr };

    // gunicorn believes whoever connects from loopback, and the sidecar does.
    let direct = Command::new("curl")
        .args(["-sS", "-H", "SCRIPT_NAME: /open", &format!("http://{target}/open/secret")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&direct.stdout), "/secret", "gunicorn has changed its mind");

    for header in [
        "SCRIPT_NAME: /open",
        "Script-Name: /open",
        "X-Script-Name: /open",
        "X-Forwarded-Prefix: /open",
        "PATH_INFO: /secret",
        "X-Original-URL: /secret",
        "X-Rewrite-URL: /secret",
    ] {
        let got = curl.ask("/open/secret", &["-H", header]).await;
        assert_eq!((got.status, got.body.as_str()), (200, "/open/secret"), "{header}");
    }
}
