//! How long what is kept is kept, and who gets large bodies.

use super::*;

#[test]
fn large_bodies_are_fetched_with_a_lease() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let large = channel.envelope(NOW, MAX_INLINE);
    let largest_inline = channel.envelope(NOW.offset(1), MAX_INLINE - 64);
    bench.register(BOB, NOW, &channel, epoch());
    assert_eq!(
        bench.publish(&channel, NOW, &[large.clone(), largest_inline.clone()]),
        []
    );
    let synced = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(
        synced.apart,
        [(
            Bytes::copy_from_slice(large.id().as_bytes()),
            MAX_INLINE as u32
        )]
    );
    assert_eq!(
        synced.of_address(channel.address(NOW)),
        sealed(&[largest_inline])
    );
    let responses = bench.ask(BOB, NOW, fetch(&large));
    let Some(response::Kind::Batch(batch)) = &responses[0].kind else {
        panic!("{responses:?}")
    };
    let mut fetched = Synced::default();
    fetched.add_batch(batch);
    assert_eq!(
        fetched.of_address(channel.address(NOW)),
        sealed(std::slice::from_ref(&large))
    );
    assert_eq!(fetched.envelopes[0].1, NOW);

    assert_eq!(
        refusals(&bench.ask(ALICE, NOW, fetch(&large))),
        [(0, Reason::NotRegistered)]
    );
    let unknown = Channel::new(1).envelope(NOW.offset(9), 200);
    assert_eq!(
        refusals(&bench.ask(BOB, NOW, fetch(&unknown))),
        [(0, Reason::NotFound)]
    );
    let later = NOW.after(LIFETIME);
    assert_eq!(
        refusals(&bench.ask(BOB, later, fetch(&large))),
        [(0, Reason::NotFound)]
    );
}

#[test]
fn after_seven_days_nothing_is_left() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 2_300);
    bench.register(BOB, NOW, &channel, epoch());
    for part in envelopes.chunks(1_000) {
        bench.publish(&channel, NOW, part);
    }
    let last = NOW.after(LIFETIME).offset(2_299);
    assert_eq!(
        bench
            .sync(BOB, last.offset(-1), &Bytes::new())
            .envelopes
            .len(),
        1
    );
    assert_eq!(bench.sync(BOB, last, &Bytes::new()).envelopes.len(), 0);
    let mut gone = 0;
    loop {
        let expired = bench.service.expire(last).expect("expires");
        gone += expired.envelopes;
        if !expired.more {
            break;
        }
    }
    assert_eq!(gone, 2_300);
    assert_eq!(bench.service.store().envelopes(), 0);
    let over = epoch().lease_end();
    assert_eq!(
        bench.sync(BOB, over.offset(-1), &Bytes::new()).hello.leases,
        1
    );
    assert_eq!(bench.sync(BOB, over, &Bytes::new()).hello.leases, 0);
    let expired = bench.service.expire(over).expect("expires");
    assert_eq!((expired.leases, expired.addresses), (1, 1));
    assert_eq!(expired.pseudonyms, [BOB]);
    drop(bench);
    let database = rusqlite::Connection::open(dir.path().join("node.db")).expect("opens");
    for table in ["addresses", "envelopes", "registrations", "leases"] {
        let count: i64 = database
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .expect("counted");
        assert_eq!(count, 0, "{table}");
    }
}

#[test]
fn positions_are_not_given_away_twice() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    bench.register(BOB, NOW, &channel, epoch());
    let first = channel.envelopes(NOW, 200, 3);
    bench.publish(&channel, NOW, &first);
    let cursor = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let now = NOW.after(LIFETIME + HOUR);
    bench.service.expire(now).expect("expires");
    drop(bench);
    let bench = Bench::open(dir.path(), Limits::default());
    bench.register(BOB, now, &channel, Epoch::of(now));
    let second = channel.envelopes(now, 200, 2);
    bench.publish(&channel, now, &second);
    let synced = bench.sync(BOB, now, &cursor);
    assert!(!synced.hello.from_start);
    assert_eq!(synced.of_address(channel.address(now)), sealed(&second));
}
