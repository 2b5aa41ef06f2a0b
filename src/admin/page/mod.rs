//! The dashboard at `/`: files of this directory, built in, so that it works where nothing else can be reached.
//!
//! It asks the pages for machines, and nobody else: its policy (CSP) lets it load from this address alone, and
//! run no script that stands in a page. `uplot/` is somebody else's work, with its licence beside it.

use std::io::{self, Write};
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// Path, content type and content of what the page is made of.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("index.html")),
    ("/page/page.css", STYLE, include_str!("page.css")),
    ("/page/main.js", SCRIPT, include_str!("main.js")),
    ("/page/ask.js", SCRIPT, include_str!("ask.js")),
    ("/page/plots.js", SCRIPT, include_str!("plots.js")),
    ("/page/tables.js", SCRIPT, include_str!("tables.js")),
    ("/page/words.js", SCRIPT, include_str!("words.js")),
    ("/page/icon.svg", SVG, include_str!("icon.svg")),
    ("/page/uplot.js", SCRIPT, include_str!("uplot/uPlot.iife.min.js")),
    ("/page/uplot.css", STYLE, include_str!("uplot/uPlot.min.css")),
    ("/page/uplot.txt", TEXT, include_str!("uplot/LICENSE")),
];

/// The same files compressed, once: whoever looks from afar looks through a tunnel. `None` where that failed.
static PACKED: LazyLock<Vec<Option<Bytes>>> =
    LazyLock::new(|| FILES.iter().map(|(_, _, content)| packed(content).ok()).collect());

/// A file of the page, if `path` is one; `/` only for who asks for HTML, as browsers do.
pub(super) fn file(path: &str, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    if path == "/" && !names(headers, &ACCEPT, "text/html") {
        return None;
    }
    let place = FILES.iter().position(|(known, ..)| *known == path)?;
    let (_, content_type, content) = FILES.get(place)?;
    let packed = PACKED.get(place).cloned().flatten();
    let packed = packed.filter(|_| names(headers, &ACCEPT_ENCODING, "gzip"));
    let is_packed = packed.is_some();
    let body = packed.unwrap_or_else(|| Bytes::from_static(content.as_bytes()));
    let tag = tag(&body);
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut response = Response::new(Full::new(if is_known { Bytes::new() } else { body }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fields = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, *content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"), // asked for again each time; unchanged, it is not sent again
        (VARY, "accept, accept-encoding"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    if is_packed {
        fields.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    fields.insert(ETAG, tag);
    Some(response)
}

fn packed(content: &str) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content.as_bytes())?;
    encoder.finish().map(Bytes::from)
}

/// Whether a list in the head names `value`, whatever weight it gives it.
fn names(headers: &HeaderMap, list: &HeaderName, value: &str) -> bool {
    let lines = headers.get_all(list).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| {
        item.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(value))
    })
}

/// What tells one content from another: the beginning of its SHA-256.
fn tag(content: &[u8]) -> HeaderValue {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    let beginning = digest.as_ref().get(..12).unwrap_or_default();
    HeaderValue::from_str(&format!("\"{}\"", hex::encode(beginning)))
        .unwrap_or_else(|_never| HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        fields.collect()
    }

    #[test]
    fn a_browser_gets_the_page_and_others_do_not() {
        let browser = asked(&[(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")]);

        assert_eq!(file("/", &browser).unwrap().headers()[CONTENT_TYPE], HTML);
        assert!(file("/", &asked(&[(ACCEPT, "*/*")])).is_none());
        assert!(file("/page/mod.rs", &browser).is_none());
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let first = file("/page/main.js", &HeaderMap::new()).unwrap();
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();

        let again = file("/page/main.js", &asked(&[(IF_NONE_MATCH, &tag)])).unwrap();

        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(file("/page/ask.js", &asked(&[(IF_NONE_MATCH, &tag)])).unwrap().status(), 200);
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own_and_names_nobody_else() {
        let page = include_str!("index.html");

        for forbidden in ["<style", " style=", "http://", "https://", " onclick", "<script>"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        let ours =
            FILES.iter().filter(|(path, kind, _)| *kind == SCRIPT && !path.contains("uplot"));
        for (path, _, script) in ours {
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!script.contains(forbidden), "{forbidden} in {path}");
            }
        }
    }

    #[test]
    fn who_takes_it_compressed_gets_the_same_by_another_tag() {
        let plain = file("/page/uplot.js", &HeaderMap::new()).unwrap();
        let packed =
            file("/page/uplot.js", &asked(&[(ACCEPT_ENCODING, "br, GZIP;q=0.5")])).unwrap();

        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert!(plain.headers().get(CONTENT_ENCODING).is_none());
        assert_ne!(plain.headers()[ETAG], packed.headers()[ETAG]);
    }

    #[test]
    fn all_of_it_together_is_small() {
        let total: usize = PACKED.iter().flatten().map(Bytes::len).sum();

        assert!((1..50_000).contains(&total), "{total} bytes");
    }
}
