//! A small node and its phones: they count as the real ones do, which a test compares, and take no time.

use std::{cell::RefCell, rc::Rc, time::Duration};

use ailurus::wire::time::UnixMillis;
use ailurus_bench::harness::Failure;

use super::post::{Asked, Brought, Post, Sender};
use crate::wire::{Carried, ITEM};

/// What was written so far, and when.
type Log = Rc<RefCell<Vec<(UnixMillis, usize)>>>;

/// One who writes, and those whose phones are looked at.
pub fn family(phones: usize, start: UnixMillis) -> (LightSender, Vec<LightPost>) {
    let log = Log::default();
    let post = |_| LightPost {
        log: Rc::clone(&log),
        read: 0,
        outbox: 0,
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
    connected: UnixMillis,
}

impl Post for LightPost {
    fn ask(&mut self, now: UnixMillis) -> Result<Asked, Failure> {
        if self.outbox > 0 || now.since(self.connected) >= FULL_SYNC {
            return Ok(Asked::NotAsked);
        }
        let news = self.log.borrow().len() > self.read;
        Ok(if news { Asked::News } else { Asked::Nothing })
    }

    fn talk(&mut self, now: UnixMillis) -> Result<Brought, Failure> {
        self.connected = now;
        let log = self.log.borrow();
        let fresh = log.get(self.read..).unwrap_or_default();
        let texts = fresh.iter().map(|(_, bytes)| padded(*bytes));
        let brought = Brought {
            sent: fresh.iter().map(|(at, _)| *at).collect(),
            carried: Carried {
                received: texts.sum::<usize>() + fresh.len() * (ITEM - padded(200)),
                sent: self.outbox * (ITEM + CHANNEL),
                questions: u32::try_from(self.outbox)?,
            },
        };
        self.read = log.len();
        self.outbox = 0;
        Ok(brought)
    }

    fn write(&mut self, _now: UnixMillis) -> Result<(), Failure> {
        self.outbox += 1;
        Ok(())
    }

    fn leases_due(&mut self, _at: UnixMillis) -> Result<bool, Failure> {
        Ok(false)
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

/// A text as it is sealed: at least 192 bytes, then to a multiple of an eighth of its size, as Padmé does about.
fn padded(bytes: usize) -> usize {
    let content = bytes + CONTENT;
    let step = (content.next_power_of_two() / 16).max(1);
    content.max(192).next_multiple_of(step)
}

/// Around a text inside the encryption: author, signature, numbers.
const CONTENT: usize = 130;
/// Keys of a publication.
const CHANNEL: usize = 75;
/// After this time a phone connects, whatever it is told by datagram.
const FULL_SYNC: Duration = Duration::from_secs(6 * 3_600);
