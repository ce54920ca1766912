//! Limits that contradict each other, or under which a node would serve nobody.

use ailurus::wire::limits::{MAX_FRAME, MAX_ITEMS};

use super::Checked;
use crate::config::Limits;

pub(super) fn check(limits: &Limits, checked: &mut Checked) {
    let zero = [
        ("limits.connections", limits.connections as u64),
        (
            "limits.connections_per_ip",
            limits.connections_per_ip as u64,
        ),
        ("limits.addresses_per_client", limits.addresses_per_client),
        ("limits.registrations", limits.registrations),
        ("limits.leases", limits.leases),
        (
            "limits.items_per_second",
            u64::from(limits.items_per_second),
        ),
        (
            "limits.bytes_per_second",
            u64::from(limits.bytes_per_second),
        ),
        (
            "limits.items_per_second_per_network",
            u64::from(limits.items_per_second_per_network),
        ),
        (
            "limits.bytes_per_second_per_network",
            u64::from(limits.bytes_per_second_per_network),
        ),
        (
            "limits.clients_per_introduction",
            limits.clients_per_introduction,
        ),
        ("limits.envelopes_per_address", limits.envelopes_per_address),
        ("limits.bytes_per_address", limits.bytes_per_address),
        ("limits.bytes", limits.bytes),
    ];
    for (key, value) in zero {
        if value == 0 {
            checked.error(
                key,
                format_args!("{key} is 0, so the node would serve nobody; raise it"),
            );
        }
    }
    if limits.idle_timeout_seconds < SHORTEST_IDLE_S {
        checked.error(
            "limits.idle_timeout_seconds",
            format_args!(
                "connections would end after {} s of silence, in the middle of what phones do; allow {SHORTEST_IDLE_S} \
                 or more",
                limits.idle_timeout_seconds
            ),
        );
    }
    if limits.connections_per_ip > limits.connections {
        checked.warn(
            "limits.connections_per_ip",
            "one address may use more connections than there are; lower it below limits.connections",
        );
    }
    if limits.strangers > limits.registrations {
        checked.warn(
            "limits.strangers",
            "more strangers are allowed than clients; lower it to limits.registrations or below",
        );
    }
    if limits.refuse_strangers_above_permille > 1_000 {
        checked.error(
            "limits.refuse_strangers_above_permille",
            "a share is at most 1000 permille; write 1000 to refuse nobody for this",
        );
    }
    check_bursts(limits, checked);
    if limits.bytes_per_address > limits.bytes {
        checked.error(
            "limits.bytes_per_address",
            "one address may keep more than the node; lower it below limits.bytes",
        );
    }
    if limits.addresses_per_client < FEWEST_ADDRESSES {
        checked.warn(
            "limits.addresses_per_client",
            format_args!(
                "each channel takes two or three addresses; allow {FEWEST_ADDRESSES} or more"
            ),
        );
    }
}

/// A burst below its rate makes the rate a lie, and a request that is larger than the burst is refused for ever.
fn check_bursts(limits: &Limits, checked: &mut Checked) {
    let bursts = [
        (
            "limits.items_burst",
            limits.items_burst,
            limits.items_per_second,
            MAX_ITEMS,
        ),
        (
            "limits.bytes_burst",
            limits.bytes_burst,
            limits.bytes_per_second,
            MAX_FRAME,
        ),
        (
            "limits.items_burst_per_network",
            limits.items_burst_per_network,
            limits.items_per_second_per_network,
            MAX_ITEMS,
        ),
        (
            "limits.bytes_burst_per_network",
            limits.bytes_burst_per_network,
            limits.bytes_per_second_per_network,
            MAX_FRAME,
        ),
        (
            "limits.probes_burst_per_network",
            limits.probes_burst_per_network,
            limits.probes_per_second_per_network,
            1,
        ),
    ];
    for (key, burst, rate, request) in bursts {
        if burst < rate {
            checked.error(
                key,
                format_args!(
                    "{burst} at once is less than the {rate} a second that are allowed; raise it"
                ),
            );
        } else if (burst as usize) < request {
            checked.error(
                key,
                format_args!("the largest request takes {request} and would never pass; raise it to that or more"),
            );
        }
    }
    if limits.items_burst_per_network < limits.items_burst
        || limits.bytes_burst_per_network < limits.bytes_burst
    {
        checked.warn(
            "limits.items_burst_per_network",
            "a whole network may send less at once than one client; raise the limits that end in _per_network",
        );
    }
}

/// Shorter than a slow handshake and a lost packet or two.
const SHORTEST_IDLE_S: u32 = 30;
/// One channel around the turn of an epoch.
const FEWEST_ADDRESSES: u64 = 3;

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Severity, check as check_all,
            tests::{config, keys},
        },
        *,
    };

    #[test]
    fn every_mistake_in_the_limits_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        type Mistake = (&'static str, fn(&mut Limits));
        let mistakes: &[Mistake] = &[
            ("limits.connections", |l| l.connections = 0),
            ("limits.connections_per_ip", |l| l.connections_per_ip = 0),
            ("limits.idle_timeout_seconds", |l| {
                l.idle_timeout_seconds = 29;
            }),
            ("limits.addresses_per_client", |l| {
                l.addresses_per_client = 0;
            }),
            ("limits.registrations", |l| l.registrations = 0),
            ("limits.leases", |l| l.leases = 0),
            ("limits.clients_per_introduction", |l| {
                l.clients_per_introduction = 0;
            }),
            ("limits.refuse_strangers_above_permille", |l| {
                l.refuse_strangers_above_permille = 1_001;
            }),
            ("limits.items_per_second", |l| l.items_per_second = 0),
            ("limits.items_burst", |l| l.items_burst = 1),
            ("limits.bytes_per_second", |l| l.bytes_per_second = 0),
            ("limits.bytes_burst", |l| {
                l.bytes_burst = l.bytes_per_second - 1;
            }),
            ("limits.items_per_second_per_network", |l| {
                l.items_per_second_per_network = 0;
            }),
            ("limits.items_burst_per_network", |l| {
                l.items_burst_per_network = 1;
            }),
            ("limits.bytes_per_second_per_network", |l| {
                l.bytes_per_second_per_network = 0;
            }),
            ("limits.bytes_burst_per_network", |l| {
                l.bytes_burst_per_network = 1;
            }),
            ("limits.envelopes_per_address", |l| {
                l.envelopes_per_address = 0;
            }),
            ("limits.bytes_per_address", |l| l.bytes_per_address = 0),
            ("limits.bytes_per_address", |l| l.bytes = 1),
            ("limits.bytes", |l| (l.bytes, l.bytes_per_address) = (0, 0)),
        ];
        for (key, make) in mistakes {
            let mut config = config(dir.path());
            make(&mut config.limits);
            assert!(keys(&config, Severity::Error).contains(key), "{key}");
        }
        let mut small = config(dir.path());
        small.limits.bytes_per_second = 10;
        small.limits.bytes_burst = 10;
        assert_eq!(keys(&small, Severity::Error), ["limits.bytes_burst"]);
        let doubts: &[Mistake] = &[
            ("limits.strangers", |l| l.strangers = l.registrations + 1),
            ("limits.connections_per_ip", |l| {
                l.connections_per_ip = l.connections + 1;
            }),
            ("limits.items_burst_per_network", |l| {
                (l.items_per_second_per_network, l.items_burst_per_network) = (10, 2_000);
            }),
        ];
        for (key, make) in doubts {
            let mut config = config(dir.path());
            make(&mut config.limits);
            assert!(check_all(&config).is_ok());
            assert_eq!(keys(&config, Severity::Warning), [*key]);
        }
        let mut large = config(dir.path());
        large.limits.bytes = u64::MAX / 2;
        assert_eq!(keys(&large, Severity::Warning), ["limits.bytes"]);
    }
}
