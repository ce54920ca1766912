//! How a node proves to push services that it is always the same (RFC 8292).

use ailurus::{
    channel::VapidKey,
    crypto::{NodeSecret, kdf},
    wire::time::UnixMillis,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::Serialize;
use web_push_native::p256::ecdsa::{Signature, SigningKey, signature::Signer};

/// The key. It follows from the node's own, so that it lasts as long, is in every backup, and needs no file.
pub(crate) struct Vapid {
    key: SigningKey,
    public: VapidKey,
}

/// What is signed (RFC 8292, section 2).
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl Vapid {
    /// The key of a node.
    pub(crate) fn derive(node: &NodeSecret) -> Self {
        let mut counter = 0_u32;
        loop {
            // All but one of 2³² candidates are keys.
            let candidate =
                kdf::derive::<32>(node.expose(), "ailurus-node/vapid", &counter.to_be_bytes());
            if let Ok(key) = SigningKey::from_slice(candidate.as_slice()) {
                let mut public = [0; VapidKey::LEN];
                let point = key.verifying_key().to_encoded_point(false);
                public.copy_from_slice(point.as_bytes());
                return Self {
                    key,
                    public: VapidKey::from_bytes(public),
                };
            }
            counter = counter.wrapping_add(1);
        }
    }

    /// What apps subscribe with.
    pub(crate) fn public(&self) -> VapidKey {
        self.public
    }

    /// The value of the header `Authorization` for a push service, whose origin is `audience`. `contact` is a `mailto:` or
    /// `https:` URL of the operator's.
    pub(crate) fn authorization(&self, audience: &str, contact: &str, now: UnixMillis) -> String {
        let claims = Claims {
            aud: audience,
            exp: now.as_secs().saturating_add(GOOD_FOR_S),
            sub: contact,
        };
        // Three plain fields always encode.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!(
            "{}.{}",
            Base64UrlUnpadded::encode_string(JOSE_HEADER),
            Base64UrlUnpadded::encode_string(&claims)
        );
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!(
            "vapid t={signed}.{}, k={}",
            Base64UrlUnpadded::encode_string(&signature.to_bytes()),
            Base64UrlUnpadded::encode_string(self.public.as_bytes())
        )
    }
}

const JOSE_HEADER: &[u8] = br#"{"typ":"JWT","alg":"ES256"}"#;
/// At most 24 hours, by the push service's clock.
const GOOD_FOR_S: u64 = 12 * 3_600;

#[cfg(test)]
mod tests {
    use web_push_native::p256::ecdsa::{VerifyingKey, signature::Verifier};

    use super::*;

    #[test]
    fn the_key_is_the_nodes_own_and_stays_the_same() {
        let key = |seed| Vapid::derive(&NodeSecret::from_bytes([seed; 32])).public();
        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
        assert_eq!(key(1).as_bytes()[0], 4, "uncompressed");
    }

    /// The example of RFC 8292, section 2.4.
    #[test]
    fn the_example_of_the_rfc_verifies_as_ours_do() {
        let k = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";
        let header_and_claims = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0";
        let signature = "i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA";
        verify(k, header_and_claims, signature);

        let (header, claims) = header_and_claims.split_once('.').expect("two parts");
        let decode = |part| Base64UrlUnpadded::decode_vec(part).expect("base64url");
        assert_eq!(decode(header), JOSE_HEADER);
        let expected = serde_json::to_vec(&Claims {
            aud: "https://push.example.net",
            exp: 1_453_523_768,
            sub: "mailto:push@example.com",
        });
        assert_eq!(decode(claims), expected.expect("encodes"));

        let ours = Vapid::derive(&NodeSecret::from_bytes([1; 32]));
        let now = UnixMillis::from_secs(1_453_480_568);
        let header = ours.authorization("https://push.example.net", "mailto:push@example.com", now);
        let (t, k) = header
            .strip_prefix("vapid t=")
            .and_then(|rest| rest.split_once(", k="))
            .expect("two parameters");
        let (signed, signature) = t.rsplit_once('.').expect("a signature");
        assert_eq!(signed, header_and_claims);
        verify(k, signed, signature);
    }

    fn verify(k: &str, signed: &str, signature: &str) {
        let key = Base64UrlUnpadded::decode_vec(k).expect("base64url");
        let key = VerifyingKey::from_sec1_bytes(&key).expect("a key");
        let signature = Base64UrlUnpadded::decode_vec(signature).expect("base64url");
        let signature = Signature::from_slice(&signature).expect("a signature");
        key.verify(signed.as_bytes(), &signature).expect("verifies");
    }
}
