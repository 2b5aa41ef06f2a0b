use super::*;

fn answer(content: &str) -> Seen {
    scan_pieces(Reading::Answers, [framed(content).as_slice()])
}

const MSH: &str = "MSH|^~\\&|LAB|ANNEX|ADT1|MAIN|20261122||ACK^A01|A-1|P|2.5.1";

#[test]
fn an_acknowledgement_says_to_what_it_answers() {
    let seen = answer(&format!("{MSH}\rMSA|AA|MSG-1|words about Mr Doe\r"));

    assert_eq!(seen.acks, [(Some(AckCode::Aa), "MSG-1".to_owned())]);
    assert_eq!(seen.ends, 1);
}

#[test]
fn all_codes_are_known_in_upper_and_lower_case() {
    for code in AckCode::ALL {
        let label = code.label();
        assert_eq!(answer(&format!("{MSH}\rMSA|{label}|1\r")).acks, [(Some(code), "1".to_owned())]);
        let lower = label.to_lowercase();
        assert_eq!(answer(&format!("{MSH}\nMSA|{lower}|1")).acks, [(Some(code), "1".to_owned())]);
    }
    assert_eq!(answer(&format!("{MSH}\rMSA|XX|1\r")).acks, [(None, "1".to_owned())]);
}

#[test]
fn software_and_credential_segments_may_come_before_the_code() {
    let seen = answer(&format!("{MSH}\r\nSFT|Engine\r\nUAC|KERB\r\nMSA|AE|9\r\nERR|text\r\n"));

    assert_eq!(seen.acks, [(Some(AckCode::Ae), "9".to_owned())]);
}

#[test]
fn an_acknowledgement_without_a_code_is_told_of_all_the_same() {
    let seen = answer(&format!("{MSH}\r"));

    assert_eq!(seen.judged, ["ACK^A01"]);
    assert_eq!(seen.acks, []);
}

#[test]
fn an_msa_further_below_is_not_looked_for() {
    assert_eq!(answer(&format!("{MSH}\rPID|1\rMSA|AA|1\r")).acks, []);
}

#[test]
fn whatever_a_workload_says_passes() {
    for words in
        ["", "220 ready\r\n", "\x0b<xml/>\x1c\r", "\x0bMSH\x1c", "\x1c\r\x0b", "\x0b\x06\x1c\r"]
    {
        let seen = scan_pieces(Reading::Answers, [words.as_bytes()]);
        assert_eq!(seen.malformed, None, "{words:?}");
        let whole =
            scan_pieces(Reading::Answers, [words.as_bytes(), framed("MSH|^~\\&|A\r").as_slice()]);
        assert!(whole.passed.starts_with(words.as_bytes()), "{words:?}");
    }
}
