//! What is said between a phone and its super node, as packets.
//!
//! Packets of conversations are recorded from a real client and a real node ([`record()`]) and kept in `recorded.json`;
//! a test records again and compares.

mod record;
mod tap;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use ailurus::wire::limits::PROBE_LEN;
use ailurus_bench::harness::Failure;

use super::{
    course::Course,
    peers::ROUND_TRIP,
    radio::{Packet, Way},
};

pub use record::record;

/// Conversations as they were recorded.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Recorded {
    /// There and back on the path between, in milliseconds.
    pub round_trip_ms: u64,
    /// Each once, by name.
    pub conversations: Vec<Conversation>,
}

/// A conversation over QUIC from its first packet to its last.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Conversation {
    pub name: String,
    /// Milliseconds since the first, bytes with IP and UDP headers, and `true` for what the phone sends.
    pub packets: Vec<(u64, u32, bool)>,
}

impl Recorded {
    /// What was recorded when this program was built.
    pub fn kept() -> Result<Self, Failure> {
        Ok(serde_json::from_str(include_str!("recorded.json"))?)
    }

    /// As it is kept, a conversation a line.
    pub fn to_text(&self) -> Result<String, Failure> {
        let lines: Result<Vec<String>, _> = self
            .conversations
            .iter()
            .map(serde_json::to_string)
            .collect();
        Ok(format!(
            "{{\"round_trip_ms\":{},\"conversations\":[\n{}\n]}}\n",
            self.round_trip_ms,
            lines?.join(",\n")
        ))
    }

    /// A conversation by its name.
    pub fn find(&self, name: &str) -> Result<&Conversation, Failure> {
        let found = self.conversations.iter().find(|kept| kept.name == name);
        found.ok_or_else(|| {
            format!("no conversation {name} was recorded; run `ailurus-energy --record`").into()
        })
    }
}

impl Conversation {
    #[cfg(test)]
    fn bytes(&self) -> u32 {
        self.packets.iter().map(|(_, bytes, _)| bytes).sum()
    }

    /// When the node's first answer is there: what new messages wait for.
    pub fn answered(&self) -> Duration {
        let down = self.packets.iter().find(|(_, _, up)| !up);
        Duration::from_millis(down.map_or(0, |(at, ..)| *at))
    }
}

/// Writes conversations into a course.
pub struct Wire {
    empty: Conversation,
}

/// What a conversation carried beyond a poll that finds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes of frames, sent and received.
    pub sent: usize,
    pub received: usize,
    /// Questions after the first, each with its answer.
    pub questions: u32,
}

impl Wire {
    /// From what was recorded.
    pub fn new(recorded: &Recorded) -> Result<Self, Failure> {
        Ok(Self {
            empty: recorded.find(EMPTY_POLL)?.clone(),
        })
    }

    /// Writes a question by datagram and its answer; gives when the answer is there.
    pub fn datagram(&self, course: &mut Course, at: Duration, reason: &'static str) -> Duration {
        let there = at + ROUND_TRIP;
        course.packets.extend([
            Packet {
                at,
                bytes: DATAGRAM + HEADERS,
                way: Way::Up,
                reason,
            },
            Packet {
                at: there,
                bytes: DATAGRAM + HEADERS,
                way: Way::Down,
                reason,
            },
        ]);
        there
    }

    /// Writes a push as it comes from the platform's own connection, which stands for all apps and is not counted.
    pub fn push(&self, course: &mut Course, at: Duration) {
        for (bytes, way) in [(PUSH, Way::Down), (PUSH_ACK, Way::Up)] {
            course.packets.push(Packet {
                at,
                bytes,
                way,
                reason: "push",
            });
        }
    }

    /// Writes a conversation over QUIC; gives when what is new is there, and when all is said.
    pub fn conversation(
        &self,
        course: &mut Course,
        at: Duration,
        carried: Carried,
        reason: &'static str,
    ) -> (Duration, Duration) {
        let shift = ROUND_TRIP * carried.questions;
        let answered = self.empty.answered();
        let mut last = at;
        for (since, bytes, up) in &self.empty.packets {
            let since = Duration::from_millis(*since);
            // Whoever has more to say closes later.
            let moved = if since > answered {
                shift
            } else {
                Duration::ZERO
            };
            last = last.max(at + since + moved);
            course.packets.push(Packet {
                at: at + since + moved,
                bytes: *bytes,
                way: if *up { Way::Up } else { Way::Down },
                reason,
            });
        }
        let turns = carried.questions + 1;
        for turn in 0..turns {
            let there = at + answered + ROUND_TRIP * turn;
            let asked = there.saturating_sub(ROUND_TRIP);
            for (at, bytes, way) in [
                (asked, carried.sent, Way::Up),
                (there, carried.received, Way::Down),
            ] {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX) / turns;
                if bytes > 0 {
                    course.packets.push(Packet {
                        at,
                        bytes: around(bytes),
                        way,
                        reason,
                    });
                }
            }
        }
        (at + answered, last)
    }
}

/// Bytes with what is around them in packets, and the acknowledgement of every second packet.
fn around(bytes: u32) -> u32 {
    let packets = bytes.div_ceil(PACKET);
    bytes + packets * (QUIC + HEADERS) + packets.div_ceil(2) * (ACK + HEADERS)
}

/// A poll that finds nothing, over a resumed connection.
pub const EMPTY_POLL: &str = "empty poll";
/// The same with messages of 200 bytes of text, so many.
pub const POLLS: [usize; 3] = [1, 5, 20];
/// With a message to send.
pub const SENDING: &str = "poll that sends one message";

/// A question by datagram, and as many bytes of answer: UDP payload.
pub const DATAGRAM: u32 = PROBE_LEN as u32;
/// A push without content in TLS, and what acknowledges it.
const PUSH: u32 = 400;
const PUSH_ACK: u32 = 52;
/// IPv4 and UDP.
pub const HEADERS: u32 = 20 + 8;
/// Payload of a full packet of QUIC.
const PACKET: u32 = 1_200;
/// Around a stream's bytes in a packet: header, frame, tag.
const QUIC: u32 = 1 + 8 + 2 + 4 + 16;
/// A packet that only acknowledges.
const ACK: u32 = 1 + 8 + 2 + 6 + 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ours::light::{BATCH, item};

    #[test]
    fn what_is_computed_for_messages_is_what_was_recorded() {
        let recorded = Recorded::kept().unwrap();
        let wire = Wire::new(&recorded).unwrap();
        for count in POLLS {
            let name = record::poll_of(count);
            let measured = recorded.find(&name).unwrap();
            let mut course = Course::default();
            let carried = Carried {
                received: BATCH + count * item(200),
                ..Carried::default()
            };
            wire.conversation(&mut course, Duration::ZERO, carried, "test");
            let computed: u32 = course.packets.iter().map(|packet| packet.bytes).sum();
            let off = f64::from(computed) / f64::from(measured.bytes()) - 1.0;
            assert!(
                off.abs() < 0.1,
                "{name}: {computed} of {}",
                measured.bytes()
            );
        }
    }

    #[test]
    fn conversations_on_the_wire_are_still_what_was_recorded() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let now = runtime.block_on(record()).unwrap();
        let kept = Recorded::kept().unwrap();
        assert_eq!(now.round_trip_ms, kept.round_trip_ms);
        for conversation in &kept.conversations {
            let fresh = now.find(&conversation.name).unwrap();
            let off = f64::from(fresh.bytes()) / f64::from(conversation.bytes()) - 1.0;
            assert!(
                off.abs() < 0.15,
                "{}: {} bytes, recorded were {}; run `make energy ENERGY='--record bench/src/energy/wire/recorded.json'`",
                conversation.name,
                fresh.bytes(),
                conversation.bytes()
            );
        }
    }
}
