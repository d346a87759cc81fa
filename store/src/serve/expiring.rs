//! Answers that end when their time is up, whether anybody reads them or not: a reader that stands still is not noticed
//! otherwise, and what its answer holds would be held for as long as its connection lives.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{BoxStream, Stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

/// How long what was found by the deadline may still be taken, so that a late answer is one with warnings.
const LINGER: Duration = Duration::from_secs(10);

type Messages<A> = BoxStream<'static, Result<A, Status>>;

/// The messages of an answer, until shortly after a deadline. Then all that they hold is freed.
pub(super) struct Expiring<A> {
    /// None: its time was up.
    messages: Arc<Mutex<Option<Messages<A>>>>,
    /// Ends when the time is up.
    keeper: JoinSet<()>,
}

impl<A: 'static> Expiring<A> {
    /// Must be called within a tokio runtime.
    pub(super) fn new(messages: Messages<A>, deadline: Instant) -> Self {
        let messages = Arc::new(Mutex::new(Some(messages)));
        let kept = messages.clone();
        let mut keeper = JoinSet::new();
        keeper.spawn(async move {
            sleep_until(deadline + LINGER).await;
            let messages = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(messages);
        });
        Self { messages, keeper }
    }
}

impl<A> Stream for Expiring<A> {
    type Item = Result<A, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { messages, keeper } = self.get_mut();
        if let Poll::Ready(ended) = keeper.poll_join_next(cx) {
            return Poll::Ready(ended.map(|_| Err(Status::deadline_exceeded("the time for the answer is up"))));
        }
        let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *messages {
            Some(open) => open.as_mut().poll_next(cx),
            // The keeper took them, and its end is about to be told above.
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, StreamExt as _};
    use tonic::Code;

    use super::*;
    use crate::Budget;

    /// What the keeper is about to tell is no regular end.
    #[tokio::test]
    async fn an_answer_that_was_taken_away_does_not_end_well() {
        let mut answer = Expiring::new(messages(&Budget::unlimited()), Instant::now());
        answer.messages.lock().unwrap().take();
        assert!(futures::poll!(answer.next()).is_pending());
    }

    /// A message, then one that never comes, and the memory of both.
    fn messages(budget: &Budget) -> Messages<u8> {
        let held = budget.reserve("messages", 100).unwrap();
        let pending = stream::pending().map(move |message| {
            let _ = &held;
            message
        });
        stream::iter([Ok(1)]).chain(pending).boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_freed_when_the_time_is_up() {
        let budget = Budget::unlimited();
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut answer = Expiring::new(messages(&budget), deadline);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(budget.used(), 100);
        tokio::time::sleep(LINGER + Duration::from_secs(2)).await;
        assert_eq!(budget.used(), 0);
        assert_eq!(answer.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert!(answer.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_is_told() {
        let budget = Budget::unlimited();
        let started = Instant::now();
        let mut answer = Expiring::new(messages(&budget), started + Duration::from_secs(60));
        assert_eq!(answer.next().await.unwrap().unwrap(), 1);
        assert_eq!(answer.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(started.elapsed().as_secs(), 60 + LINGER.as_secs());
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn an_answer_that_is_read_ends_as_it_does() {
        let mut answer = Expiring::new(stream::iter([Ok(1), Ok(2)]).boxed(), Instant::now() + Duration::from_secs(60));
        assert_eq!(answer.next().await.unwrap().unwrap() + answer.next().await.unwrap().unwrap(), 3);
        assert!(answer.next().await.is_none());
    }
}
