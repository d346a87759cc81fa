//! One live Prometheus of the demo as a source: its series are computed when they are asked for.

use std::sync::Arc;

use futures::future::ready;
use futures::{FutureExt, StreamExt, stream};
use masthead_store::facts::Kind;
use masthead_store::select::admits;
use masthead_store::series::BATCH_SERIES_MAX;
use masthead_store::{
    Allowance, Chunk, Facts, FactsAnswer, Gap, LabelAnswer, LabelStrings, Labels, LabelsBuilder, Lane, Matcher, Millis,
    Question, Select, Series, SeriesBatch, SeriesStream, Store, StoreInfo, StoreState, chunk,
};

use super::facts;
use super::fleet::{Member, Metric, SCRAPE_INTERVAL};

/// Where the demo's time comes from, ms since the epoch.
pub(super) type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// A member's live part: all samples from `live_from` to now.
pub(super) struct LiveStore {
    member: Member,
    external: Labels,
    /// Final labels (external ones added) and shapes, ascending.
    metrics: Arc<[(Labels, Metric)]>,
    live_from: Millis,
    clock: Clock,
}

impl LiveStore {
    /// The live part of `member`, from `live_from` on.
    pub(super) fn new(member: Member, live_from: Millis, clock: Clock) -> Self {
        let external = member.external_labels();
        let mut metrics: Vec<_> =
            member.metrics().into_iter().map(|metric| (with_external(&metric.labels, &external), metric)).collect();
        metrics.sort_by(|a, b| a.0.cmp(&b.0));
        Self { member, external, metrics: metrics.into(), live_from, clock }
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = &(Labels, Metric)> {
        let admitted = admits(&self.external, matchers);
        self.metrics
            .iter()
            .filter(move |(labels, _)| admitted && matchers.iter().all(|m| m.matches(labels.value(m.name()))))
    }

    fn series(&self, request: &Select) -> Vec<Series> {
        let lane = Lane { replica: self.external.only(&request.replica_labels), store: None };
        let min = request.min_time.max(self.live_from);
        let max = request.max_time.min((self.clock)());
        let times: Vec<Millis> = self.member.scrapes(min, max).collect();
        if times.is_empty() {
            return Vec::new();
        }
        let chunks_of = |metric: &Metric| match request.labels_only {
            true => Vec::new(),
            false => chunk::encode(&times, &times.iter().map(|t| metric.value(*t)).collect::<Vec<_>>()),
        };
        let mut series: Vec<_> = self
            .matching(&request.matchers)
            .map(|(labels, metric)| {
                Series::of_lane(labels.without(&request.replica_labels), lane.clone(), chunks_of(metric))
            })
            .collect();
        // Removing a label may change the order.
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series
    }
}

impl Store for LiveStore {
    fn info(&self) -> Arc<StoreInfo> {
        Arc::new(StoreInfo {
            id: format!("{}/{}", self.member.cluster().name, self.member.replica()).into(),
            component: "sidecar".into(),
            label_sets: vec![self.external.clone()],
            min_time: self.live_from,
            max_time: Millis::MAX,
            serves: [Kind::Metadata, Kind::Rules, Kind::Targets, Kind::Statistics].into_iter().collect(),
            state: StoreState::Up,
            last_check: None,
        })
    }

    fn gaps(&self, _: &Select) -> Vec<Gap> {
        Vec::new()
    }

    fn select(&self, request: Arc<Select>, allowance: Allowance) -> Vec<SeriesStream> {
        let mut series = self.series(&request);
        let mut batches = Vec::new();
        while !series.is_empty() {
            let rest = series.split_off(series.len().min(BATCH_SERIES_MAX));
            batches.push(std::mem::replace(&mut series, rest));
        }
        let batches = batches.into_iter().map(move |series| {
            let held = allowance.budget.reserve("series of the demo", series.iter().map(size_bytes).sum())?;
            Ok(SeriesBatch::new(series, held))
        });
        vec![stream::iter(batches).boxed()]
    }

    fn label_names(&self, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        let names = self.matching(&request.matchers).flat_map(|(labels, _)| labels).map(|(name, _)| name);
        answer(names, &allowance)
    }

    fn label_values(&self, name: Box<str>, request: Arc<Select>, allowance: Allowance) -> LabelAnswer {
        answer(self.matching(&request.matchers).filter_map(|(labels, _)| labels.get(&name)), &allowance)
    }

    fn facts(&self, question: Arc<Question>, allowance: Allowance) -> FactsAnswer {
        let now = (self.clock)();
        let all = match question.kind() {
            Kind::Metadata => facts::metadata(&self.metrics),
            Kind::Rules => vec![facts::rules(&self.metrics, &self.external, (self.live_from, now))],
            Kind::Targets => {
                let last = self.member.scrapes(now - 2 * SCRAPE_INTERVAL, now).last();
                facts::targets(&self.metrics, &self.external, (last, now))
            }
            Kind::Statistics => vec![facts::statistics(&self.metrics, &self.external, (self.live_from, now))],
            Kind::Exemplars => vec![],
        };
        let mut answer = Facts::new(&allowance.budget);
        let pushed = all.into_iter().try_for_each(|fact| answer.push(fact));
        ready(pushed.map(|()| answer).map_err(Into::into)).boxed()
    }
}

fn answer<'a>(mut texts: impl Iterator<Item = &'a str>, allowance: &Allowance) -> LabelAnswer {
    let mut strings = LabelStrings::new(&allowance.budget);
    let inserted = texts.try_for_each(|text| strings.insert(text));
    ready(inserted.map(|()| strings).map_err(Into::into)).boxed()
}

fn size_bytes(series: &Series) -> usize {
    let chunks = series.lanes.iter().flat_map(|lane| &lane.chunks);
    series.labels.size_bytes() + chunks.map(|chunk| chunk.data.len() + size_of::<Chunk>()).sum::<usize>()
}

/// The series' labels with the external ones, which win.
pub(super) fn with_external(labels: &Labels, external: &Labels) -> Labels {
    let mut builder = LabelsBuilder::new(labels);
    for (name, value) in external {
        builder.set(name, value);
    }
    builder.build()
}
