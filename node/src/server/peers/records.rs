//! The node's records in the DHT, and those of others.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ailurus::{
    channel::{
        Address, NodeLink, RecordKey, RecordSecret, SignedRecord,
        record::{own_slots, salt},
    },
    crypto::{NodeKey, OsEntropy, entropy},
    net::{Dht, DhtError, DhtMode, Item},
    wire::{
        limits::{MAX_AHEAD, RECORD_LIFETIME, RECORD_SLOTS, SLOTS_PER_NODE},
        node::Record,
        time::UnixMillis,
    },
};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    server::Shared,
    store::{Named, RecordRow, StoreError},
};

/// Announces this node and looks for others, as long as it runs.
pub(super) async fn run(shared: Arc<Shared>, mode: DhtMode) {
    let dht = loop {
        match Dht::client(&mode).await {
            Ok(Some(dht)) => break Arc::new(dht),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "the DHT cannot be entered; it is tried again");
                tokio::time::sleep(ENTER_AGAIN).await;
            }
        }
    };
    let mut schedule = Schedule::default();
    let mut tick = tokio::time::interval(TICK);
    let mut work = JoinSet::new();
    loop {
        tokio::select! {
            Some(done) = work.join_next(), if !work.is_empty() => {
                if let Ok(done) = done {
                    schedule.done(shared.clock.now(), done);
                }
                if work.len() + 1 < AT_ONCE {
                    continue;
                }
            }
            _ = tick.tick() => {}
        }
        let now = shared.clock.now();
        let rows = match rows(&shared, now).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "records cannot be read");
                continue;
            }
        };
        schedule.keep(&rows);
        for row in rows {
            if work.len() >= AT_ONCE {
                break;
            }
            let Some(task) = schedule.next(now, &row, shared.hub.is_together(&row.address)) else {
                continue;
            };
            let (shared, dht) = (Arc::clone(&shared), Arc::clone(&dht));
            work.spawn(async move {
                match task {
                    Task::Put => Done::Put(row.address, put(&shared, &dht, &row, now).await),
                    Task::Look => {
                        look(&shared, &dht, &row, now).await;
                        Done::Looked(row.address)
                    }
                }
            });
        }
    }
}

/// When each address is to be announced and looked up.
#[derive(Default)]
struct Schedule {
    addresses: HashMap<Address, Times>,
}

#[derive(Clone, Copy, Default)]
struct Times {
    put: UnixMillis,
    /// When it was looked up last, if it was.
    looked: Option<UnixMillis>,
    /// Puts in a row that did not succeed.
    failures: u32,
    /// Of the newest record when the last put began; a newer one is put at once.
    signed_s: u64,
    /// Where it was put.
    slot: Option<u8>,
    /// A task is under way.
    busy: bool,
}

enum Task {
    Put,
    Look,
}

enum Done {
    /// And into which slot, if there was a record for one that may be taken.
    Put(Address, Result<Option<u8>, DhtError>),
    Looked(Address),
}

impl Schedule {
    /// Forgets all other addresses.
    fn keep(&mut self, rows: &[RecordRow]) {
        let known: HashSet<Address> = rows.iter().map(|row| row.address).collect();
        self.addresses.retain(|address, _| known.contains(address));
    }

    /// What is to be done for an address now.
    fn next(&mut self, now: UnixMillis, row: &RecordRow, together: bool) -> Option<Task> {
        let times = self.addresses.entry(row.address).or_default();
        if times.busy {
            return None;
        }
        if let Some(signed_s) = row.signed_s
            && UnixMillis::from_secs(signed_s).after(RECORD_LIFETIME) > now
            && (now >= times.put || (signed_s != times.signed_s && times.failures == 0))
        {
            times.busy = true;
            times.signed_s = signed_s;
            return Some(Task::Put);
        }
        // Whoever is in touch may have been sent to keep others away, so a look is worth something even then.
        let every = if together {
            LOOK_EVERY_TOGETHER
        } else {
            LOOK_EVERY
        };
        // One that was never alone counts from when it was first seen.
        let looked = match times.looked {
            Some(looked) => looked,
            None if together => *times.looked.insert(now),
            None => UnixMillis::default(),
        };
        if looked.after(every) <= now {
            times.busy = true;
            return Some(Task::Look);
        }
        None
    }

    fn done(&mut self, now: UnixMillis, done: Done) {
        let (Done::Put(address, _) | Done::Looked(address)) = &done;
        let Some(times) = self.addresses.get_mut(address) else {
            return;
        };
        times.busy = false;
        match done {
            Done::Put(_, Ok(slot)) => {
                times.failures = 0;
                // Another may have taken the same slot at the same time.
                let is_new = slot.is_some() && slot != times.slot;
                let wait = if is_new { PUT_AGAIN } else { PUT_EVERY };
                times.slot = slot;
                times.put = now.after(jittered(wait));
            }
            Done::Put(address, Err(error)) => {
                // Whoever wants the slot for another node keeps it: two that insist would write for ever.
                let first = match error {
                    DhtError::Conflict | DhtError::Stale => PUT_AGAIN,
                    _ => PUT_AGAIN_UNANSWERED,
                };
                let wait = first.saturating_mul(1 << times.failures.min(8));
                times.failures = times.failures.saturating_add(1);
                times.put = now.after(jittered(wait.min(PUT_AGAIN_LAST)));
                tracing::debug!(?address, %error, "a record is not in the DHT");
            }
            // Moved back at random, so that not all addresses come again at once.
            Done::Looked(_) => {
                times.looked = Some(now.before(jittered(LOOK_EVERY).saturating_sub(LOOK_EVERY)));
            }
        }
    }
}

async fn rows(shared: &Arc<Shared>, now: UnixMillis) -> Result<Vec<RecordRow>, StoreError> {
    let shared = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || {
        let store = shared.service.store();
        store.read(|reader| reader.records(now))
    });
    // The closure does not panic.
    read.await.unwrap_or_else(|_| Ok(Vec::new()))
}

/// Puts the node's record into the slot that it has taken, or if another node's stands there, into another that it may
/// take; tells which one it was.
async fn put(
    shared: &Arc<Shared>,
    dht: &Arc<Dht>,
    row: &RecordRow,
    now: UnixMillis,
) -> Result<Option<u8>, DhtError> {
    let slots = read_slots(dht, &row.key).await?;
    let (key, secret) = (
        RecordKey::from_bytes(row.key),
        RecordSecret::from_bytes(row.secret),
    );
    let node = shared.service.node();
    let records = own_records(shared, row.address).await;
    let record = |slot: u8| {
        let mut live = records.iter().filter(|record| is_live(record, now));
        live.find(|record| record.slot == u32::from(slot))
    };
    let stands: Vec<Stand> = (0_u8..)
        .zip(&slots)
        .map(|(slot, items)| {
            let held = record(slot).map_or(0, |record| record.seq);
            stand(slot, items, node, &key, &secret, (now, held))
        })
        .collect();
    let Some(slot) = best_slot(&stands, &own_slots(node, &key), row.slot) else {
        return Ok(None);
    };
    if row.slot != Some(slot) {
        take(shared, row.address, slot).await;
    }
    // If there is none, one is asked for when a member next announces the address.
    let Some(record) = record(slot) else {
        return Ok(None);
    };
    let Ok(signature) = <[u8; 64]>::try_from(record.signature.as_ref()) else {
        return Ok(None);
    };
    let seq = i64::try_from(record.seq).unwrap_or(i64::MAX);
    // The latest comes first.
    let cas = slots
        .get(usize::from(slot))
        .and_then(|items| items.first())
        .map(|stored| stored.seq);
    if cas.is_some_and(|stored| stored > seq) {
        return Err(DhtError::Stale);
    }
    dht.put(&row.key, &salt(slot), seq, &record.value, &signature, cas)
        .await?;
    Ok(Some(slot))
}

fn is_live(record: &Record, now: UnixMillis) -> bool {
    UnixMillis::from_secs(record.seq).after(RECORD_LIFETIME) > now
}

/// What stands in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Nothing, or what this node's own record may replace.
    Free,
    /// Another node's record, of this time.
    Taken(i64),
    /// A time that no honest record has, or something that does not count and is newer than this node's record.
    Blocked,
}

/// `held` is when this node's record for the slot was signed, or 0.
fn stand(
    slot: u8,
    items: &[Item],
    node: &NodeKey,
    key: &RecordKey,
    secret: &RecordSecret,
    (now, held): (UnixMillis, u64),
) -> Stand {
    let Some(latest) = items.first() else {
        return Stand::Free;
    };
    let held = i64::try_from(held).unwrap_or(i64::MAX);
    let ahead = i64::try_from(now.after(MAX_AHEAD).as_secs()).unwrap_or(i64::MAX);
    if latest.seq > ahead {
        return Stand::Blocked;
    }
    match open(slot, latest, key, secret, now) {
        Some(link) if link.key() != node => Stand::Taken(latest.seq),
        _ if latest.seq > held => Stand::Blocked,
        _ => Stand::Free,
    }
}

/// The slot for this node's record, of its own ones: the one that it has taken, the first free one, or else the one whose
/// record is the oldest. None if all are blocked.
fn best_slot(stands: &[Stand], own: &[u8; SLOTS_PER_NODE], taken: Option<u8>) -> Option<u8> {
    let at = |slot: &u8| {
        stands
            .get(usize::from(*slot))
            .copied()
            .unwrap_or(Stand::Free)
    };
    let taken = taken.filter(|slot| own.contains(slot));
    let free = taken
        .into_iter()
        .chain(*own)
        .find(|slot| at(slot) == Stand::Free);
    let oldest = || {
        let others = own.iter().filter_map(|slot| match at(slot) {
            Stand::Taken(seq) => Some((seq, *slot)),
            Stand::Free | Stand::Blocked => None,
        });
        others.min_by_key(|(seq, _)| *seq).map(|(_, slot)| slot)
    };
    free.or_else(oldest)
}

/// Notes the slot in which this node's record is to stand.
async fn take(shared: &Arc<Shared>, address: Address, slot: u8) {
    let shared = Arc::clone(shared);
    let noted = tokio::task::spawn_blocking(move || {
        let store = shared.service.store();
        if let Err(error) = store.write(|writer| writer.take_slot(&address, slot)) {
            tracing::warn!(%error, "the slot of a record could not be noted");
        }
    });
    // The closure does not panic.
    let _ = noted.await;
}

async fn own_records(shared: &Arc<Shared>, address: Address) -> Vec<Record> {
    let shared = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || {
        let store = shared.service.store();
        store.read(|reader| reader.own_records(&address))
    });
    // The closure does not panic.
    let records = read.await.unwrap_or_else(|_| Ok(Vec::new()));
    records.unwrap_or_else(|error| {
        tracing::warn!(%error, "records cannot be read");
        Vec::new()
    })
}

/// All items of all slots, by slot, the latest first.
async fn read_slots(dht: &Arc<Dht>, key: &[u8; 32]) -> Result<Vec<Vec<Item>>, DhtError> {
    let mut reads = JoinSet::new();
    for slot in 0..RECORD_SLOTS {
        let (dht, key) = (Arc::clone(dht), *key);
        reads.spawn(async move { (slot, dht.read_all(&key, &salt(slot)).await) });
    }
    let mut slots = vec![Vec::new(); usize::from(RECORD_SLOTS)];
    while let Some(read) = reads.join_next().await {
        let (slot, items) = read.map_err(|_| DhtError::Stopped)?;
        if let Some(place) = slots.get_mut(usize::from(slot)) {
            *place = items?;
        }
    }
    Ok(slots)
}

/// Reads all slots and notes the nodes that are named there.
async fn look(shared: &Arc<Shared>, dht: &Dht, row: &RecordRow, now: UnixMillis) {
    let key = RecordKey::from_bytes(row.key);
    let secret = RecordSecret::from_bytes(row.secret);
    let mut found = Vec::new();
    for slot in 0..RECORD_SLOTS {
        match dht.read_all(&row.key, &salt(slot)).await {
            Ok(items) => found.extend(
                items
                    .iter()
                    .filter_map(|item| open(slot, item, &key, &secret, now)),
            ),
            Err(error) => {
                tracing::debug!(%error, "the DHT does not answer");
                break;
            }
        }
    }
    let service = &shared.service;
    found.retain(|node| node.key() != service.node() && service.may_dial(node.host()));
    if found.is_empty() {
        return;
    }
    let (shared, address) = (Arc::clone(shared), row.address);
    let named = tokio::task::spawn_blocking(move || {
        let named = shared.service.store().write(|writer| {
            let mut news = false;
            for node in &found {
                news |= writer.name_peer(&address, node, now)? == Named::New;
            }
            Ok(news)
        });
        match named {
            Ok(true) => shared.service.neighbours_changed(),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "nodes from the DHT could not be kept"),
        }
    });
    // The closure does not panic.
    let _ = named.await;
}

fn open(
    slot: u8,
    item: &Item,
    key: &RecordKey,
    secret: &RecordSecret,
    now: UnixMillis,
) -> Option<NodeLink> {
    let record = Record {
        slot: u32::from(slot),
        seq: u64::try_from(item.seq).ok()?,
        value: Bytes::copy_from_slice(&item.value),
        signature: Bytes::copy_from_slice(&item.signature),
    };
    let signed = SignedRecord::parse(&record).ok()?;
    signed.verify(key).ok()?;
    signed.open(key, secret, now).ok()
}

/// Up to an eighth longer: nobody should see all records of a node come at once.
fn jittered(wait: Duration) -> Duration {
    let [random] = entropy::array::<1>(&mut OsEntropy);
    wait + wait / 8 * u32::from(random) / 256
}

/// Time between two looks at what is to be done.
const TICK: Duration = Duration::from_secs(5);
/// Before the next try to enter the DHT.
const ENTER_AGAIN: Duration = Duration::from_secs(60);
/// Addresses that are worked on at once.
const AT_ONCE: usize = 8;
/// The DHT forgets an item after two hours (BEP 44).
const PUT_EVERY: Duration = Duration::from_secs(3_600);
/// Before the next try after a put failed: doubled each time, up to the last.
const PUT_AGAIN: Duration = Duration::from_secs(300);
/// The same where nobody refused it, but too few answered.
const PUT_AGAIN_UNANSWERED: Duration = Duration::from_secs(10);
const PUT_AGAIN_LAST: Duration = Duration::from_secs(12 * 3_600);
/// How often the slots of an address are read that no other node in touch serves.
const LOOK_EVERY: Duration = Duration::from_secs(1_800);
/// And of the others.
const LOOK_EVERY_TOGETHER: Duration = Duration::from_secs(6 * 3_600);

#[cfg(test)]
mod tests {
    use ailurus::channel::{Epoch, NewChannel};

    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_700_000_000);

    fn row(signed_s: u64) -> RecordRow {
        RecordRow {
            address: Address::from_bytes([1; 32]),
            key: [2; 32],
            secret: [3; 32],
            signed_s: Some(signed_s),
            slot: None,
        }
    }

    fn is_put(task: &Option<Task>) -> bool {
        matches!(task, Some(Task::Put))
    }

    #[test]
    fn a_record_is_put_hourly_and_a_new_one_at_once() {
        let address = row(0).address;
        let mut schedule = Schedule::default();
        let seq = NOW.as_secs();
        assert!(is_put(&schedule.next(NOW, &row(seq), true)));
        assert!(schedule.next(NOW, &row(seq), true).is_none());
        schedule.done(NOW, Done::Put(address, Ok(None)));
        assert!(
            schedule
                .next(NOW.after(PUT_EVERY / 2), &row(seq), true)
                .is_none()
        );
        let soon = NOW.after(PUT_EVERY / 2);
        assert!(is_put(&schedule.next(soon, &row(seq + 1), true)));
        schedule.done(soon, Done::Put(address, Ok(None)));
        let later = soon.after(PUT_EVERY * 9 / 8);
        assert!(is_put(&schedule.next(later, &row(seq + 1), true)));
        schedule.done(later, Done::Put(address, Ok(None)));
        let expired = UnixMillis::from_secs(seq + 1).after(RECORD_LIFETIME);
        assert!(!is_put(&schedule.next(expired, &row(seq + 1), true)));
    }

    #[test]
    fn a_slot_that_is_new_is_looked_at_again_soon() {
        let address = row(0).address;
        let mut schedule = Schedule::default();
        let row = row(NOW.as_secs());
        let mut put = |now, slot| {
            let is_due = is_put(&schedule.next(now, &row, true));
            if is_due {
                schedule.done(now, Done::Put(address, Ok(slot)));
            }
            is_due
        };
        let soon = |now: UnixMillis| now.after(PUT_AGAIN * 9 / 8);
        assert!(put(NOW, Some(1)));
        assert!(put(soon(NOW), Some(2)), "who else came at that time?");
        assert!(put(soon(soon(NOW)), Some(2)));
        let settled = soon(soon(NOW));
        assert!(!put(soon(settled), Some(2)));
        assert!(put(settled.after(PUT_EVERY * 9 / 8), Some(2)));
    }

    #[test]
    fn of_a_nodes_slots_a_free_or_the_oldest_one_is_taken() {
        use Stand::{Blocked, Free, Taken};
        let own = [6, 2, 3];
        let mut stands = [Free; 8];
        assert_eq!(best_slot(&stands, &own, None), Some(6));
        assert_eq!(best_slot(&stands, &own, Some(2)), Some(2), "it stays");
        assert_eq!(
            best_slot(&stands, &own, Some(1)),
            Some(6),
            "not one of these"
        );
        stands[6] = Taken(50);
        assert_eq!(best_slot(&stands, &own, Some(6)), Some(2));
        stands[2] = Blocked;
        assert_eq!(best_slot(&stands, &own, Some(2)), Some(3));
        stands[3] = Taken(10);
        assert_eq!(best_slot(&stands, &own, Some(6)), Some(3), "the oldest");
        stands[3] = Blocked;
        assert_eq!(best_slot(&stands, &own, Some(3)), Some(6));
        assert_eq!(best_slot(&[Blocked; 8], &own, Some(6)), None);
    }

    #[test]
    fn five_nodes_nearly_always_find_a_place_each() {
        let key = RecordKey::from_bytes([7; 32]);
        let mut settled = 0;
        for round in 0..200_u8 {
            let mut stands = [Stand::Free; 8];
            let mut nodes = Vec::new();
            for node in 0..5_u8 {
                let own = own_slots(&NodeKey::from_bytes([round ^ (node << 5); 32]), &key);
                nodes.push((own, None));
            }
            // Each looks once an hour; the first to sign is the oldest.
            for _ in 0..48 {
                for (seq, (own, taken)) in (0..).zip(&mut nodes) {
                    let seen = stands.map(|stand| match stand {
                        Stand::Taken(other) if other == seq => Stand::Free,
                        other => other,
                    });
                    let slot = best_slot(&seen, own, *taken).expect("none is blocked");
                    if !matches!(seen[usize::from(slot)], Stand::Taken(other) if other > seq) {
                        stands[usize::from(slot)] = Stand::Taken(seq);
                        *taken = Some(slot);
                    }
                }
            }
            let standing: HashSet<i64> = stands
                .iter()
                .filter_map(|stand| match stand {
                    Stand::Taken(seq) => Some(*seq),
                    _ => None,
                })
                .collect();
            assert!(standing.len() >= 4, "{round}: {stands:?}");
            settled += usize::from(standing.len() == 5);
        }
        assert!(settled >= 190, "{settled} of 200");
    }

    #[test]
    fn only_a_live_record_of_another_node_takes_a_slot() {
        let epoch = Epoch::of(NOW);
        let access = NewChannel::create(epoch, &mut OsEntropy).access;
        let signer = access.record_signer(epoch).unwrap().unwrap();
        let secret = access.record_secret(epoch);
        let [this, other] = [1, 2].map(|byte| NodeKey::from_bytes([byte; 32]));
        let item = |node: NodeKey, time: UnixMillis| {
            let link = NodeLink::new(node, "192.0.2.1", 1).unwrap();
            let record = signer.sign(&secret, &link, 3, time, &mut OsEntropy);
            Item {
                seq: i64::try_from(record.seq).unwrap(),
                value: record.value.to_vec(),
                signature: record.signature,
            }
        };
        let seq_s = NOW.as_secs();
        let stands = |slot, items: &[Item], now| {
            stand(slot, items, &this, signer.key(), &secret, (now, seq_s))
        };
        let seq = i64::try_from(seq_s).unwrap();
        assert_eq!(stands(3, &[], NOW), Stand::Free);
        assert_eq!(stands(3, &[item(this, NOW)], NOW), Stand::Free);
        assert_eq!(stands(3, &[item(other, NOW)], NOW), Stand::Taken(seq));
        assert_eq!(stands(2, &[item(other, NOW)], NOW), Stand::Free, "moved");
        let expired = NOW.after(RECORD_LIFETIME);
        assert_eq!(stands(3, &[item(other, NOW)], expired), Stand::Free);
        let ahead = item(other, NOW.after(2 * MAX_AHEAD));
        assert_eq!(stands(3, &[ahead], NOW), Stand::Blocked);
        let junk = Item {
            value: vec![0; 256],
            ..item(other, NOW.after(Duration::from_secs(1)))
        };
        assert_eq!(stands(3, &[junk], NOW), Stand::Blocked, "it is newer");
    }

    #[test]
    fn a_slot_that_somebody_else_wants_is_not_fought_over() {
        let address = row(0).address;
        let mut schedule = Schedule::default();
        let mut puts = 0;
        for minute in 0..24 * 60 {
            let now = NOW.after(Duration::from_secs(60 * minute));
            // Members sign a new record again and again.
            if is_put(&schedule.next(now, &row(NOW.as_secs() + minute), true)) {
                puts += 1;
                schedule.done(now, Done::Put(address, Err(DhtError::Stale)));
            }
        }
        assert!((5..=10).contains(&puts), "{puts}");
    }

    #[test]
    fn a_dht_that_does_not_answer_is_asked_again_soon_and_then_less_often() {
        let address = row(0).address;
        let record = row(NOW.as_secs());
        let mut schedule = Schedule::default();
        let tries: Vec<u64> = (0..3_600)
            .filter(|second| {
                let now = NOW.after(Duration::from_secs(*second));
                let put = is_put(&schedule.next(now, &record, true));
                if put {
                    schedule.done(now, Done::Put(address, Err(DhtError::TimedOut)));
                }
                put
            })
            .collect();
        assert!(tries[1] <= 12, "{tries:?}");
        assert!((6..=10).contains(&tries.len()), "{tries:?}");
    }

    #[test]
    fn who_is_alone_looks_for_others_more_often() {
        let lonely = RecordRow {
            signed_s: None,
            ..row(0)
        };
        let look = |task: Option<Task>| matches!(task, Some(Task::Look));
        for (together, every) in [(false, LOOK_EVERY), (true, LOOK_EVERY_TOGETHER)] {
            let mut schedule = Schedule::default();
            assert_eq!(look(schedule.next(NOW, &lonely, together)), !together);
            schedule.done(NOW, Done::Looked(lonely.address));
            let before = NOW.after(every * 3 / 4);
            assert!(schedule.next(before, &lonely, together).is_none());
            assert!(look(schedule.next(NOW.after(every), &lonely, together)));
        }
    }
}
