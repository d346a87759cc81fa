//! The answer to one question, as a stream of batches: what is asked when, and when something is handed over. Nothing
//! is asked before the stream is polled, and dropping it resets the answer's HTTP/2 stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::future::BoxFuture;

use super::assembly::{Assembly, next_merged};
use super::messages::Messages;
use crate::merge::Merge;
use crate::{SeriesBatch, StoreError};

/// Messages that are read in one go, at most, before others get their turn.
const MESSAGES_MAX: usize = 1024;

/// Sends the question; the future gives the messages of the answer once the peer begins to answer.
pub(super) type Open = Box<dyn FnOnce() -> BoxFuture<'static, Result<Messages, StoreError>> + Send>;

/// A stream of batches; see the module.
pub(super) struct AnswerStream {
    state: State,
    /// What comes once all data is out.
    error: Option<StoreError>,
}

enum State {
    Idle(Open, Assembly),
    Opening(BoxFuture<'static, Result<Messages, StoreError>>, Assembly),
    Reading(Messages, Assembly),
    /// All is read and waits to be handed over, merged from runs where it was collected.
    Merging(Merge),
    Done,
}

impl AnswerStream {
    pub(super) fn new(open: Open, assembly: Assembly) -> Self {
        Self { state: State::Idle(open, assembly), error: None }
    }

    /// One step: a batch, or None if there is more to do at once.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Option<SeriesBatch>> {
        let batch = match std::mem::replace(&mut self.state, State::Done) {
            State::Idle(open, assembly) => {
                self.state = State::Opening(open(), assembly);
                None
            }
            State::Opening(mut opening, assembly) => {
                match opening.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.state = State::Opening(opening, assembly);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(messages)) => self.state = State::Reading(messages, assembly),
                    Poll::Ready(Err(error)) => self.error = Some(error),
                }
                None
            }
            State::Reading(messages, assembly) => ready!(self.read(messages, assembly, cx)),
            State::Merging(mut merge) => {
                let batch = next_merged(&mut merge);
                if batch.is_some() {
                    self.state = State::Merging(merge);
                }
                batch
            }
            State::Done => None,
        };
        Poll::Ready(batch)
    }

    /// Reads what is ready, until a batch is full.
    fn read(
        &mut self,
        mut messages: Messages,
        mut assembly: Assembly,
        cx: &mut Context<'_>,
    ) -> Poll<Option<SeriesBatch>> {
        let mut pending = false;
        for _ in 0..MESSAGES_MAX {
            let ended = match messages.poll_next(cx, assembly.held()) {
                Poll::Pending => {
                    pending = true;
                    break;
                }
                Poll::Ready(Some(Ok(message))) => assembly.take(&message).err().map(Some),
                Poll::Ready(Some(Err(error))) => Some(Some(error)),
                Poll::Ready(None) => Some(None),
            };
            if let Some(error) = ended {
                self.finish(assembly, error);
                return Poll::Ready(None);
            }
            if assembly.is_full() {
                break;
            }
        }
        let batch = assembly.batch();
        self.state = State::Reading(messages, assembly);
        if batch.is_some() {
            return Poll::Ready(batch);
        }
        if !pending {
            // Messages without end that hold nothing, such as hints: others get their turn, and clocks theirs.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// The answer has ended. What is here is handed over first, unless our own budget was refused: then all is given
    /// back.
    fn finish(&mut self, assembly: Assembly, error: Option<StoreError>) {
        if error.as_ref().is_some_and(|error| error.limit().is_some()) {
            self.error = error;
            return;
        }
        let (rest, incomplete) = assembly.finish();
        self.error = error.or(incomplete);
        self.state = State::Merging(rest);
    }
}

impl Stream for AnswerStream {
    type Item = Result<SeriesBatch, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(batch) = ready!(self.step(cx)) {
                return Poll::Ready(Some(Ok(batch)));
            }
            if matches!(self.state, State::Done) {
                return Poll::Ready(self.error.take().map(Err));
            }
        }
    }
}
