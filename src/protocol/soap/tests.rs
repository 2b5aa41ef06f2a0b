use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use super::*;

const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
const PDQ: &str = "urn:hl7-org:v3:PRPA_IN201305UV02";

fn head(content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    headers
}

/// Reads a message that comes in whole, and once more one that comes byte by byte.
fn read_as(content_type: &str, message: &[u8]) -> Result<Found, Unreadable> {
    let headers = head(content_type);
    let whole = Beginning::new(&headers)?.read(message, true).map(Option::unwrap);
    let mut slow = Beginning::new(&headers).unwrap();
    let mut bytes = (1..message.len()).map(|end| slow.read(&message[..end], false));
    let early = bytes.find_map(|read| read.transpose());
    let slowly = early.unwrap_or_else(|| slow.read(message, true).map(Option::unwrap));
    assert_eq!(whole, slowly, "{}", String::from_utf8_lossy(message));
    whole
}

fn read(message: &str) -> Result<Found, Unreadable> {
    read_as("text/xml; charset=utf-8", message.as_bytes())
}

/// The local name with which the body begins.
fn body(message: &str) -> String {
    read(message).unwrap().body.unwrap().into()
}

fn refused(message: &str) -> Unreadable {
    read(message).unwrap_err()
}

fn envelope(header: &str, body: &str) -> String {
    format!("<s:Envelope xmlns:s=\"{SOAP11}\" xmlns:a=\"{ADDRESSING}\">{header}{body}</s:Envelope>")
}

fn header(entries: &str) -> String {
    envelope(&format!("<s:Header>{entries}</s:Header>"), "<s:Body><Find/></s:Body>")
}

#[test]
fn a_message_is_what_its_body_begins_with() {
    assert_eq!(body(&envelope("", "<s:Body><Find xmlns='urn:x'>secret</Find></s:Body>")), "Find");
    assert_eq!(body(&envelope("<s:Header/>", "\n<s:Body>\n <x:Find xmlns:x='urn:x'/>")), "Find");
    let default = format!("<Envelope xmlns='{SOAP12}'><Body><f:Find xmlns:f='urn:f' a='>'>");
    assert_eq!(body(&default), "Find");
    let declared =
        format!("\u{FEFF}<?xml version='1.0' encoding='UTF-8' standalone='no'?>\n{default}");
    assert_eq!(body(&declared), "Find");
}

#[test]
fn an_empty_body_has_no_name() {
    for empty in ["<s:Body/>", "<s:Body></s:Body>", "<s:Body> <!-- nothing -->\n</s:Body>"] {
        assert_eq!(read(&envelope("", empty)).unwrap().body, None, "{empty}");
    }
}

#[test]
fn what_stands_in_comments_and_literal_text_is_no_element() {
    let commented = "<!-- <s:Body><Other/></s:Body> --><s:Body><!-- <Other/> --><Find/></s:Body>";
    assert_eq!(body(&envelope("", commented)), "Find");
    let literal = "<x><![CDATA[</x></s:Header><s:Body><Other/></s:Body>]]></x>";
    assert_eq!(body(&header(literal)), "Find");
    let quoted = "<x a=\"</x></s:Header>\"/>";
    assert_eq!(refused(&header(quoted)), Unreadable::Syntax, "no `<` in a value");
}

#[test]
fn prefixes_stand_for_what_is_declared_where_they_are_used() {
    // `s` is something else inside of the entry, and `o` is an envelope's.
    let other = format!("<x xmlns:s='urn:x' xmlns:o='{SOAP11}'><s:Body><Other/></s:Body></x>");
    assert_eq!(body(&header(&other)), "Find");
    let hidden = format!("<x xmlns:o='{SOAP11}'><o:Body><Other/></o:Body></x>");
    assert_eq!(refused(&header(&hidden)), Unreadable::Envelope);
    let renamed = format!("<s:Body xmlns:s='{SOAP12}'><Find/></s:Body>");
    assert_eq!(refused(&envelope("", &renamed)), Unreadable::Envelope, "two versions of SOAP");
    let foreign = "<s:Body xmlns:s='urn:x'><Find/></s:Body>";
    assert_eq!(refused(&envelope("", foreign)), Unreadable::Envelope);
    let encoded = SOAP11.replace("soap", "s&#x6f;a&#112;");
    assert_eq!(body(&format!("<Envelope xmlns='{encoded}'><Body><Find/>")), "Find");
    for broken in
        ["<u:x/>", "<x xmlns:y=''/>", "<x xmlns:xmlns='urn:x'/>", "<x xmlns:xml='urn:x'/>"]
    {
        assert_eq!(refused(&header(broken)), Unreadable::Namespace, "{broken}");
    }
    let twice = format!("<s:Envelope xmlns:s='urn:x' xmlns:s='{SOAP11}'><s:Body><Find/>");
    assert_eq!(refused(&twice), Unreadable::Syntax);
}

#[test]
fn an_envelope_has_a_header_and_a_body_and_nothing_else() {
    for extra in [
        "<s:Header/><s:Header/>",
        "<x/>",
        "<s:Fault/>",
        "text",
        "<![CDATA[]]>",
        "<s:Header>text</s:Header>",
    ] {
        let message = envelope(extra, "<s:Body><Find/></s:Body>");
        assert_eq!(refused(&message), Unreadable::Envelope, "{extra}");
    }
    assert_eq!(refused(&envelope("", "<s:Body>text<Find/></s:Body>")), Unreadable::Envelope);
    assert_eq!(refused(&envelope("", "<s:Body>&#32;<Find/></s:Body>")), Unreadable::Envelope);
    assert_eq!(refused(&envelope("", "")), Unreadable::Envelope, "no body");
    assert_eq!(refused(&format!("<Body xmlns='{SOAP11}'><Find/>")), Unreadable::NoEnvelope);
    assert_eq!(refused("<Envelope><Body><Find/>"), Unreadable::NoEnvelope);
    assert_eq!(refused("{\"find\": \"<\"}"), Unreadable::NoEnvelope);
    let elsewhere = "<s:Body><Find e:root='0' xmlns:e='urn:e'/><Other/></s:Body>";
    assert_eq!(refused(&envelope("", elsewhere)), Unreadable::Envelope);
}

#[test]
fn addressing_names_the_action_once_and_as_text() {
    let said = |entries: &str| read(&header(entries)).map(|found| found.actions);

    assert_eq!(said(&format!("<a:Action>{PDQ}</a:Action>")), Ok(vec![PDQ.into()]));
    let odd = "<a:Action s:mustUnderstand='1'>\n urn:<!-- x -->a&#x2F;<![CDATA[b]]> </a:Action>";
    assert_eq!(said(odd), Ok(vec!["urn:a/b".into()]));
    assert_eq!(said("<Action>urn:x</Action><x><a:Action>urn:y</a:Action></x>"), Ok(vec![]));
    let twice = "<a:Action>urn:x</a:Action><a:Action>urn:x</a:Action>";
    assert_eq!(said(twice), Err(Unreadable::Addressing));
    assert_eq!(said("<a:Action>urn:x<b/></a:Action>"), Err(Unreadable::Addressing));
    assert_eq!(said("<a:Action>&urn;</a:Action>"), Err(Unreadable::Entity));
    let long = format!("<a:Action>{}</a:Action>", "x".repeat(3000));
    assert_eq!(said(&long), Err(Unreadable::Addressing));
}

#[test]
fn document_types_entities_and_instructions_are_refused() {
    let good = envelope("", "<s:Body><Find/></s:Body>");
    let bomb = "<!DOCTYPE x [<!ENTITY a \"&b;&b;\"><!ENTITY b \"lol\">]>";
    assert_eq!(refused(&format!("{bomb}{good}")), Unreadable::Doctype);
    assert_eq!(refused(&format!("<!doctype x>{good}")), Unreadable::Doctype);
    assert_eq!(refused(&header("<![IGNORE[ x ]]>")), Unreadable::Doctype);
    assert_eq!(refused(&format!("<?xml-stylesheet href='x'?>{good}")), Unreadable::Instruction);
    assert_eq!(refused(&format!(" <?xml version='1.0'?>{good}")), Unreadable::Instruction);
    assert_eq!(refused(&format!("<?xml version='1.1'?>{good}")), Unreadable::Instruction);
    assert_eq!(refused(&header("<?php echo 1 ?>")), Unreadable::Instruction);
    let external = format!("<s:Envelope xmlns:s='{SOAP11}&x;'><s:Body><Find/>");
    assert_eq!(refused(&external), Unreadable::Entity);
}

#[test]
fn other_encodings_than_utf_8_are_refused() {
    let good = envelope("", "<s:Body><Find/></s:Body>");
    let wide = |order: fn(u16) -> [u8; 2]| good.encode_utf16().flat_map(order).collect::<Vec<_>>();
    for message in [wide(u16::to_le_bytes), wide(u16::to_be_bytes)] {
        let marked = [&[0xFF, 0xFE], &*message].concat();
        assert_eq!(read_as("text/xml", &message), Err(Unreadable::Encoding));
        assert_eq!(read_as("text/xml", &marked), Err(Unreadable::Encoding));
    }
    let wide = "text/xml; charset=utf-16";
    assert_eq!(read_as(wide, good.as_bytes()), Err(Unreadable::Charset));
    assert_eq!(
        refused(&format!("<?xml version='1.0' encoding='IBM037'?>{good}")),
        Unreadable::Charset
    );
    let overlong = [b"\xC0\xBCOther/>", good.as_bytes()].concat();
    assert_eq!(read_as("text/xml", &overlong), Err(Unreadable::Encoding));
    assert_eq!(refused(&header("<x>\0</x>")), Unreadable::Encoding);
    assert_eq!(
        read_as("text/xml; charset=ISO-8859-1", good.as_bytes()).unwrap().body.unwrap(),
        "Find".into()
    );
    let latin = header("<x>M\u{fc}ller</x>").chars().map(|c| c as u8).collect::<Vec<_>>();
    assert_eq!(read_as("text/xml; charset=ISO-8859-1", &latin), Err(Unreadable::Encoding));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for broken in [
        "<x></y>",
        "<x a=b/>",
        "<x a='1' a='2'/>",
        "<x a='1'b='2'/>",
        "<x a/>",
        "< x/>",
        "<1x/>",
        "<x:/>",
        "<x:y:z/>",
        "</ x>",
        "<!-- a -- b -->",
        "<!-- a --->",
    ] {
        assert_eq!(refused(&header(broken)), Unreadable::Syntax, "{broken}");
    }
}

#[test]
fn what_does_not_end_has_bounds() {
    let signed = |bytes: usize| header(&format!("<x>{}</x>", "A".repeat(bytes)));
    assert_eq!(body(&signed(60 * 1024)), "Find");
    assert_eq!(refused(&signed(64 * 1024)), Unreadable::TooLarge);
    assert_eq!(refused(&header(&"<x>".repeat(65))), Unreadable::TooComplex);
    let attributes: String = (0..65).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(refused(&header(&format!("<x{attributes}/>"))), Unreadable::TooComplex);
    let nested: String =
        (0..50).map(|n| format!("<x xmlns:a{n}='u' xmlns:b{n}='u' xmlns:c{n}='u'>")).collect();
    assert_eq!(refused(&header(&nested)), Unreadable::TooComplex);
    for cut in ["", "<", "<s:Envel", "<!-- ", "<![CDATA["] {
        assert_eq!(refused(cut), Unreadable::Truncated, "{cut}");
    }
}

#[test]
fn what_is_compressed_or_no_xml_is_not_read() {
    let mut headers = head("text/xml");
    assert!(Beginning::new(&headers).is_ok());
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(Beginning::new(&headers).err(), Some(Unreadable::ContentEncoding));
    for other in ["application/json", "application/fastinfoset", "multipart/mixed; boundary=b"] {
        assert_eq!(Beginning::new(&head(other)).err(), Some(Unreadable::ContentType), "{other}");
    }
    assert_eq!(Beginning::new(&HeaderMap::new()).err(), Some(Unreadable::ContentType));
}

const RELATED: &str = r#"multipart/related; boundary="b_1"; type="application/xop+xml"; start="<root>"; start-info="application/soap+xml""#;

fn part(head: &str) -> Vec<u8> {
    let good = envelope("", "<s:Body><Find/></s:Body>");
    format!("--b_1\r\n{head}\r\n\r\n{good}\r\n--b_1\r\n\r\nattachment\r\n--b_1--\r\n").into_bytes()
}

#[test]
fn the_root_part_of_mtom_is_read() {
    let whole = "Content-Type: application/xop+xml; charset=UTF-8;\r\n\ttype=\"application/soap+xml; \
                 action=\\\"urn:x\\\"\"\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <root>";
    let found = read_as(RELATED, &part(whole)).unwrap();
    assert_eq!((found.body.as_deref(), &*found.namespace), (Some("Find"), ""));
    assert_eq!(found.actions, ["urn:x".into()]);

    let begun = [b"\r\n", &*part("content-type: text/xml\r\ncontent-id: root")].concat();
    assert_eq!(read_as(RELATED, &begun).unwrap().body.unwrap(), "Find".into());
}

#[test]
fn parts_that_could_be_told_apart_otherwise_are_refused() {
    let kind = "Content-Type: application/xop+xml";
    for (head, why) in [
        (format!("{kind}\r\nContent-ID: <other>"), Unreadable::RootPart),
        (kind.to_owned(), Unreadable::RootPart),
        (
            format!("{kind}\r\nContent-ID: <root>\r\nContent-Transfer-Encoding: base64"),
            Unreadable::RootPart,
        ),
        ("Content-Type: image/png\r\nContent-ID: <root>".to_owned(), Unreadable::RootPart),
        ("Content-ID: <root>".to_owned(), Unreadable::RootPart),
        (format!("{kind}; charset=utf-16\r\nContent-ID: <root>"), Unreadable::Charset),
        (format!("{kind}\r\n{kind}\r\nContent-ID: <root>"), Unreadable::Multipart),
        (format!("{kind}\r\nContent-ID: <root>\r\nContent-ID: <other>"), Unreadable::Multipart),
        (format!("{kind}\nContent-ID: <root>"), Unreadable::Multipart),
        (format!("{kind}\r\nno line"), Unreadable::Multipart),
        ("x".repeat(9000), Unreadable::Multipart),
    ] {
        assert_eq!(read_as(RELATED, &part(&head)), Err(why), "{head}");
    }
    let preamble = [b"hello\r\n", &*part(kind)].concat();
    assert_eq!(read_as(RELATED, &preamble), Err(Unreadable::Multipart));
    let hidden = "--b_1\r\nContent-Type: text/xml\r\nContent-ID: <root>\r\n\r\n<!-- \r\n--b_1\r\nContent-ID: <root>\r\n\r\n -->";
    let hidden = hidden.to_owned() + &envelope("", "<s:Body><Find/></s:Body>");
    assert_eq!(read_as(RELATED, hidden.as_bytes()), Err(Unreadable::Syntax), "`--` in a comment");
    let hidden = hidden.replace("<!--", "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Header><x><![CDATA[")
        .replace(" -->", "]]></x></s:Header><s:Body><Find/>");
    assert_eq!(read_as(RELATED, hidden.as_bytes()), Err(Unreadable::Multipart));
    for broken in [
        "multipart/related",
        "multipart/related; boundary=\"\"",
        "multipart/related; boundary=\"a \"",
        "multipart/related; boundary=\"a b\"",
        "multipart/related; boundary=\"a(b)c\"",
        "multipart/related; boundary=\"a;b\"",
        "multipart/related; boundary=a*b",
    ] {
        assert!(Beginning::new(&head(broken)).is_err(), "{broken}");
    }
}

#[test]
fn a_boundary_that_some_unescape_and_others_do_not_has_no_parts() {
    // Who unescapes reads the parts between `--b_1`, who does not those between `--b\_1`.
    let part = |delimiter: &str, name: &str| {
        let text = envelope("", &format!("<s:Body><{name}/></s:Body>"));
        format!("--{delimiter}\r\nContent-Type: text/xml\r\n\r\n{text}\r\n--{delimiter}--\r\n")
    };
    let message = part("b_1", "Find") + &part("b\\_1", "Delete");

    for kind in [
        r#"multipart/related; boundary="b\_1""#,
        r"multipart/related; boundary=b\_1",
        r#"multipart/related; boundary=b_1; x="\"; boundary=b; y=\"""#,
    ] {
        let read = read_as(kind, message.as_bytes());
        assert_eq!(read, Err(Unreadable::ContentType), "{kind}");
    }
    let plain = read_as("multipart/related; boundary=\"b_1\"", message.as_bytes()).unwrap();
    assert_eq!(plain.body.unwrap(), "Find".into());
}

#[test]
fn what_was_found_is_held_against_the_claim() {
    let bodies = [Element::new(None, "PRPA_IN201305UV02")];
    let found = |body: Option<&str>, actions: &[&str]| Found {
        body: body.map(Into::into),
        namespace: "urn:hl7-org:v3".into(),
        actions: actions.iter().map(|action| (*action).into()).collect(),
    };

    assert_eq!(check(&found(Some("PRPA_IN201305UV02"), &[PDQ]), PDQ, &bodies), Ok(()));
    let other = check(&found(Some("PRPA_IN201302UV02"), &[]), PDQ, &bodies).unwrap_err();
    assert_eq!(other.text(), "the body begins with `PRPA_IN201302UV02`");
    let action = check(&found(Some("PRPA_IN201305UV02"), &[PDQ, "urn:x"]), PDQ, &bodies);
    assert_eq!(action.unwrap_err().text(), "the message itself says its action is `urn:x`");
    let of_somebody = check(&found(Some("PRPA_IN201305UV02"), &["urn:patient:4711"]), PDQ, &bodies);
    let told = of_somebody.unwrap_err().text();
    assert_eq!(told, "the message itself says that it is of another action");
    let empty = check(&found(None, &[]), PDQ, &bodies).unwrap_err();
    assert_eq!(empty.text(), "the body is empty");
    for of_somebody in ["Meier", "PRPA_4711", "born-1931-02-14"] {
        let named = check(&found(Some(of_somebody), &[]), PDQ, &bodies).unwrap_err();
        assert_eq!(named.text(), "the body begins with an element that is not IHE's");
    }
    assert!(check(&found(Some("x"), &[]), PDQ, &[]).is_err(), "nothing fits no name");
}

#[test]
fn an_element_of_another_namespace_is_another_element() {
    let wanted = [Element::new(Some("urn:hl7-org:v3"), "Find")];
    let of = |start: &str| {
        let found = read(&envelope("", &format!("<s:Body>{start}</s:Body>"))).unwrap();
        check(&found, PDQ, &wanted).map_err(|mismatch| mismatch.text())
    };
    let foreign = Err("`Find` there is of another namespace".to_owned());

    assert_eq!(of("<Find xmlns=\"urn:hl7-org:v3\"/>"), Ok(()));
    assert_eq!(of("<x:Find xmlns:x='urn:hl7-org:v3'/>"), Ok(()));
    assert_eq!(of("<x:Find xmlns:x='urn:hl7&#45;org:v3'/>"), Ok(()));
    for start in [
        "<Find/>",
        "<Find xmlns=\"\"/>",
        "<Find xmlns=\"urn:hl7-org:v2\"/>",
        "<Find xmlns:x=\"urn:hl7-org:v3\"/>",
        "<x:Find xmlns=\"urn:hl7-org:v3\" xmlns:x=\"urn:x\"/>",
        "<Find xmlns=\" urn:hl7-org:v3\"/>",
    ] {
        assert_eq!(of(start), foreign, "{start}");
    }
    let shown = format!("{} {}", wanted[0], Element::new(None, "Find"));
    assert_eq!(shown, "{urn:hl7-org:v3}Find Find");
}
