use std::path::PathBuf;

use super::*;

fn said(step: &Step<'_>, status: u16, errors: &[&str]) -> (EnrolFailure, String) {
    let errors: Vec<String> = errors.iter().map(|&text| text.to_owned()).collect();
    meaning(step, StatusCode::from_u16(status).unwrap(), &errors)
}

#[test]
fn what_may_go_away_by_itself_is_told_from_what_somebody_has_to_mend() {
    let spiffe = SpiffeId::parse("spiffe://hospital.example/ehr").unwrap();
    let sign = Step::Sign { mount: "pki", role: "ehr", spiffe: &spiffe };
    let read = Step::Read { mount: "pki" };
    let auth = VaultAuth::TokenFile(PathBuf::from("/run/token"));
    let login = Step::Login(&auth);

    for (step, status, errors, kind, told) in [
        (&sign, 503, &["Vault is sealed"][..], EnrolFailure::Unreachable, "is sealed: unseal it"),
        (&read, 503, &[], EnrolFailure::Unreachable, "at the moment: 503 Service Unavailable"),
        (&read, 429, &["quota"], EnrolFailure::Unreachable, "429 Too Many Requests (quota)"),
        (&login, 500, &["no leader"], EnrolFailure::Unreachable, "(no leader)"),
        (&sign, 403, &["permission denied"], EnrolFailure::Refused, "path \"pki/sign/ehr\""),
        (
            &sign,
            400,
            &["odd"],
            EnrolFailure::Refused,
            "(odd): look at the role (`bao read pki/roles/ehr`)",
        ),
        (&read, 404, &[], EnrolFailure::Refused, "the mount pki has no authority yet"),
        (
            &login,
            403,
            &["permission denied"],
            EnrolFailure::Refused,
            "the token in /run/token is over",
        ),
        (&read, 301, &[], EnrolFailure::BadAnswer, "is this the address of OpenBao or Vault?"),
    ] {
        let (said_kind, text) = said(step, status, errors);
        assert_eq!(said_kind, kind, "{status} {errors:?}: {text}");
        assert!(text.contains(told), "{status} {errors:?}: {text}");
    }
}

#[test]
fn what_a_server_says_is_quoted_within_bounds_on_one_line_and_without_tokens() {
    let read = Step::Read { mount: "pki" };
    let long = "x ".repeat(10_000);
    let jwt = format!("eyJ{}.abc.def", "a".repeat(40));

    let (_, text) = said(&read, 400, &[long.as_str()]);
    assert!(text.len() < 600, "{}", text.len());

    for token in ["s.8BXbYNgOWYJvWZByRkhrYzU5", "hvs.CAESIJ8hQ2Xk3mYw", jwt.as_str()] {
        let (_, text) = said(&read, 400, &[&format!("bad\n\u{7}token \"{token}\", no")]);
        assert!(text.contains("(bad token […] no)"), "{text}");
    }
}

#[test]
fn only_a_dns_name_is_gone_without() {
    let about = |status: u16, text: &str| {
        is_about_dns(StatusCode::from_u16(status).unwrap(), &[text.to_owned()])
    };

    assert!(about(400, "subject alternate name ehr not allowed by this role"));
    assert!(!about(403, "subject alternate name ehr not allowed by this role"));
    assert!(!about(
        400,
        "URI Subject Alternative Names were provided via CSR which are not valid for this role"
    ));
    assert!(!about(400, "common name ehr not allowed by this role"));
}
