//! Whatever a file says, it is answered, and what is accepted keeps its promises.

use proptest::prelude::*;

use super::{HEAD, parse};
use crate::config::{Config, ListenAddr, Target};

const FILES: [&str; 8] = [
    include_str!("../../../config/myelin.yaml"),
    include_str!("../../../config/inbound-http.yaml"),
    include_str!("../../../config/inbound-tcp.yaml"),
    include_str!("../../../config/outbound.yaml"),
    include_str!("../../../config/files.yaml"),
    include_str!("../../../config/est.yaml"),
    include_str!("../../../config/vault.yaml"),
    include_str!("../../../config/spiffe.yaml"),
];

/// Pieces that a configuration, or a broken one, is made of.
const PIECES: [&str; 48] = [
    "\n",
    "\n  ",
    "\n    - ",
    "- ",
    ": ",
    ":",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "!t ",
    "|\n",
    ">\n",
    "? ",
    "\t",
    "---\n",
    "~",
    "true",
    "false",
    "1",
    "10s",
    "64KiB",
    "é",
    "${",
    "${SECRET}",
    "${file:x}",
    "version",
    "name",
    "listen",
    "forward",
    "allow",
    "routes",
    "peers",
    "limits",
    "127.0.0.1:80",
    "0.0.0.0:443",
    "unix:a",
    "http",
    "tcp",
    "off",
    "\u{feff}",
    "\0",
];

/// Answers `text`, shows the answer, and holds an accepted configuration to its promises.
fn answered(text: &str) {
    match parse(text) {
        Ok(config) => kept(&config, text),
        Err(problems) => {
            assert!(!problems.is_empty());
            let shown = format!("{problems}\n{problems:?}");
            assert!(!shown.contains("hunter"), "{shown}");
            serde_json::to_string(&problems.iter().collect::<Vec<_>>()).unwrap();
            assert!(!problems.one_line().contains('\n'));
        }
    }
}

fn kept(config: &Config, text: &str) {
    config.spiffe_id().unwrap();
    let known = |names: &[_]| names.iter().all(|name| config.peers.contains_key(name));
    let mut phi = false;
    for inbound in &config.inbound {
        let routes = inbound.routes.as_deref().unwrap_or_default();
        phi |= inbound.phi || routes.iter().any(|route| route.phi);
        assert!(known(&inbound.allow) && routes.iter().all(|route| known(&route.rule.allow)));
        if let Target::Tcp(address) = inbound.forward {
            assert!(address.ip().to_canonical().is_loopback() || text.contains("forward_anywhere"));
        }
    }
    for outbound in &config.outbound {
        phi |= outbound.phi;
        assert!(
            known(&outbound.expect)
                && !outbound.expect.is_empty()
                && (outbound.to.is_empty() != outbound.destinations.is_empty())
        );
        if let ListenAddr::Tcp(address) = outbound.listen {
            assert!(address.ip().to_canonical().is_loopback() || text.contains("listen_anywhere"));
        }
    }
    assert!(config.audit.is_some() || !phi);
    assert!(config.workers >= 1 && config.limits.connections >= 1);
}

/// `text` without `cut` characters from `at` on, and `piece` in their place.
fn mutated(text: &str, at: usize, cut: usize, piece: &str) -> String {
    let at = at % (text.chars().count() + 1);
    text.chars().take(at).chain(piece.chars()).chain(text.chars().skip(at + cut)).collect()
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answered(&text);
        answered(&[HEAD, &text].concat());
    }

    #[test]
    fn any_pieces_are_answered(picks in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = picks.into_iter().map(|pick| PIECES[pick]).collect();
        answered(&text);
        answered(&[HEAD, &text].concat());
    }

    #[test]
    fn a_good_file_with_a_change_is_answered(
        file in 0..FILES.len(),
        changes in prop::collection::vec((any::<usize>(), 0..12_usize, 0..PIECES.len()), 1..4),
    ) {
        let text = changes.into_iter().fold(FILES[file].to_owned(), |text, (at, cut, pick)| {
            mutated(&text, at, cut, PIECES[pick])
        });
        answered(&text);
    }

    #[test]
    fn a_good_file_that_lost_lines_is_answered(file in 0..FILES.len(), lost in any::<u128>()) {
        let lines = FILES[file].lines().filter(|line| !line.trim_start().starts_with('#'));
        let kept: String = lines
            .zip((0_u32..128).cycle())
            .filter(|(_, number)| lost.rotate_right(*number) & 7 != 0)
            .flat_map(|(line, _)| [line, "\n"])
            .collect();
        answered(&kept);
    }
}
