//! The data directory: its lock, the node's key, and the port that was chosen once.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use ailurus::{
    channel::NodeLink,
    crypto::{NodeSecret, OsEntropy},
};
use zeroize::Zeroizing;

use crate::error::NodeError;

/// A data directory that this process has for itself.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Locked as long as it is open.
    lock: Arc<File>,
}

impl DataDir {
    /// Makes the directory if there is none, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, NodeError> {
        create_private_dir(path).map_err(|source| failed(path, "made", source))?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| failed(&lock_path, "opened for writing", source))?;
        match lock.try_lock() {
            Ok(()) if path.join(UNFINISHED).exists() => Err(NodeError::Unfinished(path.to_owned())),
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock: Arc::new(lock),
            }),
            Err(TryLockError::WouldBlock) => Err(NodeError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(&lock_path, "locked", source)),
        }
    }

    /// What keeps others out, for the thread that commits after this is dropped.
    pub(crate) fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.files().database()
    }

    /// Where the port is kept.
    pub(crate) fn port_path(&self) -> PathBuf {
        self.path.join(PORT)
    }

    /// The node's key, drawn at the first start. Only the node's user may read its file.
    pub(crate) fn key(&self) -> Result<NodeSecret, NodeError> {
        if let Some(secret) = self.files().key()? {
            return Ok(secret);
        }
        let secret = NodeSecret::random(&mut OsEntropy);
        self.keep_key(&secret)?;
        Ok(secret)
    }

    /// Writes the node's key.
    pub(crate) fn keep_key(&self, secret: &NodeSecret) -> Result<(), NodeError> {
        let path = self.path.join(KEY);
        write_new(&path, secret.expose()).map_err(|source| failed(&path, "written", source))
    }

    /// The port that was kept, if one was.
    pub(crate) fn port(&self) -> Result<Option<u16>, NodeError> {
        self.files().port()
    }

    /// Keeps a port.
    pub(crate) fn keep_port(&self, port: u16) -> Result<(), NodeError> {
        let path = self.port_path();
        fs::write(&path, format!("{port}\n")).map_err(|source| failed(&path, "written", source))
    }

    /// Keeps the node's link for commands that run beside the daemon.
    pub(crate) fn keep_link(&self, link: &NodeLink) -> Result<(), NodeError> {
        let path = self.path.join(LINK);
        fs::write(&path, format!("{link}\n")).map_err(|source| failed(&path, "written", source))
    }

    /// Marks the directory as half made, or as whole again.
    pub(crate) fn mark_unfinished(&self, unfinished: bool) -> Result<(), NodeError> {
        let path = self.path.join(UNFINISHED);
        let marked = if unfinished {
            fs::write(&path, "a restore is under way, or was broken off\n")
        } else {
            fs::remove_file(&path)
        };
        marked.map_err(|source| failed(&path, "written", source))
    }

    fn files(&self) -> Files<'_> {
        Files(&self.path)
    }
}

/// The files of a data directory, which another process may be using.
#[derive(Clone, Copy)]
pub(crate) struct Files<'a>(pub(crate) &'a Path);

impl Files<'_> {
    /// Where the database is.
    pub(crate) fn database(self) -> PathBuf {
        self.0.join(DATABASE)
    }

    /// The node's key, if it was drawn.
    pub(crate) fn key(self) -> Result<Option<NodeSecret>, NodeError> {
        let path = self.0.join(KEY);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(&path, "read", source)),
        };
        check_private(&path, &file)?;
        let mut bytes = Zeroizing::new([0; 32]);
        let whole = file
            .read_exact(bytes.as_mut_slice())
            .and_then(|()| file.read(&mut [0]));
        match whole {
            Ok(0) => Ok(Some(NodeSecret::from_bytes(*bytes))),
            Ok(_) => Err(NodeError::BadKey(path)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(NodeError::BadKey(path))
            }
            Err(source) => Err(failed(&path, "read", source)),
        }
    }

    /// The link that the node had at its last start, if it had one.
    pub(crate) fn link(self) -> Result<Option<NodeLink>, NodeError> {
        let path = self.0.join(LINK);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path, "read", source)),
        }
    }

    /// Whether a process holds the directory's lock.
    pub(crate) fn in_use(self) -> bool {
        File::open(self.0.join(LOCK))
            .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The port that was kept, if one was.
    pub(crate) fn port(self) -> Result<Option<u16>, NodeError> {
        let path = self.0.join(PORT);
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(port) if port != 0 => Ok(Some(port)),
                _ => Err(NodeError::BadPort(path)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path, "read", source)),
        }
    }
}

pub(crate) fn failed(path: &Path, action: &'static str, source: io::Error) -> NodeError {
    NodeError::DataDir {
        path: path.to_owned(),
        action,
        source,
    }
}

#[cfg(unix)]
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn check_private(path: &Path, file: &File) -> Result<(), NodeError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file
        .metadata()
        .map_err(|source| failed(path, "read", source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(NodeError::KeyExposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_path: &Path, _file: &File) -> Result<(), NodeError> {
    Ok(())
}

/// Writes a file that did not exist, whole or not at all: under another name first.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

const DATABASE: &str = "node.db";
const KEY: &str = "node.key";
const LINK: &str = "link";
const LOCK: &str = "lock";
const PORT: &str = "port";
/// There while a restore has not finished.
const UNFINISHED: &str = "unfinished";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_drawn_once_and_kept_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node");
        let first = DataDir::open(&path).expect("made");
        let public = first.key().expect("drawn").public();
        assert_eq!(first.key().expect("read").public(), public);
        assert!(matches!(DataDir::open(&path), Err(NodeError::InUse(_))));
        drop(first);
        let again = DataDir::open(&path).expect("free again");
        assert_eq!(again.key().expect("read").public(), public);
        fs::write(path.join("node.key"), [1; 31]).expect("written");
        assert!(matches!(again.key(), Err(NodeError::BadKey(_))));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let open = fs::Permissions::from_mode(0o644);
            fs::set_permissions(path.join("node.key"), open).expect("changed");
            assert!(matches!(
                again.key(),
                Err(NodeError::KeyExposed { mode: 0o644, .. })
            ));
        }
    }

    #[test]
    fn a_port_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(dir.path()).expect("opened");
        assert_eq!(data.port().expect("none"), None);
        data.keep_port(4433).expect("kept");
        assert_eq!(data.port().expect("kept"), Some(4433));
        fs::write(data.port_path(), "many").expect("written");
        assert!(matches!(data.port(), Err(NodeError::BadPort(_))));
    }
}
