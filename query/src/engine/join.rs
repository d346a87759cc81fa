//! Arithmetic and comparison between two vectors.
//!
//! The "one" side is held, the "many" side streams. Of two vectors matched one to one the right one is held. What Prometheus
//! checks step by step over whole vectors (promql/engine.go, VectorBinop) is kept here as sets of steps.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::{Grouping, Labels, LabelsBuilder, Reservation};

use super::arithmetic::{Operand, Operation, Remark, Remarks, of_histograms, operation};
use super::batch::{ABSENT, Batch, Row, collect, is_absent, row_bytes};
use super::duplicates::same_labelset;
use super::groups::{GROUP_BYTES, Groups};
use super::loaded::Loaded;
use super::steps::StepSet;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;
use crate::plan::METADATA_LABELS;
use crate::plan::node;
use crate::promql::ast::{Cardinality, Matching};

/// The labels that two series must share to match.
pub(super) fn match_grouping(matching: &Matching) -> Grouping {
    let mut labels = matching.labels.clone();
    if matching.on {
        return Grouping::By(labels);
    }
    labels.push("__name__".into());
    Grouping::Without(labels)
}

/// An operator between two vectors.
pub(super) struct Join {
    rule: Rule,
    many: Source,
    one: Option<Source>,
    steps: usize,
    state: Option<State>,
    /// The points of the "one" side.
    loaded: Option<Loaded>,
    /// The unmatched rows of the "one" side have been looked at.
    finished: bool,
}

/// How pairs are computed and named.
struct Rule {
    node: node::Join,
    operation: Operation,
    grouping: Grouping,
    /// The "many" side is the right one.
    swapped: bool,
    one_to_one: bool,
    drops_name: bool,
}

/// The held side, and what has been matched.
struct State {
    groups: Groups,
    /// Rows of the "one" side, those joined that give their partners the same labels.
    pieces: Vec<Arc<Piece>>,
    matches: Vec<Match>,
    /// Per step with two rows of one match group on the "one" side: their labels.
    conflicts: BTreeMap<usize, (Labels, Labels)>,
    /// The first step at which the "many" side met two such rows: nothing counts any more but the error.
    met: Option<usize>,
    /// Many to one: result labels, their match group, and the steps that have them.
    results: HashMap<Labels, (usize, StepSet)>,
    held: Reservation,
    remarks: Remarks,
}

/// What one match group has on the "one" side under the labels that are included. No other piece of the group has a sample at
/// its steps.
struct Piece {
    row: Row,
    present: StepSet,
}

/// One match group.
struct Match {
    /// Its pieces on the "one" side.
    pieces: Vec<usize>,
    /// Steps at which the "one" side has it.
    present: StepSet,
    /// Steps at which a pair was computed.
    matched: StepSet,
}

impl Join {
    /// Applies `node` to two sides.
    pub(super) fn new(node: &node::Join, left: Source, right: Source, steps: usize) -> Self {
        let swapped = node.matching.cardinality == Cardinality::OneToMany;
        let rule = Rule {
            operation: operation(node.op),
            grouping: match_grouping(&node.matching),
            swapped,
            one_to_one: node.matching.cardinality == Cardinality::OneToOne,
            drops_name: crate::plan::is_arithmetic(node.op) || (node.return_bool && !node.delayed_names),
            node: node.clone(),
        };
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        Self { rule, many, one: Some(one), steps, state: None, loaded: None, finished: false }
    }
}

impl Operator for Join {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some(mut one) = self.one.take() {
            let (rows, held) = collect(&mut *one, cx, "one side of a join")?;
            // What that side has read to get there counts no longer, but for the rows.
            drop(one);
            let points = |row: &Row| {
                let histograms = row.histograms.iter().map(|(_, histogram)| histogram.size_in_samples());
                row.values.iter().filter(|value| !is_absent(**value)).count() + histograms.sum::<usize>()
            };
            self.loaded.insert(cx.samples.begin()).grow(rows.iter().map(points).sum())?;
            self.state = Some(State::new(&self.rule, rows, held, cx)?);
        }
        let Some(state) = &mut self.state else { return Ok(None) };
        let mut out = Batch::with_rows(0, self.steps, cx)?;
        while !self.finished && out.is_empty() {
            match pull(&mut *self.many, cx)? {
                Some(mut batch) => {
                    let mut all_histograms = batch.take_histograms();
                    for i in 0..batch.len() {
                        cx.check()?;
                        let histograms: Vec<_> = all_histograms.of(i).collect();
                        let many = Side { labels: &batch.labels[i], floats: batch.row(i), histograms: &histograms };
                        state.join_row(&self.rule, many, &mut out)?;
                    }
                }
                None => {
                    self.finished = true;
                    if let Some(pair) = state.met.and_then(|step| state.conflicts.get(&step)) {
                        return Err(duplicate(&self.rule, pair));
                    }
                    state.fill_many(&self.rule, &mut out)?;
                    state.remarks.report(self.rule.node.op, self.rule.node.place, cx);
                }
            }
        }
        Ok((!out.is_empty()).then_some(out))
    }
}

impl State {
    fn new(rule: &Rule, rows: Vec<Row>, mut held: Reservation, cx: &Context<'_>) -> Result<Self, QueryError> {
        let mut groups = Groups::new(rule.grouping.clone());
        let mut parts = Groups::new(rule.parts());
        let (mut matches, mut pieces): (Vec<Match>, Vec<Piece>) = Default::default();
        // By group: labels and steps of its rows.
        let mut members: Vec<Vec<(Labels, StepSet)>> = Vec::new();
        let mut members_held = cx.budget.reserve("one side of a join", 0)?;
        let mut conflicts = BTreeMap::new();
        for row in rows {
            cx.check()?;
            let steps = row.values.len();
            let (group, new) = groups.insert(&row.labels);
            if new {
                held.grow(Match::size_bytes(steps))?;
                matches.push(Match::new(steps));
                members.push(Vec::new());
            }
            let (found, members) = (&mut matches[group], &mut members[group]);
            let present = StepSet::present(&row);
            if found.present.overlaps(&present) {
                for step in (0..steps).filter(|step| found.present.contains(*step) && present.contains(*step)) {
                    if let btree_map::Entry::Vacant(conflict) = conflicts.entry(step)
                        && let Some((earlier, _)) = members.iter().find(|(_, present)| present.contains(step))
                    {
                        conflict.insert((earlier.clone(), row.labels.clone()));
                    }
                }
            }
            found.present.add(&present);
            members_held.grow(StepSet::size_bytes(steps) + size_of::<(Labels, StepSet)>())?;
            members.push((row.labels.clone(), present.clone()));
            let (part, new) = parts.insert(&row.labels);
            if new {
                held.grow(StepSet::size_bytes(steps) + GROUP_BYTES)?;
                found.pieces.push(part);
                pieces.push(Piece { row, present });
            } else {
                pieces[part].add(row, &present);
            }
        }
        for piece in &mut pieces {
            piece.row.histograms.sort_by_key(|(step, _)| *step);
        }
        let fills = rule.node.matching.fill_left.is_some() || rule.node.matching.fill_right.is_some();
        if fills && let Some(pair) = conflicts.values().next() {
            return Err(duplicate(rule, pair));
        }
        let pieces = pieces.into_iter().map(Arc::new).collect();
        let (results, remarks) = (HashMap::new(), Remarks::default());
        Ok(Self { groups, pieces, matches, conflicts, met: None, results, held, remarks })
    }

    /// One row of the "many" side against its match group.
    fn join_row(&mut self, rule: &Rule, many: Side<'_>, out: &mut Batch) -> Result<(), QueryError> {
        // An empty vector meets no error, so the other side's duplicates count from here. Upstream looks at one step after the
        // other, so the first of all rows tells which ones to name.
        if let Some((step, _)) = self.conflicts.iter().find(|(step, _)| many.at(**step).is_some()) {
            self.met = Some(self.met.map_or(*step, |met| met.min(*step)));
        }
        if self.met.is_some() {
            return Ok(());
        }
        let steps = many.floats.len();
        let fill = rule.node.matching.fill_right;
        let group = match (self.groups.find(many.labels), fill) {
            (Some(group), _) => group,
            (None, None) => return Ok(()),
            (None, Some(_)) => {
                self.held.grow(Match::size_bytes(steps) + many.labels.size_bytes())?;
                self.matches.push(Match::new(steps));
                self.groups.insert(many.labels).0
            }
        };
        for at in 0..self.matches[group].pieces.len() {
            let one = Arc::clone(&self.pieces[self.matches[group].pieces[at]]);
            if many.meets(&one.present) {
                self.compute(rule, many, Side::of(&one.row), group, out)?;
            }
        }
        if let Some(fill) = fill {
            let filled = self.matches[group].present.filled(steps, fill);
            let one = many.labels.project(&rule.grouping);
            self.compute(rule, many, Side { labels: &one, floats: &filled, histograms: &[] }, group, out)?;
        }
        Ok(())
    }

    /// Rows of the "one" side that found no partner, against the fill value of the other side.
    fn fill_many(&mut self, rule: &Rule, out: &mut Batch) -> Result<(), QueryError> {
        let Some(fill) = rule.node.matching.fill_left else { return Ok(()) };
        for one in std::mem::take(&mut self.pieces) {
            let one = &one.row;
            let many = one.labels.project(&rule.grouping);
            let Some(group) = self.groups.find(&one.labels) else { continue };
            let filled = self.matches[group].matched.filled(one.values.len(), fill);
            let many = Side { labels: &many, floats: &filled, histograms: &[] };
            self.compute(rule, many, Side::of(one), group, out)?;
        }
        Ok(())
    }

    /// Computes one pair of rows and appends the result, if there is any.
    fn compute(
        &mut self,
        rule: &Rule,
        many: Side<'_>,
        one: Side<'_>,
        group: usize,
        out: &mut Batch,
    ) -> Result<(), QueryError> {
        let steps = many.floats.len();
        let mut met = StepSet::new(steps);
        let mut values = vec![ABSENT; steps];
        let pairs = many.floats.iter().zip(one.floats).enumerate();
        for (step, (many, one)) in pairs.filter(|(_, (many, one))| !is_absent(**many) && !is_absent(**one)) {
            let (left, right) = if rule.swapped { (*one, *many) } else { (*many, *one) };
            values[step] = match rule.operation {
                Operation::Arithmetic(compute) => compute(left, right),
                Operation::Comparison(holds) if rule.node.return_bool => f64::from(u8::from(holds(&left, &right))),
                Operation::Comparison(holds) if holds(&left, &right) => left,
                Operation::Comparison(_) => ABSENT,
                Operation::Trim(_) | Operation::Set => {
                    self.remarks.note(step, Remark::FLOATS);
                    continue;
                }
            };
            met.insert(step);
        }
        let histograms = self.compute_histograms(rule, (many, one), &mut values, &mut met);
        if met.is_empty() {
            return Ok(());
        }
        let labels = rule.labels(many.labels, one.labels);
        self.mark(rule, &labels, group, (&met, steps))?;
        if !histograms.is_empty() || values.iter().any(|value| !is_absent(*value)) {
            out.held.grow(row_bytes(steps) + labels.size_bytes())?;
            out.push(labels, rule.node.return_bool && rule.node.delayed_names, &values);
            for (step, histogram) in histograms {
                out.push_histogram(step, histogram)?;
            }
        }
        Ok(())
    }

    /// Computes a pair of rows at the steps at which either has a histogram: floats go to `values`, histograms come back.
    fn compute_histograms(
        &mut self,
        rule: &Rule,
        (many, one): (Side<'_>, Side<'_>),
        values: &mut [f64],
        met: &mut StepSet,
    ) -> Vec<(u32, Arc<Histogram>)> {
        let mut histograms = Vec::new();
        if many.histograms.is_empty() && one.histograms.is_empty() {
            return histograms;
        }
        for (step, value) in values.iter_mut().enumerate() {
            let (Some(many), Some(one)) = (many.at(step), one.at(step)) else { continue };
            if matches!((many, one), (Operand::Float(_), Operand::Float(_))) {
                continue;
            }
            let (left, right) = if rule.swapped { (one, many) } else { (many, one) };
            let outcome = match of_histograms(rule.node.op, left, right) {
                Ok(outcome) => outcome,
                Err(remark) => {
                    self.remarks.note(step, remark);
                    continue;
                }
            };
            met.insert(step);
            if let Some(remark) = outcome.remark {
                self.remarks.note(step, remark);
            }
            if rule.node.return_bool {
                *value = f64::from(u8::from(outcome.histogram.is_some()));
            } else {
                histograms.extend(outcome.histogram.map(|histogram| (step as u32, histogram)));
            }
        }
        histograms
    }

    /// Remembers that a pair was computed, and refuses a second one of the same result.
    fn mark(
        &mut self,
        rule: &Rule,
        labels: &Labels,
        group: usize,
        (met, steps): (&StepSet, usize),
    ) -> Result<(), QueryError> {
        let matched = &mut self.matches[group].matched;
        if rule.one_to_one {
            if matched.overlaps(met) {
                return Err(QueryError::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                        .into(),
                ));
            }
            matched.add(met);
            return Ok(());
        }
        matched.add(met);
        match self.results.get_mut(labels) {
            Some((of, before)) if before.overlaps(met) && *of == group => Err(QueryError::Execution(
                "multiple matches for labels: grouping labels must ensure unique matches".into(),
            )),
            Some((_, before)) if before.overlaps(met) => Err(same_labelset()),
            Some((_, before)) => {
                before.add(met);
                Ok(())
            }
            None => {
                self.held.grow(StepSet::size_bytes(steps) + labels.size_bytes() + GROUP_BYTES)?;
                self.results.insert(labels.clone(), (group, met.clone()));
                Ok(())
            }
        }
    }
}

/// Two series of one match group at one step of the "one" side.
fn duplicate(rule: &Rule, (earlier, later): &(Labels, Labels)) -> QueryError {
    let [a, b] = [earlier, later].map(Labels::to_string);
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    let group = later.project(&rule.grouping);
    let side = if rule.swapped { "left" } else { "right" };
    QueryError::Execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, \
         {second}];many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}

impl Piece {
    /// Adds a row of the same labels, but for those that count neither here nor there. Where both have samples the error
    /// counts alone.
    fn add(&mut self, row: Row, present: &StepSet) {
        for (have, value) in self.row.values.iter_mut().zip(row.values) {
            if is_absent(*have) {
                *have = value;
            }
        }
        self.row.histograms.extend(row.histograms);
        self.present.add(present);
    }
}

/// A row of either side.
#[derive(Clone, Copy)]
struct Side<'a> {
    labels: &'a Labels,
    floats: &'a [f64],
    histograms: &'a [(u32, Arc<Histogram>)],
}

impl<'a> Side<'a> {
    fn of(row: &'a Row) -> Self {
        Self { labels: &row.labels, floats: &row.values, histograms: &row.histograms }
    }

    /// Whether it may have a sample at one of some steps; histograms are not looked at.
    fn meets(&self, steps: &StepSet) -> bool {
        !self.histograms.is_empty() || self.floats.iter().enumerate().any(|(i, v)| !is_absent(*v) && steps.contains(i))
    }

    fn at(&self, step: usize) -> Option<Operand<'a>> {
        let float = self.floats[step];
        if !is_absent(float) {
            return Some(Operand::Float(float));
        }
        let found = self.histograms.binary_search_by_key(&(step as u32), |(step, _)| *step).ok()?;
        Some(Operand::Histogram(&self.histograms[found].1))
    }
}

impl Match {
    fn new(steps: usize) -> Self {
        Self { pieces: Vec::new(), present: StepSet::new(steps), matched: StepSet::new(steps) }
    }

    fn size_bytes(steps: usize) -> usize {
        2 * StepSet::size_bytes(steps) + GROUP_BYTES + 32
    }
}

impl Rule {
    /// By what rows of the "one" side differ to their partners: the match group and what is included.
    fn parts(&self) -> Grouping {
        let include = &self.node.matching.include;
        match self.grouping.clone() {
            Grouping::By(names) => Grouping::By(names.into_iter().chain(include.iter().cloned()).collect()),
            Grouping::Without(mut names) => {
                names.retain(|name| !include.contains(name));
                Grouping::Without(names)
            }
        }
    }

    /// Labels of a result (promql/engine.go, resultMetric).
    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.node.matching;
        let keeps = |name: &str| {
            let named = || matching.labels.iter().any(|label| &**label == name);
            !(self.drops_name && METADATA_LABELS.contains(&name)) && (!self.one_to_one || named() == matching.on)
        };
        let kept = Labels::from_sorted(many.iter().filter(|(name, _)| keeps(name)));
        if matching.include.is_empty() {
            return kept;
        }
        let mut builder = LabelsBuilder::new(&kept);
        for name in &matching.include {
            builder.set(name, one.value(name));
        }
        builder.build()
    }
}
