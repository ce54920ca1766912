//! The official BIP-340 test vectors, through the public API.

use ailurus::crypto::{BatchItem, PublicKey, Signature, SigningKey, verify_each};

const VECTORS: &str = include_str!("vectors/bip340.csv");

struct Row {
    index: String,
    secret: Option<[u8; 32]>,
    public: [u8; 32],
    aux: Option<[u8; 32]>,
    message: Vec<u8>,
    signature: [u8; 64],
    good: bool,
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    (!text.is_empty()).then(|| hex::decode(text).unwrap().try_into().unwrap())
}

fn rows() -> Vec<Row> {
    VECTORS
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<_> = line.splitn(8, ',').collect();
            Row {
                index: fields[0].into(),
                secret: bytes(fields[1]),
                public: bytes(fields[2]).unwrap(),
                aux: bytes(fields[3]),
                message: hex::decode(fields[4]).unwrap(),
                signature: bytes(fields[5]).unwrap(),
                good: match fields[6] {
                    "TRUE" => true,
                    "FALSE" => false,
                    other => panic!("unknown verdict {other}"),
                },
            }
        })
        .collect()
}

#[test]
fn signing_and_verifying_match_the_vectors() {
    let (mut signed, mut verified, mut other_length) = (0, 0, 0);
    for row in rows() {
        let Ok(message) = <[u8; 32]>::try_from(row.message.as_slice()) else {
            other_length += 1;
            continue;
        };
        let signature = Signature::from_bytes(row.signature);
        if let (Some(secret), Some(aux)) = (row.secret, row.aux) {
            let key = SigningKey::from_bytes(&secret).unwrap();
            assert_eq!(key.public().as_bytes(), &row.public, "row {}", row.index);
            assert_eq!(
                key.sign_with_aux(&message, &aux),
                signature,
                "row {}",
                row.index
            );
            signed += 1;
        }
        let good = PublicKey::from_bytes(&row.public)
            .is_ok_and(|key| key.verify(&message, &signature).is_ok());
        assert_eq!(good, row.good, "row {}", row.index);
        verified += 1;
    }
    // Rows 15 to 18 sign messages of 0, 1, 17 and 100 bytes; our API takes 32 bytes, so they do not apply.
    assert_eq!((signed, verified, other_length), (4, 15, 4));
}

#[test]
fn batch_verification_matches_the_vectors() {
    let (items, expected): (Vec<_>, Vec<_>) = rows()
        .into_iter()
        .filter_map(|row| {
            let item = BatchItem {
                key: PublicKey::from_bytes(&row.public).ok()?,
                message: row.message.try_into().ok()?,
                signature: Signature::from_bytes(row.signature),
            };
            Some((item, row.good))
        })
        .unzip();
    // Rows 5 and 14 have public keys that do not exist, so they never reach a batch.
    assert_eq!(items.len(), 13);
    assert_eq!(verify_each(&items), expected);
}
