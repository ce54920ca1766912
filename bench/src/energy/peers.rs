//! What other programs do in the background without a vendor's push, as far as their code or their documents say.
//!
//! Intervals are theirs, each with its source. Sizes are favourable to them: the smallest packets that their protocol
//! allows, no lost packets, no reconnects, one server, a timer that starts again after any traffic, and wake-ups of several
//! sockets at the same moment.

use std::time::Duration;

use super::{
    course::Course,
    radio::{Packet, Way},
    trace::Message,
};

/// A policy of others.
pub struct Peer {
    /// What it is called.
    pub title: &'static str,
    /// Where the interval comes from.
    pub source: &'static str,
    /// What its packets hold.
    pub packets: &'static str,
    reach: Reach,
    /// Bytes of an exchange that keeps the connection or asks, sent and received.
    idle: (u32, u32),
    /// What is said beside it, every so often.
    extra: Option<(Duration, u32, u32)>,
    /// What a message costs on top of its text, received, and what answers it.
    message: (u32, u32),
    /// Messages are of one size, whatever they hold.
    block: Option<u32>,
}

/// How messages come.
enum Reach {
    /// Over a connection that stands, and an exchange after so much silence keeps it.
    Connection(Duration),
    /// At the next question. With `round_trips` until the answer.
    Polls { every: Duration, round_trips: u32 },
}

impl Peer {
    /// What it does while these messages come.
    pub fn run(&self, messages: &[Message], end: Duration) -> Course {
        let mut course = Course::default();
        match self.reach {
            Reach::Connection(every) => self.keep(every, messages, end, &mut course),
            Reach::Polls { every, round_trips } => {
                self.poll(every, round_trips, messages, end, &mut course);
            }
        }
        if let Some((every, sent, received)) = self.extra {
            let mut at = every;
            while at < end {
                exchange(&mut course, at, (sent, received), "ping");
                at += every;
            }
        }
        course.packets.sort_by_key(|packet| packet.at);
        course
    }

    fn keep(&self, every: Duration, messages: &[Message], end: Duration, course: &mut Course) {
        let mut at = every;
        let mut coming = messages.iter().peekable();
        loop {
            if let Some(message) = coming.next_if(|message| message.at <= at) {
                let (received, sent) = self.message_bytes(message);
                let arrives = message.at + ROUND_TRIP / 2;
                course.packet(arrives, received, Way::Down, "message");
                course.packet(arrives, sent, Way::Up, "message");
                course.delays.push((message.at, ROUND_TRIP / 2));
                at = arrives + every;
            } else if at >= end {
                return;
            } else {
                exchange(course, at, self.idle, "keep-alive");
                at += every;
            }
        }
    }

    fn poll(
        &self,
        every: Duration,
        round_trips: u32,
        messages: &[Message],
        end: Duration,
        course: &mut Course,
    ) {
        let mut at = every;
        let mut coming = messages.iter().peekable();
        while at < end {
            let turns = round_trips.max(1);
            for turn in 0..turns {
                let bytes = (self.idle.0 / turns, self.idle.1 / turns);
                exchange(course, at + ROUND_TRIP * turn, bytes, "poll");
            }
            let there = at + ROUND_TRIP * turns;
            while let Some(message) = coming.next_if(|message| message.at <= at) {
                let (received, sent) = self.message_bytes(message);
                course.packet(there, received, Way::Down, "message");
                course.packet(there, sent, Way::Up, "message");
                let delay = there.saturating_sub(message.at);
                course.delays.push((message.at, delay));
            }
            at += every;
        }
    }

    fn message_bytes(&self, message: &Message) -> (u32, u32) {
        let text = u32::try_from(message.bytes).unwrap_or(u32::MAX);
        let received = self
            .block
            .unwrap_or_else(|| text.saturating_add(self.message.0));
        (received, self.message.1)
    }
}

/// A question of the phone and its answer.
fn exchange(course: &mut Course, at: Duration, (sent, received): (u32, u32), reason: &'static str) {
    course.packet(at, sent, Way::Up, reason);
    course.packet(at + ROUND_TRIP, received, Way::Down, reason);
}

impl Course {
    /// One or several packets, at once.
    fn packet(&mut self, at: Duration, bytes: u32, way: Way, reason: &'static str) {
        self.packets.push(Packet {
            at,
            bytes,
            way,
            reason,
        });
    }
}

/// There and back on LTE (Huang et al. 2012 measured 70 ms in the median).
pub const ROUND_TRIP: Duration = Duration::from_millis(70);

/// IPv4 and TCP with time stamps.
const TCP: u32 = 20 + 32;
/// A record of TLS 1.3 around it.
const TLS: u32 = TCP + 22;

/// The policy that ratios are against.
pub const CONVERSATIONS: Peer = Peer {
    title: "Conversations (XMPP), 4.5 min",
    source: "blog.wirelessmoves.com/?p=14067: server keep-alive 270 s, the most that one carrier allowed",
    packets: "an XMPP ping of 60 bytes and its answer, in TLS",
    reach: Reach::Connection(Duration::from_secs(270)),
    idle: (TLS + 60, TLS + 60),
    extra: None,
    // A stanza without its body, with OMEMO's header for one device.
    message: (TLS + 700, TCP),
    block: None,
};

/// All of them.
pub const PEERS: [&Peer; 9] = [
    &Peer {
        title: "SimpleX, 30 s",
        source: "simplexmq 92598c2, Transport/KeepAlive.hs:28 and Client.hs:430; simplex-messaging.md:407",
        packets: "a TCP probe and its ACK; every 10 minutes and for each message a block of 16,384 bytes each way",
        reach: Reach::Connection(Duration::from_secs(30)),
        idle: (TCP, TCP),
        extra: Some((Duration::from_secs(600), SMP_BLOCK, SMP_BLOCK)),
        message: (0, SMP_BLOCK),
        block: Some(SMP_BLOCK),
    },
    &Peer {
        title: "ntfy, 45 s",
        source: "ntfy server's keepalive-interval; blog.wirelessmoves.com/?p=14067",
        packets: "a line of JSON of 60 bytes in TLS and a TCP ACK",
        reach: Reach::Connection(Duration::from_secs(45)),
        idle: (TCP, TLS + 60),
        extra: None,
        message: (TLS + 120, TCP),
        block: None,
    },
    &Peer {
        title: "XMTP, 45 s",
        source: "libxmtp a53a97e, crates/xmtp_api_grpc/src/grpc_client/native.rs:29",
        packets: "HTTP/2 PING frames of 17 bytes in TLS",
        reach: Reach::Connection(Duration::from_secs(45)),
        idle: (TLS + 17, TLS + 17),
        extra: None,
        // An MLS application message and its gRPC frame.
        message: (TLS + 300, TCP),
        block: None,
    },
    &Peer {
        title: "Signal without push, 55 s",
        source: "Signal-Android issues 9729 and 6732: WebSocket keep-alive 55 s, two sockets",
        packets: "a request of 40 bytes and its answer of 20 in TLS, on both sockets at the same moment",
        reach: Reach::Connection(Duration::from_secs(55)),
        idle: (2 * (TLS + 40), 2 * (TLS + 20)),
        extra: None,
        message: (TLS + 450, TLS + 40),
        block: None,
    },
    &CONVERSATIONS,
    &Peer {
        title: "Delta Chat, IDLE 5 min",
        source: "chatmail core 4888889, src/imap/idle.rs (the server's own pings every 2 min are left out)",
        packets: "DONE and IDLE, 12 bytes each, and their answers of 40, in TLS",
        reach: Reach::Connection(Duration::from_secs(300)),
        idle: (2 * TLS + 24, 2 * TLS + 80),
        extra: None,
        // The least of a mail: headers, OpenPGP in MIME.
        message: (3 * TLS + 2_500, 3 * TLS + 120),
        block: None,
    },
    &Peer {
        title: "redPanda 2015, ping 9 min",
        source: "redPandaj of 2015, Settings.pingDelay 540 s",
        packets: "a ping and a pong of 1 byte over TCP",
        reach: Reach::Connection(Duration::from_secs(540)),
        idle: (TCP + 1, TCP + 1),
        extra: None,
        message: (TCP + 150, TCP),
        block: None,
    },
    &Peer {
        title: "redPanda today, poll 30 s",
        source: "redpanda_light_client.dart e5227c76: mailbox poll 30 s when idle (its pings of every peer, 30 s too, are left out)",
        packets: "one signed question of 200 bytes for three mailboxes, and empty answers",
        reach: Reach::Polls {
            every: Duration::from_secs(30),
            round_trips: 1,
        },
        idle: (TCP + 3 * 200, TCP + 3 * 20),
        extra: None,
        message: (TCP + 2_048, TCP + 200),
        block: None,
    },
    &Peer {
        title: "Delta Chat, poll 15 min",
        source: "deltachat-android 7a1b15a, ApplicationContext.java:355: WorkManager, 15 min",
        packets: "TCP, TLS resumed, IMAP login and SELECT: 6 round trips, 2 kB sent and 3 kB received",
        reach: Reach::Polls {
            every: Duration::from_secs(900),
            round_trips: 6,
        },
        idle: (2_000, 3_000),
        extra: None,
        message: (TLS + 2_500, TLS + 60),
        block: None,
    },
];

/// A block of SMP in TLS, in 12 packets.
const SMP_BLOCK: u32 = 16_384 + 12 * TLS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::LTE_2012;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn nothing_but_keepalives_costs_what_the_literature_says() {
        for (title, wakeups, charge) in [
            ("Conversations (XMPP), 4.5 min", 13, 10.6),
            ("SimpleX, 30 s", 119, 96.0),
            ("Delta Chat, poll 15 min", 3, 2.4),
        ] {
            let peer = PEERS.iter().find(|peer| peer.title == title).unwrap();
            let course = peer.run(&[], HOUR);
            let spent = LTE_2012.spend(&course.packets, HOUR);
            assert_eq!(spent.wakeups.len(), wakeups, "{title}");
            let charge_here = spent.total.mah();
            // 16 KiB blocks and several round trips cost a little more.
            let more = charge_here / charge;
            assert!((0.95..1.1).contains(&more), "{title}: {charge_here}");
        }
    }

    #[test]
    fn a_connection_brings_messages_at_once_and_is_kept_by_them() {
        let message = |minutes: u64| Message {
            at: Duration::from_secs(60 * minutes),
            bytes: 100,
        };
        let messages: Vec<Message> = (1..60).map(message).collect();
        let course = CONVERSATIONS.run(&messages, HOUR);
        assert!(course.delays.iter().all(|(_, delay)| *delay < ROUND_TRIP));
        assert_eq!(course.delays.len(), messages.len());
        // A message a minute leaves nothing to a timer of 4.5 minutes.
        assert!(course.packets.iter().all(|p| p.reason == "message"));
    }

    #[test]
    fn a_poll_brings_what_came_before_it() {
        let peer = PEERS
            .iter()
            .find(|peer| peer.title == "Delta Chat, poll 15 min")
            .unwrap();
        let messages = [Message {
            at: Duration::from_secs(901),
            bytes: 10,
        }];
        let course = peer.run(&messages, HOUR);
        let delay = course.delays[0].1;
        assert_eq!(delay, Duration::from_secs(899) + ROUND_TRIP * 6);
    }
}
