//! Where a trail is.

use std::path::{Path, PathBuf};

use super::super::{ConfigFile, Exit, console, load};

/// One trail: a directory, or what a configuration says.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    #[command(flatten)]
    file: ConfigFile,
    /// The trail's directory [default: audit.dir of the configuration]
    #[arg(long, value_name = "DIR")]
    audit: Option<PathBuf>,
}

impl Place {
    /// Its directory; otherwise what to exit with, once the reason has been told.
    pub(super) fn dir(&self) -> Result<PathBuf, Exit> {
        match &self.audit {
            Some(dir) => no_file(dir).map(|()| dir.clone()),
            None => configured(&self.file),
        }
    }
}

/// Tells of a file where a directory is wanted.
pub(super) fn no_file(path: &Path) -> Result<(), Exit> {
    if !path.is_file() {
        return Ok(());
    }
    let file = path.display();
    console::error(&format!("error: {file} is a file; --audit takes the directory that it is in"));
    Err(Exit::BadCommand)
}

/// The directory that a configuration names.
pub(super) fn configured(file: &ConfigFile) -> Result<PathBuf, Exit> {
    let config = load(&file.config).map_err(|problems| {
        console::error(&format!("{problems}\n`--audit DIR` names a trail without a configuration"));
        Exit::BadConfig
    })?;
    config.audit.map(|audit| audit.dir).ok_or_else(|| {
        let path = config.path.display();
        console::error(&format!(
            "error: {path}: audit.dir is not set, so there is no trail; `--audit DIR` names another"
        ));
        Exit::BadConfig
    })
}
