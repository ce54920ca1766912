//! A profile's folder: the salt of its storage key stands in it, beside the library's database.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use ailurus::{
    channel::NodeLink,
    client::{Client, Options, PROFILE_FILE, SystemClock},
    crypto::{Entropy as _, OsEntropy, password},
    net::DhtMode,
    store::StorageKey,
    wire::time::{Clock as _, UnixMillis},
};

use crate::{clock_offset::ClockOffset, exit::CliError, passphrase};

/// Where a profile is or will be, by which clock it runs, and where it looks for lost nodes.
pub struct Profile {
    folder: PathBuf,
    clock_offset: ClockOffset,
    dht: DhtMode,
}

impl Profile {
    /// The profile in `folder`, which need not exist yet.
    pub fn new(folder: PathBuf, clock_offset: ClockOffset, dht: DhtMode) -> Self {
        Self {
            folder,
            clock_offset,
            dht,
        }
    }

    /// The time by its clock.
    pub fn now(&self) -> UnixMillis {
        SystemClock::with_offset(self.clock_offset.as_millis()).now()
    }

    /// Opens it, with the passphrase from the environment or a prompt.
    pub fn open(&self) -> Result<Client, CliError> {
        self.open_with(&passphrase::of_profile)
    }

    /// Makes it.
    ///
    /// # Errors
    /// If there is one, or no passphrase; nothing is changed then.
    pub fn init(&self, name: &str, nodes: &[NodeLink]) -> Result<Client, CliError> {
        self.check_free()?;
        let passphrase = passphrase::new_profile()?;
        self.fill(
            |key| Client::create(&self.folder, key, name, nodes, self.options()),
            &passphrase,
        )
    }

    /// Makes it from a backup.
    ///
    /// # Errors
    /// If there is one, or the backup does not open; nothing is changed then.
    pub fn import(&self, backup: &Path) -> Result<Client, CliError> {
        self.check_free()?;
        drop(fs::File::open(backup).map_err(CliError::file(backup))?);
        let of_backup = passphrase::of_backup()?;
        let of_profile = match of_backup {
            Some(_) => passphrase::new_profile()?,
            None => passphrase::of_profile()?,
        };
        let opens_backup = of_backup.as_ref().unwrap_or(&of_profile);
        self.fill(
            |key| Client::import_backup(backup, opens_backup, &self.folder, key, self.options()),
            &of_profile,
        )
    }

    /// Writes it into a new backup file.
    pub fn export(&self, to: &Path) -> Result<(), CliError> {
        if to.exists() {
            return Err(CliError::FileExists(to.to_owned()));
        }
        let of_backup = passphrase::of_backup()?;
        self.check_there()?;
        let of_profile = passphrase::of_profile()?;
        let client = self.open_with(&|| Ok(of_profile.clone()))?;
        Ok(client.export_backup(to, of_backup.as_ref().unwrap_or(&of_profile))?)
    }

    fn open_with(
        &self,
        passphrase: &dyn Fn() -> Result<passphrase::Passphrase, CliError>,
    ) -> Result<Client, CliError> {
        self.check_there()?;
        let salt = self.read_salt()?;
        let key = storage_key(&passphrase()?, &salt)?;
        Ok(Client::open(&self.folder, &key, self.options())?)
    }

    /// Makes folder and salt, and then what `make` makes under the storage key; takes all back if that fails.
    fn fill(
        &self,
        make: impl FnOnce(&StorageKey) -> Result<Client, ailurus::client::Error>,
        passphrase: &str,
    ) -> Result<Client, CliError> {
        let new_folder = !self.folder.exists();
        make_private_folder(&self.folder).map_err(CliError::file(&self.folder))?;
        let filled = self.make_salt().and_then(|(salt, new_salt)| {
            let made = storage_key(passphrase, &salt).and_then(|key| Ok(make(&key)?));
            if made.is_err() && new_salt {
                fs::remove_file(self.salt_path()).map_err(CliError::file(self.salt_path()))?;
            }
            made
        });
        if filled.is_err() && new_folder {
            // Only goes if it is empty: what the library left in it is not ours to delete.
            let _ = fs::remove_dir(&self.folder);
        }
        filled
    }

    /// The salt, and whether it is new: one without a database is what an interrupted `init` leaves.
    fn make_salt(&self) -> Result<([u8; 16], bool), CliError> {
        let path = self.salt_path();
        let mut salt = [0; 16];
        OsEntropy.fill(&mut salt);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        private(&mut options);
        match options.open(&path) {
            Ok(mut file) => {
                file.write_all(&salt)
                    .and_then(|()| file.sync_all())
                    .map_err(CliError::file(path))?;
                Ok((salt, true))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok((self.read_salt()?, false))
            }
            Err(error) => Err(CliError::File { path, error }),
        }
    }

    fn read_salt(&self) -> Result<[u8; 16], CliError> {
        let path = self.salt_path();
        let file = fs::File::open(&path).map_err(CliError::file(&path))?;
        let mut bytes = Vec::new();
        file.take(17)
            .read_to_end(&mut bytes)
            .map_err(CliError::file(&path))?;
        bytes.try_into().map_err(|_| CliError::Salt(path))
    }

    fn check_free(&self) -> Result<(), CliError> {
        if self.database_path().exists() {
            return Err(CliError::ProfileExists(self.folder.clone()));
        }
        Ok(())
    }

    fn check_there(&self) -> Result<(), CliError> {
        if !self.salt_path().exists() || !self.database_path().exists() {
            return Err(CliError::NoProfile(self.folder.clone()));
        }
        Ok(())
    }

    fn options(&self) -> Options {
        Options {
            clock: Arc::new(SystemClock::with_offset(self.clock_offset.as_millis())),
            dht: self.dht.clone(),
            ..Options::default()
        }
    }

    fn salt_path(&self) -> PathBuf {
        self.folder.join("salt")
    }

    fn database_path(&self) -> PathBuf {
        self.folder.join(PROFILE_FILE)
    }
}

fn storage_key(passphrase: &str, salt: &[u8; 16]) -> Result<StorageKey, CliError> {
    let key = password::derive_key(passphrase, salt, password::PasswordParams::STANDARD)?;
    Ok(StorageKey::from_bytes(*key.expose()))
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Makes a new file readable by its owner only, where the system knows such a thing.
pub fn private(options: &mut fs::OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}
