//! Typed Base58 text in redPanda's style: prefix, payload, and a checksum that covers both.

use zeroize::Zeroizing;

use crate::crypto::kdf;
use crate::wire::limits::MAX_LINK;

/// Writes a payload under a two-letter prefix.
pub(super) fn encode(prefix: &str, payload: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(payload.to_vec());
    bytes.extend_from_slice(&checksum(prefix, payload));
    Zeroizing::new(format!(
        "{prefix}{}",
        bs58::encode(bytes.as_slice()).into_string()
    ))
}

/// Splits text into its prefix and payload; white space anywhere is dropped, as line breaks in messages make it.
pub(super) fn decode(text: &str) -> Result<(String, Zeroizing<Vec<u8>>), TextError> {
    let text: Zeroizing<String> = Zeroizing::new(
        text.chars()
            .filter(|c| !c.is_whitespace())
            .take(MAX_LINK + 1)
            .collect(),
    );
    if text.chars().count() > MAX_LINK {
        return Err(TextError::TooLong);
    }
    let Some((prefix, rest)) = text.split_at_checked(2) else {
        return Err(TextError::Truncated);
    };
    if !KNOWN.contains(&prefix) {
        return Err(TextError::UnknownPrefix);
    }
    let mut bytes = Zeroizing::new(
        bs58::decode(rest)
            .into_vec()
            .map_err(|_| TextError::NotBase58)?,
    );
    let Some(length) = bytes
        .len()
        .checked_sub(CHECKSUM)
        .filter(|&length| length > 0)
    else {
        return Err(TextError::Truncated);
    };
    let expected = checksum(prefix, bytes.get(..length).unwrap_or_default());
    if bytes.get(length..) != Some(expected.as_slice()) {
        // Cutting Base58 changes every byte, so only the length can tell that a part is missing.
        return Err(if length < shortest(prefix) {
            TextError::Truncated
        } else {
            TextError::WrongChecksum
        });
    }
    bytes.truncate(length);
    Ok((prefix.to_owned(), bytes))
}

/// Why text is not a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Characters outside Base58.
    #[error(
        "the link has characters that do not belong in one (0, O, I, l or punctuation); copy it again"
    )]
    NotBase58,
    /// Longer than any link.
    #[error("the link is longer than {MAX_LINK} characters; copy only the link itself")]
    TooLong,
    /// Shorter than its checksum.
    #[error("the link is cut off; copy all of it")]
    Truncated,
    /// Not one of the types.
    #[error(
        "the link does not begin with a known type (af, ar, aw, an, ai, pr, pu); copy all of it, or update the app"
    )]
    UnknownPrefix,
    /// Mistyped or cut off.
    #[error(
        "the link's checksum is wrong: a character is missing or changed; copy or scan it again"
    )]
    WrongChecksum,
}

/// Full, Read and Write link, node link, operator's invitation, redPanda's private and public strings.
const KNOWN: [&str; 7] = ["af", "ar", "aw", "an", "ai", "pr", "pu"];
const CHECKSUM: usize = 8;

/// The shortest payload of a type, in bytes: its keys, and where they are protobuf fields, two bytes more for each.
fn shortest(prefix: &str) -> usize {
    match prefix {
        "af" => 3 * 34 + 3,
        "ar" => 5 * 34 + 3,
        "aw" => 4 * 34,
        "an" => 34 + 3 + 2,
        "ai" => 34 + 3 + 2 + 2 + 34 + 66,
        "pr" => 32,
        _ => 33,
    }
}

/// The first 8 bytes of double SHA-256 over prefix and payload (`docs/PROTOCOL.md` section 2.1).
fn checksum(prefix: &str, payload: &[u8]) -> [u8; CHECKSUM] {
    let hash = kdf::sha256(&[&kdf::sha256(&[prefix.as_bytes(), payload])]);
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}
