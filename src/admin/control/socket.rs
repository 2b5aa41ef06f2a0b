//! The control socket's place in the file system, and who may speak there.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

use crate::audit::Reader;
use crate::config::SUCCESSOR;

/// The owner's alone.
const MODE: u32 = 0o600;
/// Connections that may wait in the kernel.
const BACKLOG: i32 = 16;
const ROOT: u32 = 0;

/// The control socket, listening. Its file goes with it.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: UnixListener,
    file: OwnFile,
}

/// The file that we made, by which it is told from one that another process has put in its place.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    place: (u64, u64),
}

impl Bound {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == self.place)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}

/// Binds the control socket at `path`, within a runtime.
///
/// # Errors
///
/// Something else is there, another process listens there, or the kernel does not allow it.
pub fn bind(path: &Path) -> io::Result<Bound> {
    make_room(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Linux gives the file the mode of the socket: it is never open to others, not even for a moment.
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    let made = path.symlink_metadata()?;
    let file = OwnFile { path: path.to_owned(), place: (made.dev(), made.ino()) };
    if made.mode() & 0o7777 & !MODE != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    }
    socket.listen(BACKLOG)?;
    Ok(Bound { socket: UnixListener::from_std(socket.into())?, file })
}

/// The same, in the place of another process's, which nobody finds at `path` any more from then on.
///
/// # Errors
///
/// As [`bind`]. What was there stays.
pub fn replace(path: &Path) -> io::Result<Bound> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(SUCCESSOR);
    let mut bound = bind(Path::new(&beside))?;
    std::fs::rename(&bound.file.path, path)?;
    path.clone_into(&mut bound.file.path);
    Ok(bound)
}

/// A socket left behind by a process that was killed answers nobody; one that answers is in use.
fn make_room(path: &Path) -> io::Result<()> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something else than a socket has this name; move it away or choose another",
        ));
    }
    match StdUnixStream::connect(path) {
        Ok(_answered) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

/// Whose the process at the other end is, as the kernel says (`SO_PEERCRED`): who connected, whatever became of it since.
pub(super) fn who(stream: &UnixStream) -> io::Result<Reader> {
    let credentials = stream.peer_cred()?;
    // A process of another PID namespace has no number here.
    let process = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    Ok(Reader::of_process(credentials.uid(), process))
}

/// The sidecar's own user and root.
pub(super) fn is_welcome(who: &Reader) -> bool {
    who.uid == ROOT || who.uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MAX_CONTROL;

    #[tokio::test]
    async fn its_file_is_its_owners_alone_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");

        let bound = bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, MODE);
        let second = bind(&path).unwrap_err();
        drop(bound);

        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_another_process_has_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let bound = bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let successor = bind(&path).unwrap();

        drop(bound);

        assert!(path.exists());
        drop(successor);
    }

    #[tokio::test]
    async fn the_longest_path_that_a_configuration_may_name_can_be_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let room = MAX_CONTROL - dir.path().as_os_str().len() - 1;
        let path = dir.path().join("a".repeat(room));
        let bound = bind(&path).unwrap();

        let successor = replace(&path).unwrap();

        drop(bound);
        assert_eq!(successor.path(), path);
        assert!(StdUnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced_and_what_is_no_socket_never() {
        let dir = tempfile::tempdir().unwrap();
        let (stale, file) = (dir.path().join("stale.sock"), dir.path().join("file"));
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        std::fs::write(&file, "precious").unwrap();

        assert!(bind(&stale).is_ok());
        assert_eq!(bind(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
