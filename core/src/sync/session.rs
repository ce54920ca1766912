//! One conversation with a super node: what to ask next.
//!
//! A session is told what there is to do and what the node answered, and says the next [`Step`]; it neither sends
//! nor stores. Sync comes first where it can, since it alone may travel in early data: a poll with nothing to
//! register is one round trip.

/// What to do next on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send a `Register` for all leases that are due, once the handshake is complete.
    Register,
    /// Send a `Release`, once the handshake is complete.
    Release,
    /// Send an `Announce` for all addresses of which the node should be told, once the handshake is complete.
    Announce,
    /// Send a `Push`: how to wake us, or what came by it, once the handshake is complete.
    Push,
    /// Send a `Sync` and take in what comes until `CaughtUp`.
    Sync,
    /// Send what waits in the outbox.
    Publish,
    /// Nothing to do now: a poll closes the connection, live mode waits for pushes and the outbox.
    Idle,
}

/// What a session may have to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Leases are missing, or an introduction is to be shown.
    pub leases: bool,
    /// Leases are to be given up.
    pub releases: bool,
    /// The node is to be told of other nodes, and how to be found.
    pub announces: bool,
    /// The node is to be told how to wake us.
    pub push: bool,
    /// Messages wait.
    pub outbox: bool,
}

/// The conversation so far.
#[derive(Clone, Debug, Default)]
pub struct Session {
    work: Work,
    synced: bool,
    announced: bool,
    pushed: bool,
    registrations: u8,
}

impl Session {
    /// A session with this to do.
    pub fn new(work: Work) -> Self {
        Self {
            work,
            synced: false,
            announced: false,
            pushed: false,
            registrations: 0,
        }
    }

    /// The next step.
    pub fn next(&self) -> Step {
        if self.work.leases && self.registrations < MAX_REGISTRATIONS {
            Step::Register
        } else if !self.synced {
            Step::Sync
        } else if self.work.releases {
            Step::Release
        } else if self.work.announces && !self.announced {
            Step::Announce
        } else if self.work.push && !self.pushed {
            Step::Push
        } else if self.work.outbox {
            Step::Publish
        } else {
            Step::Idle
        }
    }

    /// There is more to do than at the start, or less.
    pub fn set_work(&mut self, work: Work) {
        self.work = work;
    }

    /// The leases stand, or were refused; either way they are not asked for again in this session.
    pub fn registered(&mut self) {
        self.work.leases = false;
        self.registrations = self.registrations.saturating_add(1);
        // What was leased just now was not in an earlier answer, and the node has not been told of it.
        self.synced = false;
        self.work.announces = true;
        self.work.push = true;
    }

    /// The node's `Hello` says how many leases it holds; returns true if they must be registered again, because
    /// the node lost some (a restored backup, an eviction).
    pub fn hello(&mut self, held: u32, expected: u32) -> bool {
        let lost = held < expected;
        self.work.leases |= lost;
        lost
    }

    /// The node has sent all it had.
    pub fn caught_up(&mut self) {
        self.synced = true;
    }

    /// The releases were confirmed.
    pub fn released(&mut self) {
        self.work.releases = false;
    }

    /// The node was told, or refused; either way it is not told again in this session.
    pub fn announced(&mut self) {
        self.announced = true;
    }

    /// The node was told how to wake us, or refused; either way it is not told again in this session.
    pub fn pushed(&mut self) {
        self.pushed = true;
    }

    /// Every waiting message was acknowledged or refused.
    pub fn published(&mut self) {
        self.work.outbox = false;
    }
}

/// Once as planned, and once more when `Hello` shows lost leases or sets the clock right; a node that goes on
/// refusing is left alone until the next session.
const MAX_REGISTRATIONS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_poll_is_one_sync() {
        let mut session = Session::new(Work::default());
        assert_eq!(session.next(), Step::Sync);
        assert!(!session.hello(3, 3));
        session.caught_up();
        assert_eq!(session.next(), Step::Idle);
    }

    #[test]
    fn registers_before_it_syncs_and_publishes_last() {
        let mut session = Session::new(Work {
            leases: true,
            releases: true,
            announces: true,
            push: true,
            outbox: true,
        });
        assert_eq!(session.next(), Step::Register);
        session.registered();
        assert_eq!(session.next(), Step::Sync);
        session.caught_up();
        assert_eq!(session.next(), Step::Release);
        session.released();
        assert_eq!(session.next(), Step::Announce);
        session.announced();
        assert_eq!(session.next(), Step::Push);
        session.pushed();
        assert_eq!(session.next(), Step::Publish);
        session.published();
        assert_eq!(session.next(), Step::Idle);
    }

    #[test]
    fn lost_leases_are_registered_again_at_most_twice() {
        let mut session = Session::new(Work::default());
        assert!(session.hello(1, 3));
        session.caught_up();
        assert_eq!(session.next(), Step::Register);
        session.registered();
        assert_eq!(session.next(), Step::Sync);
        assert!(session.hello(1, 3));
        session.caught_up();
        assert_eq!(session.next(), Step::Register);
        session.registered();
        assert!(session.hello(1, 3));
        session.caught_up();
        assert_eq!(session.next(), Step::Announce);
        session.announced();
        assert_eq!(session.next(), Step::Push);
        session.pushed();
        assert_eq!(session.next(), Step::Idle);
    }

    #[test]
    fn what_was_leased_is_announced_once() {
        let mut session = Session::new(Work {
            leases: true,
            ..Work::default()
        });
        session.registered();
        session.caught_up();
        assert_eq!(session.next(), Step::Announce);
        session.announced();
        assert_eq!(session.next(), Step::Push);
        session.pushed();
        session.set_work(Work {
            announces: true,
            push: true,
            ..Work::default()
        });
        assert_eq!(session.next(), Step::Idle);
    }
}
