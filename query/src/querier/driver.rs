//! One evaluation on a thread of its own, which may wait for input; its rows are computed on the shared pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use masthead_store::fanout::Feed;
use masthead_store::histogram::Histogram;
use masthead_store::shard::Shard;
use masthead_store::{Labels, Millis, Samples, Select, SeriesBatch};
use tokio::sync::watch;
use tokio::time::Instant;

use super::asking::Asking;
use super::turn::on_thread;
use super::{Answer, Cost, Request};
use crate::admission::Slot;
use crate::annotations::{Annotations, Severity};
use crate::config::Limits;
use crate::engine::batch::Row;
use crate::engine::{self, Context, Input, SampleLimit, Value};
use crate::error::QueryError;
use crate::plan::{self, PlanOptions};

/// All that one evaluation needs.
pub(super) struct Driver {
    pub(super) request: Request,
    pub(super) plan_options: PlanOptions,
    pub(super) asking: Arc<Asking>,
    pub(super) limits: Limits,
    pub(super) pool: Arc<rayon::ThreadPool>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// Raises the flag when the caller goes away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Driver {
    /// Evaluates on a thread of its own, which holds `slot` to its end.
    pub(super) async fn start(self, slot: Arc<Slot>) -> Result<Answer<Value>, QueryError> {
        let _cancel = CancelOnDrop(self.cancelled.clone());
        // Dropped with this future, which wakes a driver that waits for input.
        let (_alive, alive) = watch::channel(());
        on_thread(slot, move || self.evaluate(alive)).await
    }

    fn evaluate(&self, alive: watch::Receiver<()>) -> Result<Answer<Value>, QueryError> {
        let start = Instant::now();
        let planned = plan::plan(&self.request.expression, self.request.timeline, &self.plan_options)?;
        let prepared = start.elapsed();
        let series = Arc::new(AtomicUsize::new(0));
        let input = |select: &Select| -> Box<dyn Input> {
            let _runtime = self.runtime.enter();
            let feed = self.asking.select(select.clone());
            Box::new(FeedInput {
                feed,
                asking: self.asking.clone(),
                alive: alive.clone(),
                runtime: self.runtime.clone(),
                shard: self.request.choices.shard.clone(),
                series: series.clone(),
                series_max: self.limits.series,
            })
        };
        let inputs = planned.selects.iter().map(input).collect();
        let annotations = Annotations::default();
        let samples = match self.request.choices.count_samples {
            true => SampleLimit::counting(self.limits.max_samples, self.request.timeline.count),
            false => SampleLimit::new(self.limits.max_samples),
        };
        let context = Context {
            budget: self.asking.budget.clone(),
            cancelled: self.cancelled.clone(),
            annotations: &annotations,
            samples: samples.clone(),
            pool: Some(self.pool.clone()),
        };
        let value = engine::evaluate(&planned, inputs, &context)?;
        self.asking.refuse_incomplete()?;
        let held = self.asking.budget.reserve("result", value_bytes(&value))?;
        let mut answer = self.asking.answer(value, held);
        if planned.selects.is_empty() {
            answer.warnings.clear();
        }
        answer.warnings.extend(annotations.render(Severity::Warning, &self.request.expression));
        answer.infos = annotations.render(Severity::Info, &self.request.expression);
        answer.samples = samples.counts();
        answer.plan = self.request.choices.explain.then(|| planned.tree());
        answer.cost = Cost { prepared, evaluated: start.elapsed() - prepared, ..Cost::default() };
        Ok(answer)
    }
}

/// A feed as the engine pulls it.
struct FeedInput {
    feed: Feed,
    asking: Arc<Asking>,
    /// Closed when the caller has gone.
    alive: watch::Receiver<()>,
    runtime: tokio::runtime::Handle,
    /// Other series are left out.
    shard: Option<Shard>,
    /// Series that all feeds of the query have given.
    series: Arc<AtomicUsize>,
    /// How many they may give.
    series_max: usize,
}

impl Input for FeedInput {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        let Self { feed, alive, .. } = self;
        let batch = self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = alive.changed() => Err(QueryError::Cancelled),
                batch = feed.next() => Ok(batch?),
            }
        })?;
        let Some(mut batch) = batch else {
            self.asking.refuse_late()?;
            self.asking.refuse_incomplete_in(&feed.progress())?;
            return Ok(None);
        };
        if let Some(shard) = &self.shard {
            batch.series.retain(|series| shard.holds(&series.labels));
        }
        let found = self.series.fetch_add(batch.series.len(), Ordering::Relaxed) + batch.series.len();
        if found > self.series_max {
            let limit = self.series_max;
            return Err(QueryError::Execution(format!(
                "query found too many series: more than limits.series={limit}; select fewer, or raise the limit"
            )));
        }
        Ok(Some(batch))
    }
}

/// Bytes of a value, about.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Scalar(values) => size_of_val(values.as_slice()),
        Value::String(text) => text.len(),
        Value::Series(rows) => {
            let row = |row: &Row| {
                let histograms = row.histograms.iter().map(|(_, histogram)| histogram);
                size_of_val(row.values.as_slice()) + histogram_bytes(histograms) + row.labels.size_bytes()
            };
            rows.iter().map(row).sum()
        }
        Value::Matrix(series) => {
            let one = |(labels, samples): &(Labels, Samples)| {
                let histograms = samples.histograms.iter().map(|sample| &sample.histogram);
                samples.len() * size_of::<(Millis, f64)>() + histogram_bytes(histograms) + labels.size_bytes()
            };
            series.iter().map(one).sum()
        }
    }
}

/// Bytes of histograms; a neighbour that is the same one is there once.
fn histogram_bytes<'a>(histograms: impl Iterator<Item = &'a Arc<Histogram>>) -> usize {
    let mut before = None;
    let bytes = |histogram: &'a Arc<Histogram>| {
        let is_new = before.replace(histogram).is_none_or(|before| !Arc::ptr_eq(before, histogram));
        size_of::<(Millis, Arc<Histogram>)>() + if is_new { histogram.size_bytes() } else { 0 }
    };
    histograms.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use masthead_store::histogram::Span;

    use super::*;

    #[test]
    fn histograms_of_a_result_are_paid_for_once_each() {
        let histogram = |buckets: u32| {
            let positive_spans = [Span { offset: 0, length: buckets }].into();
            Arc::new(Histogram {
                positive_spans,
                positive_buckets: vec![1.0; buckets as usize],
                ..Histogram::default()
            })
        };
        let (small, large) = (histogram(1), histogram(1_000));
        let row = |histograms: Vec<Arc<Histogram>>| {
            let histograms = (0..).zip(histograms).collect();
            Value::Series(vec![Row { labels: Labels::empty(), drop_name: false, values: vec![], histograms }])
        };
        let one = value_bytes(&row(vec![large.clone()]));
        assert!(one > 8_000, "{one}");
        let same = value_bytes(&row(vec![large.clone(), large.clone(), large.clone()]));
        assert!(same < one + 100, "{same} of {one}");
        let different = value_bytes(&row(vec![large.clone(), small, histogram(1_000)]));
        assert!(different > 2 * 8_000, "{different}");
    }
}
