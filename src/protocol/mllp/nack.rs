//! The answer to a message that is not let through, where the configuration wants one.

use super::{END, Header, START};

/// Frames a rejection (`AR`) of the message with this header: what the sender said of itself, turned around,
/// and nothing else. `now` is an HL7 timestamp (YYYYMMDDHHMMSS), `id` the answer's own MSH-10.
pub fn nack(header: &Header<'_>, now: &str, id: &str) -> Vec<u8> {
    let separator = header.separator;
    let component = header.encoding.first().copied().unwrap_or(b'^');
    let mut kind = b"ACK".to_vec();
    if !header.trigger.is_empty() {
        for part in [header.trigger, b"ACK"] {
            kind.push(component);
            kind.extend_from_slice(part);
        }
    }
    let fields: [&[u8]; 12] = [
        b"MSH",
        header.encoding,
        header.receiving_application,
        header.receiving_facility,
        header.sending_application,
        header.sending_facility,
        now.as_bytes(),
        b"",
        &kind,
        id.as_bytes(),
        header.processing_id,
        header.version,
    ];
    let mut frame = vec![START];
    segment(&mut frame, &fields, separator);
    segment(&mut frame, &[b"MSA", b"AR", header.control_id], separator);
    frame.extend_from_slice(&[END, b'\r']);
    frame
}

fn segment(frame: &mut Vec<u8>, fields: &[&[u8]], separator: u8) {
    for (number, field) in fields.iter().enumerate() {
        if number > 0 {
            frame.push(separator);
        }
        frame.extend(field.iter().filter(|byte| !byte.is_ascii_control()));
    }
    frame.push(b'\r');
}
