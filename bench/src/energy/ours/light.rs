//! A small node and its phones: they count as the real ones do, which a test compares, and take no time.

use std::{cell::RefCell, rc::Rc, time::Duration};

use ailurus::{
    power::{Due, Needs, WakeupReason},
    wire::{limits::MIN_PADDED, time::UnixMillis},
};
use ailurus_bench::harness::Failure;

use super::post::{Asked, Brought, Dues, Post, Sender};
use crate::wire::Carried;

/// What was written so far, and when.
type Log = Rc<RefCell<Vec<(UnixMillis, usize)>>>;

/// One who writes, and those whose phones are looked at.
pub fn family(phones: usize, start: UnixMillis) -> (LightSender, Vec<LightPost>) {
    let log = Log::default();
    let post = |_| LightPost {
        log: Rc::clone(&log),
        read: 0,
        outbox: 0,
        wrote: None,
        echoes: 0,
        connected: start,
    };
    let posts = (0..phones).map(post).collect();
    (LightSender { log }, posts)
}

/// A phone.
pub struct LightPost {
    log: Log,
    read: usize,
    outbox: usize,
    /// The last time.
    wrote: Option<UnixMillis>,
    /// Of the outbox of last time.
    echoes: usize,
    /// The last time.
    connected: UnixMillis,
}

impl Post for LightPost {
    fn ask(&mut self, now: UnixMillis) -> Result<Asked, Failure> {
        if self.outbox > 0 || now.since(self.connected) >= FULL_SYNC {
            return Ok(Asked::Skipped);
        }
        let news = self.log.borrow().len() > self.read;
        Ok(if news { Asked::News } else { Asked::Nothing })
    }

    fn talk(&mut self, now: UnixMillis) -> Result<Brought, Failure> {
        self.connected = now;
        let log = self.log.borrow();
        let fresh = log.get(self.read..).unwrap_or_default();
        let mut received: usize = fresh.iter().map(|(_, bytes)| item(*bytes)).sum();
        if !fresh.is_empty() {
            received += BATCH;
        }
        // What a phone wrote comes back to it once.
        received += self.echoes * (BATCH + item(0));
        let brought = Brought {
            sent: fresh.iter().map(|(at, _)| *at).collect(),
            carried: Carried {
                received,
                sent: self.outbox * (PUBLISH + item(0)),
                questions: u32::try_from(self.outbox)?,
            },
        };
        self.read = log.len();
        self.echoes = std::mem::take(&mut self.outbox);
        Ok(brought)
    }

    fn write(&mut self, now: UnixMillis) -> Result<(), Failure> {
        self.outbox += 1;
        self.wrote = Some(now);
        Ok(())
    }

    fn dues(&mut self, _now: UnixMillis) -> Result<Dues, Failure> {
        let due = self.wrote.filter(|_| self.outbox > 0).map(|at| Due {
            from: at,
            by: at,
            needs: Needs::Any,
        });
        Ok(vec![(WakeupReason::Outbox, due)])
    }
}

/// Who writes to them all.
pub struct LightSender {
    log: Log,
}

impl Sender for LightSender {
    fn send(&mut self, bytes: usize, now: UnixMillis) -> Result<(), Failure> {
        self.log.borrow_mut().push((now, bytes));
        Ok(())
    }

    fn expire(&mut self, _now: UnixMillis) -> Result<(), Failure> {
        Ok(())
    }
}

/// An envelope with a text of so many bytes, in a batch: padded to 192 bytes at least, then by Padmé.
pub fn item(text: usize) -> usize {
    let content = (text + CONTENT).max(MIN_PADDED);
    let exponent = content.ilog2();
    let step = 1 << exponent.saturating_sub(exponent.ilog2() + 1);
    ENVELOPE + content.next_multiple_of(step)
}

/// Around a text inside the encryption: author, signature, numbers.
const CONTENT: usize = 86;
/// Around that: the envelope's signature, nonce, tag, lengths.
const ENVELOPE: usize = 100;
/// Around envelopes of one channel: address, base time, position.
pub const BATCH: usize = 126;
/// Around an envelope that is published: keys, base time.
const PUBLISH: usize = 78;
/// After this time a phone connects, whatever it is told by datagram.
const FULL_SYNC: Duration = Duration::from_secs(6 * 3_600);
