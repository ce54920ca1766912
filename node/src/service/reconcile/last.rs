//! Whether an answer ends a reconciliation: its place is free then, though nobody says so.

/// Whether nothing can be asked about this message, which a node that is asked has just made: only a fingerprint leads to
/// another question, lists of ids do not (Negentropy, version 1). False if it cannot be told.
pub(super) fn is_last(message: &[u8]) -> bool {
    let Some((_version, mut ranges)) = message.split_first() else {
        return true;
    };
    while !ranges.is_empty() {
        match skip_range(&mut ranges) {
            Some(true) => {}
            Some(false) | None => return false,
        }
    }
    true
}

/// Passes over a range; false if it holds a fingerprint.
fn skip_range(ranges: &mut &[u8]) -> Option<bool> {
    let _time = number(ranges)?;
    let prefix = number(ranges)?;
    take(ranges, prefix)?;
    match number(ranges)? {
        SKIP => Some(true),
        ID_LIST => {
            let ids = number(ranges)?;
            take(ranges, ids.checked_mul(ID_LEN)?)?;
            Some(true)
        }
        _ => Some(false),
    }
}

/// Seven bits a byte, the highest first; all bytes but the last have their highest bit set.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number = number
            .checked_mul(128)?
            .checked_add(u64::from(first & 0x7f))?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
}

fn take(bytes: &mut &[u8], count: u64) -> Option<()> {
    *bytes = bytes.get(usize::try_from(count).ok()?..)?;
    Some(())
}

const SKIP: u64 = 0;
const ID_LIST: u64 = 2;
const ID_LEN: u64 = 32;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use negentropy::{Id, Item, Negentropy};
    use proptest::prelude::*;

    use super::{
        super::{FRAME, Window, part::Part},
        *,
    };

    fn side(times: &[u64]) -> Negentropy<'static, Part> {
        let mut items: Vec<Item> = times
            .iter()
            .map(|time| {
                let id = ailurus::crypto::kdf::sha256(&[&time.to_be_bytes()]);
                Item::with_timestamp_and_id(*time, Id::from_byte_array(id))
            })
            .collect();
        items.sort_unstable();
        let window = Window {
            from: 0,
            to: u64::MAX,
        };
        Negentropy::owned(Part::of(&Arc::new(items), window), FRAME).expect("items")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_answer_is_the_last_just_when_nothing_is_asked_about_it(
            size in 0..3_000_u64, lacking in prop::collection::hash_set(0..3_000_u64, 0..60),
            more in prop::collection::hash_set(3_000..6_000_u64, 0..60),
        ) {
            let here: Vec<u64> = (0..size).collect();
            let there: Vec<u64> = (0..size).filter(|time| !lacking.contains(time)).chain(more).collect();
            let (mut asks, mut answers) = (side(&here), side(&there));
            let mut question = asks.initiate().expect("a question");
            let (mut have, mut need) = (Vec::new(), Vec::new());
            loop {
                let answer = answers.reconcile(&question).expect("an answer");
                let next = asks.reconcile_with_ids(&answer, &mut have, &mut need).expect("an answer that parses");
                prop_assert_eq!(is_last(&answer), next.is_none());
                match next {
                    Some(next) => question = next,
                    None => break,
                }
            }
        }

        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            is_last(&bytes);
        }
    }

    #[test]
    fn what_is_cut_is_not_the_last() {
        assert!(is_last(&[0x61]));
        assert!(!is_last(&[0x61, 0, 0, 2, 1]));
        assert!(!is_last(&[0x61, 0x80]));
        assert!(!is_last(&[
            0x61, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f
        ]));
    }
}
