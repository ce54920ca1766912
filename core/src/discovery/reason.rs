//! Why a node is what it is, as sentences for people.

use crate::wire::time::UnixMillis;

use super::record::{Condition, NodeRecord, Origin, Refusal, Role};

/// One sentence, without a full stop.
pub fn of(record: &NodeRecord, now: UnixMillis) -> String {
    match &record.condition {
        Condition::Down { retry, why, .. } => {
            let times = match record.failures {
                0 | 1 => String::new(),
                times => format!(" {times} times in a row"),
            };
            format!("failed{times}: {why}; tried again {}", until(*retry, now))
        }
        Condition::Refused {
            until: end, why, ..
        } => {
            let verb = match why {
                Refusal::Withheld => "left",
                _ => "refused",
            };
            format!(
                "{verb}: {}; asked again {}",
                why.sentence(),
                until(*end, now)
            )
        }
        Condition::Returning { from } => format!("answers again; used {}", until(*from, now)),
        Condition::Healthy => {
            let role = match record.role {
                Role::Active => "the best of those that answer",
                Role::Standby => "takes over if the polled one fails",
                Role::Spare => "in reserve: enough others are kept",
            };
            format!("{role}; {}", facts(record, now))
        }
    }
}

fn until(end: UnixMillis, now: UnixMillis) -> String {
    let seconds = end.since(now).as_secs();
    match seconds {
        0 => "now".to_owned(),
        1..120 => format!("in {seconds} s"),
        120..7_200 => format!("in {} min", seconds / 60),
        7_200..172_800 => format!("in {} h", seconds / 3_600),
        _ => format!("in {} days", seconds / 86_400),
    }
}

fn facts(record: &NodeRecord, now: UnixMillis) -> String {
    let rtt = match record.rtt {
        Some(rtt) => format!("answers in {} ms", rtt.as_millis()),
        None => "not measured yet".to_owned(),
    };
    let hops = match record.hop_count.to_wire() {
        Some(1) => "1 hop from its operator".to_owned(),
        Some(hops) => format!("{hops} hops from its operator"),
        None => "a stranger there".to_owned(),
    };
    let reliable = record.reliability_at(now) / 10;
    let load = record.load.map_or(String::new(), |load| {
        format!(", says it is {} % busy", load.permille() / 10)
    });
    let added = match record.origin {
        Origin::User => "added by you",
        Origin::Link => "named by a link",
        Origin::Member => "named by a member",
        Origin::Dht => "found in the DHT",
    };
    let clock = if record.wrong_clock {
        ", its clock is wrong"
    } else {
        ""
    };
    format!("{rtt}, {hops}, {reliable} % reliable{load}{clock}, {added}")
}
