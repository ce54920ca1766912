//! Epochs of seven days, and the read secret that ratchets one way at each turn.

use std::fmt;

use crate::crypto::{kdf, newtype::secret_newtype};
use crate::wire::{
    limits::{EPOCH, LIFETIME, MAX_AHEAD},
    time::UnixMillis,
};

/// A week, counted from the Unix epoch and the same for everybody (DESIGN.md, "Epochs").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The epoch that `time` falls in.
    pub const fn of(time: UnixMillis) -> Self {
        Self(time.as_secs() / EPOCH.as_secs())
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Its first millisecond.
    pub const fn start(self) -> UnixMillis {
        UnixMillis::from_secs(self.0.saturating_mul(EPOCH.as_secs()))
    }

    /// The first millisecond after it.
    pub const fn end(self) -> UnixMillis {
        self.next().start()
    }

    /// The one after.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before; epoch 0 is its own.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// When no envelope of this epoch is alive anywhere, so that its secrets may go:
    /// 7 days and 15 minutes after its end.
    pub fn secrets_end(self) -> UnixMillis {
        self.end().after(LIFETIME).after(MAX_AHEAD)
    }

    /// The latest end of a lease on an address of this epoch: 7 days after its end.
    pub fn lease_end(self) -> UnixMillis {
        self.end().after(LIFETIME)
    }

    /// The epochs whose envelopes may be alive at `now`: the one before and the current one.
    pub fn alive(now: UnixMillis) -> [Self; 2] {
        let current = Self::of(now);
        [current.previous(), current]
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

secret_newtype! {
    /// Opens the messages of one epoch, and through [`ReadSecret::ratchet`] those of all later ones.
    pub struct ReadSecret[32];
}

impl ReadSecret {
    /// The secret of the next epoch. There is no way back.
    #[must_use]
    pub fn ratchet(&self) -> Self {
        Self::from_bytes(*kdf::derive(self.expose(), "ailurus/read-ratchet", &[]))
    }
}

/// Why no secret could be derived for an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The epoch is before the oldest secret held.
    #[error("the secrets of epoch {0} are no longer on this phone, or were never shared with it")]
    Deleted(Epoch),
    /// The epoch is so far ahead that the clock must be wrong.
    #[error("epoch {0} is too far ahead: check this device's clock")]
    TooFarAhead(Epoch),
}

/// The oldest read secret that is still held, from which all later ones follow.
pub struct ReadChain {
    epoch: Epoch,
    secret: ReadSecret,
}

impl ReadChain {
    /// A chain that starts with the secret of `epoch`.
    pub fn new(epoch: Epoch, secret: ReadSecret) -> Self {
        Self { epoch, secret }
    }

    /// The oldest epoch that this chain opens.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The secret of that oldest epoch.
    pub fn secret(&self) -> &ReadSecret {
        &self.secret
    }

    /// The secret of `epoch`.
    pub fn at(&self, epoch: Epoch) -> Result<ReadSecret, EpochError> {
        let steps = epoch
            .0
            .checked_sub(self.epoch.0)
            .ok_or(EpochError::Deleted(epoch))?;
        if steps > MAX_STEPS {
            return Err(EpochError::TooFarAhead(epoch));
        }
        let mut secret = self.secret.duplicate();
        for _ in 0..steps {
            secret = secret.ratchet();
        }
        Ok(secret)
    }

    /// Forgets all secrets before `epoch`; true if there were any.
    pub fn forget_before(&mut self, epoch: Epoch) -> Result<bool, EpochError> {
        if epoch <= self.epoch {
            return Ok(false);
        }
        self.secret = self.at(epoch)?;
        self.epoch = epoch;
        Ok(true)
    }

    /// An explicit copy.
    pub fn duplicate(&self) -> Self {
        Self::new(self.epoch, self.secret.duplicate())
    }
}

/// A redPanda channel starts at epoch 0 (1970), so the way to today is about 3,000 steps; a century is 5,218.
const MAX_STEPS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_aligned_weeks() {
        let epoch = Epoch::of(UnixMillis::from_secs(1_700_000_000));
        assert_eq!(epoch.number(), 2810);
        assert_eq!(Epoch::of(epoch.start()), epoch);
        assert_eq!(Epoch::of(epoch.end()), epoch.next());
        assert_eq!(epoch.end().since(epoch.start()), EPOCH);
    }

    #[test]
    fn chain_goes_forward_only() {
        let mut chain = ReadChain::new(Epoch::new(10), ReadSecret::from_bytes([7; 32]));
        let later = chain.at(Epoch::new(12)).expect("forward");
        assert!(later.ct_eq(&ReadSecret::from_bytes([7; 32]).ratchet().ratchet()));
        assert!(chain.forget_before(Epoch::new(12)).expect("forward"));
        assert_eq!(
            chain.at(Epoch::new(11)).err(),
            Some(EpochError::Deleted(Epoch::new(11)))
        );
        assert!(chain.at(Epoch::new(12)).expect("kept").ct_eq(&later));
        assert!(matches!(
            chain.at(Epoch::new(u64::MAX)),
            Err(EpochError::TooFarAhead(_))
        ));
    }
}
