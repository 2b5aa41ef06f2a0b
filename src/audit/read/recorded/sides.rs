//! Which side of a recorded connection is the peer's.

use super::{Recorded, RecordedCertificate, RecordedSide};

impl Recorded {
    /// Whether the workload went out to the peer; else the peer came in.
    pub fn is_outbound(&self) -> bool {
        self.network.direction.as_deref() == Some("egress")
    }

    /// Where the peer is.
    pub fn peer_side(&self) -> Option<&RecordedSide> {
        let side = if self.is_outbound() { &self.destination } else { &self.source };
        side.as_ref()
    }

    /// The other side. Of what goes out, it is where the workload connected from.
    pub fn own_side(&self) -> Option<&RecordedSide> {
        let side = if self.is_outbound() { &self.source } else { &self.destination };
        side.as_ref()
    }

    /// The certificate that the peer presented, verified or not.
    pub fn presented(&self) -> Option<&RecordedCertificate> {
        let end = if self.is_outbound() { &self.tls.server } else { &self.tls.client };
        end.as_ref().filter(|end| !end.hash.sha256.is_empty())
    }

    /// What a client asked for by SNI.
    pub fn server_name(&self) -> Option<&str> {
        self.tls.client.as_ref()?.server_name.as_deref()
    }

    /// For how many events it stands.
    pub fn count(&self) -> u64 {
        self.myelin.flood.as_ref().map_or(1, |flood| flood.count)
    }
}
