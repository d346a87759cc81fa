//! One column out of several lanes: where each lane has gaps, and which lane fills them. The rule is that of the parent
//! module.

use std::ops::Range;

use super::histograms::forget_hint;
use super::{TimeRange, append, run};
use crate::samples::{Run, Samples, is_stale};
use crate::series::Millis;

/// Distances around a place of which the interval there is the median, to either side.
const NEAR: usize = 8;

/// Interval where no lane has two values, ms.
const INTERVAL_DEFAULT: Millis = 60_000;

/// Segments of the output, in order of time, while they are found.
#[derive(Debug, Default)]
pub(super) struct Plan {
    segments: Vec<Segment>,
    /// What is still to be looked at, the last one first: lanes may be many, too many for recursion.
    open: Vec<Part>,
}

/// A part of the output that is not found yet.
#[derive(Debug)]
enum Part {
    /// What the lanes from the `first` on have between two edges.
    Between { first: usize, left: Edge, right: Edge },
    /// Values of one lane.
    Values(Segment),
}

/// Samples of one lane that follow each other in the output.
#[derive(Debug, Clone, PartialEq)]
struct Segment {
    /// Position of the lane among the lanes.
    lane: usize,
    samples: Range<usize>,
}

/// Times and values of one lane; for histograms the values are the sums, in which stale markers show.
#[derive(Clone, Copy)]
struct Column<'a> {
    times: &'a [Millis],
    values: &'a [f64],
}

/// What a gap borders on: a value, or an end of the selection. Other lanes may fill what is at least `margin` away.
#[derive(Debug, Clone, Copy)]
struct Edge {
    time: Millis,
    margin: Millis,
}

/// Where a lane has no values for longer than it should.
struct Gap {
    /// Index of the lane's first sample behind the gap.
    next: usize,
    left: Edge,
    right: Edge,
}

/// Deduplicates the floats and histograms of decoded lanes into `out`, which is cleared first. Each lane comes with its
/// position in lane order; the lowest is the primary lane. The order of the slice does not matter.
///
/// Properties: equal lanes give the samples of one; the result of a result is itself; `runs` is empty where one lane
/// gave all.
pub fn dedup(lanes: &[(u32, &Samples)], out: &mut Samples) {
    let times = |samples: &Samples| {
        let floats = samples.timestamps.first().copied().into_iter().chain(samples.timestamps.last().copied());
        let ends = samples.histograms.first().into_iter().chain(samples.histograms.last());
        floats.chain(ends.map(|h| h.timestamp)).collect::<Vec<_>>()
    };
    let times: Vec<Millis> = lanes.iter().flat_map(|(_, samples)| times(samples)).collect();
    out.clear();
    if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
        let mut ordered = lanes.to_vec();
        ordered.sort_by_key(|(lane, _)| *lane);
        dedup_within(&ordered, TimeRange { min_time: *first, max_time: *last }, &mut Plan::default(), out);
    }
}

/// Deduplicates lanes, ascending by number, that were decoded for `range`.
pub(super) fn dedup_within(lanes: &[(u32, &Samples)], range: TimeRange, plan: &mut Plan, out: &mut Samples) {
    out.clear();
    if lanes.iter().any(|(_, samples)| !samples.histograms.is_empty()) {
        return dedup_mixed(lanes, range, plan, out);
    }
    let floats: Vec<Column<'_>> =
        lanes.iter().map(|(_, s)| Column { times: &s.timestamps, values: &s.values }).collect();
    plan.find(&floats, range);
    let mut current = None;
    for Segment { lane, samples } in &plan.segments {
        let (number, column) = lanes[*lane];
        if current != Some(number) {
            out.runs.push(run(out.timestamps.len(), number, column, samples.start));
            current = Some(number);
        }
        append(column, samples.clone(), out);
    }
    settle_runs(&mut out.runs);
}

/// Floats and histograms of one lane in the order of time.
#[derive(Default)]
struct Mixed {
    times: Vec<Millis>,
    values: Vec<f64>,
    /// How many of the samples before each are floats; and of all.
    floats: Vec<usize>,
}

impl Mixed {
    fn of(samples: &Samples) -> Self {
        let mut mixed = Self::default();
        let mut floats = samples.timestamps.iter().copied().zip(samples.values.iter().copied()).peekable();
        let mut count = 0;
        for sample in &samples.histograms {
            while let Some(float) = floats.next_if(|(time, _)| *time < sample.timestamp) {
                mixed.push(float, count);
                count += 1;
            }
            mixed.push((sample.timestamp, sample.histogram.sum), count);
        }
        for float in floats {
            mixed.push(float, count);
            count += 1;
        }
        mixed.floats.push(count);
        mixed
    }

    fn push(&mut self, (time, value): (Millis, f64), floats: usize) {
        self.times.push(time);
        self.values.push(value);
        self.floats.push(floats);
    }

    fn column(&self) -> Column<'_> {
        Column { times: &self.times, values: &self.values }
    }

    /// Which floats and which histograms a range of the samples consists of.
    fn parts(&self, range: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let (first, end) = (self.floats[range.start], self.floats[range.end]);
        (first..end, range.start - first..range.end - end)
    }
}

/// Lanes of which one at least has histograms: floats and histograms are one column.
fn dedup_mixed(lanes: &[(u32, &Samples)], range: TimeRange, plan: &mut Plan, out: &mut Samples) {
    let mixed: Vec<Mixed> = lanes.iter().map(|(_, samples)| Mixed::of(samples)).collect();
    plan.find(&mixed.iter().map(Mixed::column).collect::<Vec<_>>(), range);
    let mut floats_of = None;
    let mut before: Option<&Segment> = None;
    for segment in &plan.segments {
        let (number, column) = lanes[segment.lane];
        let (floats, histograms) = mixed[segment.lane].parts(&segment.samples);
        if !floats.is_empty() && floats_of != Some(number) {
            out.runs.push(run(out.timestamps.len(), number, column, floats.start));
            floats_of = Some(number);
        }
        append(column, floats, out);
        let first = out.histograms.len();
        out.histograms.extend_from_slice(&column.histograms[histograms]);
        let follows = |before: &Segment| before.lane == segment.lane && before.samples.end == segment.samples.start;
        if let Some(sample) = out.histograms.get_mut(first)
            && !before.is_none_or(follows)
        {
            forget_hint(sample);
        }
        before = Some(segment);
    }
    settle_runs(&mut out.runs);
}

/// The first run has nothing before it, and one lane alone needs no marks.
fn settle_runs(runs: &mut Vec<Run>) {
    if runs.len() == 1 {
        runs.clear();
    }
    if let Some(first) = runs.first_mut() {
        first.before = None;
    }
}

/// Whether a lane decoded for `range` needs no other lane: no gap, no stale marker, an interval of its own.
pub(super) fn is_gapless(samples: &Samples, range: TimeRange) -> bool {
    let mixed = (!samples.histograms.is_empty()).then(|| Mixed::of(samples));
    let column = match &mixed {
        Some(mixed) => mixed.column(),
        None => Column { times: &samples.timestamps, values: &samples.values },
    };
    if column.times.len() < 3 || column.values.iter().any(|v| is_stale(*v)) {
        return false;
    }
    let mut gaps = Vec::new();
    let (left, right) = Edge::of(range);
    column.find_gaps(0..column.times.len(), (left, right), INTERVAL_DEFAULT, &mut gaps);
    gaps.is_empty()
}

impl Edge {
    fn of(range: TimeRange) -> (Self, Self) {
        (Self { time: range.min_time, margin: 0 }, Self { time: range.max_time, margin: 0 })
    }
}

impl Column<'_> {
    fn is_value(&self, i: usize) -> bool {
        !is_stale(self.values[i])
    }

    /// Indices of the samples from `left` to `right`, margins left out.
    fn between(&self, left: Edge, right: Edge) -> Range<usize> {
        let first = left.time.saturating_add(left.margin);
        let last = right.time.saturating_sub(right.margin);
        let start = self.times.partition_point(|time| *time < first);
        let end = self.times.partition_point(|time| *time <= last);
        start..end.max(start)
    }

    /// The scrape interval around index `at`: the median distance of the values next to it. None below three values.
    fn interval(&self, at: usize) -> Option<Millis> {
        // Times of the values next to `at`, from the middle to both sides.
        let mut times = [0; 2 * (NEAR + 1)];
        let (mut first, mut end) = (NEAR + 1, NEAR + 1);
        for i in (0..at).rev().filter(|i| self.is_value(*i)).take(NEAR + 1) {
            first -= 1;
            times[first] = self.times[i];
        }
        for i in (at..self.times.len()).filter(|i| self.is_value(*i)).take(NEAR + 1) {
            times[end] = self.times[i];
            end += 1;
        }
        let mut distances = [0; 2 * NEAR + 1];
        let known = (end - first).saturating_sub(1);
        for (distance, pair) in distances.iter_mut().zip(times[first..end].windows(2)) {
            *distance = pair[1].saturating_sub(pair[0]);
        }
        distances[..known].sort_unstable();
        (known > 1).then(|| distances[(known - 1) / 2])
    }

    /// Adds the gaps between `left` and `right` to `found`; `window` is what lies there of this column.
    fn find_gaps(&self, window: Range<usize>, (left, right): (Edge, Edge), fallback: Millis, found: &mut Vec<Gap>) {
        let mut before = None;
        let mut interval = None;
        let edge = |before: Option<Millis>, here| before.map_or(left, |time| Edge { time, margin: margin(here) });
        for i in window.clone().filter(|i| self.is_value(*i)) {
            let time = self.times[i];
            let distance = time.saturating_sub(before.unwrap_or(left.time));
            if !interval.is_some_and(|interval| is_near(distance, interval)) {
                let here = self.interval(i).unwrap_or(fallback);
                interval = Some(here);
                if is_gap(distance, here) {
                    found.push(Gap { next: i, left: edge(before, here), right: Edge { time, margin: margin(here) } });
                }
            }
            before = Some(time);
        }
        let here = interval.unwrap_or(fallback);
        if is_gap(right.time.saturating_sub(before.unwrap_or(left.time)), here) {
            found.push(Gap { next: window.end, left: edge(before, here), right });
        }
    }
}

/// How near to a value of a lane no other lane may fill its gap: half an interval, and never the same time.
fn margin(interval: Millis) -> Millis {
    (interval / 2).max(1)
}

/// Whether a distance is too long: more than one and a half intervals.
fn is_gap(distance: Millis, interval: Millis) -> bool {
    distance > interval.saturating_add(interval / 2)
}

/// Whether a distance is so near the interval that neither can it be a gap nor has the interval changed.
fn is_near(distance: Millis, interval: Millis) -> bool {
    let tolerance = interval / 5;
    distance >= interval - tolerance && distance <= interval.saturating_add(tolerance)
}

impl Plan {
    /// Finds what the output consists of.
    fn find(&mut self, lanes: &[Column<'_>], range: TimeRange) {
        self.segments.clear();
        let (left, right) = Edge::of(range);
        let fallback = common_interval(lanes);
        self.fill(lanes, (left, right), fallback);
        self.add_stale(lanes, (left, right), fallback);
    }

    /// Adds what the lanes have: that of the first one, and in its gaps that of the next ones.
    fn fill(&mut self, lanes: &[Column<'_>], (left, right): (Edge, Edge), fallback: Millis) {
        self.open.clear();
        self.open.push(Part::Between { first: 0, left, right });
        let mut gaps = Vec::new();
        while let Some(part) = self.open.pop() {
            let (first, left, right) = match part {
                Part::Between { first, left, right } => (first, left, right),
                Part::Values(Segment { lane, samples }) => {
                    self.add_values(&lanes[lane], lane, samples);
                    continue;
                }
            };
            let with_values = (first..lanes.len()).find_map(|lane| {
                let window = lanes[lane].between(left, right);
                window.clone().any(|i| lanes[lane].is_value(i)).then_some((lane, window))
            });
            let Some((lane, window)) = with_values else { continue };
            lanes[lane].find_gaps(window.clone(), (left, right), fallback, &mut gaps);
            let mut end = window.end;
            for Gap { next, left, right } in gaps.drain(..).rev() {
                self.open.push(Part::Values(Segment { lane, samples: next..end }));
                self.open.push(Part::Between { first: lane + 1, left, right });
                end = next;
            }
            self.open.push(Part::Values(Segment { lane, samples: window.start..end }));
        }
    }

    /// Adds the values in a range of a lane, a segment for each stretch without a stale marker.
    fn add_values(&mut self, column: &Column<'_>, lane: usize, range: Range<usize>) {
        let mut start = range.start;
        while start < range.end {
            let values = column.values[start..range.end].iter().take_while(|v| !is_stale(**v)).count();
            if values > 0 {
                self.segments.push(Segment { lane, samples: start..start + values });
            }
            start += values + 1;
        }
    }

    /// Puts stale markers between the segments, where no lane has a value that contradicts.
    fn add_stale(&mut self, lanes: &[Column<'_>], (left, right): (Edge, Edge), fallback: Millis) {
        if lanes.iter().all(|column| !column.values.iter().any(|v| is_stale(*v))) {
            return;
        }
        let values = std::mem::take(&mut self.segments);
        let mut before = left.time.saturating_sub(1);
        let mut interval = fallback;
        for segment in values {
            let column = &lanes[segment.lane];
            let next = column.times[segment.samples.start];
            interval = column.interval(segment.samples.start).unwrap_or(fallback);
            self.add_stale_between(lanes, before, next, interval);
            before = column.times[segment.samples.end - 1];
            self.segments.push(segment);
        }
        self.add_stale_between(lanes, before, right.time.saturating_add(1), interval);
    }

    /// Adds the stale markers of the first lane that has any between two values.
    ///
    /// Within one interval and a half they are those of one failed scrape: a lane that saw a value last is believed.
    /// Behind that the series has ended.
    fn add_stale_between(&mut self, lanes: &[Column<'_>], before: Millis, next: Millis, interval: Millis) {
        let open = (Edge { time: before, margin: 1 }, Edge { time: next, margin: 1 });
        let mut last_samples = lanes.iter().filter_map(|column| {
            let window = column.between(open.0, open.1);
            (!window.is_empty()).then(|| column.is_value(window.end - 1))
        });
        if !is_gap(next.saturating_sub(before), interval) && last_samples.any(|is_value| is_value) {
            return;
        }
        for (lane, column) in lanes.iter().enumerate() {
            let markers = column.between(open.0, open.1).filter(|i| !column.is_value(*i));
            let start = self.segments.len();
            self.segments.extend(markers.map(|i| Segment { lane, samples: i..i + 1 }));
            if self.segments.len() > start {
                return;
            }
        }
    }
}

/// The interval for lanes that have none: of the first lane that has one, else the only distance of two values.
fn common_interval(lanes: &[Column<'_>]) -> Millis {
    let own = lanes.iter().find_map(|column| column.interval(column.times.len() / 2));
    let pair = lanes
        .iter()
        .filter(|column| column.times.len() == 2)
        .map(|column| column.times[1].saturating_sub(column.times[0]));
    own.or(pair.min()).unwrap_or(INTERVAL_DEFAULT)
}
