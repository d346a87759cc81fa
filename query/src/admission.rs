//! Who may run: a slot for each running query, and a bounded queue before the slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::QueryError;
use crate::metrics::Metrics;

/// The slots of one server.
pub struct Admission {
    slots: Arc<Semaphore>,
    slot_count: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    metrics: Arc<Metrics>,
}

/// The right to run; given back on drop. Whoever works for the query holds it, so that the number of slots bounds the
/// threads too.
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// One more on a gauge until it is dropped.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A place in the queue; given back on drop, also where the caller goes away.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// `slots` queries may run, and `waiting_max` more may wait.
    pub fn new(slots: usize, waiting_max: usize, metrics: Arc<Metrics>) -> Self {
        let slot_count = slots.min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(slot_count)),
            slot_count,
            waiting: AtomicUsize::new(0),
            waiting_max,
            metrics,
        }
    }

    /// Waits for a slot; fails at once where the queue is full.
    pub async fn enter(&self) -> Result<Slot, QueryError> {
        let permit = match self.slots.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        Ok(Slot { _permit: permit, _counted: Counted::new(&self.metrics.in_flight) })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.waiting);
        if before >= self.waiting_max {
            return Err(QueryError::Busy(format!(
                "too many queries: {} run (--query.max-concurrent) and {} wait (--query.max-waiting)",
                self.slot_count, self.waiting_max
            )));
        }
        let _counted = Counted::new(&self.metrics.waiting);
        let closed = |_| QueryError::Internal("the slots of queries are gone".to_owned());
        self.slots.clone().acquire_owned().await.map_err(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_and_a_third_is_refused_at_once() {
        let metrics = Arc::new(Metrics::new(0));
        let admission = Arc::new(Admission::new(1, 1, metrics.clone()));
        let first = admission.enter().await.unwrap();
        let second = tokio::spawn({
            let admission = admission.clone();
            async move { admission.enter().await.map(drop) }
        });
        while metrics.waiting.get() < 1.0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(metrics.in_flight.get(), 1.0);
        let refused = admission.enter().await.err().unwrap();
        assert_eq!(refused.status(), ("unavailable", 503));
        assert!(refused.to_string().contains("--query.max-concurrent"), "{refused}");
        drop(first);
        second.await.unwrap().unwrap();
        assert_eq!((metrics.in_flight.get(), metrics.waiting.get()), (0.0, 0.0));
        // A caller that goes away while it waits leaves its place to another.
        let held = admission.enter().await.unwrap();
        let gone = tokio::spawn({
            let admission = admission.clone();
            async move { admission.enter().await.map(drop) }
        });
        while metrics.waiting.get() < 1.0 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.is_err());
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
        drop(held);
    }
}
