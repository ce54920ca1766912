//! Padding: a plaintext is filled to at least 192 bytes, then by Padmé, so its size says little
//! (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", PETS 2019).

use crate::wire::limits::MIN_PADDED;

/// The padded length of `length` bytes of plaintext, of which one marks where the padding begins.
pub fn padded_len(length: usize) -> usize {
    padme(length.saturating_add(1).max(MIN_PADDED))
}

/// Appends the mark 0x80 and zeros up to [`padded_len`].
pub fn pad(plaintext: &mut Vec<u8>) {
    let target = padded_len(plaintext.len());
    plaintext.push(MARK);
    plaintext.resize(target, 0);
}

/// The plaintext without its padding; `None` if the mark is missing or the length is not what [`pad`] makes.
pub fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|&byte| byte != 0)?;
    let (plaintext, rest) = padded.split_at_checked(end)?;
    (rest.first() == Some(&MARK) && padded_len(plaintext.len()) == padded.len())
        .then_some(plaintext)
}

const MARK: u8 = 0x80;

/// Rounds up so that at most log2(log2 L) bits of the length remain to be seen.
fn padme(length: usize) -> usize {
    let Some(exponent) = length.checked_ilog2() else {
        return length;
    };
    let kept = exponent.checked_ilog2().map_or(0, |bits| bits + 1);
    let mask = (1_usize << exponent.saturating_sub(kept)) - 1;
    length.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_lengths() {
        for (length, padded) in [
            (0, 192),
            (191, 192),
            (192, 208),
            (287, 288),
            (288, 304),
            (1_023, 1_024),
            (1_024, 1_088),
        ] {
            assert_eq!(padded_len(length), padded, "{length}");
        }
    }

    proptest! {
        #[test]
        fn padding_comes_off_again(plaintext in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            let mut padded = plaintext.clone();
            pad(&mut padded);
            prop_assert!(padded.len() >= MIN_PADDED);
            prop_assert!(padded.len() <= plaintext.len() + 1 + plaintext.len() / 8 || padded.len() == MIN_PADDED);
            prop_assert_eq!(unpad(&padded), Some(plaintext.as_slice()));
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = unpad(&bytes);
        }
    }
}
