//! What another node has acknowledged, so that it can be held to its word.

use std::collections::{HashMap, VecDeque};

use ailurus::channel::EnvelopeId;

/// Envelopes that one node said it keeps, as far as this node remembers them.
///
/// They belong to a generation of its log: a node whose backup was restored has honestly lost what came after.
#[derive(Default)]
pub(crate) struct Acknowledged {
    generation: Vec<u8>,
    /// With the number of the reconciliation that was begun last before.
    ids: HashMap<EnvelopeId, u64>,
    order: VecDeque<EnvelopeId>,
    reconciliations: u64,
}

impl Acknowledged {
    /// The other node's log; if it is another than before, nothing that it said holds any more.
    pub(crate) fn of_generation(&mut self, generation: &[u8]) {
        if self.generation != generation {
            self.generation = generation.to_vec();
            self.ids.clear();
            self.order.clear();
        }
    }

    /// Notes that a reconciliation begins: only what was acknowledged before can be missing in it.
    pub(crate) fn begin(&mut self) {
        self.reconciliations = self.reconciliations.saturating_add(1);
    }

    /// Notes an acknowledgement.
    pub(crate) fn insert(&mut self, id: EnvelopeId) {
        if self.ids.contains_key(&id) {
            return;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.ids.insert(id, self.reconciliations);
        self.order.push_back(id);
    }

    /// Whether an envelope that the reconciliation under way shows as missing should be there.
    pub(crate) fn is_withheld(&self, id: &EnvelopeId) -> bool {
        self.ids
            .get(id)
            .is_some_and(|noted| *noted < self.reconciliations)
    }
}

/// Envelopes remembered of one node, about 100 bytes each.
const REMEMBERED: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_acknowledged_before_is_withheld() {
        let id = EnvelopeId::from_bytes([1; 32]);
        let mut acknowledged = Acknowledged::default();
        acknowledged.of_generation(&[1]);
        acknowledged.begin();
        acknowledged.insert(id);
        assert!(!acknowledged.is_withheld(&id));
        acknowledged.begin();
        assert!(acknowledged.is_withheld(&id));
        assert!(!acknowledged.is_withheld(&EnvelopeId::from_bytes([2; 32])));
        acknowledged.of_generation(&[1]);
        assert!(acknowledged.is_withheld(&id));
        acknowledged.of_generation(&[2]);
        assert!(!acknowledged.is_withheld(&id));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes() {
        let id = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            EnvelopeId::from_bytes(bytes)
        };
        let mut acknowledged = Acknowledged::default();
        for n in 0..=REMEMBERED {
            acknowledged.insert(id(n));
        }
        acknowledged.begin();
        assert!(!acknowledged.is_withheld(&id(0)));
        assert!(acknowledged.is_withheld(&id(REMEMBERED)));
        assert_eq!(acknowledged.ids.len(), REMEMBERED);
    }
}
