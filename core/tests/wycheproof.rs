//! Project Wycheproof's test vectors, run against our wrappers.

use ailurus::crypto::{Aead, AeadKey, DhPublic, DhSecret, NodeKey, kdf::hkdf_sha256};
use wycheproof::{TestResult, aead, eddsa, hkdf, xdh};

#[test]
fn aes_256_gcm() {
    let mut run = 0;
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    for group in set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            let aead = Aead::new(&AeadKey::try_from(test.key.as_ref()).unwrap());
            let nonce: &[u8; 12] = test.nonce.as_ref().try_into().unwrap();
            let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
            let opened = aead.open(nonce, &test.aad, &sealed);
            if test.result.must_fail() {
                assert!(opened.is_err(), "case {}", test.tc_id);
            } else {
                assert_eq!(
                    opened.as_deref(),
                    Ok(test.pt.as_ref()),
                    "case {}",
                    test.tc_id
                );
                assert_eq!(
                    aead.seal(nonce, &test.aad, &test.pt),
                    sealed,
                    "case {}",
                    test.tc_id
                );
            }
            run += 1;
        }
    }
    println!("AES-256-GCM: {run} cases");
    assert!(run > 0);
}

#[test]
fn x25519() {
    let mut run = 0;
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let secret = DhSecret::try_from(test.private_key.as_ref()).unwrap();
            let Ok(public) = DhPublic::try_from(test.public_key.as_ref()) else {
                assert_ne!(test.result, TestResult::Valid, "case {}", test.tc_id);
                run += 1;
                continue;
            };
            match secret.diffie_hellman(&public) {
                Ok(shared) => {
                    assert!(!test.result.must_fail(), "case {}", test.tc_id);
                    assert_eq!(
                        shared.expose().as_slice(),
                        test.shared_secret.as_ref(),
                        "case {}",
                        test.tc_id
                    );
                }
                // Wycheproof leaves it open whether an all-zero secret is refused; we refuse it.
                Err(_) => assert!(
                    test.shared_secret.iter().all(|byte| *byte == 0),
                    "case {}",
                    test.tc_id
                ),
            }
            run += 1;
        }
    }
    println!("X25519: {run} cases");
    assert!(run > 0);
}

#[test]
fn hkdf_with_sha_256() {
    let mut run = 0;
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let mut output = vec![0; test.size];
            let result = hkdf_sha256(&test.ikm, &test.salt, &test.info, &mut output);
            if test.result.must_fail() {
                assert!(result.is_err(), "case {}", test.tc_id);
            } else {
                assert_eq!(result, Ok(()), "case {}", test.tc_id);
                assert_eq!(output, test.okm.as_ref(), "case {}", test.tc_id);
            }
            run += 1;
        }
    }
    println!("HKDF-SHA256: {run} cases");
    assert!(run > 0);
}

#[test]
fn ed25519() {
    let (mut run, mut good) = (0, 0);
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let key = NodeKey::try_from(group.key.pk.as_ref()).unwrap();
        for test in group.tests {
            let verified = <&[u8; 64]>::try_from(test.sig.as_ref())
                .is_ok_and(|signature| key.verify(&test.msg, signature).is_ok());
            assert_eq!(verified, !test.result.must_fail(), "case {}", test.tc_id);
            run += 1;
            good += usize::from(verified);
        }
    }
    println!("Ed25519: {run} cases, {good} of them good signatures");
    assert!(run > 0 && good > 0);
}
