//! Keys from pass phrases: Argon2id version 1.3 (RFC 9106).
//!
//! Parameters may come from a backup file that someone else wrote, so they are bounded before any memory is taken.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::crypto::aead::AeadKey;

/// Most memory that parameters may ask for, in KiB: 256 MiB.
pub const MAX_MEMORY_KIB: u32 = 256 * 1024;

/// Most passes over the memory that parameters may ask for.
pub const MAX_ITERATIONS: u32 = 10;

/// Most lanes that parameters may ask for.
pub const MAX_LANES: u32 = 8;

/// Cost of turning a pass phrase into a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordParams {
    /// Memory in KiB: at least 8 for each lane, at most [`MAX_MEMORY_KIB`].
    pub memory_kib: u32,
    /// Passes over the memory: 1 to [`MAX_ITERATIONS`].
    pub iterations: u32,
    /// Lanes: 1 to [`MAX_LANES`].
    pub lanes: u32,
}

impl PasswordParams {
    /// What new keys use: 64 MiB, two passes, one lane.
    pub const STANDARD: Self = Self {
        memory_kib: 64 * 1024,
        iterations: 2,
        lanes: 1,
    };

    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// [`PasswordError`] for the first parameter out of bounds.
    pub fn check(&self) -> Result<(), PasswordError> {
        if !(1..=MAX_LANES).contains(&self.lanes) {
            return Err(PasswordError::Lanes(self.lanes));
        }
        if !(8 * self.lanes..=MAX_MEMORY_KIB).contains(&self.memory_kib) {
            return Err(PasswordError::Memory(self.memory_kib));
        }
        if !(1..=MAX_ITERATIONS).contains(&self.iterations) {
            return Err(PasswordError::Iterations(self.iterations));
        }
        Ok(())
    }
}

/// A pass phrase cannot be turned into a key with these parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Memory is out of bounds.
    #[error(
        "Argon2id memory of {0} KiB is not between 8 KiB a lane and 256 MiB: the file is damaged or hostile"
    )]
    Memory(u32),
    /// The number of passes is out of bounds.
    #[error("{0} Argon2id passes are not between 1 and 10: the file is damaged or hostile")]
    Iterations(u32),
    /// The number of lanes is out of bounds.
    #[error("{0} Argon2id lanes are not between 1 and 8: the file is damaged or hostile")]
    Lanes(u32),
    /// The pass phrase is longer than Argon2's 4 GiB.
    #[error("the pass phrase is too long for Argon2id: choose a shorter one")]
    Passphrase,
}

/// Turns a pass phrase into a key. Takes about as long as the parameters say memory is filled: run it off the UI thread.
///
/// The phrase is taken as its UTF-8 bytes; callers that want Unicode normalisation do it before.
///
/// # Errors
///
/// [`PasswordError`] if a parameter is out of bounds; no memory has been taken then.
pub fn derive_key(
    passphrase: &str,
    salt: &[u8; 16],
    params: PasswordParams,
) -> Result<AeadKey, PasswordError> {
    params.check()?;
    let costs = Params::new(
        params.memory_kib,
        params.iterations,
        params.lanes,
        Some(AeadKey::LEN),
    )
    .map_err(|_| PasswordError::Memory(params.memory_kib))?;
    let mut key = Zeroizing::new([0; AeadKey::LEN]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, costs)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice())
        .map_err(|_| PasswordError::Passphrase)?;
    Ok(AeadKey::from_bytes(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: PasswordParams = PasswordParams {
        memory_kib: 64,
        iterations: 1,
        lanes: 1,
    };

    #[test]
    fn phrase_salt_and_cost_all_matter() {
        let key = derive_key("phrase", &[1; 16], QUICK).unwrap();
        let twice = PasswordParams {
            iterations: 2,
            ..QUICK
        };
        assert!(key.ct_eq(&derive_key("phrase", &[1; 16], QUICK).unwrap()));
        assert!(!key.ct_eq(&derive_key("Phrase", &[1; 16], QUICK).unwrap()));
        assert!(!key.ct_eq(&derive_key("phrase", &[2; 16], QUICK).unwrap()));
        assert!(!key.ct_eq(&derive_key("phrase", &[1; 16], twice).unwrap()));
    }

    #[test]
    fn standard_keys_match_openssl() {
        // From OpenSSL's Argon2id, through Python's `cryptography` 48.
        let expected = "5e5200462044d270c5ecfb1fb9b9c497bfa48f661c229469141c9d2c3bb10e02";
        let key = derive_key(
            "correct horse",
            b"0123456789abcdef",
            PasswordParams::STANDARD,
        )
        .unwrap();
        assert_eq!(hex::encode(key.expose()), expected);
    }

    #[test]
    fn hostile_parameters_are_refused_before_memory_is_taken() {
        let hostile = [
            (
                PasswordParams {
                    memory_kib: MAX_MEMORY_KIB + 1,
                    ..QUICK
                },
                PasswordError::Memory(MAX_MEMORY_KIB + 1),
            ),
            (
                PasswordParams {
                    memory_kib: u32::MAX,
                    ..QUICK
                },
                PasswordError::Memory(u32::MAX),
            ),
            (
                PasswordParams {
                    memory_kib: 7,
                    ..QUICK
                },
                PasswordError::Memory(7),
            ),
            (
                PasswordParams {
                    iterations: 11,
                    ..QUICK
                },
                PasswordError::Iterations(11),
            ),
            (
                PasswordParams {
                    iterations: 0,
                    ..QUICK
                },
                PasswordError::Iterations(0),
            ),
            (
                PasswordParams {
                    lanes: u32::MAX,
                    ..QUICK
                },
                PasswordError::Lanes(u32::MAX),
            ),
            (
                PasswordParams { lanes: 0, ..QUICK },
                PasswordError::Lanes(0),
            ),
        ];
        for (params, error) in hostile {
            assert_eq!(derive_key("phrase", &[0; 16], params).err(), Some(error));
        }
        assert_eq!(PasswordParams::STANDARD.check(), Ok(()));
    }
}
