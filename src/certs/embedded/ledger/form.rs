//! How our own types stand in a line: as their text.

/// A moment, RFC 3339 in UTC, whole seconds.
pub(super) mod moment {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use crate::clock::rfc3339;

    pub(in super::super) fn serialize<S: Serializer>(
        at: &OffsetDateTime,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(&rfc3339(*at))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<OffsetDateTime, D::Error> {
        OffsetDateTime::parse(&String::deserialize(from)?, &Rfc3339).map_err(D::Error::custom)
    }
}

/// A SPIFFE ID.
pub(super) mod spiffe {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::identity::SpiffeId;

    pub(in super::super) fn serialize<S: Serializer>(
        id: &SpiffeId,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(id.as_str())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<SpiffeId, D::Error> {
        SpiffeId::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// DNS names, as a list.
pub(super) mod dns {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::identity::DnsName;

    pub(in super::super) fn serialize<S: Serializer>(
        names: &[DnsName],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(DnsName::as_str))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<DnsName>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let names: Result<_, _> = names.iter().map(|name| DnsName::parse(name)).collect();
        names.map_err(D::Error::custom)
    }
}
