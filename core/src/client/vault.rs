//! Profiles whose storage key the platform keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::channel::NodeLink;
use crate::crypto::OsEntropy;
use crate::store::{StorageKey, StoreError};

use super::{Client, Error, Options, PROFILE_FILE};

/// Where the app keeps the storage key: Android Keystore, iOS Keychain.
///
/// It is called on a thread that may block, with no lock of this library held, so it may call back into any client.
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
    /// the profile is made. Two calls with one vault must not run at once, or one's key replaces the other's.
    ///
    /// # Errors
    /// [`Error::Vault`]; nothing has been made then.
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
        if !exists(&folder).await {
            return Err(StoreError::Missing.into());
        }
        let key = load(vault, options.vault_timeout)
            .await?
            .ok_or(VaultError::Empty)?;
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
    if exists(folder).await {
        return Err(StoreError::Exists.into());
    }
    if let Some(key) = load(Arc::clone(&vault), limit).await? {
        return Ok(key);
    }
    let key = StorageKey::random(&mut OsEntropy);
    let stored = key.duplicate();
    ask(limit, move || vault.store(stored.expose())).await?;
    Ok(key)
}

async fn load(vault: Arc<dyn KeyVault>, limit: Duration) -> Result<Option<StorageKey>, VaultError> {
    let Some(bytes) = ask(limit, move || vault.load()).await? else {
        return Ok(None);
    };
    StorageKey::try_from(bytes.as_slice())
        .map(Some)
        .map_err(|_| VaultError::BadKey(bytes.len()))
}

/// Asks the vault on a thread of its own, which is left behind if it does not answer.
async fn ask<T: Send + 'static>(
    limit: Duration,
    question: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    timeout(limit, spawn_blocking(question))
        .await
        .map_err(|_| VaultError::Timeout)?
        .map_err(|error| VaultError::Failed(error.to_string()))?
}

async fn making(
    make: impl FnOnce() -> Result<Client, Error> + Send + 'static,
) -> Result<Client, Error> {
    spawn_blocking(make).await.map_err(|_| Error::ShutDown)?
}

async fn exists(folder: &Path) -> bool {
    let file: PathBuf = folder.join(PROFILE_FILE);
    spawn_blocking(move || file.exists()).await.unwrap_or(false)
}
