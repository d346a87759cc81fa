//! A store of series in memory: the shortest reading of the contract of [`Store`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::FutureExt as _;
use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;

use crate::chunk;
use crate::facts::{Fact, Facts, Kinds, Question};
use crate::samples::Samples;
use crate::select::{Allowance, Gap, Select, StoreInfo, StoreState};
use crate::series::{BATCH_SERIES_MAX, Lane, LaneChunks, Millis, Series, SeriesBatch};
use crate::{FactsAnswer, LabelAnswer, LabelStrings, Labels, LabelsBuilder, SeriesStream, Store, StoreError, StoreId};

/// Series below one set of external labels.
#[derive(Clone)]
pub struct MemoryStore {
    data: Arc<Data>,
    info: Arc<StoreInfo>,
    gaps: Vec<Gap>,
    facts: Arc<[Fact]>,
    batch_series: usize,
}

struct Data {
    id: StoreId,
    /// Full labels, external ones included, with samples.
    series: Vec<(Labels, Samples)>,
    last_deadline: Mutex<Option<Instant>>,
}

impl MemoryStore {
    /// A store that is up. External labels win over those of a series.
    pub fn new(id: &str, external: &Labels, series: &[(Labels, Samples)]) -> Self {
        let full = |labels: &Labels| {
            let mut builder = LabelsBuilder::new(labels);
            for (name, value) in external {
                builder.set(name, value);
            }
            builder.build()
        };
        let series: Vec<_> = series.iter().map(|(labels, samples)| (full(labels), samples.clone())).collect();
        let times = || series.iter().flat_map(|(_, samples)| samples.times());
        let id: StoreId = id.into();
        let info = StoreInfo {
            id: id.clone(),
            component: "memory".into(),
            label_sets: vec![external.clone()],
            min_time: times().min().unwrap_or(Millis::MAX),
            max_time: times().max().unwrap_or(Millis::MIN),
            serves: Kinds::NONE,
            state: StoreState::Up,
            last_check: None,
        };
        let data = Arc::new(Data { id, series, last_deadline: Mutex::default() });
        Self { data, info: Arc::new(info), gaps: Vec::new(), facts: Arc::default(), batch_series: BATCH_SERIES_MAX }
    }

    /// The same store with another state.
    pub fn with_state(mut self, state: StoreState) -> Self {
        self.info = Arc::new(StoreInfo { state, ..(*self.info).clone() });
        self
    }

    /// The deadline of the last request.
    pub fn last_deadline(&self) -> Option<Instant> {
        *self.data.last_deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same store that says it lacks something.
    pub fn with_gaps(mut self, gaps: Vec<Gap>) -> Self {
        self.gaps = gaps;
        self
    }

    /// The same store that serves `kinds` of facts: of `facts` those of the kind that is asked for.
    pub fn with_facts(mut self, kinds: Kinds, facts: Vec<Fact>) -> Self {
        self.info = Arc::new(StoreInfo { serves: kinds, ..(*self.info).clone() });
        self.facts = facts.into();
        self
    }

    /// The same store with at most so many series a batch.
    pub fn with_batch_series(mut self, batch_series: usize) -> Self {
        self.batch_series = batch_series.max(1);
        self
    }
}

impl Data {
    fn note(&self, allowance: &Allowance) {
        *self.last_deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(allowance.deadline);
    }

    fn matching<'a>(&'a self, request: &'a Select) -> impl Iterator<Item = &'a (Labels, Samples)> {
        let in_time =
            |samples: &Samples| samples.times().any(|time| (request.min_time..=request.max_time).contains(&time));
        self.series.iter().filter(move |(labels, samples)| {
            request.matchers.iter().all(|m| m.matches(labels.value(m.name()))) && in_time(samples)
        })
    }

    /// The answer, ascending by labels, with the lanes of series that become equal joined.
    fn answer(&self, request: &Select) -> Vec<Series> {
        let mut answer: BTreeMap<Labels, Vec<LaneChunks>> = BTreeMap::new();
        for (labels, samples) in self.matching(request) {
            let replica = labels.only(&request.replica_labels);
            let nameless = replica.is_empty() && !request.replica_labels.is_empty();
            let lane = Lane { replica, store: nameless.then(|| self.id.clone()) };
            let mut chunks = chunk::encode_samples(samples);
            chunks.retain(|c| !request.labels_only && c.min_time <= request.max_time && request.min_time <= c.max_time);
            let lanes = answer.entry(labels.without(&request.replica_labels)).or_default();
            match lanes.iter_mut().find(|have| have.lane == lane) {
                Some(have) => have.chunks.extend(chunks),
                None => lanes.push(LaneChunks { lane, chunks: chunks.into() }),
            }
        }
        answer.into_iter().map(|(labels, lanes)| Series { labels, lanes: lanes.into() }).collect()
    }
}

/// What a series holds, about.
fn size_bytes(series: &Series) -> usize {
    let chunks = series.lanes.iter().flat_map(|lane| &lane.chunks);
    series.labels.size_bytes() + chunks.map(|chunk| chunk.data.len() + size_of_val(chunk)).sum::<usize>()
}

#[deny(clippy::missing_trait_methods)]
impl Store for MemoryStore {
    fn info(&self) -> Arc<StoreInfo> {
        self.info.clone()
    }

    fn gaps(&self, request: &Select) -> Vec<Gap> {
        let in_time = |gap: &&Gap| gap.min_time <= request.max_time && request.min_time <= gap.max_time;
        self.gaps.iter().filter(in_time).cloned().collect()
    }

    fn select(&self, request: Arc<Select>, allowance: Allowance) -> Vec<SeriesStream> {
        self.data.note(&allowance);
        let (data, size, budget) = (self.data.clone(), self.batch_series, allowance.budget);
        let batches = std::iter::once_with(move || data.answer(&request)).flat_map(move |mut rest| {
            let budget = budget.clone();
            std::iter::from_fn(move || {
                let next: Vec<Series> = rest.drain(..size.min(rest.len())).collect();
                let bytes = next.iter().map(size_bytes).sum();
                (!next.is_empty()).then(|| match budget.reserve("series", bytes) {
                    Ok(held) => Ok(SeriesBatch::new(next, held)),
                    Err(limit) => {
                        rest.clear();
                        Err(StoreError::from(limit))
                    }
                })
            })
        });
        vec![stream::iter(batches).boxed()]
    }

    fn label_names(&self, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        self.data.note(&allowance);
        let data = self.data.clone();
        async move {
            let mut names = LabelStrings::new(&allowance.budget);
            let mut labels = data.matching(&request).flat_map(|(labels, _)| labels);
            labels.try_for_each(|(name, _)| names.insert(name))?;
            Ok(names)
        }
        .boxed()
    }

    fn label_values(&self, name: Box<str>, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        self.data.note(&allowance);
        let data = self.data.clone();
        async move {
            let mut values = LabelStrings::new(&allowance.budget);
            let mut labels = data.matching(&request).filter_map(|(labels, _)| labels.get(&name));
            labels.try_for_each(|value| values.insert(value))?;
            Ok(values)
        }
        .boxed()
    }

    fn facts(&self, question: Arc<Question>, allowance: Allowance) -> FactsAnswer {
        self.data.note(&allowance);
        let facts = self.facts.clone();
        async move {
            let mut answer = Facts::new(&allowance.budget);
            let wanted = facts.iter().filter(|fact| fact.kind() == question.kind());
            wanted.cloned().try_for_each(|fact| answer.push(fact))?;
            Ok(answer)
        }
        .boxed()
    }
}
