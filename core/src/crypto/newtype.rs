//! Macros for fixed-size byte newtypes: public ids and secrets.
//!
//! Two ids of the same length are different types and cannot be mixed up. Ids print in hex; secrets never print.

/// A byte string had the wrong length for the type it should become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a {what} is {expected} bytes long, but {found} were given: pass the whole value and nothing else"
)]
pub struct LengthError {
    /// Name of the type.
    pub what: &'static str,
    /// Bytes the type takes.
    pub expected: usize,
    /// Bytes that were given.
    pub found: usize,
}

/// A text was not an id in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The digits make up the wrong number of bytes.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// There is something other than an even number of hexadecimal digits.
    #[error("a {what} is written in hexadecimal digits only: check the text for other characters")]
    Digits {
        /// Name of the type.
        what: &'static str,
    },
}

/// Declares a public, copyable newtype over `[u8; N]`.
///
/// `id_newtype! { /// docs pub struct ChannelId[32]; }` gives `from_bytes`, `as_bytes`, `TryFrom<&[u8]>`, hexadecimal
/// `Display` and `FromStr`, a `Debug` that shows the first four bytes, and ordering and hashing over the bytes.
macro_rules! id_newtype {
    ($(#[$meta:meta])* $vis:vis struct $name:ident[$len:expr];) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name([u8; $len]);

        // A type made by a macro need not use every item of the set, nor show it.
        #[allow(dead_code, unreachable_pub)]
        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes bytes that already have the right length.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl ::core::convert::TryFrom<&[u8]> for $name {
            type Error = $crate::crypto::newtype::LengthError;

            fn try_from(bytes: &[u8]) -> ::core::result::Result<Self, Self::Error> {
                match <[u8; $len]>::try_from(bytes) {
                    Ok(bytes) => Ok(Self(bytes)),
                    Err(_) => Err($crate::crypto::newtype::LengthError {
                        what: ::core::stringify!($name),
                        expected: $len,
                        found: bytes.len(),
                    }),
                }
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::crypto::newtype::ParseIdError;

            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                let Ok(bytes) = ::hex::decode(text) else {
                    return Err($crate::crypto::newtype::ParseIdError::Digits {
                        what: ::core::stringify!($name),
                    });
                };
                Ok(Self::try_from(bytes.as_slice())?)
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(&::hex::encode(self.0))
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(::core::concat!(::core::stringify!($name), "("))?;
                for byte in self.0.iter().take(4) {
                    ::core::write!(f, "{byte:02x}")?;
                }
                f.write_str(")")
            }
        }
    };
}

/// Declares a secret newtype over `[u8; N]`.
///
/// `secret_newtype! { /// docs pub struct ReadSecret[32]; }` gives `from_bytes`, `random`, `expose`, `duplicate`,
/// constant-time `ct_eq` and `TryFrom<&[u8]>`. The bytes are wiped on drop; there is no `Debug`, `Clone` or `==`.
macro_rules! secret_newtype {
    ($(#[$meta:meta])* $vis:vis struct $name:ident[$len:expr];) => {
        $(#[$meta])*
        $vis struct $name(::zeroize::Zeroizing<[u8; $len]>);

        // A type made by a macro need not use every item of the set, nor show it.
        #[allow(dead_code, unreachable_pub)]
        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes bytes that already have the right length. The caller wipes its own copy.
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(::zeroize::Zeroizing::new(bytes))
            }

            /// Draws a new secret.
            pub fn random(entropy: &mut dyn $crate::crypto::entropy::Entropy) -> Self {
                let mut bytes = ::zeroize::Zeroizing::new([0; $len]);
                entropy.fill(bytes.as_mut_slice());
                Self(bytes)
            }

            /// Shows the secret bytes, to derive from or to store encrypted.
            pub fn expose(&self) -> &[u8; $len] {
                &self.0
            }

            /// Makes a second copy, which is wiped on its own.
            pub fn duplicate(&self) -> Self {
                Self(self.0.clone())
            }

            /// Compares in constant time.
            pub fn ct_eq(&self, other: &Self) -> bool {
                ::subtle::ConstantTimeEq::ct_eq(self.0.as_slice(), other.0.as_slice()).into()
            }
        }

        impl ::zeroize::ZeroizeOnDrop for $name {}

        impl ::core::convert::TryFrom<&[u8]> for $name {
            type Error = $crate::crypto::newtype::LengthError;

            fn try_from(bytes: &[u8]) -> ::core::result::Result<Self, Self::Error> {
                if bytes.len() != $len {
                    return Err($crate::crypto::newtype::LengthError {
                        what: ::core::stringify!($name),
                        expected: $len,
                        found: bytes.len(),
                    });
                }
                let mut secret = ::zeroize::Zeroizing::new([0; $len]);
                secret.copy_from_slice(bytes);
                Ok(Self(secret))
            }
        }
    };
}

pub(crate) use id_newtype;
pub(crate) use secret_newtype;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::entropy::SeededEntropy;

    id_newtype! {
        /// An id for these tests.
        struct TestId[6];
    }

    secret_newtype! {
        /// A secret for these tests.
        struct TestSecret[32];
    }

    #[test]
    fn an_id_prints_and_parses() {
        let id = TestId::from_bytes([0xab, 1, 2, 3, 4, 0xff]);
        assert_eq!(id.to_string(), "ab01020304ff");
        assert_eq!(format!("{id:?}"), "TestId(ab010203)");
        assert_eq!("AB01020304ff".parse(), Ok(id));
        assert_eq!(TestId::try_from(id.as_bytes().as_slice()), Ok(id));
    }

    #[test]
    fn a_wrong_length_or_digit_is_refused() {
        let error = LengthError {
            what: "TestId",
            expected: 6,
            found: 5,
        };
        assert_eq!(TestId::try_from([0; 5].as_slice()), Err(error));
        assert_eq!(
            "0000000000".parse::<TestId>(),
            Err(ParseIdError::Length(error))
        );
        assert_eq!(
            "zz".parse::<TestId>(),
            Err(ParseIdError::Digits { what: "TestId" })
        );
        assert_eq!(
            "é".parse::<TestId>(),
            Err(ParseIdError::Digits { what: "TestId" })
        );
        assert!(TestSecret::try_from([0; 33].as_slice()).is_err());
    }

    #[test]
    fn secrets_compare_by_content() {
        let mut entropy = SeededEntropy::from_u64(1);
        let (one, two) = (
            TestSecret::random(&mut entropy),
            TestSecret::random(&mut entropy),
        );
        assert!(one.ct_eq(&one.duplicate()));
        assert!(!one.ct_eq(&two));
        assert!(TestSecret::try_from(two.expose().as_slice()).is_ok_and(|copy| copy.ct_eq(&two)));
    }
}
