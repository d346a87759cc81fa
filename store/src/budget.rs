//! Memory accounting: who holds bytes that grow with input holds a [`Reservation`] for them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that one holder (the process, a query) may hold. Cheap to clone; clones share the count.
///
/// A child counts against its parent too, so that the process stays within its limit whatever the queries do.
#[derive(Clone)]
pub struct Budget(Arc<Account>);

struct Account {
    name: &'static str,
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    parent: Option<Budget>,
}

/// The refusal of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitExceeded {
    /// What the bytes were wanted for.
    pub what: &'static str,
    /// Whose limit it is.
    pub budget: &'static str,
    /// The limit in bytes.
    pub limit: usize,
    /// The bytes wanted beyond those in use.
    pub wanted: usize,
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory limit of the {} reached: {} needs {} more bytes, the limit is {} bytes",
            self.budget, self.what, self.wanted, self.limit
        )
    }
}

impl Error for LimitExceeded {}

impl Budget {
    /// A budget of its own, `limit` bytes wide. `name` says whose it is: "process", "query".
    pub fn new(name: &'static str, limit: usize) -> Self {
        Self(Arc::new(Account { name, limit, used: AtomicUsize::new(0), peak: AtomicUsize::new(0), parent: None }))
    }

    /// A budget without a limit, for tests and tools.
    pub fn unlimited() -> Self {
        Self::new("unlimited", usize::MAX)
    }

    /// A budget within this one.
    pub fn child(&self, name: &'static str, limit: usize) -> Self {
        Self(Arc::new(Account {
            name,
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            parent: Some(self.clone()),
        }))
    }

    /// Takes `bytes` for `what`, or refuses without taking anything.
    pub fn reserve(&self, what: &'static str, bytes: usize) -> Result<Reservation, LimitExceeded> {
        let mut held = self.begin(what);
        held.grow(bytes)?;
        Ok(held)
    }

    /// A reservation for `what` that holds nothing yet.
    pub fn begin(&self, what: &'static str) -> Reservation {
        Reservation { budget: self.clone(), what, bytes: 0 }
    }

    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most bytes that were in use at once.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    fn take(&self, what: &'static str, bytes: usize) -> Result<(), LimitExceeded> {
        let account = &*self.0;
        // Not added before it is known to fit: what is refused must not take room from others even for a moment.
        let fitting = |used: usize| used.checked_add(bytes).filter(|after| *after <= account.limit);
        let Ok(before) = account.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fitting) else {
            return Err(LimitExceeded { what, budget: account.name, limit: account.limit, wanted: bytes });
        };
        let after = before + bytes;
        if let Some(parent) = &account.parent
            && let Err(refused) = parent.take(what, bytes)
        {
            account.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(refused);
        }
        account.peak.fetch_max(after, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.0.parent {
            parent.give_back(bytes);
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({}: {} of {})", self.0.name, self.used(), self.0.limit)
    }
}

/// Bytes taken from a [`Budget`]; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    what: &'static str,
    bytes: usize,
}

impl Reservation {
    /// Takes `bytes` more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), LimitExceeded> {
        self.budget.take(self.what, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back all but `bytes`, if it holds more.
    pub fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes);
            self.bytes = bytes;
        }
    }

    /// Takes over what `other` holds. Both must be of one budget.
    pub fn merge(&mut self, mut other: Reservation) {
        debug_assert!(Arc::ptr_eq(&self.budget.0, &other.budget.0), "reservations of two budgets");
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Splits `bytes` (at most all of them) off into a reservation of their own.
    pub fn split(&mut self, bytes: usize) -> Reservation {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Reservation { budget: self.budget.clone(), what: self.what, bytes }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_counts_against_its_parent_and_gives_all_back() {
        let process = Budget::new("process", 100);
        let query = process.child("query", 80);
        let mut held = query.reserve("labels", 50).unwrap();
        assert_eq!((process.used(), query.used()), (50, 50));
        assert_eq!(held.grow(40).unwrap_err().budget, "query");
        let other = process.reserve("cache", 40).unwrap();
        assert_eq!(held.grow(20).unwrap_err().budget, "process");
        assert_eq!((process.used(), query.used()), (90, 50));
        let part = held.split(20);
        drop(held);
        assert_eq!(query.used(), 20);
        drop((part, other));
        assert_eq!((process.used(), query.used(), query.peak()), (0, 0, 50));
    }
}
