//! Encrypts columns under a data key, which itself is wrapped by the key that the app supplies.

use zeroize::Zeroizing;

use crate::crypto::{Aead, AeadKey, OsEntropy, kdf, newtype::secret_newtype};

use super::StoreError;

secret_newtype! {
    /// Opens a profile: 32 bytes that the app keeps in Android Keystore, iOS Keychain or derives from a passphrase.
    pub struct StorageKey[32];
}

secret_newtype! {
    /// Encrypts the columns; the same for the life of a profile, also through backups and new storage keys.
    pub(super) struct DataKey[32];
}

impl DataKey {
    /// This key as it stands in the database.
    pub(super) fn wrap(&self, key: &StorageKey) -> Vec<u8> {
        wrapping(key).seal_random(&mut OsEntropy, WRAP, self.expose())
    }

    /// Recovers the data key; failing to is how a wrong storage key shows.
    pub(super) fn unwrap(wrapped: &[u8], key: &StorageKey) -> Result<Self, StoreError> {
        let bytes = Zeroizing::new(
            wrapping(key)
                .open_prefixed(WRAP, wrapped)
                .map_err(|_| StoreError::WrongKey)?,
        );
        Self::try_from(bytes.as_slice()).map_err(|_| StoreError::WrongKey)
    }
}

/// Seals column values and makes keyed hashes to look them up by.
pub(super) struct ColumnCipher {
    aead: Aead,
    tags: Zeroizing<[u8; 32]>,
}

impl ColumnCipher {
    pub(super) fn new(key: &DataKey) -> Self {
        let columns = kdf::derive(key.expose(), "ailurus/store/columns", &[]);
        Self {
            aead: Aead::new(&AeadKey::from_bytes(*columns)),
            tags: kdf::derive(key.expose(), "ailurus/store/tags", &[]),
        }
    }

    /// Encrypts a value for one column; it opens in no other.
    pub(super) fn seal(&self, column: &str, value: &[u8]) -> Vec<u8> {
        self.aead
            .seal_random(&mut OsEntropy, column.as_bytes(), value)
    }

    pub(super) fn open(
        &self,
        column: &'static str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.aead
            .open_prefixed(column.as_bytes(), sealed)
            .map(Zeroizing::new)
            .map_err(|_| StoreError::Corrupt(column))
    }

    /// A keyed hash of 16 bytes.
    pub(super) fn tag(&self, column: &str, value: &[u8]) -> [u8; 16] {
        let hash = kdf::keyed_hash(&self.tags, &[column.as_bytes(), &[0], value]);
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash[..16]);
        tag
    }
}

const WRAP: &[u8] = b"ailurus/store/data-key";

fn wrapping(key: &StorageKey) -> Aead {
    let wrapping = kdf::derive(key.expose(), "ailurus/store/wrapping", &[]);
    Aead::new(&AeadKey::from_bytes(*wrapping))
}
