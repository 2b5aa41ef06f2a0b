//! stub
mod record;
use crate::config::AuditSettings;
use crate::telemetry::metrics::AuditMetrics;
pub use record::*;
/// stub
#[derive(Clone)]
pub struct Audit;
/// stub
#[derive(Debug, thiserror::Error)]
#[error("not audited")]
pub struct NotAudited;
/// stub
#[derive(Debug, thiserror::Error)]
#[error("open")]
pub struct OpenError;
/// stub
#[derive(Debug, Clone, serde::Serialize)]
pub struct TrailStatus {}
impl Audit {
    /// s
    pub fn open(
        _s: Option<&AuditSettings>,
        _service: &str,
        _m: AuditMetrics,
    ) -> Result<Self, OpenError> {
        Ok(Self)
    }
    /// s
    pub async fn permit(&self, _r: Record, _phi: bool) -> Result<(), NotAudited> {
        Ok(())
    }
    /// s
    pub async fn note(&self, _r: Record) {}
    /// s
    pub fn note_now(&self, _r: Record) {}
    /// s
    pub fn denials(&self) -> Vec<serde_json::Value> {
        vec![]
    }
    /// s
    pub fn failing(&self) -> Option<String> {
        None
    }
    /// s
    pub fn status(&self) -> TrailStatus {
        TrailStatus {}
    }
    /// s
    pub async fn close(&self) {}
}
/// s
pub mod verify {
    /// s
    #[derive(Debug, serde::Serialize)]
    pub struct V;
    impl std::fmt::Display for V {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "")
        }
    }
    /// s
    pub fn verify(_d: &std::path::Path) -> Result<V, std::io::Error> {
        Ok(V)
    }
}
