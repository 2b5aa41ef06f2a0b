//! What becomes of stunnel's options that have no key of their own here.

/// What is to be said of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has a key here, or is nothing that anybody would miss.
    Silent,
    /// Something is different from now on.
    Told(&'static str),
    /// The service cannot be carried over.
    LeavesOut(&'static str),
}

/// Of an option by its name in lower case, and its value.
pub(super) fn fate(key: &str, value: &str) -> Fate {
    use Fate::{LeavesOut, Silent, Told};
    let is_no = value.eq_ignore_ascii_case("no");
    match key {
        "client" | "accept" | "connect" | "cert" | "key" | "cafile" | "crlfile" | "verify"
        | "verifychain" | "verifypeer" | "checkhost" | "timeoutidle" | "timeoutconnect" => Silent,
        "foreground"
        | "pid"
        | "output"
        | "log"
        | "syslog"
        | "debug"
        | "setuid"
        | "setgid"
        | "chroot"
        | "socket"
        | "compression"
        | "renegotiation"
        | "options"
        | "sessioncachesize"
        | "sessioncachetimeout"
        | "sessionresume"
        | "ticketkeysecret"
        | "ticketmacsecret"
        | "timeoutbusy"
        | "timeoutclose"
        | "delay"
        | "retry"
        | "stack"
        | "reset"
        | "logid"
        | "service"
        | "rndbytes"
        | "rndfile"
        | "rndoverwrite"
        | "egd"
        | "iconactive"
        | "iconerror"
        | "iconidle"
        | "taskbar"
        | "requirecert"
        | "failover"
        | "sni"
            if key != "sni" || !value.contains(':') =>
        {
            Silent
        }
        "protocol"
        | "protocolauthentication"
        | "protocoldomain"
        | "protocolheader"
        | "protocolhost"
        | "protocolpassword"
        | "protocolusername" => {
            LeavesOut("it speaks another protocol before TLS begins, which Myelin does not")
        }
        "exec" | "execargs" | "pty" => {
            LeavesOut("it starts a program for each connection; let the program listen")
        }
        "psksecrets" | "pskidentity" => {
            LeavesOut("it knows peers by a shared secret; Myelin knows them by certificates")
        }
        "sni" => LeavesOut(
            "it is chosen by the name that a client asks for; give it an address of its own",
        ),
        "redirect" => {
            LeavesOut("it sends whoever is not verified somewhere else; Myelin refuses them")
        }
        "engine" | "enginectrl" | "enginenum" | "engineid" | "provider" | "providerparameter"
        | "config" => LeavesOut(
            "its key is in a module (an engine or a provider); Myelin reads keys from files",
        ),
        "include" => Told("is not followed: import those files as well"),
        "sslversion" | "sslversionmin" | "sslversionmax" | "ciphers" | "ciphersuites" | "curve"
        | "curves" | "securitylevel" => Told(
            "is decided by `tls.profile`: `nist` takes TLS 1.2 and 1.3 with AES-GCM; `compatible` is the widest",
        ),
        "fips" if is_no => Silent,
        "fips" => Told("is not kept: this build's cryptography is no validated module"),
        "capath" => Told(
            "is not kept: `trust_bundle` is one file; write the certificates of the directory into one",
        ),
        "crlpath" => Told("is not kept: `crls` are files; name each"),
        "checkemail" | "checkip" => {
            Told("is not kept: peers are known by DNS names, SPIFFE IDs or pins")
        }
        "ocsp" | "ocspaia" | "ocspflag" | "ocspnonce" | "ocsprequire" => {
            Told("is not kept: revocation is by lists (`crls`, `crl_urls`)")
        }
        "libwrap" if is_no => Silent,
        "libwrap" | "ident" => {
            Told("is not kept: who may connect is decided by certificates alone")
        }
        "transparent" if is_no || value.eq_ignore_ascii_case("none") => Silent,
        "transparent" => Told("is not kept: the workload sees connections from this machine"),
        "local" => Told("is not kept: the system chooses the address of outgoing connections"),
        _ => Told("is not known here, and not kept"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_chooses_by_a_name_is_left_out_and_whoever_sends_one_is_not() {
        assert_eq!(fate("sni", "db.example"), Fate::Silent);
        assert!(matches!(fate("sni", "tls:db.example"), Fate::LeavesOut(_)));
        assert!(matches!(fate("protocol", "smtp"), Fate::LeavesOut(_)));
    }

    #[test]
    fn what_is_switched_off_is_not_missed() {
        assert_eq!(fate("fips", "no"), Fate::Silent);
        assert!(matches!(fate("fips", "yes"), Fate::Told(_)));
        assert!(matches!(fate("whatever", "1"), Fate::Told(_)));
    }
}
