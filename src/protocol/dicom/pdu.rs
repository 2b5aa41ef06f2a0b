//! Protocol data units: their headers, and the short ones that we write ourselves (PS3.8, 9.3).

/// Type, a reserved byte, and the length of the rest.
pub const LENGTH_OF_HEADER: usize = 6;

/// The longest A-ASSOCIATE that is read, header not counted. 128 contexts with a dozen and a half of
/// transfer syntaxes each need half of it, and a user identity, whose length has 16 bits, the other one.
pub const LONGEST_ASSOCIATE: u32 = 128 * 1024;

/// A PDU of ten bytes: a rejection, an abort, or one of a release.
pub type Pdu = [u8; 10];

/// What a PDU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A-ASSOCIATE-RQ
    AssociateRequest,
    /// A-ASSOCIATE-AC
    AssociateAccept,
    /// A-ASSOCIATE-RJ
    AssociateReject,
    /// P-DATA-TF
    Data,
    /// A-RELEASE-RQ
    ReleaseRequest,
    /// A-RELEASE-RP
    ReleaseReply,
    /// A-ABORT
    Abort,
}

impl Kind {
    /// By its first byte.
    ///
    /// # Errors
    ///
    /// The standard knows no such PDU.
    pub fn of(first: u8) -> Result<Self, Malformed> {
        Ok(match first {
            0x01 => Self::AssociateRequest,
            0x02 => Self::AssociateAccept,
            0x03 => Self::AssociateReject,
            0x04 => Self::Data,
            0x05 => Self::ReleaseRequest,
            0x06 => Self::ReleaseReply,
            0x07 => Self::Abort,
            _ => return Err(Malformed::UnrecognizedPdu),
        })
    }
}

/// The first bytes of a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// How many bytes come after the header.
    pub length: u32,
}

impl Header {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// The standard knows no such PDU, or it cannot have this length.
    pub fn read([kind, _reserved, length @ ..]: [u8; LENGTH_OF_HEADER]) -> Result<Self, Malformed> {
        let (kind, length) = (Kind::of(kind)?, u32::from_be_bytes(length));
        let fits = match kind {
            Kind::AssociateRequest | Kind::AssociateAccept => length <= LONGEST_ASSOCIATE,
            Kind::Data => true,
            Kind::AssociateReject | Kind::ReleaseRequest | Kind::ReleaseReply | Kind::Abort => {
                length == 4
            }
        };
        if fits { Ok(Self { kind, length }) } else { Err(Malformed::Length) }
    }
}

/// What is wrong with what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No PDU of the standard.
    #[error("not a DICOM PDU")]
    UnrecognizedPdu,
    /// A PDU that may not come here.
    #[error("a PDU that may not come at this point")]
    UnexpectedPdu,
    /// A PDU that cannot have this length, or is longer than what is read.
    #[error("a PDU of a length that it cannot have")]
    Length,
    /// An item reaches beyond what it is in, or ends before what it must have.
    #[error("an item that is cut short, or reaches beyond its PDU")]
    Truncated,
    /// The first version of the protocol is not among those that are offered.
    #[error("no version of the upper layer protocol in common")]
    Version,
    /// No AE title.
    #[error("an AE title that is empty, or has characters that it may not have")]
    AeTitle,
    /// No UID.
    #[error("a UID with characters or of a length that it may not have")]
    Uid,
    /// A presentation context whose identifier is even, another one's, or none that was accepted.
    #[error("a presentation context with an identifier that it may not have")]
    ContextId,
    /// An item in a place where it may not be.
    #[error("an item that may not be where it is")]
    Misplaced,
    /// An item is there more often than it may be.
    #[error("an item that is repeated")]
    Repeated,
    /// An item that must be there is not.
    #[error("an item that must be there is missing")]
    Missing,
    /// A fragment of a message that is not the one under way.
    #[error("a fragment of one message in the midst of another, or of none")]
    Interleaved,
    /// A command set that is longer than what is read.
    #[error("a command set of more than 64 KiB")]
    LongCommand,
}

impl Malformed {
    /// What whoever sent it is told (PS3.8, table 9-26).
    pub fn abort(self) -> Abort {
        let reason = match self {
            Self::UnrecognizedPdu => 1,
            Self::UnexpectedPdu => 2,
            Self::Misplaced | Self::Repeated | Self::Interleaved => 5,
            Self::Length
            | Self::Truncated
            | Self::Version
            | Self::AeTitle
            | Self::Uid
            | Self::ContextId
            | Self::Missing
            | Self::LongCommand => 6,
        };
        Abort { source: 2, reason }
    }
}

/// A-ABORT: by whom, and why (PS3.8, table 9-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// 0 for the service user, 2 for the service provider.
    pub source: u8,
    /// Of the provider; a user says nothing.
    pub reason: u8,
}

impl Abort {
    /// The provider's, without a reason.
    pub const UNSPECIFIED: Self = Self { source: 2, reason: 0 };
    /// The provider's: a value that may not be.
    pub const INVALID_VALUE: Self = Self { source: 2, reason: 6 };

    /// Reads one; `body` is what comes after its header.
    ///
    /// # Errors
    ///
    /// It is too short.
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        let (_reserved, said) = body.split_first_chunk::<2>().ok_or(Malformed::Truncated)?;
        let [source, reason] = *said.first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { source, reason })
    }

    /// As it is sent.
    pub fn pdu(self) -> Pdu {
        [7, 0, 0, 0, 0, 4, 0, 0, self.source, self.reason]
    }
}

/// A-ASSOCIATE-RJ: result, source and reason (PS3.8, table 9-21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// 1 permanent, 2 transient.
    pub result: u8,
    /// 1 the service user, 2 the provider (ACSE), 3 the provider (presentation).
    pub source: u8,
    /// What it means depends on the source.
    pub reason: u8,
}

impl Reject {
    /// For good: the calling AE title is not recognized.
    pub const CALLING_AE: Self = Self { result: 1, source: 1, reason: 3 };
    /// For good: no version of the protocol in common.
    pub const VERSION: Self = Self { result: 1, source: 2, reason: 2 };
    /// For now: temporary congestion.
    pub const CONGESTION: Self = Self { result: 2, source: 3, reason: 1 };
    /// For now: a local limit is exceeded.
    pub const LOCAL_LIMIT: Self = Self { result: 2, source: 3, reason: 2 };

    /// As it is sent.
    pub fn pdu(self) -> Pdu {
        [3, 0, 0, 0, 0, 4, 0, self.result, self.source, self.reason]
    }
}
