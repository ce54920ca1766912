//! Random requests.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_requests_never_panic(requests in prop::collection::vec(arbitrary_request(), 1..8)) {
        let (_dir, bench) = bench(Limits::default());
        for request in requests {
            let responses = bench.ask(BOB, NOW, request);
            prop_assert!(!responses.is_empty());
        }
    }
}

/// Bytes that parse as a request, by way of random bytes in every field.
fn arbitrary_request() -> impl Strategy<Value = Request> {
    use ailurus::wire::node::{Fetch, Item, Lease, Publish, Register, Release, Sync};

    let bytes = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            prop::collection::vec(any::<u8>(), 32),
            prop::collection::vec(any::<u8>(), 64),
            // The generator's x coordinate: a key that is on the curve.
            Just(vec![
                0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87,
                0x0b, 0x07, 0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b,
                0x16, 0xf8, 0x17, 0x98,
            ]),
        ]
        .prop_map(Bytes::from)
    };
    let number = || {
        prop_oneof![
            any::<u64>(),
            Just(NOW.as_millis()),
            Just(NOW.as_secs()),
            Just(epoch().number())
        ]
    };
    let item = (any::<i64>(), 0..3_u32, bytes(), bytes(), any::<u32>()).prop_map(
        |(time_delta_ms, kind, sealed, id, size)| Item {
            time_delta_ms,
            kind,
            sealed,
            id,
            size,
        },
    );
    let lease = (bytes(), bytes(), number(), number(), bytes()).prop_map(
        |(blinded_key, access_key, epoch, lease_end, proof)| Lease {
            blinded_key,
            access_key,
            epoch,
            lease_end,
            proof,
            ..Lease::default()
        },
    );
    prop_oneof![
        (bytes(), any::<bool>())
            .prop_map(|(cursor, follow)| request(request::Kind::Sync(Sync { cursor, follow }))),
        prop::collection::vec(lease, 0..4).prop_map(|leases| request(request::Kind::Register(
            Register {
                leases,
                ..Register::default()
            }
        ))),
        prop::collection::vec(bytes(), 0..4)
            .prop_map(|addresses| request(request::Kind::Release(Release { addresses }))),
        (
            bytes(),
            bytes(),
            number(),
            prop::collection::vec(item, 0..6)
        )
            .prop_map(|(blinded_key, access_key, base_time_ms, items)| request(
                request::Kind::Publish(Publish {
                    blinded_key,
                    access_key,
                    base_time_ms,
                    items
                })
            )),
        (bytes(), bytes())
            .prop_map(|(address, id)| request(request::Kind::Fetch(Fetch { address, id }))),
    ]
}
