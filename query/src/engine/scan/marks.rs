//! Where in a column something happens between neighbours, found once a series.

use std::sync::Arc;

use masthead_store::samples::Run;
use masthead_store::{Millis, Samples};

use super::lanes::Lanes;
use super::starts::{histogram_started_anew, started_anew};

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

/// Finds the marks of floats that are settled.
pub(super) fn mark_floats(
    marks: Marks,
    samples: &Samples,
    lanes: &Lanes,
    with_start_timestamps: bool,
    found: &mut Vec<usize>,
) {
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
            let starts: &[Millis] = if with_start_timestamps { &samples.start_timestamps } else { &[] };
            if starts.is_empty() {
                mark_pairs(&samples.values, found, |a, b| b < a);
            } else {
                found.extend((1..samples.values.len()).filter(|i| {
                    let switched = lanes.switches.binary_search(i).is_ok();
                    let is_fall = samples.values[*i] < samples.values[*i - 1];
                    is_fall || (!switched && started_anew(starts, &samples.timestamps, *i))
                }));
            }
            mark_switches(marks, samples, lanes, starts, found);
        }
    }
}

/// Where the lane changes, the new lane's judgement counts.
fn mark_switches(marks: Marks, samples: &Samples, lanes: &Lanes, starts: &[Millis], found: &mut Vec<usize>) {
    let Lanes { switches, resets, .. } = lanes;
    if switches.is_empty() {
        return;
    }
    found.retain(|mark| switches.binary_search(mark).is_err());
    found.extend(resets);
    found.sort_unstable();
    found.dedup();
    if marks == Marks::CountedResets {
        let known = |run: &&Run| {
            let since = run.before.map_or(Millis::MAX, |before| before.0);
            resets.contains(&run.start)
                && !started_anew(starts, &samples.timestamps, run.start)
                && found.iter().any(|mark| *mark < run.start && samples.timestamps[*mark] > since)
        };
        let twice: Vec<usize> = samples.runs.iter().filter(known).map(|run| run.start).collect();
        found.retain(|mark| !twice.contains(mark));
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

/// Finds the marks of histograms that are settled.
pub(super) fn mark_histograms(marks: Marks, samples: &Samples, with_start_timestamps: bool, found: &mut Vec<usize>) {
    found.clear();
    let pairs = samples.histograms.windows(2).enumerate();
    let marked = pairs.filter(|(_, pair)| {
        let (before, here) = (&pair[0].histogram, &pair[1].histogram);
        match marks {
            Marks::None => false,
            Marks::Changes => !Arc::ptr_eq(before, here) && !here.equals(before),
            Marks::Resets | Marks::CountedResets => {
                (with_start_timestamps && histogram_started_anew(&pair[0], &pair[1])) || here.detect_reset(before)
            }
        }
    });
    found.extend(marked.map(|(i, _)| i + 1));
}
