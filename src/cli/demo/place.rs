//! The directory of the demonstration: configurations, authority, trails, and PEM files to try things with.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::{clinic, leftover};
use crate::certs::embedded::Authority;
use crate::identity::{SpiffeId, TrustDomain};

/// The trust domain of everybody in the sample clinic, and of one impostor.
pub(super) const TRUST_DOMAIN: &str = "clinic.example";
/// Certificates to try things with: a day is enough.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// An HL7 v2 message in its MLLP frame.
pub(super) const HL7: &str = "\x0bMSH|^~\\&|BILLING|CLINIC|LAB|CLINIC|20260102030405||ADT^A08^ADT_A01|MSG00001|P|2.5\r\
     EVN|A08|20260102030405\r\
     PID|1||4711^^^CLINIC^MR||Mustermann^Erika||19640812|F\r\x1c\r";

/// The directory; gone when this is dropped, unless it is to be kept.
pub(super) struct Place {
    dir: PathBuf,
    /// With the mark that it is in use.
    temporary: Option<(TempDir, File)>,
}

impl Place {
    /// Makes `keep`, or a temporary directory, which takes away those that were left behind. Nobody else may
    /// look into it.
    pub(super) fn make(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(keep) = keep else {
            let temporary = tempfile::Builder::new()
                .prefix(leftover::PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir()
                .context("no temporary directory can be made; name another place with --keep")?;
            let dir = temporary.path().to_owned();
            let mark = leftover::mark(&dir)
                .with_context(|| format!("cannot write to {}", dir.display()))?;
            leftover::sweep(&dir);
            return Ok(Self { dir, temporary: Some((temporary, mark)) });
        };
        let dir = std::path::absolute(keep).with_context(|| keep.display().to_string())?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        let mut entries =
            fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        if entries.next().is_some() {
            bail!("{} is not empty: name a new directory with --keep", dir.display());
        }
        fs::set_permissions(&dir, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot change the mode of {}", dir.display()))?;
        Ok(Self { dir, temporary: None })
    }

    /// Where `name` is, or is to be.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory itself.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it stays when the demonstration is over.
    pub(super) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// Takes it away, unless it is to be kept.
    pub(super) fn close(self) -> anyhow::Result<()> {
        match self.temporary {
            Some((temporary, _mark)) => temporary.close().with_context(|| {
                format!("cannot remove {}: remove it by hand", self.dir.display())
            }),
            None => Ok(()),
        }
    }

    /// Writes a file, or writes it anew.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Makes the authority that all sidecars share, certificates for programs that have no sidecar, and
    /// samples of what to send.
    pub(super) fn furnish(&self) -> anyhow::Result<()> {
        let domain = TrustDomain::parse(TRUST_DOMAIN)?;
        let authority = Authority::open_or_create(&self.path("authority"), &domain)?;
        self.write("ca.crt", authority.trust_bundle_pem())?;
        for name in ["admission", "kiosk"] {
            self.issue(&authority, &SpiffeId::of(&domain, name)?, name)?;
        }
        // The impostor has everything but the right authority: even the name is billing's.
        let foreign = Authority::open_or_create(&self.path("stranger-authority"), &domain)?;
        self.issue(&foreign, &SpiffeId::of(&domain, "billing")?, "stranger")?;
        self.write("find.xml", &clinic::find_patients("Mustermann"))?;
        self.write("patient.json", NEW_PATIENT)?;
        self.write("adt.hl7", HL7)?;
        Ok(())
    }

    fn issue(&self, authority: &Authority, id: &SpiffeId, file: &str) -> anyhow::Result<()> {
        let pair = authority.issue_pem(id, &[], TTL)?;
        self.write(&format!("{file}.crt"), &pair.chain)?;
        self.write(&format!("{file}.key"), &pair.key)?;
        Ok(())
    }
}

/// Somebody to register.
pub(super) const NEW_PATIENT: &str = r#"{
  "resourceType": "Patient",
  "name": [{ "family": "Newcomer", "given": ["Ada"] }],
  "gender": "female",
  "birthDate": "2001-01-01"
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_place_is_ours_alone_and_goes_away() {
        let place = Place::make(None).unwrap();
        let dir = place.dir().to_owned();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);

        place.furnish().unwrap();
        let key = fs::metadata(place.path("kiosk.key")).unwrap().permissions().mode();
        assert_eq!(key & 0o777, 0o600);

        place.close().unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn a_place_that_is_in_use_is_left_alone() {
        let used = TempDir::new().unwrap();
        fs::write(used.path().join("mine"), "").unwrap();

        let error = Place::make(Some(used.path())).err().unwrap().to_string();

        assert!(error.ends_with("is not empty: name a new directory with --keep"), "{error}");
    }
}
