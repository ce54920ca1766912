//! Padding, messages of both kinds, and the admin's notices.

use ailurus::{
    channel::{padding, rotation::Rotation},
    crypto::{DhSecret, SigningKey},
    wire::{
        content::{self, Content},
        node::Item,
    },
};
use prost::Message as _;
use serde_json::Value;

use super::{
    aes_open, array, base58, bytes, cases, hash, hkdf, hpke_open, number, schnorr_verify, tagged,
};

#[test]
fn paddings() {
    for case in cases("padding.json") {
        if let Some(length) = case["input"]["length"].as_u64() {
            assert_eq!(padded_length(length), number(&case["output"]["padded"]));
        } else {
            let plaintext = bytes(&case["input"]["plaintext"]);
            let padded = bytes(&case["output"]["padded_plaintext"]);
            let mut expected = [plaintext.as_slice(), &[0x80]].concat();
            expected.resize(
                usize::try_from(padded_length(plaintext.len() as u64)).unwrap(),
                0,
            );
            assert_eq!(padded, expected);
            assert_eq!(padding::unpad(&padded), Some(plaintext.as_slice()));
        }
    }
}

/// Section 4.2 in words of logarithms as the paper has them.
fn padded_length(length: u64) -> u64 {
    let length = (length + 1).max(192);
    let exponent = (length as f64).log2().floor();
    let kept = exponent.log2().floor() + 1.0;
    let unit = 2_f64.powf(exponent - kept) as u64;
    length.div_ceil(unit) * unit
}

#[test]
fn messages_open_from_their_secrets() {
    for case in cases("message.json") {
        let (input, output) = (&case["input"], &case["output"]);
        assert_eq!(
            number(&input["time_ms"]) / 604_800_000,
            number(&input["epoch"])
        );
        let keys = [
            bytes(&input["blinded_public"]),
            bytes(&input["access_public"]),
        ]
        .concat();
        assert_eq!(hash(&keys), bytes(&input["address"])[..]);
        let (header, body) = envelope(output, &input["blinded_public"]);
        let expected = [
            &[1][..],
            &bytes(&input["address"]),
            &number(&input["time_ms"]).to_be_bytes(),
            &[0],
            &u32::try_from(body.len()).unwrap().to_be_bytes(),
        ];
        assert_eq!(header, expected.concat());

        assert_eq!(body[..12], bytes(&input["nonce"]));
        let key = hkdf(&bytes(&input["read_secret"]), "ailurus/envelope-key", &[]);
        let padded = aes_open(&key, &body[..12], &header, &body[12..]).expect("opens");
        assert_eq!(padded, bytes(&output["padded_plaintext"]));
        assert!(aes_open(&key, &body[..12], &header[1..], &body[12..]).is_none());
        author_part(input, output, &header, &padded);

        let key = SigningKey::from_bytes(&array(&input["author_private"])).unwrap();
        let id = array(&output["message_id"]);
        let signature = key.sign_with_aux(&id, &array(&input["author_aux"]));
        assert_eq!(
            hex::encode(signature.as_bytes()),
            hex::encode(author_signature(input, &padded))
        );
        let key = SigningKey::from_bytes(&array(&input["blinded_private"])).unwrap();
        let signature = key.sign_with_aux(
            &array(&output["envelope_id"]),
            &array(&input["envelope_aux"]),
        );
        assert_eq!(signature.as_bytes()[..], bytes(&output["sealed"])[..64]);
    }
}

#[test]
fn sealed_messages_open_with_the_sealing_key() {
    for case in cases("sealed.json") {
        let (input, output) = (&case["input"], &case["output"]);
        let (header, body) = envelope(output, &input["blinded_public"]);
        assert_eq!(header[41], 1);
        let info = bytes(&input["hpke_info"]);
        let padded =
            hpke_open(&bytes(&input["sealing_private"]), &info, &header, &body).expect("opens");
        assert!(hpke_open(&bytes(&input["sealing_private"]), b"other", &header, &body).is_none());
        author_part(input, output, &header, &padded);
    }
}

/// Checks header, identity, outer signature and item; returns header and body.
fn envelope(output: &Value, blinded: &Value) -> (Vec<u8>, Vec<u8>) {
    let (header, body) = (bytes(&output["header"]), bytes(&output["body"]));
    let id = tagged("ailurus/envelope", &[&header, &body]);
    assert_eq!(id, bytes(&output["envelope_id"])[..]);
    let sealed = bytes(&output["sealed"]);
    assert_eq!(sealed[64..], body);
    assert!(schnorr_verify(
        blinded,
        &id,
        &Value::from(hex::encode(&sealed[..64]))
    ));
    let item = Item::decode(bytes(&output["item"]).as_slice()).unwrap();
    assert_eq!(item.sealed, sealed);
    assert_eq!(item.kind, u32::from(header[41]));
    let time = number(&output["item_before_ms"])
        .checked_add_signed(item.time_delta_ms)
        .unwrap();
    assert_eq!(time.to_be_bytes(), header[33..41]);
    (header, body)
}

/// Takes the plaintext apart and checks the author's signature.
fn author_part(input: &Value, output: &Value, header: &[u8], padded: &[u8]) {
    let channel = bytes(&input["channel_id"]);
    let author = bytes(&input["author_public"]);
    let content = bytes(&input["content"]);
    let previous = bytes(&input["previous"]);
    let sequence = number(&input["sequence"]);
    let hint = &tagged("ailurus/author-hint", &[&channel, &author])[..8];
    assert!(sequence < 128, "one byte of varint");
    let signature = author_signature(input, padded);
    let plaintext = [
        hint,
        &[sequence as u8],
        &previous,
        &signature,
        &content,
        &[0x80],
    ]
    .concat();
    assert_eq!(padded[..plaintext.len()], plaintext);
    assert!(padded[plaintext.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(
        padded.len() as u64,
        padded_length(plaintext.len() as u64 - 1)
    );
    let statement = [
        &channel,
        header,
        &author,
        &sequence.to_be_bytes(),
        &previous,
        &content,
    ]
    .concat();
    if let Some(expected) = output["statement"].as_str() {
        assert_eq!(hex::encode(&statement), expected);
    }
    let id = tagged("ailurus/author", &[&statement]);
    assert_eq!(id, bytes(&output["message_id"])[..]);
    assert!(schnorr_verify(
        &input["author_public"],
        &id,
        &Value::from(hex::encode(signature))
    ));
    let content = Content::decode(content.as_slice()).unwrap();
    assert!(content.text.is_some());
    assert!(content.author_key.is_empty() || content.author_key == author);
}

fn author_signature(input: &Value, padded: &[u8]) -> Vec<u8> {
    assert!(number(&input["sequence"]) < 128, "one byte of varint");
    padded[17..81].to_vec()
}

#[test]
fn rotation_and_appointment() {
    let cases = cases("rotation.json");
    let (input, output) = (&cases[0]["input"], &cases[0]["output"]);
    let statement = bytes(&output["statement"]);
    assert_eq!(
        tagged("ailurus/rotation", &[&statement]),
        bytes(&output["hash"])[..]
    );
    assert!(schnorr_verify(
        &output["admin_public"],
        &array(&output["hash"]),
        &output["signature"]
    ));
    let decoded = content::RotationStatement::decode(statement.as_slice()).unwrap();
    assert_eq!(decoded.channel_id, bytes(&input["channel_id"]));
    assert_eq!(
        (decoded.number, decoded.time_ms),
        (1, number(&input["time_ms"]))
    );
    let slot = &decoded.slots[0];
    let hint = bytes(&input["author_hint"]);
    assert_eq!(slot.author, hint);
    let context = [
        &bytes(&input["channel_id"]),
        &1_u32.to_be_bytes()[..],
        &hint,
    ]
    .concat();
    let secret = bytes(&input["author_dh_private"]);
    let opened =
        hpke_open(&secret, &bytes(&input["hpke_info"]), &context, &slot.sealed).expect("opens");
    let access = content::Rotated::decode(opened.as_slice())
        .unwrap()
        .access
        .unwrap();
    let link = input["new_link"].as_str().unwrap();
    let payload = base58(&link[2..]);
    assert_eq!(access.encode_to_vec(), payload[..payload.len() - 8]);

    let notice = Content::decode(bytes(&output["content"]).as_slice())
        .unwrap()
        .rotation
        .unwrap();
    let rotation = Rotation::parse(&notice).unwrap();
    let hint = hint.as_slice().try_into().unwrap();
    let moved = rotation
        .open(
            &hint,
            &DhSecret::from_bytes(array(&input["author_dh_private"])),
        )
        .unwrap()
        .unwrap();
    assert_eq!(moved.to_text().unwrap().as_str(), link);

    let (input, output) = (&cases[1]["input"], &cases[1]["output"]);
    let statement = bytes(&output["statement"]);
    assert_eq!(
        tagged("ailurus/appointment", &[&statement]),
        bytes(&output["hash"])[..]
    );
    assert!(schnorr_verify(
        &output["admin_public"],
        &array(&output["hash"]),
        &output["signature"]
    ));
    let decoded = content::AppointmentStatement::decode(statement.as_slice()).unwrap();
    assert_eq!(decoded.channel_id, bytes(&input["channel_id"]));
    assert_eq!(decoded.author_key, bytes(&input["author_public"]));
}
