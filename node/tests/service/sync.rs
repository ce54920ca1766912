//! Sync and its cursors.

use super::*;

#[test]
fn what_was_published_is_synced_in_order_and_once() {
    let (_dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 300, 2_500);
    assert_eq!(bench.register(BOB, NOW, &channel, epoch()), []);
    for part in envelopes.chunks(1_000) {
        assert_eq!(bench.publish(&channel, NOW, part), []);
    }
    let first = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(first.hello.time_ms, NOW.as_millis());
    assert_eq!((first.hello.from_start, first.hello.leases), (false, 1));
    assert_eq!(first.of_address(channel.address(NOW)), sealed(&envelopes));
    assert_eq!(first.positions, 3);
    let times: Vec<_> = first.envelopes.iter().map(|(_, time, _)| *time).collect();
    let sent: Vec<_> = envelopes
        .iter()
        .map(|envelope| envelope.header().time)
        .collect();
    assert_eq!(times, sent);

    let second = bench.sync(BOB, NOW, &first.cursor());
    assert!(second.envelopes.is_empty() && !second.hello.from_start);
    assert_eq!(second.cursor, None);
}

#[test]
fn a_position_between_loses_and_repeats_nothing() {
    let (_dir, bench) = bench(Limits::default());
    let mut channels: Vec<Channel> = (0..5).map(Channel::new).collect();
    for channel in &channels {
        assert_eq!(bench.register(BOB, NOW, channel, epoch()), []);
    }
    let mut sent = vec![Vec::new(); channels.len()];
    for round in 0..60_u64 {
        for (index, channel) in channels.iter_mut().enumerate() {
            let time = NOW.offset(i64::try_from(round).expect("small") * 100);
            let envelopes = channel.envelopes(time, 200, 1 + (round * 7 + index as u64) % 13);
            assert_eq!(bench.publish(channel, NOW, &envelopes), []);
            sent[index].extend(sealed(&envelopes));
        }
    }
    // The connection breaks after each position in turn; the next sync goes on from there.
    let mut cursor = Bytes::new();
    let mut got = Synced::default();
    loop {
        let responses = bench.ask(BOB, NOW, sync(cursor.clone()));
        let end = responses
            .iter()
            .position(|response| matches!(response.kind, Some(response::Kind::Position(_))));
        let Some(end) = end else { break };
        for response in responses.into_iter().take(end + 1) {
            got.add(response);
        }
        cursor = got.cursor();
    }
    assert!(got.positions > 1);
    for (channel, sent) in channels.iter().zip(&sent) {
        assert_eq!(&got.of_address(channel.address(NOW)), sent);
    }
}

#[test]
fn an_address_registered_later_starts_seven_days_back() {
    let (_dir, bench) = bench(Limits::default());
    let (mut old, mut new) = (Channel::new(1), Channel::new(2));
    bench.register(BOB, NOW, &old, epoch());
    let before_old = old.envelopes(NOW, 200, 1_500);
    let before_new = new.envelopes(NOW, 200, 1_700);
    for part in before_old.chunks(1_000) {
        bench.publish(&old, NOW, part);
    }
    for part in before_new.chunks(1_000) {
        bench.publish(&new, NOW, part);
    }
    let first = bench.sync(BOB, NOW, &Bytes::new());
    assert_eq!(first.envelopes.len(), 1_500);
    assert_eq!(bench.register(BOB, NOW, &new, epoch()), []);
    let after = old.envelopes(NOW.after(HOUR), 200, 10);
    bench.publish(&old, NOW.after(HOUR), &after);

    // Broken off in the middle of the backlog, it goes on where it was.
    let now = NOW.after(HOUR);
    let responses = bench.ask(BOB, now, sync(first.cursor()));
    let mut part = Synced::default();
    for response in responses {
        part.add(response);
        if part.positions == 1 {
            break;
        }
    }
    assert_eq!(
        part.of_address(new.address(NOW)),
        sealed(&before_new)[..1_000]
    );
    let third = Channel::new(3);
    bench.register(BOB, now, &third, epoch());
    let rest = bench.sync(BOB, now, &part.cursor());
    assert_eq!(
        rest.of_address(new.address(NOW)),
        sealed(&before_new)[1_000..]
    );
    assert_eq!(rest.of_address(old.address(NOW)), sealed(&after));
    assert_eq!(rest.hello.leases, 3);
    let last = bench.sync(BOB, now, &rest.cursor());
    assert_eq!((last.envelopes.len(), last.cursor), (0, None));
}

#[test]
fn an_empty_answer_is_as_large_with_200_addresses() {
    let (_dir, bench) = bench(Limits::default());
    let size = |who: Pseudonym, channels: u64| {
        let leases = (0..channels)
            .map(|seed| Channel::new(seed).lease(epoch(), bench.node, who, EXPORTER))
            .collect();
        assert_eq!(refusals(&bench.ask(who, NOW, register(leases))), []);
        let cursor = bench.sync(who, NOW, &Bytes::new()).cursor();
        let responses = bench.ask(who, NOW, sync(cursor));
        assert_eq!(responses.len(), 2);
        responses
            .iter()
            .map(|response| response.encoded_len())
            .sum::<usize>()
    };
    // One byte for the number of leases.
    assert!(size(BOB, 200).abs_diff(size(ALICE, 1)) <= 1);
}

#[test]
fn a_cursor_from_elsewhere_starts_over() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 3);
    bench.register(ALICE, NOW, &channel, epoch());
    bench.register(BOB, NOW, &channel, epoch());
    bench.publish(&channel, NOW, &envelopes);
    let of_alice = bench.sync(ALICE, NOW, &Bytes::new()).cursor();
    let of_bob = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let starts_over = |bench: &Bench, cursor: &Bytes| {
        let synced = bench.sync(BOB, NOW, cursor);
        assert!(synced.hello.from_start);
        assert_eq!(synced.of_address(channel.address(NOW)), sealed(&envelopes));
    };
    starts_over(&bench, &of_alice);
    starts_over(&bench, &of_bob.slice(..of_bob.len() - 1));
    starts_over(&bench, &Bytes::from_static(b"nonsense"));
    assert!(!bench.sync(BOB, NOW, &of_bob).hello.from_start);

    // Of a registration that was given up.
    bench.ask(BOB, NOW, release(&[channel.address(NOW)]));
    let gone = bench.sync(BOB, NOW, &of_bob);
    assert!(gone.hello.from_start && gone.hello.leases == 0 && gone.cursor.is_none());
    bench.register(BOB, NOW, &channel, epoch());
    starts_over(&bench, &of_bob);

    // Of an earlier generation.
    let of_bob = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let generation = bench.sync(BOB, NOW, &of_bob).hello.generation;
    drop(bench);
    let mut store = ailurus_node::Store::open(&dir.path().join("node.db")).expect("opens");
    store.begin_generation().expect("written");
    drop(store);
    let restored = Bench::open(dir.path(), Limits::default());
    assert_ne!(
        restored.sync(BOB, NOW, &Bytes::new()).hello.generation,
        generation
    );
    starts_over(&restored, &of_bob);
}

#[test]
fn a_cursor_ahead_of_a_backup_starts_over() {
    let (dir, bench) = bench(Limits::default());
    let mut channel = Channel::new(1);
    let envelopes = channel.envelopes(NOW, 200, 4);
    bench.register(BOB, NOW, &channel, epoch());
    bench.publish(&channel, NOW, &envelopes[..2]);
    let backup = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("node.db");
    let source = rusqlite::Connection::open(&path).expect("opens");
    source
        .execute(
            "VACUUM INTO ?1",
            [backup.path().join("node.db").to_str().expect("plain")],
        )
        .expect("copied");
    bench.publish(&channel, NOW, &envelopes[2..]);
    let cursor = bench.sync(BOB, NOW, &Bytes::new()).cursor();
    let restored = Bench::open(backup.path(), Limits::default());
    let synced = restored.sync(BOB, NOW, &cursor);
    assert!(synced.hello.from_start);
    assert_eq!(synced.envelopes.len(), 2);
}
