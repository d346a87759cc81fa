//! The series that a script has loaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use masthead_query::promql::series::SequenceValue;
use masthead_store::samples::HistogramSample;
use masthead_store::{Labels, Millis, Samples};

use super::script::Load;
use super::{custom_buckets, series};

/// Samples of a series by time, with their start timestamps, 0 where unknown.
pub(super) type Points = BTreeMap<Millis, (Millis, SequenceValue)>;

/// All series by labels.
#[derive(Debug, Default)]
pub struct Data {
    series: BTreeMap<Labels, Points>,
}

impl Data {
    /// Adds series. Of one that comes twice in a `load` the last one counts; a sample that is there already stays.
    pub(super) fn add(&mut self, load: &Load) -> Result<(), String> {
        let mut added: BTreeMap<Labels, Points> = BTreeMap::new();
        for line in &load.series {
            let at = |error: String| format!("line {}: {error}", line.line);
            let (labels, points) = series::describe(&line.text).map_err(at)?;
            if line.starts.as_ref().is_some_and(|starts| starts.len() != points.len()) {
                return Err(at(format!("{} values but another number of start timestamps", points.len())));
            }
            let mut samples = BTreeMap::new();
            for (i, point) in points.into_iter().enumerate() {
                let time = load.step * i as Millis;
                let offset = line.starts.as_ref().and_then(|starts| starts.get(i).copied().flatten());
                if !matches!(point, SequenceValue::Omitted) {
                    samples.insert(time, (offset.map_or(0, |offset| time + offset), point));
                }
            }
            added.insert(labels, samples);
        }
        let converted = if load.with_custom_buckets { custom_buckets::converted(&added)? } else { BTreeMap::new() };
        for (labels, samples) in added.into_iter().chain(converted) {
            let have = self.series.entry(labels).or_default();
            for (time, sample) in samples {
                have.entry(time).or_insert(sample);
            }
        }
        Ok(())
    }

    /// Every series with its samples, ascending by labels.
    pub fn series(&self) -> impl Iterator<Item = (&Labels, Samples)> {
        self.series.iter().map(|(labels, points)| (labels, columns(points)))
    }
}

fn columns(points: &Points) -> Samples {
    let mut samples = Samples::default();
    let mut starts = Vec::new();
    for (time, (start, point)) in points {
        match point {
            SequenceValue::Omitted => {}
            SequenceValue::Float(value) => {
                samples.timestamps.push(*time);
                samples.values.push(*value);
                starts.push(*start);
            }
            SequenceValue::Histogram(histogram) | SequenceValue::HintedHistogram(histogram) => {
                let histogram = Arc::new(histogram.clone());
                samples.histograms.push(HistogramSample { timestamp: *time, start_timestamp: *start, histogram });
            }
        }
    }
    if starts.iter().any(|start| *start != 0) {
        samples.start_timestamps = starts;
    }
    samples
}
