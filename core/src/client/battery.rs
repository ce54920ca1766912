//! The plan of wake-ups as apps see it, and what was spent.

use crate::power::{NetworkState, Plan, PowerState, Preference, UsageReport, Wakeup};

use super::{Client, Error, lock};

impl Client {
    /// Tells how the battery stands and how the system saves it: a battery below 20 % that is not charged, the saver, doze
    /// and the standby bucket make wake-ups rarer, power from outside on Wi-Fi makes them more frequent.
    pub fn set_power(&self, state: PowerState) {
        lock(&self.inner().power).set_power(state, self.now());
        self.inner().replan();
    }

    /// Tells by what the phone is connected. If that is new, live connections and running polls move to a new socket at
    /// once (QUIC migration), and a live connection that is lost on the way is made anew after 2 seconds. Without a
    /// network nothing is tried, except what the user asks for with [`Client::poll`].
    pub fn set_network(&self, state: NetworkState) {
        let changed = lock(&self.inner().power).set_network(state, self.now());
        self.inner().spending.set_network(state.kind);
        if changed {
            self.inner().network_changed();
            self.inner().replan();
        }
    }

    /// What the user prefers.
    pub fn preference(&self) -> Preference {
        lock(&self.inner().power).preference()
    }

    /// Sets what the user prefers, which is kept with the profile.
    ///
    /// # Errors
    /// Why it cannot be kept; it holds until the end of the process then.
    pub fn set_preference(&self, preference: Preference) -> Result<(), Error> {
        if lock(&self.inner().power).set_preference(preference) {
            self.inner().replan();
            let now = self.now();
            self.inner().keep(&mut self.engine(), now)?;
        }
        Ok(())
    }

    /// What the library does now and next, for apps to show. Takes some milliseconds.
    pub fn plan(&self) -> Plan {
        let now = self.now();
        self.inner().plan(&mut self.engine(), now)
    }

    /// When to call [`Client::sync_once`] next; `None` in the foreground, where the client is live, and without a
    /// network: ask again after each of [`Client::set_network`], [`Client::set_power`], [`Client::set_app_state`],
    /// [`Client::sync_once`] and [`Client::on_push`]. A new profile counts from when it was made, a known one from its
    /// last attempt, also in another process. Takes some milliseconds.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let plan = self.plan();
        plan.wakeup.filter(|_| !plan.live)
    }

    /// What was spent today and in the last 7 days. `utc_offset`: how far the user's clock is ahead of UTC, in seconds,
    /// from which today's midnight follows, rounded down to a whole hour of UTC.
    ///
    /// Bytes are those of all datagrams with their IP and UDP headers, as a mobile plan counts them; each counts for the
    /// most special of the activities that run when it goes ([`crate::power::Ledger`]). Not counted are look-ups of names,
    /// which the system does, and the bytes of searches in the DHT, of which only wake-ups and radio time are.
    ///
    /// # Errors
    /// Whatever stops the store.
    pub fn usage(&self, utc_offset: i32) -> Result<UsageReport, Error> {
        let now = self.now();
        let mut engine = self.engine();
        self.inner().keep(&mut engine, now)?;
        Ok(UsageReport::of(&engine.usage(now)?, now, utc_offset))
    }
}
