//! HL7 v2 over MLLP: frames, and the header of a message (MSH).

/// What the header of a message says (HL7 v2.x, 2.14.9): bytes of the sender, believed as far as a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header<'a> {
    /// MSH-3, whole: namespace and the rest.
    pub sending_application: &'a [u8],
    /// MSH-4
    pub sending_facility: &'a [u8],
    /// MSH-5
    pub receiving_application: &'a [u8],
    /// MSH-6
    pub receiving_facility: &'a [u8],
    /// MSH-9.1, like `ADT`.
    pub code: &'a [u8],
    /// MSH-9.2, like `A01`; empty in acknowledgements of old.
    pub trigger: &'a [u8],
    /// MSH-10
    pub control_id: &'a [u8],
    /// MSH-11.1: `P`, `T` or `D`.
    pub processing_id: &'a [u8],
    /// MSH-12.1, like `2.5.1`.
    pub version: &'a [u8],
    /// It is the header of a file or batch (FHS, BHS): how many messages follow is not known.
    pub is_batch: bool,
}
