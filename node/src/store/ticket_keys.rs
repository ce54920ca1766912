//! The keys under which tickets for polls by datagram are sealed: one a day, the last two are kept, so that tickets
//! survive a restart and nothing opens them two days later.

use std::time::Duration;

use ailurus::crypto::{OsEntropy, entropy};
use rusqlite::OptionalExtension;
use zeroize::Zeroizing;

use super::{Reader, Store, StoreError, Writer};

/// What all that concerns the tickets of one day is derived from.
pub(crate) struct TicketKey(Zeroizing<[u8; 32]>);

impl TicketKey {
    /// Shows the bytes, to derive from or to store.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The keys of a day and of the day before it.
pub(crate) struct TicketKeys {
    /// Days since the Unix epoch.
    pub(crate) day: u64,
    pub(crate) current: TicketKey,
    pub(crate) previous: TicketKey,
}

impl Store {
    /// The keys in use; `None` before the first day.
    pub(crate) fn ticket_keys(&self) -> Result<Option<TicketKeys>, StoreError> {
        self.read(Reader::ticket_keys)
    }

    /// The keys of a day, drawn now if it is a new one. What is older than the day before is deleted.
    pub(crate) fn turn_ticket_keys(&self, day: u64) -> Result<TicketKeys, StoreError> {
        let (keys, turned) = self.write(|writer| writer.turn_ticket_keys(day))?;
        if turned {
            self.writer().scrub()?;
        }
        Ok(keys)
    }
}

impl Reader {
    fn ticket_keys(&self) -> Result<Option<TicketKeys>, StoreError> {
        read(&self.connection)
    }
}

impl Writer {
    fn turn_ticket_keys(&mut self, day: u64) -> Result<(TicketKeys, bool), StoreError> {
        let kept = read(&self.connection)?;
        let previous = match kept {
            // Also if the clock was set back.
            Some(kept) if kept.day >= day => return Ok((kept, false)),
            Some(kept) if kept.day.checked_add(1) == Some(day) => kept.current,
            _ => draw(),
        };
        let keys = TicketKeys {
            day,
            current: draw(),
            previous,
        };
        let mut value = Zeroizing::new(Vec::with_capacity(LENGTH));
        value.extend_from_slice(&keys.day.to_be_bytes());
        value.extend_from_slice(keys.current.expose());
        value.extend_from_slice(keys.previous.expose());
        // What is replaced is overwritten, not only given up.
        self.connection.pragma_update(None, "secure_delete", true)?;
        let kept = self.connection.execute(
            "INSERT INTO meta (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (NAME, value.as_slice()),
        );
        self.connection
            .pragma_update(None, "secure_delete", false)?;
        kept?;
        Ok((keys, true))
    }

    /// Forgets all keys: what was sealed before is of another log.
    pub(super) fn forget_ticket_keys(&mut self) -> Result<(), StoreError> {
        self.connection
            .execute("DELETE FROM meta WHERE name = ?1", [NAME])?;
        Ok(())
    }

    /// Empties the write-ahead log, in which the keys of before stand too; as far as no reader needs it.
    fn scrub(&mut self) -> Result<(), StoreError> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let emptied = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, bool>(0)
            });
        self.connection.busy_timeout(super::BUSY)?;
        // It is emptied with the next day's at the latest.
        if !matches!(emptied, Ok(false)) {
            tracing::debug!("the write-ahead log is in use; it is emptied later");
        }
        Ok(())
    }
}

fn read(connection: &rusqlite::Connection) -> Result<Option<TicketKeys>, StoreError> {
    let value: Option<Zeroizing<Vec<u8>>> = connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([NAME], |row| row.get(0).map(Zeroizing::new))
        .optional()?;
    let Some(value) = value else {
        return Ok(None);
    };
    let corrupt = || StoreError::Corrupt(NAME);
    let (day, keys) = value.split_first_chunk().ok_or_else(corrupt)?;
    let ([current, previous], []) = keys.as_chunks::<32>() else {
        return Err(corrupt());
    };
    Ok(Some(TicketKeys {
        day: u64::from_be_bytes(*day),
        current: TicketKey(Zeroizing::new(*current)),
        previous: TicketKey(Zeroizing::new(*previous)),
    }))
}

fn draw() -> TicketKey {
    TicketKey(Zeroizing::new(entropy::array(&mut OsEntropy)))
}

const NAME: &str = "ticket_keys";
const LENGTH: usize = 8 + 2 * 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_for_two_days_and_then_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.db");
        let store = Store::open(&path).expect("a database");
        assert!(store.ticket_keys().expect("read").is_none());
        let first = store.turn_ticket_keys(20_000).expect("kept");
        let same = |a: &TicketKey, b: &TicketKey| a.expose() == b.expose();
        let again = store.turn_ticket_keys(20_000).expect("kept");
        assert!(same(&first.current, &again.current) && again.day == 20_000);
        // The clock was set back: nothing changes.
        let back = store.turn_ticket_keys(19_000).expect("kept");
        assert!(same(&first.current, &back.current));
        let second = store.turn_ticket_keys(20_001).expect("kept");
        assert!(same(&second.previous, &first.current));
        assert!(!same(&second.current, &first.current));
        drop(store);
        let store = Store::open(&path).expect("a database");
        let kept = store.ticket_keys().expect("read").expect("some");
        assert!(same(&kept.current, &second.current) && same(&kept.previous, &first.current));
        store.turn_ticket_keys(20_002).expect("kept");
        let stands = |key: &TicketKey| {
            let files = std::fs::read_dir(folder.path()).expect("a folder");
            files.into_iter().any(|file| {
                let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
                bytes.windows(32).any(|window| window == key.expose())
            })
        };
        assert!(stands(&second.current));
        assert!(!stands(&first.current), "two days later it is nowhere");
        // Longer away than a day: both are new.
        let later = store.turn_ticket_keys(20_009).expect("kept");
        assert!(!same(&later.previous, &second.current));
    }
}
