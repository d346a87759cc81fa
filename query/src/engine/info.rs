//! info(): copies labels of info series, such as `target_info`, to the series they belong to (promql/info.go).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::labels::METRIC_NAME;
use masthead_store::{Labels, LabelsBuilder, Matcher, Reservation};

use super::batch::{ABSENT, Batch, Drain, Row, collect, is_absent, row_bytes};
use super::steps::StepSet;
use super::{Context, Operator, Source};
use crate::error::QueryError;
use crate::plan::node;

/// Floats by step, and histograms.
type Cells = (Vec<f64>, Vec<(u32, Arc<Histogram>)>);

/// Labels by which an info series belongs to others.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Enriches the rows of one input by those of another, whose cells are the times of the samples, ms.
pub(super) struct Info {
    node: node::Info,
    sources: Option<(Source, Source)>,
    steps: usize,
    results: Option<Drain>,
}

impl Info {
    /// Enriches `base` by `info`.
    pub(super) fn new(node: &node::Info, base: Source, info: Source, steps: usize) -> Self {
        Self { node: node.clone(), sources: Some((base, info)), steps, results: None }
    }

    fn evaluate(
        &self,
        base: Vec<Row>,
        info: Vec<Row>,
        held: &mut Reservation,
        cx: &Context<'_>,
    ) -> Result<Vec<Row>, QueryError> {
        let is_info = |row: &Row| self.node.name_matchers.iter().all(|m| m.matches(row.labels.metric_name()));
        let newest = Newest::new(&base, info, self.steps, is_info)?;
        let mut out = Vec::new();
        for row in base {
            cx.check()?;
            if is_info(&row) {
                out.push(row);
                continue;
            }
            // Steps at which the same info series count give one row.
            let mut pieces = Pieces { cells: BTreeMap::new(), steps: self.steps };
            let columns = newest.of(&row.labels);
            let counts = |found: &Vec<u32>| !found.is_empty() || self.matches_nothing();
            for (step, value) in row.values.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
                let found = found_at(&columns, step);
                if counts(&found) {
                    pieces.of(found, held)?.0[step] = *value;
                }
            }
            for (step, histogram) in row.histograms {
                let found = found_at(&columns, step as usize);
                if counts(&found) {
                    pieces.of(found, held)?.1.push((step, histogram));
                }
            }
            for (found, (values, histograms)) in pieces.cells {
                let labels = self.enrich(&row.labels, found.iter().map(|at| &newest.rows[*at as usize].labels))?;
                held.grow(labels.size_bytes())?;
                out.push(Row { labels, drop_name: row.drop_name, values, histograms });
            }
        }
        Ok(out)
    }

    /// Whether a series to which no info series belongs fulfils the selector all the same.
    fn matches_nothing(&self) -> bool {
        self.node.data_matchers.iter().all(|m| m.matches(""))
    }

    fn enrich<'a>(&self, base: &Labels, infos: impl Iterator<Item = &'a Labels>) -> Result<Labels, QueryError> {
        let wanted = |name: &str| {
            let matchers: &[Matcher] = &self.node.data_matchers;
            name != METRIC_NAME && (matchers.is_empty() || matchers.iter().any(|m| m.name() == name))
        };
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for info in infos {
            for (name, value) in info.iter().filter(|(name, _)| wanted(name)) {
                if added.get(name).is_some_and(|have| *have != value) {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    added.insert(name, value);
                }
            }
        }
        let mut builder = LabelsBuilder::new(base);
        for (name, value) in added {
            builder.set(name, value);
        }
        Ok(builder.build())
    }
}

impl Operator for Info {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some((mut base, mut info)) = self.sources.take() {
            let (base, mut held) = collect(&mut *base, cx, "series of info()")?;
            let (info, _info_held) = collect(&mut *info, cx, "info series")?;
            let rows = self.evaluate(base, info, &mut held, cx)?;
            self.results = Some(Drain::new(rows, self.steps, held));
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}

/// Which info series counts where: of those of one metric and one set of identifying labels the one with the newest sample.
struct Newest {
    rows: Vec<Row>,
    /// Names of info metrics.
    names: BTreeSet<String>,
    /// Per metric name and identifying labels: the row at each step, [`NONE`] where there is none.
    by_key: HashMap<(String, Labels), Vec<u32>>,
}

const NONE: u32 = u32::MAX;

impl Newest {
    fn new(base: &[Row], mut info: Vec<Row>, steps: usize, is_info: impl Fn(&Row) -> bool) -> Result<Self, QueryError> {
        // Upstream asks the storage only for info series whose identifying labels some series has.
        let values: [BTreeSet<&str>; 2] = IDENTIFYING.map(|label| {
            let values = base.iter().filter(|row| !is_info(row)).map(|row| row.labels.value(label));
            values.filter(|value| !value.is_empty()).collect()
        });
        let asked = |row: &Row| {
            let fits = |(label, set): (&str, &BTreeSet<&str>)| set.is_empty() || set.contains(row.labels.value(label));
            values.iter().any(|set| !set.is_empty()) && IDENTIFYING.into_iter().zip(&values).all(fits)
        };
        info.retain(asked);
        // (promql/engine.go, evalSeries.)
        if let Some(row) = info.iter().find(|row| !row.histograms.is_empty()) {
            let text = format!("this should be an info metric, with float samples: {}", row.labels);
            return Err(QueryError::Execution(text));
        }
        let mut found = Self { rows: info, names: BTreeSet::new(), by_key: HashMap::new() };
        let mut present = StepSet::new(steps);
        base.iter().for_each(|row| present.add(&StepSet::present(row)));
        let needed = |step: usize| present.contains(step);
        for (index, row) in found.rows.iter().enumerate() {
            let key = (row.labels.metric_name().to_owned(), row.labels.only(&IDENTIFYING));
            found.names.insert(key.0.clone());
            let column = found.by_key.entry(key).or_insert_with(|| vec![NONE; steps]);
            for (step, time) in row.values.iter().enumerate().filter(|(_, time)| !is_absent(**time)) {
                let before = found.rows.get(column[step] as usize);
                match before.map(|before| before.values[step]) {
                    Some(have) if have > *time => {}
                    Some(have) if have == *time && needed(step) => {
                        return Err(conflict(before.unwrap_or(row), row, have));
                    }
                    _ => column[step] = index as u32,
                }
            }
        }
        Ok(found)
    }

    /// The columns of a series, by name of the info metric.
    fn of(&self, labels: &Labels) -> Vec<&[u32]> {
        let identity = labels.only(&IDENTIFYING);
        let column = |name: &String| self.by_key.get(&(name.clone(), identity.clone())).map(Vec::as_slice);
        self.names.iter().filter_map(column).collect()
    }
}

/// The info rows that count at a step.
fn found_at(columns: &[&[u32]], step: usize) -> Vec<u32> {
    columns.iter().map(|column| column[step]).filter(|row| *row != NONE).collect()
}

/// What becomes of one series: cells by the info rows that count.
struct Pieces {
    cells: BTreeMap<Vec<u32>, Cells>,
    steps: usize,
}

impl Pieces {
    fn of(&mut self, found: Vec<u32>, held: &mut Reservation) -> Result<&mut Cells, QueryError> {
        Ok(match self.cells.entry(found) {
            Entry::Occupied(piece) => piece.into_mut(),
            Entry::Vacant(piece) => {
                held.grow(row_bytes(self.steps))?;
                piece.insert((vec![ABSENT; self.steps], Vec::new()))
            }
        })
    }
}

fn conflict(existing: &Row, new: &Row, time: f64) -> QueryError {
    let time = time as i64;
    QueryError::Execution(format!(
        "found duplicate series for info metric: existing {} @ {time}, new {} @ {time}",
        existing.labels, new.labels
    ))
}
