//! `ailurus-node backup` and `ailurus-node restore`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use ailurus::wire::time::Clock as _;
use ailurus_node::{Operator, Progress, SystemClock, restore as restore_backup};

use super::{exit::Failure, settings::Settings, text};

/// Writes a backup.
pub fn backup(settings: &Settings, file: &Path) -> Result<(), Failure> {
    let operator = Operator::open(settings.data()?)?;
    let now = SystemClock::with_offset_ms(settings.offset_ms()).now();
    let shown = Shown::new("copied");
    let length = operator.backup(file, now, &|progress| shown.show(progress))?;
    shown.clear();
    text::print(&format!(
        "{}: {}; keep it as safe as the node's key, which is in it\n",
        file.display(),
        text::size(length),
    ))?;
    Ok(())
}

/// Makes a data directory from a backup.
pub fn restore(settings: &Settings, file: &Path) -> Result<(), Failure> {
    let dir = settings.data()?;
    let now = SystemClock::with_offset_ms(settings.offset_ms()).now();
    let shown = Shown::new("restored");
    let restored = restore_backup(file, &dir, &|progress| shown.show(progress))?;
    shown.clear();
    text::print(&format!(
        "{}: {} and {} as they were {} ago\n\
         Next: see that the old node is stopped for good, then start this one:\n  \
         ailurus-node --data {} --listen ADDR --advertise HOST:PORT\n\
         Clients reconcile by themselves. If host or port are others than before, they need the new link.\n",
        dir.display(),
        text::count(restored.envelopes, "envelope", "envelopes"),
        text::count(restored.registrations, "client", "clients"),
        text::span(now.since(restored.made)),
        dir.display(),
    ))?;
    Ok(())
}

/// How far a copy is, on a terminal.
struct Shown {
    what: &'static str,
    on: bool,
    last: AtomicU64,
}

impl Shown {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            on: io::stderr().is_terminal(),
            last: AtomicU64::new(u64::MAX),
        }
    }

    fn show(&self, progress: Progress) {
        let percent = progress.done.saturating_mul(100) / progress.total.max(1);
        if !self.on || self.last.swap(percent, Ordering::Relaxed) == percent {
            return;
        }
        let bar = text::bar(progress.done, progress.total, 30);
        let mut out = io::stderr().lock();
        // Nobody watches if this fails.
        let _ = write!(
            out,
            "\r{} {} of {} {bar:<30}▏{percent:3} %\x1b[K",
            self.what,
            text::size(progress.done),
            text::size(progress.total),
        );
        let _ = out.flush();
    }

    fn clear(&self) {
        if self.on {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
