//! When all super nodes are lost: when to look for others in the DHT, under which keys, and what to believe of what
//! is found (docs/PROTOCOL.md, section 5.8).
//!
//! [`Schedule`] says when, [`Search`] what; whoever drives them asks the DHT. Phones only read it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::channel::{Access, Epoch, NodeLink, RecordError, RecordKey, RecordSecret, SignedRecord};
use crate::crypto::BlindKeyError;
use crate::wire::{
    limits::{MAX_AHEAD, NODES_KEPT, RECORD_LIFETIME},
    time::UnixMillis,
};

/// When the DHT is searched; plain, so that the store can keep it. The default is that of a client that reaches its
/// nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Since when no node was reached.
    pub lost: Option<UnixMillis>,
    /// When the DHT was last searched.
    pub last: Option<UnixMillis>,
    /// Searches since a node was last reached.
    pub searches: u32,
}

impl Schedule {
    /// A node was reached.
    pub fn reached(&mut self) {
        // What was searched last still counts: a node that comes and goes costs no search each time.
        self.lost = None;
        self.searches = 0;
    }

    /// All nodes were tried at `now` and none was reached.
    pub fn unreached(&mut self, now: UnixMillis) {
        // A time in the future is from before the clock was set back.
        self.lost = Some(self.lost.map_or(now, |lost| lost.min(now)));
        self.last = self.last.map(|last| last.min(now));
    }

    /// Whether to search at `now`: all nodes have been lost for more than [`PATIENCE`], or `none` is known, and the
    /// last search is long enough ago.
    pub fn is_due(&self, none: bool, now: UnixMillis) -> bool {
        let lost = none || self.lost.is_some_and(|lost| now.since(lost) >= PATIENCE);
        lost && self.last.is_none_or(|last| now.since(last) >= self.wait())
    }

    /// When the next search is due, if no node is reached before; `None` while nodes are reached.
    pub fn next(&self, none: bool) -> Option<UnixMillis> {
        let lost = match self.lost {
            Some(lost) if !none => lost.after(PATIENCE),
            None if !none => return None,
            _ => UnixMillis::default(),
        };
        Some(
            self.last
                .map_or(lost, |last| lost.max(last.after(self.wait()))),
        )
    }

    /// A search begins. Until it is over it counts for little, as a poll with little time may cut it short.
    pub fn began(&mut self, now: UnixMillis) {
        self.last = Some(now.before(self.wait() - CUT_SHORT));
    }

    /// The DHT was searched.
    pub fn searched(&mut self, now: UnixMillis) {
        self.last = Some(now);
        self.searches = self.searches.saturating_add(1);
    }

    /// Between two searches, as many as there were.
    fn wait(&self) -> Duration {
        if self.searches < EARLY_SEARCHES {
            EARLY
        } else {
            LATER
        }
    }
}

/// A network that is away for less comes back by itself, or the next poll comes first.
pub const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Between the first four searches.
pub const EARLY: Duration = Duration::from_secs(15 * 60);
/// Between later ones.
pub const LATER: Duration = Duration::from_secs(60 * 60);
const EARLY_SEARCHES: u32 = 4;
/// After one that was cut short.
const CUT_SHORT: Duration = Duration::from_secs(30);

/// Channels that one search looks for; the next one goes on with others.
pub const MAX_CHANNELS: usize = 8;

/// One search: the keys to look under, and the nodes that were found.
pub struct Search {
    rounds: VecDeque<Round>,
    found: Vec<(u64, NodeLink)>,
    /// Where nobody answers.
    lost: Vec<NodeLink>,
    now: UnixMillis,
}

/// The records of a channel in one epoch: all its slots are read at once.
pub struct Round {
    /// Under which key.
    pub key: RecordKey,
    secret: RecordSecret,
}

impl Search {
    /// A search at `now` for the nodes of these channels, or of [`MAX_CHANNELS`] of them if they are more: others each
    /// time, as `turn` (which search this is) says. This epoch's records come first, then those of the epoch before if
    /// any can still be good.
    ///
    /// # Errors
    /// [`BlindKeyError`] if the DHT key that a link brought is none.
    pub fn new(channels: &[Access], turn: u32, now: UnixMillis) -> Result<Self, BlindKeyError> {
        let [previous, current] = Epoch::alive(now);
        let mut epochs = vec![current];
        if now.since(current.start()) < RECORD_LIFETIME + MAX_AHEAD {
            epochs.push(previous);
        }
        let skipped = usize::try_from(turn)
            .unwrap_or_default()
            .wrapping_mul(MAX_CHANNELS)
            .checked_rem(channels.len())
            .unwrap_or_default();
        let mut rounds = VecDeque::new();
        for epoch in epochs {
            let turned = channels.iter().cycle().skip(skipped);
            for access in turned.take(channels.len().min(MAX_CHANNELS)) {
                rounds.push_back(Round {
                    key: access.record_key(epoch)?,
                    secret: access.record_secret(epoch),
                });
            }
        }
        Ok(Self {
            rounds,
            found: Vec::new(),
            lost: Vec::new(),
            now,
        })
    }

    /// Leaves out nodes that are known and do not answer: their records outlive them, and would hide others.
    #[must_use]
    pub fn without(mut self, lost: Vec<NodeLink>) -> Self {
        self.lost = lost;
        self
    }

    /// What to look for next; `None` when enough was found, or there is nothing left.
    pub fn next_round(&mut self) -> Option<Round> {
        if self.is_enough() {
            return None;
        }
        self.rounds.pop_front()
    }

    /// Whether as many nodes were found as a client keeps.
    pub fn is_enough(&self) -> bool {
        self.found.len() >= *NODES_KEPT.start()
    }

    /// The DHT gave an item in a slot of this round. Strangers' records, those of other epochs, old ones and those from
    /// the future are refused.
    ///
    /// # Errors
    /// [`RecordError`]: why it is not believed.
    pub fn heard(
        &mut self,
        round: &Round,
        slot: u8,
        seq: i64,
        value: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), RecordError> {
        let record = SignedRecord {
            slot,
            seq: u64::try_from(seq).map_err(|_| RecordError::Malformed)?,
            value: value.try_into().map_err(|_| RecordError::Malformed)?,
            signature: *signature,
        };
        let link = record.open(&round.key, &round.secret, self.now)?;
        if self.lost.contains(&link) {
            return Ok(());
        }
        let known = |(_, other): &(u64, NodeLink)| other.key() == link.key();
        match self.found.iter().position(known) {
            // It may have moved meanwhile.
            Some(place) => {
                if let Some(known) = self.found.get_mut(place)
                    && known.0 < record.seq
                {
                    *known = (record.seq, link);
                }
            }
            None if self.found.len() < MAX_FOUND => self.found.push((record.seq, link)),
            None => {}
        }
        Ok(())
    }

    /// The nodes that were found, the latest signed first.
    pub fn into_found(mut self) -> Vec<NodeLink> {
        self.found.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        self.found.into_iter().map(|(_, link)| link).collect()
    }
}

/// Nodes that one search takes.
const MAX_FOUND: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{NewChannel, RecordSigner, record::own_slots};
    use crate::crypto::{NodeKey, SeededEntropy};
    use crate::wire::limits::EPOCH;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn monday() -> UnixMillis {
        Epoch::new(2_967).start().after(4 * DAY)
    }

    fn node(number: u8) -> NodeLink {
        let host = format!("node{number}.example");
        NodeLink::new(NodeKey::from_bytes([number; 32]), &host, 4_433).unwrap()
    }

    struct Channel {
        access: Access,
        entropy: SeededEntropy,
    }

    impl Channel {
        fn new(seed: u64) -> Self {
            let mut entropy = SeededEntropy::from_u64(seed);
            let access = NewChannel::create(Epoch::new(2_960), &mut entropy).access;
            Self { access, entropy }
        }

        fn signer(&self, epoch: Epoch) -> RecordSigner {
            self.access.record_signer(epoch).unwrap().unwrap()
        }

        fn record(&mut self, node: &NodeLink, epoch: Epoch, now: UnixMillis) -> SignedRecord {
            let secret = self.access.record_secret(epoch);
            let signer = self.signer(epoch);
            let [slot, ..] = own_slots(node.key(), signer.key());
            signer.sign(&secret, node, slot, now, &mut self.entropy)
        }
    }

    fn hear(search: &mut Search, round: &Round, record: &SignedRecord) -> Result<(), RecordError> {
        let seq = record.seq.try_into().unwrap();
        search.heard(round, record.slot, seq, &record.value, &record.signature)
    }

    #[test]
    fn it_is_patient_first_then_searches_every_quarter_then_every_hour() {
        let mut schedule = Schedule::default();
        let start = monday();
        let mut searched = Vec::new();
        assert!(!schedule.is_due(false, start));
        for minute in 0..300 {
            let now = start.after(minute * MINUTE);
            schedule.unreached(now);
            if schedule.is_due(false, now) {
                schedule.searched(now);
                searched.push(minute);
            }
        }
        assert_eq!(searched, [5, 20, 35, 50, 110, 170, 230, 290]);

        let now = start.after(300 * MINUTE);
        schedule.reached();
        schedule.unreached(now);
        assert!(!schedule.is_due(false, now), "patience anew");
        assert!(schedule.is_due(false, now.after(5 * MINUTE)));
    }

    #[test]
    fn without_any_node_it_does_not_wait_and_a_clock_set_back_stops_nothing() {
        let mut schedule = Schedule::default();
        let now = monday();
        assert!(schedule.is_due(true, now));
        schedule.searched(now);
        assert!(!schedule.is_due(true, now.after(14 * MINUTE)));
        assert!(schedule.is_due(true, now.after(15 * MINUTE)));

        let past = now.before(30 * DAY);
        schedule.unreached(past);
        assert!(!schedule.is_due(false, past.after(14 * MINUTE)));
        assert!(schedule.is_due(false, past.after(15 * MINUTE)));
    }

    #[test]
    fn this_epoch_is_asked_first_and_the_last_one_while_its_records_are_good() {
        let channels = [Channel::new(1).access, Channel::new(2).access];
        let keys = |now| {
            let mut search = Search::new(&channels, 0, now).unwrap();
            std::iter::from_fn(|| search.next_round())
                .map(|round| round.key)
                .collect::<Vec<_>>()
        };
        let expected = |epochs: &[Epoch]| {
            let of = |epoch: &Epoch| channels.each_ref().map(|c| c.record_key(*epoch).unwrap());
            epochs.iter().flat_map(of).collect::<Vec<_>>()
        };
        let current = Epoch::of(monday());
        assert_eq!(keys(monday()), expected(&[current]));
        let both = expected(&[current, current.previous()]);
        assert_eq!(keys(current.start()), both);
        assert_eq!(keys(current.start().after(2 * DAY)), both);
        assert_eq!(
            keys(current.start().after(2 * DAY).after(15 * MINUTE)),
            expected(&[current])
        );
    }

    #[test]
    fn many_channels_take_turns() {
        let channels: Vec<Access> = (0..20).map(|seed| Channel::new(seed).access).collect();
        let mut asked = std::collections::BTreeSet::new();
        for turn in 0..3 {
            let mut search = Search::new(&channels, turn, monday()).unwrap();
            let keys: Vec<_> = std::iter::from_fn(|| search.next_round()).collect();
            assert_eq!(keys.len(), MAX_CHANNELS);
            asked.extend(keys.into_iter().map(|round| round.key));
        }
        assert_eq!(asked.len(), channels.len());
        assert!(
            Search::new(&[], 7, monday())
                .unwrap()
                .next_round()
                .is_none()
        );
    }

    #[test]
    fn only_the_channels_own_living_records_are_believed() {
        let (mut ours, mut theirs) = (Channel::new(1), Channel::new(2));
        let now = monday();
        let epoch = Epoch::of(now);
        let mut search = Search::new(&[ours.access.duplicate()], 0, now).unwrap();
        let round = search.next_round().unwrap();

        let good = ours.record(&node(1), epoch, now.before(47 * 60 * MINUTE));
        let cases = [
            (good.clone(), Ok(())),
            (
                theirs.record(&node(2), epoch, now),
                Err(RecordError::BadSignature),
            ),
            (
                ours.record(&node(3), epoch.previous(), now),
                Err(RecordError::BadSignature),
            ),
            (
                ours.record(&node(4), epoch, now.before(2 * DAY)),
                Err(RecordError::Expired),
            ),
            (
                ours.record(&node(5), epoch, now.after(16 * MINUTE)),
                Err(RecordError::Ahead),
            ),
            (
                SignedRecord {
                    slot: (good.slot + 1) % 8,
                    ..good.clone()
                },
                Err(RecordError::BadSignature),
            ),
        ];
        for (record, believed) in cases {
            assert_eq!(hear(&mut search, &round, &record), believed);
        }
        for (seq, value) in [(-1, &good.value[..]), (1, &good.value[1..])] {
            assert_eq!(
                search.heard(&round, good.slot, seq, value, &good.signature),
                Err(RecordError::Malformed)
            );
        }
        assert_eq!(search.into_found(), [node(1)]);
    }

    #[test]
    fn records_of_known_nodes_that_are_gone_hide_no_others() {
        let mut channel = Channel::new(1);
        let (now, epoch) = (monday(), Epoch::of(monday()));
        let search = Search::new(&[channel.access.duplicate()], 0, now).unwrap();
        let mut search = search.without((1..=4).map(node).collect());
        let round = search.next_round().unwrap();
        for number in 1..=5 {
            assert!(!search.is_enough());
            let record = channel.record(&node(number), epoch, now);
            assert_eq!(hear(&mut search, &round, &record), Ok(()));
        }
        // One of them is elsewhere now.
        let moved = NodeLink::new(NodeKey::from_bytes([1; 32]), "moved.example", 4_433).unwrap();
        let record = channel.record(&moved, epoch, now.before(MINUTE));
        assert_eq!(hear(&mut search, &round, &record), Ok(()));
        assert_eq!(search.into_found(), [node(5), moved]);
    }

    #[test]
    fn a_nodes_latest_address_counts_and_three_nodes_are_enough() {
        let mut channel = Channel::new(1);
        let now = Epoch::of(monday()).start();
        let epoch = Epoch::of(now);
        assert!(EPOCH > RECORD_LIFETIME);
        let channels = [channel.access.duplicate()];
        let mut search = Search::new(&channels, 0, now).unwrap();
        let round = search.next_round().unwrap();

        let moved = NodeLink::new(*node(1).key(), "elsewhere.example", 4_434).unwrap();
        for (link, age) in [(&moved, 1), (&node(1), 2), (&node(2), 3)] {
            let record = channel.record(link, epoch, now.before(age * MINUTE));
            assert_eq!(hear(&mut search, &round, &record), Ok(()));
        }
        let second = search.next_round().expect("two are not enough");
        assert_ne!(second.key, round.key);
        let record = channel.record(&node(3), epoch.previous(), now.before(4 * MINUTE));
        assert_eq!(hear(&mut search, &second, &record), Ok(()));
        assert!(search.next_round().is_none());
        assert_eq!(search.into_found(), [moved, node(2), node(3)]);
    }
}
