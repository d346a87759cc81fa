//! One series over all steps of a timeline: the window slides over the column, a kernel computes each step.

use masthead_store::samples::{Run, is_stale};
use masthead_store::{Millis, Samples};

use super::batch::ABSENT;
use super::lanes::{Lanes, Levels};
use super::notes::Notes;
use super::window::{Step, Window};
use crate::plan::{ScanSpec, Timeline};
use crate::promql::ast::RangeExtension;

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
}

impl WindowTimes {
    /// The windows of a range function or an instant lookup. The window of the latter is its lookback.
    pub(super) fn of(spec: &ScanSpec, range: Millis) -> Self {
        let (before, after) = match spec.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (spec.lookback, 0),
            Some(RangeExtension::Smoothed) => (spec.lookback, spec.lookback),
        };
        Self {
            timeline: spec.timeline,
            offset: spec.offset,
            at: spec.at,
            range,
            before,
            after,
            extension: spec.extension,
        }
    }

    /// The same windows with samples from so far outside, ms.
    pub(super) fn reaching(self, before: Millis, after: Millis) -> Self {
        Self { before, after, ..self }
    }

    /// Number of steps.
    pub(super) fn count(&self) -> usize {
        self.timeline.count
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
    /// Scalar arguments, those of a step side by side.
    pub(super) args: &'a [f64],
    pub(super) range_seconds: f64,
}

impl Prepared {
    /// Makes samples as they were decoded ready for windows: takes stale markers out and levels the lanes.
    pub(super) fn settle(&mut self, samples: &mut Samples, levels: Levels) {
        drop_stale(samples);
        self.lanes.level(levels, samples);
    }

    /// Finds the marks of a column that is settled.
    pub(super) fn mark(&mut self, marks: Marks, samples: &Samples, with_start_timestamps: bool) {
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
                        samples.values[*i] < samples.values[*i - 1] || (!switched && started_anew(samples, *i))
                    }));
                } else {
                    mark_pairs(&samples.values, found, |a, b| b < a);
                }
                self.mark_switches(marks, samples);
            }
        }
    }

    /// Where the lane changes, the new lane's judgement counts.
    fn mark_switches(&mut self, marks: Marks, samples: &Samples) {
        let Lanes { switches, resets, .. } = &self.lanes;
        if switches.is_empty() {
            return;
        }
        self.marks.retain(|mark| switches.binary_search(mark).is_err());
        self.marks.extend(resets);
        self.marks.sort_unstable();
        self.marks.dedup();
        if marks == Marks::CountedResets {
            let known = |run: &&Run| {
                let since = run.before.map_or(Millis::MAX, |before| before.0);
                resets.contains(&run.start)
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

/// Whether the start timestamps say that a counter began anew between sample `i - 1` and `i`
/// (promql/functions.go, isStartTimestampReset).
fn started_anew(samples: &Samples, i: usize) -> bool {
    let (starts, times) = (&samples.start_timestamps, &samples.timestamps);
    let (Some(&before), Some(&start)) = (starts.get(i - 1), starts.get(i)) else { return false };
    if start == 0 || start >= times[i] || start < times[i - 1] {
        return false;
    }
    // Equal to the time of the sample before: a delta, or unknown, which shows in the sample before.
    start > times[i - 1] || (before != 0 && before < times[i - 1])
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
    let Column { times, samples, prepared, args, .. } = column;
    let Prepared { marks, lanes, buffer } = &mut **prepared;
    let Samples { timestamps, values, start_timestamps, .. } = samples;
    let start_timestamps: &[Millis] = if column.with_start_timestamps { start_timestamps } else { &[] };
    let arity = args.len() / times.count();
    let mut cursor = Cursor::default();
    for (step, cell) in out.iter_mut().enumerate() {
        let end = times.end(step);
        let start = times.start(end);
        cursor.advance(timestamps, start.wrapping_sub(times.before), end.wrapping_add(times.after));
        let (first, last) = (cursor.first, cursor.last);
        if first == last {
            *cell = ABSENT;
            continue;
        }
        let window = Window {
            start,
            end,
            timestamps: &timestamps[first..last],
            values: &values[first..last],
            start_timestamps: start_timestamps.get(first..last).unwrap_or_default(),
            base: first,
            marks: cursor.marks.inside(marks, first, last),
            switches: cursor.switches.inside(&lanes.switches, first, last),
            lift: lanes.lifts.get(cursor.switches.last).copied().unwrap_or(0.0),
        };
        *cell = kernel(
            &window,
            &mut Step {
                time: times.timeline.at(step),
                range_seconds: column.range_seconds,
                extension: times.extension,
                args: &args[step * arity..][..arity],
                notes,
                buffer,
            },
        );
    }
}

/// The part of a column that lies in a window; moves forward with the windows.
#[derive(Default)]
struct Cursor {
    first: usize,
    last: usize,
    end: Option<Millis>,
    marks: Places,
    switches: Places,
}

impl Cursor {
    /// Moves to the samples within `(start, end]`.
    #[inline]
    fn advance(&mut self, timestamps: &[Millis], start: Millis, end: Millis) {
        if self.end.is_some_and(|before| end < before) {
            // Times that wrapped around: begin again.
            *self = Self::default();
        }
        self.end = Some(end);
        while self.last < timestamps.len() && timestamps[self.last] <= end {
            self.last += 1;
        }
        while self.first < self.last && timestamps[self.first] <= start {
            self.first += 1;
        }
    }
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
