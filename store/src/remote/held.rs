//! The memory of one stream, taken from the budget in steps, so that a series does not cost an atomic operation or two.

use crate::{Budget, LimitExceeded, Reservation};

/// Bytes taken beyond what is needed, if the budget has them.
const STEP: usize = 16 << 10;

/// What a stream holds, and a little more.
#[derive(Debug)]
pub(super) struct Held {
    reservation: Reservation,
    used: usize,
}

impl Held {
    /// Nothing yet.
    pub(super) fn new(budget: &Budget) -> Self {
        Self { reservation: budget.begin("series"), used: 0 }
    }

    /// Takes `bytes` more.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), LimitExceeded> {
        let lacking = (self.used.saturating_add(bytes)).saturating_sub(self.reservation.bytes());
        if lacking > 0 && self.reservation.grow(lacking.saturating_add(STEP)).is_err() {
            self.reservation.grow(lacking)?;
        }
        self.used += bytes;
        Ok(())
    }

    /// Gives `bytes` back.
    pub(super) fn give_back(&mut self, bytes: usize) {
        self.used -= bytes.min(self.used);
        self.reservation.shrink_to(self.used + STEP);
    }

    /// Hands `bytes` of what is in use over to somebody else.
    pub(super) fn split(&mut self, bytes: usize) -> Reservation {
        let bytes = bytes.min(self.used);
        self.used -= bytes;
        self.reservation.split(bytes)
    }

    /// Bytes in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_in_steps_and_exactly_at_the_limit() {
        let budget = Budget::new("query", STEP + 100);
        let mut held = Held::new(&budget);
        held.take(50).unwrap();
        assert_eq!(budget.used(), STEP + 50);
        held.take(STEP + 50).unwrap();
        assert!(held.take(1).is_err());
        let part = held.split(80);
        assert_eq!((part.bytes(), held.used(), budget.used()), (80, STEP + 20, STEP + 100));
        drop(part);
        held.give_back(STEP);
        assert_eq!((held.used(), budget.used()), (20, STEP + 20));
        drop(held);
        assert_eq!(budget.used(), 0);
    }
}
