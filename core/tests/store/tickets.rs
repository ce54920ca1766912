//! Tickets for polls by datagram.

use std::fs;

use ailurus::channel::{SealedTicket, Ticket, TicketSecret};
use ailurus::store::{NodeRow, StoreError, StoredTicket, Tx};
use ailurus::wire::limits::{TICKET_LEN, TICKET_LIFETIME};
use ailurus::wire::time::UnixMillis;

use crate::people::{NOW, Profile, later};

fn ticket(byte: u8) -> Ticket {
    Ticket {
        sealed: SealedTicket::from_bytes([byte; TICKET_LEN]),
        secret: TicketSecret::from_bytes([byte ^ 0xff; 32]),
    }
}

fn node(tx: &Tx<'_>) -> Result<NodeRow, StoreError> {
    Ok(tx.nodes()?[0].row)
}

fn latest(tx: &Tx<'_>, now: UnixMillis) -> Result<Option<StoredTicket>, StoreError> {
    tx.ticket(node(tx)?, now)
}

#[test]
fn a_ticket_is_used_twice_within_a_day_and_the_latest_first() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut engine = profile.create("Alice");
    let store = engine.store();
    store
        .write(|tx| {
            let node = node(tx)?;
            for byte in 1..=3 {
                tx.put_ticket(node, &ticket(byte), NOW)?;
            }
            for byte in [3, 3, 2, 2] {
                let found = tx.ticket(node, later(1))?.expect("one is left");
                assert_eq!(found.ticket.sealed.as_bytes(), &[byte; TICKET_LEN]);
                assert!(found.ticket.secret.ct_eq(&ticket(byte).secret));
                assert!(tx.use_ticket(found.row)?);
            }
            // Of three the oldest had to go.
            assert!(tx.ticket(node, later(1))?.is_none());
            tx.put_ticket(node, &ticket(4), NOW)?;
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let at = |now| {
        let mut engine = profile.open();
        let found = engine.store().read(|tx| latest(tx, now)).unwrap();
        found.is_some()
    };
    assert!(at(later(1)), "after a restart");
    assert!(!at(NOW.after(TICKET_LIFETIME)));
    assert!(!at(NOW.before(TICKET_LIFETIME)), "the clock was set back");
}

#[test]
fn tickets_stand_nowhere_in_clear_and_go_with_node_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::in_folder(folder.path());
    let mut engine = profile.create("Alice");
    let give = |engine: &mut ailurus::client::engine::Engine| {
        let given = engine
            .store()
            .write(|tx| tx.put_ticket(node(tx)?, &ticket(7), NOW));
        given.unwrap();
    };
    let has = |engine: &mut ailurus::client::engine::Engine| {
        let found = engine.store().read(|tx| latest(tx, later(1)));
        found.unwrap().is_some()
    };
    give(&mut engine);
    for file in fs::read_dir(folder.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        for secret in [[7; 16], [7 ^ 0xff; 16]] {
            assert!(!bytes.windows(16).any(|window| window == secret));
        }
    }
    assert!(has(&mut engine));
    engine
        .store()
        .write(|tx| tx.set_cursor(node(tx)?, b"further"))
        .unwrap();
    assert!(!has(&mut engine), "they are of the place before");

    give(&mut engine);
    let key = *crate::people::node_link().key();
    engine.remove_node(&key, later(1)).unwrap();
    engine
        .add_node(&crate::people::node_link(), later(2))
        .unwrap();
    assert!(!has(&mut engine), "it is another registration now");
}
