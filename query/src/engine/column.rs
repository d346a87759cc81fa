//! One series over all steps of a timeline: the window slides over the column, a kernel computes each step.

mod mixed;

use std::sync::atomic::{AtomicBool, Ordering};

use masthead_store::samples::{Run, is_stale};
use masthead_store::{Millis, Samples};

use super::arguments::Arguments;
use super::batch::ABSENT;
use super::lanes::{Lanes, Levels};
use super::notes::Notes;
use super::range_functions::Memo;
use super::window::{Step, Window};
use crate::plan::{ScanSpec, Timeline};
use crate::promql::ast::RangeExtension;
pub(super) use mixed::{Cell, HistogramCells, Histograms, MixedKernel, keep_stats, slide_mixed, without_reset_hints};

/// What happens between neighbours that a function wants to know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// Nothing.
    None,
    /// Falls of the value, and start timestamps that tell of a reset.
    Resets,
    /// Like `Resets`, but a reset that two lanes have seen counts once.
    CountedResets,
    /// Values that differ.
    Changes,
}

/// When the windows of the steps are.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowTimes {
    timeline: Timeline,
    offset: Millis,
    at: Option<Millis>,
    range: Millis,
    /// How far the samples reach beyond the window, ms.
    before: Millis,
    after: Millis,
    extension: Option<RangeExtension>,
    /// The times leave the range of an int64 somewhere, so that the windows do not ascend.
    wraps: bool,
}

impl WindowTimes {
    /// The windows of a range function or an instant lookup. The window of the latter is its lookback.
    pub(super) fn of(spec: &ScanSpec, range: Millis) -> Self {
        let (before, after) = match spec.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (spec.lookback, 0),
            Some(RangeExtension::Smoothed) => (spec.lookback, spec.lookback),
        };
        let Timeline { start, step, count } = spec.timeline;
        let reach = [spec.offset, range, before, after].map(|reach| i128::from(reach).abs()).iter().sum::<i128>();
        let farthest = i128::from(start).abs() + i128::from(step).abs() * count as i128 + reach;
        let (timeline, offset, at, extension) = (spec.timeline, spec.offset, spec.at, spec.extension);
        Self { timeline, offset, at, range, before, after, extension, wraps: farthest > i128::from(Millis::MAX) }
    }

    /// The same windows with samples from so far outside, ms.
    pub(super) fn reaching(self, before: Millis, after: Millis) -> Self {
        Self { before, after, ..self }
    }

    /// Right end of the window of a step, ms.
    #[inline]
    pub(super) fn end(&self, step: usize) -> Millis {
        self.at.unwrap_or_else(|| self.timeline.at(step)).wrapping_sub(self.offset)
    }

    /// Left end of the window that ends at `end`, ms, exclusive.
    #[inline]
    pub(super) fn start(&self, end: Millis) -> Millis {
        end.wrapping_sub(self.range)
    }

    /// First and last time of the samples that all windows together need, ms, both inclusive.
    pub(super) fn needed(&self) -> (Millis, Millis) {
        let first = self.start(self.end(0)).wrapping_sub(self.before).wrapping_add(1);
        (first, self.end(self.timeline.count - 1).wrapping_add(self.after))
    }
}

/// What is prepared once a series for its windows. Reused from series to series.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    marks: Vec<usize>,
    histogram_marks: Vec<usize>,
    lanes: Lanes,
    /// Room for kernels.
    buffer: Vec<f64>,
}

/// A column with all that its windows need to know, and the scalars of the function.
pub(super) struct Column<'a> {
    pub(super) times: WindowTimes,
    pub(super) samples: &'a Samples,
    /// Start timestamps count.
    pub(super) with_start_timestamps: bool,
    pub(super) prepared: &'a mut Prepared,
    /// Scalar arguments.
    pub(super) args: &'a Arguments,
    pub(super) range_seconds: f64,
    /// Ends the work; cells that are not computed yet stay as they are.
    pub(super) cancelled: &'a AtomicBool,
}

impl Prepared {
    /// Makes samples as they were decoded ready for windows: takes stale markers out and levels the lanes.
    pub(super) fn settle(&mut self, samples: &mut Samples, levels: Levels, with_start_timestamps: bool) {
        drop_stale(samples);
        mixed::drop_stale(samples);
        self.lanes.level(levels, samples, with_start_timestamps);
    }

    /// Finds the marks of a column that is settled.
    pub(super) fn mark(&mut self, marks: Marks, samples: &Samples, with_start_timestamps: bool) {
        mixed::mark(marks, samples, with_start_timestamps, &mut self.histogram_marks);
        let found = &mut self.marks;
        found.clear();
        match marks {
            Marks::None => {}
            Marks::Changes => {
                let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
                mark_pairs(&samples.values, found, |a, b| !same(a, b));
                // A lane that stands where it stood has not changed, whatever the other one shows.
                let stays = |run: &&Run| run.before.is_some_and(|before| same(before.1, samples.values[run.start]));
                for run in samples.runs.iter().filter(stays) {
                    found.retain(|mark| *mark != run.start);
                }
            }
            Marks::Resets | Marks::CountedResets => {
                if with_start_timestamps && !samples.start_timestamps.is_empty() {
                    found.extend((1..samples.values.len()).filter(|i| {
                        let switched = self.lanes.switches.binary_search(i).is_ok();
                        let is_fall = samples.values[*i] < samples.values[*i - 1];
                        is_fall || (!switched && started_anew(&samples.start_timestamps, &samples.timestamps, *i))
                    }));
                } else {
                    mark_pairs(&samples.values, found, |a, b| b < a);
                }
                self.mark_switches(marks, samples, with_start_timestamps);
            }
        }
    }

    /// Where the lane changes, the new lane's judgement counts.
    fn mark_switches(&mut self, marks: Marks, samples: &Samples, with_start_timestamps: bool) {
        let Lanes { switches, resets, .. } = &self.lanes;
        if switches.is_empty() {
            return;
        }
        self.marks.retain(|mark| switches.binary_search(mark).is_err());
        self.marks.extend(resets);
        self.marks.sort_unstable();
        self.marks.dedup();
        if marks == Marks::CountedResets {
            let starts: &[Millis] = if with_start_timestamps { &samples.start_timestamps } else { &[] };
            let known = |run: &&Run| {
                let since = run.before.map_or(Millis::MAX, |before| before.0);
                resets.contains(&run.start)
                    && !started_anew(starts, &samples.timestamps, run.start)
                    && self.marks.iter().any(|mark| *mark < run.start && samples.timestamps[*mark] > since)
            };
            let twice: Vec<usize> = samples.runs.iter().filter(known).map(|run| run.start).collect();
            self.marks.retain(|mark| !twice.contains(mark));
        }
    }
}

/// Adds the index of the second one of each pair of neighbours for which `is_marked` holds.
#[inline]
fn mark_pairs(values: &[f64], found: &mut Vec<usize>, is_marked: impl Fn(f64, f64) -> bool) {
    const BLOCK: usize = 16;
    let mut start = 1;
    while start < values.len() {
        let end = (start + BLOCK).min(values.len());
        let (before, here) = (&values[start - 1..end - 1], &values[start..end]);
        // Most blocks have no mark: one pass without branches finds out.
        if before.iter().zip(here).fold(false, |any, (a, b)| any | is_marked(*a, *b)) {
            let pairs = before.iter().zip(here).enumerate();
            found.extend(pairs.filter(|(_, (a, b))| is_marked(**a, **b)).map(|(i, _)| start + i));
        }
        start = end;
    }
}

/// Whether the start timestamps `starts` of the times `times` say that a counter began anew between sample `i - 1` and `i`.
pub(super) fn started_anew(starts: &[Millis], times: &[Millis], i: usize) -> bool {
    let (Some(before), Some(start)) = (starts.get(i - 1), starts.get(i)) else { return false };
    is_start_reset((*before, times[i - 1]), (*start, times[i]))
}

/// Whether a counter began anew between two neighbours, each given by its start timestamp and its time
/// (promql/functions.go, isStartTimestampReset).
fn is_start_reset((start_before, before): (Millis, Millis), (start, time): (Millis, Millis)) -> bool {
    if start == 0 || start >= time || start < before {
        return false;
    }
    // Equal to the time of the sample before: a delta, or unknown, which shows in the sample before.
    start > before || (start_before != 0 && start_before < before)
}

/// Takes the stale markers out.
fn drop_stale(samples: &mut Samples) {
    if !samples.values.iter().fold(false, |any, value| any | is_stale(*value)) {
        return;
    }
    let Samples { timestamps, values, start_timestamps, runs, .. } = samples;
    let with_starts = !start_timestamps.is_empty();
    let (mut kept, mut run) = (0, 0);
    for i in 0..values.len() {
        while runs.get(run).is_some_and(|next| next.start == i) {
            runs[run].start = kept;
            run += 1;
        }
        if is_stale(values[i]) {
            continue;
        }
        values[kept] = values[i];
        timestamps[kept] = timestamps[i];
        if with_starts {
            start_timestamps[kept] = start_timestamps[i];
        }
        kept += 1;
    }
    values.truncate(kept);
    timestamps.truncate(kept);
    start_timestamps.truncate(kept);
    // A run of stale markers alone has become empty: the run behind it begins where it began.
    runs.retain(|run| run.start < kept);
    runs.dedup_by(|later, earlier| {
        let empty = later.start == earlier.start;
        if empty {
            *earlier = *later;
        }
        empty
    });
}

/// Computes all steps of a settled and marked column; `out` has one cell a step.
#[inline]
pub(super) fn slide(
    column: &mut Column<'_>,
    notes: &mut Notes,
    out: &mut [f64],
    kernel: impl Fn(&Window<'_>, &mut Step<'_>) -> f64,
) {
    let Prepared { marks, lanes, .. } = &column.prepared;
    let starts = column.with_start_timestamps && !column.samples.start_timestamps.is_empty();
    // Most columns have nothing but samples; the loop for those knows it when it is compiled.
    if marks.is_empty() && lanes.switches.is_empty() && !starts {
        slide_over::<false>(column, notes, out, kernel);
    } else {
        slide_over::<true>(column, notes, out, kernel);
    }
}

/// `MARKED`: there may be marks, switches or start timestamps.
#[inline(always)]
fn slide_over<const MARKED: bool>(
    column: &mut Column<'_>,
    notes: &mut Notes,
    out: &mut [f64],
    kernel: impl Fn(&Window<'_>, &mut Step<'_>) -> f64,
) {
    let Column { times, samples, prepared, args, .. } = column;
    let Prepared { marks, lanes, buffer, .. } = &mut **prepared;
    let (timestamps, values) = (samples.timestamps.as_slice(), samples.values.as_slice());
    let start_timestamps: &[Millis] =
        if MARKED && column.with_start_timestamps { &samples.start_timestamps } else { &[] };
    let mut memo = Memo::default();
    let (mut first, mut last) = (0, 0);
    let (mut marked, mut switched) = (Places::default(), Places::default());
    let pace = steps_between_looks(timestamps.len());
    for (chunk, cells) in out.chunks_mut(pace).enumerate() {
        if column.cancelled.load(Ordering::Relaxed) {
            return;
        }
        for (step, cell) in (chunk * pace..).zip(cells) {
            let end = times.end(step);
            let start = times.start(end);
            if times.wraps {
                // Times that wrapped around do not ascend: begin again.
                (first, last, marked, switched) = Default::default();
            }
            while last < timestamps.len() && timestamps[last] <= end.wrapping_add(times.after) {
                last += 1;
            }
            while first < last && timestamps[first] <= start.wrapping_sub(times.before) {
                first += 1;
            }
            if first == last {
                *cell = ABSENT;
                continue;
            }
            let mut window = Window {
                start,
                end,
                timestamps: &timestamps[first..last],
                values: &values[first..last],
                start_timestamps: &[],
                base: first,
                marks: &[],
                switches: &[],
                lifts: &[],
            };
            if MARKED {
                window.start_timestamps = start_timestamps.get(first..last).unwrap_or_default();
                window.marks = marked.inside(marks, first, last);
                window.switches = switched.inside(&lanes.switches, first, last);
                window.lifts = &lanes.lifts;
            }
            *cell = kernel(
                &window,
                &mut Step {
                    time: times.timeline.at(step),
                    range_seconds: column.range_seconds,
                    extension: times.extension,
                    args: args.at(step),
                    notes,
                    memo: &mut memo,
                    buffer,
                },
            );
        }
    }
}

/// Steps from one look at the cancel flag to the next: as many as visit a few million samples of a column of `samples`.
fn steps_between_looks(samples: usize) -> usize {
    (4 << 20) / samples.clamp(1, 4 << 20)
}

/// The part of ascending places that lies within a window.
#[derive(Default)]
struct Places {
    first: usize,
    last: usize,
}

impl Places {
    /// The places behind `first` and before `last`; both only grow from call to call.
    #[inline]
    fn inside<'a>(&mut self, places: &'a [usize], first: usize, last: usize) -> &'a [usize] {
        while self.last < places.len() && places[self.last] < last {
            self.last += 1;
        }
        while self.first < self.last && places[self.first] <= first {
            self.first += 1;
        }
        &places[self.first..self.last]
    }
}
