//! Profiles whose storage key the platform keeps.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::channel::NodeLink;
use crate::crypto::OsEntropy;
use crate::store::{StorageKey, StoreError};

use super::inner::ended;
use super::{Client, Error, Options, PROFILE_FILE, lock};

/// Where the app keeps the storage key: Android Keystore, iOS Keychain.
///
/// One vault keeps the key of one profile. It is called on a thread of its own, which may block, by one thread at a time.
/// No lock of a client is held, so it may call back into any client, but not ask for its own profile.
pub trait KeyVault: Send + Sync {
    /// The key that was stored last; `None` if there is none.
    ///
    /// # Errors
    /// [`VaultError::Failed`], as while the device is locked.
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError>;

    /// Keeps a key of 32 bytes, also over a restart of the device.
    ///
    /// # Errors
    /// [`VaultError::Failed`]; no profile is made then.
    fn store(&self, key: &[u8]) -> Result<(), VaultError>;
}

/// Why the key vault gave no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// What it gave is no storage key.
    #[error("the key vault gave {0} bytes instead of 32; restore the profile from a backup")]
    BadKey(usize),
    /// It holds nothing, but there is a profile.
    #[error("the key vault holds no key for this profile; restore it from a backup")]
    Empty,
    /// What the platform said.
    #[error("the key vault failed: {0}; unlock the device and try again")]
    Failed(String),
    /// It did not answer within [`Options::vault_timeout`].
    #[error("the key vault did not answer in time; unlock the device and try again")]
    Timeout,
}

impl Client {
    /// As [`Client::create`], under the vault's key. If it holds none, a random one is drawn and stored there before
    /// the profile is made. Calls for one folder take turns, also with one that was given up and whose vault still works,
    /// and waiting counts towards [`Options::vault_timeout`].
    ///
    /// # Errors
    /// [`Error::Vault`]; no profile has been made then, but after [`VaultError::Timeout`] the vault may hold a key,
    /// which the next profile is made with.
    pub async fn create_with_vault(
        folder: &Path,
        vault: Arc<dyn KeyVault>,
        name: &str,
        nodes: &[NodeLink],
        options: Options,
    ) -> Result<Self, Error> {
        let key = key_for_new_profile(folder, vault, options.vault_timeout).await?;
        let (folder, name, nodes) = (folder.to_owned(), name.to_owned(), nodes.to_vec());
        making(move || Self::create(&folder, &key, &name, &nodes, options)).await
    }

    /// As [`Client::open`], with the vault's key.
    ///
    /// # Errors
    /// [`Error::Vault`], with [`VaultError::Empty`] if the vault holds no key; nothing is changed then.
    pub async fn open_with_vault(
        folder: &Path,
        vault: Arc<dyn KeyVault>,
        options: Options,
    ) -> Result<Self, Error> {
        let folder = folder.to_owned();
        if !exists(&folder).await? {
            return Err(StoreError::Missing.into());
        }
        let key = ask(&folder, options.vault_timeout, move || {
            load(&*vault)?.ok_or(VaultError::Empty)
        })
        .await?;
        making(move || Self::open(&folder, &key, options)).await
    }

    /// As [`Client::import_backup`], under the vault's key, or a random one as with [`Client::create_with_vault`].
    ///
    /// # Errors
    /// [`Error::Vault`]; nothing has been made then.
    pub async fn import_backup_with_vault(
        backup: &Path,
        passphrase: &str,
        folder: &Path,
        vault: Arc<dyn KeyVault>,
        options: Options,
    ) -> Result<Self, Error> {
        let key = key_for_new_profile(folder, vault, options.vault_timeout).await?;
        let (backup, folder) = (backup.to_owned(), folder.to_owned());
        let passphrase = Zeroizing::new(passphrase.to_owned());
        making(move || Self::import_backup(&backup, &passphrase, &folder, &key, options)).await
    }
}

async fn key_for_new_profile(
    folder: &Path,
    vault: Arc<dyn KeyVault>,
    limit: Duration,
) -> Result<StorageKey, Error> {
    if exists(folder).await? {
        return Err(StoreError::Exists.into());
    }
    let asked = ask(folder, limit, move || {
        if let Some(key) = load(&*vault)? {
            return Ok(key);
        }
        let key = StorageKey::random(&mut OsEntropy);
        vault.store(key.expose())?;
        Ok(key)
    });
    Ok(asked.await?)
}

fn load(vault: &dyn KeyVault) -> Result<Option<StorageKey>, VaultError> {
    let Some(bytes) = vault.load()? else {
        return Ok(None);
    };
    StorageKey::try_from(bytes.as_slice())
        .map(Some)
        .map_err(|_| VaultError::BadKey(bytes.len()))
}

/// The turns of profiles whose vaults are being asked.
static TURNS: LazyLock<std::sync::Mutex<HashMap<PathBuf, Weak<Mutex<()>>>>> =
    LazyLock::new(std::sync::Mutex::default);

/// Held by whoever asks for a profile's key until the vault's last answer, though nobody waits for that any more: a
/// late `store` would replace the key of a profile that was made meanwhile.
fn turn(folder: &Path) -> Arc<Mutex<()>> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut turns = lock(&TURNS);
    turns.retain(|_, turn| turn.strong_count() > 0);
    if let Some(turn) = turns.get(&folder).and_then(Weak::upgrade) {
        return turn;
    }
    let turn = Arc::default();
    turns.insert(folder, Arc::downgrade(&turn));
    turn
}

/// Asks the vault in its turn, on a thread of its own, which is left behind if it does not answer.
async fn ask<T: Send + 'static>(
    folder: &Path,
    limit: Duration,
    question: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    let asking = async {
        let turn = turn(folder).lock_owned().await;
        let (answer, answered) = oneshot::channel();
        std::thread::Builder::new()
            .name("ailurus-vault".to_owned())
            .spawn(move || {
                let _turn = turn;
                // Nobody may be waiting any more.
                let _ = answer.send(question());
            })
            .map_err(|error| VaultError::Failed(error.to_string()))?;
        answered
            .await
            .map_err(|_| VaultError::Failed("it panicked".to_owned()))?
    };
    timeout(limit, asking)
        .await
        .map_err(|_| VaultError::Timeout)?
}

async fn making(
    make: impl FnOnce() -> Result<Client, Error> + Send + 'static,
) -> Result<Client, Error> {
    spawn_blocking(make)
        .await
        .unwrap_or_else(|error| Err(ended(error)))
}

async fn exists(folder: &Path) -> Result<bool, Error> {
    let file: PathBuf = folder.join(PROFILE_FILE);
    spawn_blocking(move || file.exists()).await.map_err(ended)
}
