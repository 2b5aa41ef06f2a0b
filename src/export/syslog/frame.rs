//! A record as a syslog message (RFC 5424) in a frame that says how long it is (RFC 5425, 4.3).

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::audit::Recorded;
use crate::audit::forms::Form;
use crate::config::SyslogFormat;

/// RFC 5424, 6.2.3: at most six digits behind the second.
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
/// Longest HOSTNAME (RFC 5424, 6).
const HOSTNAME: usize = 255;
/// Largest `sequenceId` (RFC 5424, 7.3.1); after it comes 1.
const SEQUENCE_IDS: u64 = 2_147_483_647;
/// "security/authorization messages", which ITI-20 asks for.
const FACILITY_ATNA: u8 = 10;
/// "log audit".
const FACILITY_JSON: u8 = 13;
/// Severities (RFC 5424, table 2).
const WARNING: u8 = 4;
const NOTICE: u8 = 5;

/// What all messages of a process share.
#[derive(Debug, Clone)]
pub(in crate::export) struct Sender {
    host: String,
    process: u32,
}

impl Sender {
    /// This process on this machine.
    pub(in crate::export) fn here() -> Self {
        let uname = rustix::system::uname();
        Self::new(&uname.nodename().to_string_lossy(), std::process::id())
    }

    fn new(host: &str, process: u32) -> Self {
        // PRINTUSASCII; the value for "unknown" is a dash (RFC 5424, 6).
        let host: String = host.chars().filter(char::is_ascii_graphic).take(HOSTNAME).collect();
        Self { host: if host.is_empty() { "-".to_owned() } else { host }, process }
    }

    /// The frame of a record: its length in bytes, a space, the message. There is no BOM: IHE discourages it
    /// (ITI-20), and some receivers keep it.
    pub(in crate::export) fn frame(
        &self,
        format: SyslogFormat,
        line: &[u8],
        recorded: &Recorded,
    ) -> Vec<u8> {
        let severity = if recorded.event.outcome == "failure" { WARNING } else { NOTICE };
        let event = &recorded.event;
        let (facility, id, data) = match format {
            SyslogFormat::Atna => (FACILITY_ATNA, "IHE+RFC-3881", "-".to_owned()),
            SyslogFormat::Json => {
                let sequence = event.sequence.saturating_sub(1) % SEQUENCE_IDS + 1;
                let data = format!("[meta sequenceId=\"{sequence}\"]");
                (FACILITY_JSON, event.action.as_str(), data)
            }
        };
        let id: String = id.chars().filter(char::is_ascii_graphic).take(32).collect();
        let header = format!(
            "<{}>1 {} {} myelin {} {} {data} ",
            facility * 8 + severity,
            timestamp(recorded.at),
            self.host,
            self.process,
            if id.is_empty() { "-" } else { &id },
        );
        let mut message = header.into_bytes();
        match format {
            SyslogFormat::Json => message.extend_from_slice(line),
            SyslogFormat::Atna => {
                Form::Atna.tell(line, recorded, &mut message);
                message.pop_if(|last| *last == b'\n');
            }
        }
        let mut frame = format!("{} ", message.len()).into_bytes();
        frame.append(&mut message);
        frame
    }
}

fn timestamp(at: OffsetDateTime) -> String {
    // A year beyond 9999 has no such form; then the time is said to be unknown.
    at.to_offset(time::UtcOffset::UTC).format(TIMESTAMP).unwrap_or_else(|_beyond| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"@timestamp":"2026-11-22T06:12:01.123Z","event":{"action":"connection-denied","outcome":"failure","sequence":2147483648},"service":{"name":"ehr"},"myelin":{"listener":"fhir","prev":"00"}}"#;

    fn framed(host: &str, format: SyslogFormat) -> String {
        let recorded = serde_json::from_str(LINE).unwrap();
        let frame = Sender::new(host, 4711).frame(format, LINE.as_bytes(), &recorded);
        let text = String::from_utf8(frame).unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length.parse(), Ok(message.len()));
        message.to_owned()
    }

    #[test]
    fn a_json_message_is_the_line_behind_a_header_of_rfc_5424() {
        let message = framed("ris-gw-01.hosp.example", SyslogFormat::Json);

        let header = "<108>1 2026-11-22T06:12:01.123Z ris-gw-01.hosp.example myelin 4711 \
                      connection-denied [meta sequenceId=\"1\"] ";
        assert_eq!(message, format!("{header}{LINE}"));
    }

    #[test]
    fn an_atna_message_has_the_header_that_iti_20_asks_for_and_no_bom() {
        let message = framed("gw", SyslogFormat::Atna);

        let header = "<84>1 2026-11-22T06:12:01.123Z gw myelin 4711 IHE+RFC-3881 - <?xml ";
        assert!(message.starts_with(header), "{message}");
        assert!(message.ends_with("</AuditMessage>"), "{message}");
    }

    #[test]
    fn a_host_name_that_would_break_the_header_does_not() {
        assert!(framed("", SyslogFormat::Json).contains("Z - myelin 4711 "));
        assert!(framed("a b\nc", SyslogFormat::Json).contains("Z abc myelin 4711 "));
    }
}
