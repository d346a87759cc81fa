//! The right of a request to work, from its admission to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::admission::{Admission, Slot};
use crate::error::QueryError;

/// Stack of a thread: room for the deepest expression that the limits allow.
const STACK_BYTES: usize = 64 << 20;

/// A slot, and the time that a request has left. The slot is given back when this and all threads that work for it have ended.
pub struct Turn {
    slot: Arc<Slot>,
    /// The time for the whole request.
    pub(super) timeout: Duration,
    /// When it is up.
    pub(super) deadline: Instant,
    /// How long it waited for the slot.
    pub(super) queued: Duration,
}

impl Turn {
    /// Waits for a slot, at most `timeout`.
    pub(super) async fn wait(admission: &Admission, timeout: Duration) -> Result<Self, QueryError> {
        let start = Instant::now();
        let deadline = start + timeout;
        let entered = timeout_at(deadline, admission.enter()).await;
        let slot = entered.unwrap_or(Err(QueryError::Timeout(timeout)))?;
        Ok(Self { slot: Arc::new(slot), timeout, deadline, queued: start.elapsed() })
    }

    pub(super) fn slot(&self) -> Arc<Slot> {
        self.slot.clone()
    }

    /// Computes on a thread of its own, until the time is up.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let done = timeout_at(self.deadline, on_thread(self.slot(), work)).await;
        done.unwrap_or(Err(QueryError::Timeout(self.timeout)))
    }
}

/// Computes on a thread of its own, which holds `slot` to its end, whether anybody waits for it or not.
pub(super) async fn on_thread<T: Send + 'static>(
    slot: Arc<Slot>,
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    let (send, receive) = oneshot::channel();
    let work = move || {
        // What a panic leaves behind belongs to this query only and is dropped with it.
        let result = catch_unwind(AssertUnwindSafe(work));
        let result = result.unwrap_or_else(|panic| Err(panicked(&*panic)));
        drop(slot);
        // Nobody waits where the caller has gone.
        let _ = send.send(result);
    };
    std::thread::Builder::new()
        .name("query".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map_err(|error| QueryError::Busy(format!("start the thread of the query: {error}")))?;
    receive.await.unwrap_or_else(|_| Err(QueryError::Internal("the thread of the query ended".to_owned())))
}

/// The error for a panic, logged here since nobody else learns of it. Which request it was is in that one's own line, where
/// its client still waits.
fn panicked(panic: &(dyn std::any::Any + Send)) -> QueryError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), "the work for a request panicked");
    QueryError::Internal("unexpected error: the evaluation panicked".to_owned())
}
