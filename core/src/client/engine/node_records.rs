//! What the chooser remembers of a node, as the store keeps it.

use std::time::Duration;

use crate::channel::{HopCount, NodeLink};
use crate::discovery::{Condition, NodeLoad, NodeRecord, Origin, Refusal, Role};
use crate::store::{self, StoredNode};
use crate::wire::time::UnixMillis;

pub(super) fn from_stored(node: &StoredNode) -> NodeRecord {
    parse(
        node.link.clone(),
        node.origin,
        node.role,
        node.state.as_ref(),
    )
}

fn parse(link: NodeLink, origin: u8, role: u8, state: Option<&store::NodeState>) -> NodeRecord {
    let origin = match origin {
        0 => Origin::User,
        1 => Origin::Link,
        2 => Origin::Member,
        _ => Origin::Dht,
    };
    let mut record = NodeRecord::new(link, origin);
    let Some(state) = state else {
        return record;
    };
    record.role = match role {
        StoredNode::POLLED => Role::Active,
        StoredNode::STANDBY => Role::Standby,
        _ => Role::Spare,
    };
    record.since = UnixMillis::from_millis(state.since_ms);
    record.failures = state.failures;
    record.reliability = permille(state.reliability);
    record.counted = UnixMillis::from_millis(state.counted_ms);
    let until = UnixMillis::from_millis(state.until_ms);
    record.condition = match state.condition {
        1 => Condition::Returning { from: until },
        2 => Condition::Down {
            since: UnixMillis::from_millis(state.from_ms),
            retry: until,
            why: state.why.clone(),
        },
        3 => Condition::Refused {
            until,
            why: refusal(state.refusal),
        },
        _ => Condition::Healthy,
    };
    record.rtt = state
        .rtt_ms
        .map(|millis| Duration::from_millis(u64::from(millis)));
    record.load = state.loaded.then(|| NodeLoad {
        clients: state.clients,
        clients_permille: permille(state.clients_permille),
        storage_permille: permille(state.storage_permille),
        cpu_permille: permille(state.cpu_permille),
        latency: Duration::from_millis(u64::from(state.latency_ms)),
    });
    record.hop_count = HopCount::from_wire(state.hop_count);
    record.audit_at = UnixMillis::from_millis(state.audit_ms);
    record.audited = UnixMillis::from_millis(state.audited_ms);
    record.gap = state.gap;
    record.unproven = state.unproven;
    record.silent = state.silent;
    record.ask_at = UnixMillis::from_millis(state.ask_ms);
    record.home = state
        .home
        .as_ref()
        .and_then(|hint| NodeLink::from_hint(hint).ok())
        .filter(|home| home.key() == record.link.key());
    record
}

pub(super) fn to_stored(record: &NodeRecord) -> (u8, store::NodeState) {
    let role = match record.role {
        Role::Active => StoredNode::POLLED,
        Role::Standby => StoredNode::STANDBY,
        Role::Spare => StoredNode::SPARE,
    };
    let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    let mut state = store::NodeState {
        failures: record.failures,
        reliability: u32::from(record.reliability),
        counted_ms: record.counted.as_millis(),
        since_ms: record.since.as_millis(),
        rtt_ms: record.rtt.map(millis),
        hop_count: record.hop_count.to_wire(),
        audit_ms: record.audit_at.as_millis(),
        audited_ms: record.audited.as_millis(),
        gap: record.gap,
        unproven: record.unproven,
        silent: record.silent,
        ask_ms: record.ask_at.as_millis(),
        home: record.home.as_ref().map(NodeLink::to_hint),
        ..store::NodeState::default()
    };
    match &record.condition {
        Condition::Healthy => {}
        Condition::Returning { from } => {
            state.condition = 1;
            state.until_ms = from.as_millis();
        }
        Condition::Down { since, retry, why } => {
            state.condition = 2;
            state.from_ms = since.as_millis();
            state.until_ms = retry.as_millis();
            state.why.clone_from(why);
        }
        Condition::Refused { until, why } => {
            state.condition = 3;
            state.until_ms = until.as_millis();
            state.refusal = refusal_number(*why);
        }
    }
    if let Some(load) = record.load {
        state.loaded = true;
        state.clients = load.clients;
        state.clients_permille = u32::from(load.clients_permille);
        state.storage_permille = u32::from(load.storage_permille);
        state.cpu_permille = u32::from(load.cpu_permille);
        state.latency_ms = millis(load.latency);
    }
    (role, state)
}

fn permille(number: u32) -> u16 {
    u16::try_from(number.min(1_000)).unwrap_or(1_000)
}

pub(super) fn origin_number(origin: Origin) -> u8 {
    match origin {
        Origin::User => 0,
        Origin::Link => 1,
        Origin::Member => 2,
        Origin::Dht => 3,
    }
}

fn refusal_number(refusal: Refusal) -> u32 {
    match refusal {
        Refusal::Full => 0,
        Refusal::NoStrangers => 1,
        Refusal::Evicted => 2,
        Refusal::Introduction => 3,
        Refusal::Withheld => 4,
    }
}

fn refusal(number: u32) -> Refusal {
    match number {
        1 => Refusal::NoStrangers,
        2 => Refusal::Evicted,
        3 => Refusal::Introduction,
        4 => Refusal::Withheld,
        _ => Refusal::Full,
    }
}

#[cfg(test)]
mod tests {
    use crate::crypto::NodeKey;

    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        let link = NodeLink::new(NodeKey::from_bytes([1; 32]), "a.example", 1).unwrap();
        let at = UnixMillis::from_secs;
        let refused = |why| Condition::Refused { until: at(9), why };
        let conditions = [
            Condition::Healthy,
            Condition::Returning { from: at(7) },
            Condition::Down {
                since: at(1),
                retry: at(8),
                why: "no answer".to_owned(),
            },
            refused(Refusal::Full),
            refused(Refusal::NoStrangers),
            refused(Refusal::Evicted),
            refused(Refusal::Introduction),
            refused(Refusal::Withheld),
        ];
        let origins = [Origin::User, Origin::Link, Origin::Member, Origin::Dht];
        let roles = [Role::Active, Role::Standby, Role::Spare];
        for (number, condition) in conditions.into_iter().enumerate() {
            let mut record = NodeRecord::new(link.clone(), origins[number % 4]);
            record.role = roles[number % 3];
            record.condition = condition;
            record.failures = 3;
            record.reliability = 431;
            record.since = at(2);
            record.counted = at(3);
            record.audit_at = at(4);
            record.audited = at(6);
            record.gap = 5;
            record.unproven = 2;
            record.silent = 1;
            record.ask_at = at(7);
            record.home = NodeLink::new(*link.key(), "b.example", 2).ok();
            if number % 2 == 0 {
                record.rtt = Some(Duration::from_millis(61));
                record.hop_count = HopCount::new(3).unwrap();
                record.load = Some(NodeLoad {
                    clients: 1,
                    clients_permille: 2,
                    storage_permille: 3,
                    cpu_permille: 4,
                    latency: Duration::from_millis(5),
                });
            }
            let (role, state) = to_stored(&record);
            let origin = origin_number(record.origin);
            assert_eq!(parse(link.clone(), origin, role, Some(&state)), record);
        }
        let upgraded = parse(link.clone(), 0, StoredNode::SPARE, None);
        assert_eq!(upgraded, NodeRecord::new(link, Origin::User));
    }
}
