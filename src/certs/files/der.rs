//! Walks through DER (X.690), as far as containers of keys need it.

use x509_parser::asn1_rs::{Any, Class, FromDer, Oid, Tag};

use super::locked::Locked;

/// What is left of the content of one element.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is, with all its bytes.
    fn any(&mut self) -> Result<(Any<'a>, &'a [u8]), Locked> {
        let (rest, any) = Any::from_der(self.0).map_err(|_vague| Locked::Unparsable)?;
        let length = self.0.len() - rest.len();
        let raw = self.0.get(..length).ok_or(Locked::Unparsable)?;
        self.0 = rest;
        Ok((any, raw))
    }

    fn universal(&mut self, tag: Tag) -> Result<&'a [u8], Locked> {
        let (any, _) = self.any()?;
        let is_it = any.class() == Class::Universal && any.tag() == tag;
        if is_it { Ok(any.data) } else { Err(Locked::Unparsable) }
    }

    /// The next element's bytes as they are, which must be a sequence.
    pub(super) fn raw_sequence(&mut self) -> Result<&'a [u8], Locked> {
        let mut after = *self;
        after.universal(Tag::Sequence)?;
        let (_, raw) = self.any()?;
        Ok(raw)
    }

    pub(super) fn sequence(&mut self) -> Result<Self, Locked> {
        self.universal(Tag::Sequence).map(Self)
    }

    /// The content of `[number]`.
    pub(super) fn tagged(&mut self, number: u32) -> Result<Self, Locked> {
        let (any, _) = self.any()?;
        let is_it = any.class() == Class::ContextSpecific && any.tag() == Tag(number);
        if is_it { Ok(Self(any.data)) } else { Err(Locked::Unparsable) }
    }

    pub(super) fn octets(&mut self) -> Result<&'a [u8], Locked> {
        self.universal(Tag::OctetString)
    }

    /// The content of `[number]`, an octet string whose own tag is replaced by it.
    pub(super) fn tagged_octets(&mut self, number: u32) -> Result<&'a [u8], Locked> {
        self.tagged(number).map(|content| content.0)
    }

    pub(super) fn oid(&mut self) -> Result<Oid<'a>, Locked> {
        self.universal(Tag::Oid).map(|bytes| Oid::new(bytes.into()))
    }

    /// The bytes of a number of any length.
    pub(super) fn integer(&mut self) -> Result<&'a [u8], Locked> {
        self.universal(Tag::Integer)
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self) -> Result<u64, Locked> {
        let bytes = self.integer()?;
        let negative = bytes.first().is_none_or(|first| first & 0x80 != 0);
        if negative || bytes.len() > 9 {
            return Err(Locked::Unparsable);
        }
        let wide = bytes.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        u64::try_from(wide).map_err(|_too_large| Locked::Unparsable)
    }
}
