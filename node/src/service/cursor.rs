//! Cursors: how far a client has read the log, sealed so that it tells nobody, the client included, how busy the node is.

use ailurus::crypto::{Aead, AeadKey, Pseudonym, kdf};
use bytes::Bytes;

/// How far a registration has been served.
///
/// Leases added up to `version` are served up to `position`. Leases added later start 7 days back; those up to
/// `backfill.version` are served up to `backfill.reached`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) version: u64,
    pub(crate) backfill: Option<Backfill>,
}

/// How far the leases of a newer version have been served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backfill {
    pub(crate) reached: u64,
    pub(crate) version: u64,
}

/// Seals and opens the cursors of one node and generation: AES-256-GCM over registration id and place, with generation
/// and pseudonym as associated data. The nonce is a keyed hash of all of it, so that no random source is needed; it
/// repeats only for an identical cursor.
pub(crate) struct Cursors {
    aead: Aead,
    nonce_key: [u8; 32],
    generation: [u8; 16],
}

impl Cursors {
    pub(crate) fn new(key: &AeadKey, generation: &[u8; 16]) -> Self {
        Self {
            aead: Aead::new(key),
            nonce_key: *kdf::derive(key.expose(), "ailurus/node/cursor-nonce", &[]),
            generation: *generation,
        }
    }

    /// The cursor of a place; always of the same length.
    pub(crate) fn seal(
        &self,
        pseudonym: &Pseudonym,
        registration: &[u8; 16],
        place: &Place,
    ) -> Bytes {
        let backfill = place.backfill.unwrap_or(NO_BACKFILL);
        let mut text = [0; TEXT];
        let (id, numbers) = text.split_at_mut(registration.len());
        id.copy_from_slice(registration);
        let values = [
            place.position,
            place.version,
            backfill.reached,
            backfill.version,
        ];
        for (place, value) in numbers.chunks_exact_mut(8).zip(values) {
            place.copy_from_slice(&value.to_be_bytes());
        }
        let aad = self.aad(pseudonym);
        let hash = kdf::keyed_hash(&self.nonce_key, &[&aad, &text]);
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&hash[..NONCE]);
        let mut cursor = Vec::with_capacity(NONCE + TEXT + TAG);
        cursor.extend_from_slice(&nonce);
        cursor.extend(self.aead.seal(&nonce, &aad, &text));
        Bytes::from(cursor)
    }

    /// The place behind a cursor of this pseudonym's registration; `None` if it is anything else.
    pub(crate) fn open(
        &self,
        pseudonym: &Pseudonym,
        registration: &[u8; 16],
        cursor: &[u8],
    ) -> Option<Place> {
        if cursor.len() != NONCE + TEXT + TAG {
            return None;
        }
        let text = self.aead.open_prefixed(&self.aad(pseudonym), cursor).ok()?;
        let (id, numbers) = text.split_first_chunk::<16>()?;
        if id != registration {
            return None;
        }
        let (numbers, _) = numbers.as_chunks::<8>();
        let [position, version, reached, newer] = numbers else {
            return None;
        };
        let newer = u64::from_be_bytes(*newer);
        Some(Place {
            position: u64::from_be_bytes(*position),
            version: u64::from_be_bytes(*version),
            backfill: (newer != NO_BACKFILL.version).then_some(Backfill {
                reached: u64::from_be_bytes(*reached),
                version: newer,
            }),
        })
    }

    fn aad(&self, pseudonym: &Pseudonym) -> [u8; 48] {
        let mut aad = [0; 48];
        aad[..16].copy_from_slice(&self.generation);
        aad[16..].copy_from_slice(pseudonym.as_bytes());
        aad
    }
}

/// Versions of leases begin at 1, so version 0 stands for none.
const NO_BACKFILL: Backfill = Backfill {
    reached: 0,
    version: 0,
};
const NONCE: usize = 12;
const TAG: usize = 16;
const TEXT: usize = 48;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALICE: Pseudonym = Pseudonym::from_bytes([1; 32]);

    fn cursors(generation: u8) -> Cursors {
        Cursors::new(&AeadKey::from_bytes([7; 32]), &[generation; 16])
    }

    proptest! {
        #[test]
        fn a_cursor_opens_only_where_it_was_made(
            position: u64, version: u64, reached: u64, newer in 0_u64..3, flip in 0_usize..76, cut in 0_usize..76,
        ) {
            let place = Place {
                position,
                version,
                backfill: (newer != 0).then_some(Backfill { reached, version: newer }),
            };
            let cursor = cursors(1).seal(&ALICE, &[2; 16], &place);
            prop_assert_eq!(cursor.len(), 76);
            prop_assert_eq!(cursors(1).open(&ALICE, &[2; 16], &cursor), Some(place));
            prop_assert_eq!(cursors(2).open(&ALICE, &[2; 16], &cursor), None);
            prop_assert_eq!(cursors(1).open(&ALICE, &[3; 16], &cursor), None);
            prop_assert_eq!(cursors(1).open(&Pseudonym::from_bytes([9; 32]), &[2; 16], &cursor), None);
            prop_assert_eq!(cursors(1).open(&ALICE, &[2; 16], &cursor[..cut]), None);
            let mut altered = cursor.to_vec();
            altered[flip] ^= 1;
            prop_assert_eq!(cursors(1).open(&ALICE, &[2; 16], &altered), None);
        }
    }
}
