//! Gives every scan and subquery its times, from the root down, and collects what is read.

use masthead_store::{Millis, Select};

use super::node::{Plan, ScanFunction, ScanSpec};
use super::{PlanOptions, Timeline};
use crate::promql::ast::RangeExtension;

/// Sets timelines, grids and indices of selects in `root`; the selects, equal ones once. `one_time`: the query asks for one
/// time, not for a span of time in which one step happens to lie.
pub(super) fn place(root: &mut Plan, timeline: Timeline, one_time: bool, options: &PlanOptions) -> Vec<Select> {
    let mut placer = Placer { options, selects: Vec::new() };
    placer.visit(root, Times { timeline, one_time });
    placer.selects
}

/// When a node is evaluated.
#[derive(Clone, Copy)]
struct Times {
    timeline: Timeline,
    /// First and last time asked for are the same; the last need not be a step.
    one_time: bool,
}

struct Placer<'a> {
    options: &'a PlanOptions,
    selects: Vec<Select>,
}

impl Placer<'_> {
    fn visit(&mut self, plan: &mut Plan, times: Times) {
        match plan {
            Plan::Scan(scan) => {
                scan.spec.timeline = times.timeline;
                let (min_time, max_time) = times_of(&scan.spec);
                scan.select = self.select(Select {
                    matchers: scan.matchers.clone(),
                    min_time,
                    max_time,
                    replica_labels: self.options.replica_labels.clone(),
                    labels_only: false,
                    limit: 0,
                });
            }
            Plan::Subquery(subquery) => {
                subquery.spec.timeline = times.timeline;
                match grid_of(&subquery.spec, subquery.step) {
                    Some(grid) => {
                        subquery.grid = grid;
                        let one_time = grid.start == window_ends(&subquery.spec).1;
                        self.visit(&mut subquery.input, Times { timeline: grid, one_time });
                        for arg in &mut subquery.args {
                            self.visit(arg, times);
                        }
                    }
                    None => *plan = Plan::Empty,
                }
                return;
            }
            Plan::StepInvariant(inner) => {
                let timeline = Timeline::instant(times.timeline.start);
                return self.visit(inner, Times { timeline, one_time: true });
            }
            Plan::Sort { effective, .. } => *effective = times.one_time,
            _ => {}
        }
        for child in plan.children_mut() {
            self.visit(child, times);
        }
    }

    fn select(&mut self, select: Select) -> usize {
        let known = self.selects.iter().position(|have| *have == select);
        known.unwrap_or_else(|| {
            self.selects.push(select);
            self.selects.len() - 1
        })
    }
}

/// First and last time, ms, that the right ends of the windows have.
fn window_ends(spec: &ScanSpec) -> (Millis, Millis) {
    let (first, last) = match spec.at {
        Some(at) => (at, at),
        None => (spec.timeline.start, spec.timeline.end()),
    };
    (first.wrapping_sub(spec.offset), last.wrapping_sub(spec.offset))
}

/// First and last time, ms, both inclusive, of the samples that a scan needs. Windows are open to the left.
fn times_of(spec: &ScanSpec) -> (Millis, Millis) {
    let (first, last) = window_ends(spec);
    let instant = matches!(
        spec.function,
        ScanFunction::Latest | ScanFunction::Timestamp | ScanFunction::StartTimestamp | ScanFunction::SampleTime
    );
    let (before, after) = match spec.extension {
        _ if instant && spec.extension != Some(RangeExtension::Smoothed) => (spec.lookback, 0),
        _ if instant => (spec.lookback, spec.lookback),
        None => (spec.range, 0),
        Some(RangeExtension::Anchored) => (spec.range.wrapping_add(spec.lookback), 0),
        Some(RangeExtension::Smoothed) => (spec.range.wrapping_add(spec.lookback), spec.lookback),
    };
    (first.wrapping_sub(before).wrapping_add(1), last.wrapping_add(after))
}

/// The grid of a subquery: the multiples of its step within its windows (promql/engine.go, subqueryTimeRange). None where
/// there is none.
fn grid_of(spec: &ScanSpec, step: Millis) -> Option<Timeline> {
    let (first, end) = window_ends(spec);
    let border = first.wrapping_sub(spec.range);
    // Division rounds towards zero, as in Go; a negative border is met from above then.
    let mut start = step.wrapping_mul(border / step);
    if start <= border {
        start = start.wrapping_add(step);
    }
    let steps = end.checked_sub(start)?.checked_div(step)?;
    (end >= start).then_some(Timeline { start, step, count: usize::try_from(steps).ok()? + 1 })
}
