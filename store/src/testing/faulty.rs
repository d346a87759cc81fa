//! A decorator that breaks a store on purpose, the same way each time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::StreamExt as _;

use super::Random;
use crate::select::{Allowance, Gap, Select, StoreInfo};
use crate::series::{Chunk, SeriesBatch};
use crate::{FactsAnswer, LabelAnswer, Question, SeriesStream, Store, StoreError, StoreErrorKind};

/// What is wrong with a [`FaultyStore`]. Where a fault comes after some batches, a shorter stream has it at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It takes so long before each batch and each answer.
    Delay(Duration),
    /// It goes silent after so many batches.
    Stall(usize),
    /// It fails after so many batches.
    Error(usize),
    /// The first batch comes twice.
    Unsorted,
    /// The last series of the first batch comes twice.
    Duplicate,
    /// The bytes of the first chunk of each batch end too early.
    TruncatedChunk,
    /// The first chunk of each batch claims more samples than it has.
    CorruptChunk,
}

impl Fault {
    /// A fault chosen by a seed.
    pub fn seeded(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let after = random.below(4);
        match random.below(10) {
            0 => Fault::Stall(after),
            1 => Fault::Error(after),
            2 => Fault::Unsorted,
            3 => Fault::Duplicate,
            4 => Fault::TruncatedChunk,
            5 => Fault::CorruptChunk,
            6 => Fault::None,
            _ => Fault::Delay(Duration::from_millis(1 + random.below(900) as u64)),
        }
    }

    /// Whether a selection shows the store as failed.
    pub fn fails(self) -> bool {
        matches!(self, Fault::Stall(_) | Fault::Error(_) | Fault::Unsorted | Fault::Duplicate)
    }
}

/// A store with a fault.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    fault: Fault,
}

impl FaultyStore {
    /// Puts `fault` before `inner`.
    pub fn new(inner: Arc<dyn Store>, fault: Fault) -> Self {
        Self { inner, fault }
    }

    /// The fault.
    pub fn fault(&self) -> Fault {
        self.fault
    }
}

fn injected() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "read series: injected failure")
}

/// Calls `change` on the first chunk of a batch.
fn spoil(mut batch: SeriesBatch, change: impl Fn(&mut Chunk)) -> SeriesBatch {
    let lanes = batch.series.iter_mut().flat_map(|series| &mut series.lanes);
    if let Some(chunk) = lanes.flat_map(|lane| &mut lane.chunks).next() {
        change(chunk);
    }
    batch
}

fn truncate(chunk: &mut Chunk) {
    chunk.data.truncate(chunk.data.len() * 2 / 3);
}

fn corrupt(chunk: &mut Chunk) {
    let mut bytes = chunk.data.to_vec();
    bytes.iter_mut().take(2).for_each(|byte| *byte = 0xff);
    chunk.data = Bytes::from(bytes);
}

/// The batches that come in place of `batch`, which is the `index`-th.
fn distort(fault: Fault, index: usize, batch: SeriesBatch) -> Vec<SeriesBatch> {
    match fault {
        Fault::TruncatedChunk => vec![spoil(batch, truncate)],
        Fault::CorruptChunk => vec![spoil(batch, corrupt)],
        Fault::Unsorted | Fault::Duplicate if index == 0 => {
            let mut batch = batch;
            let again = if fault == Fault::Unsorted {
                batch.series.clone()
            } else {
                batch.series.split_off(batch.series.len() - 1)
            };
            let held = batch.held.split(batch.held.bytes() / 2);
            if fault == Fault::Duplicate {
                batch.series.extend(again.iter().cloned());
            }
            vec![batch, SeriesBatch { series: again, held }]
        }
        _ => vec![batch],
    }
}

fn faulty_stream(inner: SeriesStream, fault: Fault) -> SeriesStream {
    let inner = match fault {
        Fault::Stall(after) => inner.take(after).chain(futures::stream::pending()).boxed(),
        Fault::Error(after) => inner.take(after).chain(futures::stream::iter([Err(injected())])).boxed(),
        _ => inner,
    };
    let delayed = inner.then(move |item| async move {
        if let Fault::Delay(delay) = fault {
            tokio::time::sleep(delay).await;
        }
        item
    });
    let distorted = delayed.enumerate().flat_map(move |(index, item)| {
        let items = match item {
            Ok(batch) => distort(fault, index, batch).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        futures::stream::iter(items)
    });
    distorted.boxed()
}

fn faulty_answer<T: Send + 'static>(
    answer: BoxFuture<'static, Result<T, StoreError>>,
    fault: Fault,
) -> BoxFuture<'static, Result<T, StoreError>> {
    async move {
        match fault {
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::Stall(_) => std::future::pending().await,
            Fault::Error(_) => return Err(injected()),
            _ => {}
        }
        answer.await
    }
    .boxed()
}

#[deny(clippy::missing_trait_methods)]
impl Store for FaultyStore {
    fn info(&self) -> Arc<StoreInfo> {
        self.inner.info()
    }

    fn gaps(&self, request: &Select) -> Vec<Gap> {
        self.inner.gaps(request)
    }

    fn select(&self, request: Arc<Select>, allowance: Allowance) -> Vec<SeriesStream> {
        let fault = self.fault;
        self.inner.select(request, allowance).into_iter().map(|stream| faulty_stream(stream, fault)).collect()
    }

    fn label_names(&self, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        faulty_answer(self.inner.label_names(request, allowance), self.fault)
    }

    fn label_values(&self, name: Box<str>, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        faulty_answer(self.inner.label_values(name, request, allowance), self.fault)
    }

    fn facts(&self, question: Arc<Question>, allowance: Allowance) -> FactsAnswer {
        faulty_answer(self.inner.facts(question, allowance), self.fault)
    }
}
