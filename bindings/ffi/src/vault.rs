//! Where the app keeps the storage key.

use std::sync::Arc;

use ailurus::client as core;
use zeroize::Zeroizing;

/// The platform's key store, which keeps the storage key of one profile: Android Keystore, iOS Keychain. It is asked
/// when a profile is made or opened, on a thread of its own, and waited for for 30 seconds; it may call anything.
#[uniffi::export(foreign)]
pub trait KeyVault: Send + Sync {
    /// The 32 bytes that were stored; nothing if none were.
    fn load(&self) -> Result<Option<Vec<u8>>, VaultError>;

    /// Keeps these 32 bytes.
    fn store(&self, key: Vec<u8>) -> Result<(), VaultError>;
}

/// A key vault failed.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum VaultError {
    /// It threw.
    #[error("{reason}")]
    Failed {
        /// What it said. It is shown to people, so it holds no secret.
        reason: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for VaultError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed {
            reason: error.reason,
        }
    }
}

/// A vault of the app, as the core knows vaults.
pub(crate) struct Vault(pub(crate) Arc<dyn KeyVault>);

impl core::KeyVault for Vault {
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, core::VaultError> {
        match self.0.load() {
            Ok(key) => Ok(key.map(Zeroizing::new)),
            Err(error) => Err(core::VaultError::Failed(error.to_string())),
        }
    }

    fn store(&self, key: &[u8]) -> Result<(), core::VaultError> {
        self.0
            .store(key.to_vec())
            .map_err(|error| core::VaultError::Failed(error.to_string()))
    }
}
