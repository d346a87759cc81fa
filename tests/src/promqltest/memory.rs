//! Series in this process: encoded as chunks, merged and deduplicated like those of any store, without a network.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::{FutureExt as _, StreamExt as _};
use masthead_query::annotations::{Annotations, Severity};
use masthead_query::engine::{self, Context, Input, SampleLimit};
use masthead_query::error::QueryError;
use masthead_query::plan::{self, PlanOptions};
use masthead_store::testing::MemoryStore;
use masthead_store::{Allowance, Budget, Labels, Samples, Select, SeriesBatch, SeriesStream, Store};

use super::{Answer, Data, Evaluator, Failure, Question, series};

/// As in Prometheus' harness: what it loads within the limit must be within it here.
const SAMPLES_MAX: usize = 10_000;

/// Answers from one store in memory.
pub struct Memory {
    store: MemoryStore,
}

impl Default for Memory {
    fn default() -> Self {
        Self { store: MemoryStore::new("memory", &Labels::empty(), &[]) }
    }
}

impl Evaluator for Memory {
    fn load(&mut self, data: &Data) -> Result<(), String> {
        let series: Vec<(Labels, Samples)> = data.series().map(|(labels, samples)| (labels.clone(), samples)).collect();
        self.store = MemoryStore::new("memory", &Labels::empty(), &series);
        Ok(())
    }

    fn ask(&self, question: &Question<'_>) -> Result<Answer, Failure> {
        evaluate(question, &[], |select, budget| {
            let streams = self.store.select(Arc::new(select.clone()), Allowance::of(budget));
            Box::new(Streams(streams))
        })
    }
}

/// Plans a question, opens the inputs and evaluates it.
pub(super) fn evaluate(
    question: &Question<'_>,
    replica_labels: &[Box<str>],
    mut open: impl FnMut(&Select, &Budget) -> Box<dyn Input>,
) -> Result<Answer, Failure> {
    let options = PlanOptions {
        parse: series::parse_options(),
        replica_labels: replica_labels.to_vec(),
        delayed_name_removal: true,
        use_start_timestamps: true,
        instant: question.instant,
        end: question.end,
        ..PlanOptions::default()
    };
    let planned = plan::plan(question.query, question.timeline, &options).map_err(failure)?;
    let budget = Budget::unlimited();
    let annotations = Annotations::default();
    let inputs = planned.selects.iter().map(|select| open(select, &budget)).collect();
    let cx = Context {
        budget: budget.clone(),
        cancelled: Arc::new(AtomicBool::new(false)),
        annotations: &annotations,
        samples: SampleLimit::new(SAMPLES_MAX),
        pool: None,
    };
    let value = engine::evaluate(&planned, inputs, &cx).map_err(failure)?;
    Ok(Answer {
        value,
        warnings: annotations.render(Severity::Warning, question.query),
        infos: annotations.render(Severity::Info, question.query),
    })
}

fn failure(error: QueryError) -> Failure {
    let text = error.to_string();
    match error {
        QueryError::Invalid(_) | QueryError::Execution(_) if !text.starts_with("not supported yet") => {
            Failure::Query(text)
        }
        _ => Failure::Other(text),
    }
}

/// Streams that are always ready, read one after the other; there is only one.
struct Streams(Vec<SeriesStream>);

impl Input for Streams {
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError> {
        let Some(stream) = self.0.last_mut() else { return Ok(None) };
        match stream.next().now_or_never() {
            Some(Some(Ok(batch))) => Ok(Some(batch)),
            Some(Some(Err(error))) => Err(QueryError::Internal(error.to_string())),
            Some(None) => {
                self.0.pop();
                self.next()
            }
            None => Err(QueryError::Internal("a store in memory is not ready".to_owned())),
        }
    }
}
