//! DICOM's controlled terminology, as far as records are told in it.

/// A code with its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code<'a> {
    pub(super) code: &'a str,
    /// `DCM`, or ours.
    pub(super) system: &'static str,
    pub(super) text: &'a str,
}

/// DICOM's controlled terminology.
pub(super) const DCM: &str = "DCM";
/// For what DICOM has no code for.
pub(super) const OURS: &str = "Myelin";

const fn dcm(code: &'static str, text: &'static str) -> Code<'static> {
    Code { code, system: DCM, text }
}

pub(super) const APPLICATION_ACTIVITY: Code<'static> = dcm("110100", "Application Activity");
pub(super) const AUDIT_LOG_USED: Code<'static> = dcm("110101", "Audit Log Used");
pub(super) const SECURITY_ALERT: Code<'static> = dcm("110113", "Security Alert");
pub(super) const APPLICATION_START: Code<'static> = dcm("110120", "Application Start");
pub(super) const APPLICATION_STOP: Code<'static> = dcm("110121", "Application Stop");
pub(super) const NODE_AUTHENTICATION: Code<'static> = dcm("110126", "Node Authentication");
pub(super) const EMERGENCY_OVERRIDE_STARTED: Code<'static> =
    dcm("110127", "Emergency Override Started");
pub(super) const EMERGENCY_OVERRIDE_STOPPED: Code<'static> =
    dcm("110138", "Emergency Override Stopped");
pub(super) const NETWORK_CONFIGURATION: Code<'static> = dcm("110128", "Network Configuration");
pub(super) const SECURITY_CONFIGURATION: Code<'static> = dcm("110129", "Security Configuration");
pub(super) const RESTRICTED_FUNCTION: Code<'static> = dcm("110132", "Use of Restricted Function");
pub(super) const RECORDING_STOPPED: Code<'static> = dcm("110133", "Audit Recording Stopped");
pub(super) const RECORDING_STARTED: Code<'static> = dcm("110134", "Audit Recording Started");
pub(super) const SESSION_START: Code<'static> = dcm("110145", "Session start");
pub(super) const SESSION_STOP: Code<'static> = dcm("110146", "Session stop");
pub(super) const ACCESS_CONTROL_DECISION: Code<'static> = dcm("110147", "Access Control Decision");
pub(super) const APPLICATION: Code<'static> = dcm("110150", "Application");
pub(super) const DESTINATION: Code<'static> = dcm("110152", "Destination Role ID");
pub(super) const SOURCE: Code<'static> = dcm("110153", "Source Role ID");
