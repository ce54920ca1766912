//! Prints how many BIP-340 signatures one core verifies in a second, one by one and in batches.
//!
//! Run with `cargo run --release -p ailurus --example batch_speed`.

use std::time::{Duration, Instant};

use ailurus::crypto::{BatchItem, SeededEntropy, SigningKey, entropy, verify_batch, verify_each};

/// How long each measurement runs at least.
const RUN: Duration = Duration::from_secs(1);

fn main() {
    let one = items(1, 1);
    measure("one by one", 1, || single(&one));
    for (size, keys) in [
        (8, 1),
        (8, 4),
        (32, 1),
        (32, 20),
        (128, 1),
        (128, 20),
        (128, 128),
    ] {
        let good = items(size, keys);
        let what = format!("batches of {size}, {keys} keys");
        measure(&what, size, || assert!(verify_batch(&good).is_ok()));
    }
    let mut one_bad = items(128, 20);
    one_bad[77].message = [0; 32];
    measure("batches of 128, 20 keys, one false", 128, || {
        assert!(!verify_each(&one_bad)[77]);
    });
    let all_bad: Vec<_> = items(128, 20)
        .into_iter()
        .map(|item| BatchItem {
            message: [0; 32],
            ..item
        })
        .collect();
    measure("batches of 128, 20 keys, all false", 128, || {
        assert!(!verify_each(&all_bad).contains(&true));
    });
}

fn single(items: &[BatchItem]) {
    for item in items {
        assert!(item.key.verify(&item.message, &item.signature).is_ok());
    }
}

/// `size` signed messages by `keys` keys in turn.
fn items(size: usize, keys: usize) -> Vec<BatchItem> {
    let mut entropy = SeededEntropy::from_u64(1);
    let keys: Vec<_> = (0..keys)
        .map(|_| SigningKey::random(&mut entropy))
        .collect();
    (0..size)
        .zip(keys.iter().cycle())
        .map(|(_, key)| {
            let message = entropy::array(&mut entropy);
            let signature = key.sign(&message, &mut entropy);
            BatchItem {
                key: key.public(),
                message,
                signature,
            }
        })
        .collect()
}

/// Verifies `size` signatures again and again; prints how many that makes in a second, over the whole run and in its
/// fastest round, which tells more when the machine is shared.
fn measure(what: &str, size: usize, mut work: impl FnMut()) {
    let start = Instant::now();
    let mut rounds = 0u32;
    let mut fastest = Duration::MAX;
    while start.elapsed() < RUN {
        let round = Instant::now();
        work();
        fastest = fastest.min(round.elapsed());
        rounds += 1;
    }
    let mean = f64::from(rounds) * size as f64 / start.elapsed().as_secs_f64();
    let best = size as f64 / fastest.as_secs_f64();
    println!("{what:<36} {mean:>8.0}/s, at best {best:>8.0}/s");
}
