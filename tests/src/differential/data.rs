//! Data of a seed: series that are hard to answer about, written as the blocks that both sides read.
//!
//! Names, labels and shapes are the same for every seed (the grammar knows them); values, jitter, gaps, resets and stale
//! markers are the seed's. No two samples of a series share a time. Infinite values stand in series of their own.

use std::collections::BTreeMap;
use std::path::Path;

use masthead_store::block::Ulid;
use masthead_store::block::write::{WriteOptions, write_block};
use masthead_store::chunk::{self, HistogramForm};
use masthead_store::samples::{HistogramSample, STALE};
use masthead_store::testing::Random;
use masthead_store::{Chunk, Labels, Millis, Samples};

use super::chance::Chance as _;

mod floats;
mod native;

/// First time of the data, ms: a border of two-hour blocks.
pub const START: Millis = 1_700_006_400_000;
/// End of the data, ms, exclusive.
pub const END: Millis = START + 2 * BLOCK;
/// Length of a block, ms.
const BLOCK: Millis = 2 * 3_600_000;
const MINUTE: Millis = 60_000;

/// Series with their samples, ascending by labels.
pub type Data = Vec<(Labels, Samples)>;

/// The data of a seed, with native histograms or without.
pub fn generate(seed: u64, histograms: bool) -> Data {
    let mut maker = Maker { random: Random::new(seed), series: BTreeMap::new() };
    let native = native::FAMILIES.iter().filter(|_| histograms);
    floats::FAMILIES.iter().chain(native).for_each(|family| family(&mut maker));
    maker.series.into_iter().collect()
}

/// Writes series as two-hour blocks of a Prometheus data directory, the native histograms of every other one as integers.
/// An error is for people.
pub fn write(folder: &Path, data: &Data) -> Result<(), String> {
    for (number, from) in (START..END).step_by(BLOCK as usize).enumerate() {
        let forms = [HistogramForm::Integers, HistogramForm::Floats].into_iter().cycle();
        let mut inside =
            data.iter().zip(forms).filter_map(|((labels, samples), form)| -> Option<(Labels, Vec<Chunk>)> {
                let part = between(samples, from, from + BLOCK);
                (!part.is_empty()).then(|| (labels.clone(), chunk::encode_as(&part, form)))
            });
        let ulid = Ulid::new((from + BLOCK) as u64, number as u64);
        write_block(folder, &mut inside, WriteOptions::new(ulid, from, from + BLOCK))
            .map_err(|error| format!("write block {number}: {error}"))?;
    }
    Ok(())
}

/// The samples within `[from, until)`, ms.
fn between(samples: &Samples, from: Millis, until: Millis) -> Samples {
    let at = |time: Millis| samples.timestamps.partition_point(|have| *have < time);
    let range = at(from)..at(until);
    let inside = |sample: &&HistogramSample| (from..until).contains(&sample.timestamp);
    Samples {
        histograms: samples.histograms.iter().filter(inside).cloned().collect(),
        timestamps: samples.timestamps[range.clone()].to_vec(),
        values: samples.values[range].to_vec(),
        ..Samples::default()
    }
}

/// When samples are, relative to [`START`], ms.
#[derive(Clone, Copy)]
struct Grid {
    step: Millis,
    jitter: Millis,
    offset: Millis,
    from: Millis,
    until: Millis,
}

/// Every `step` ms, all the time.
const fn every(step: Millis) -> Grid {
    Grid { step, jitter: 0, offset: 0, from: 0, until: END - START }
}

type Points = Vec<(Millis, f64)>;

struct Maker {
    random: Random,
    series: BTreeMap<Labels, Samples>,
}

impl Maker {
    fn add(&mut self, name: &str, labels: &[(&str, &str)], points: Points) {
        let points: BTreeMap<Millis, f64> = points.into_iter().collect();
        let mut samples = Samples::default();
        points.into_iter().for_each(|(time, value)| samples.push(START + time, value));
        self.add_samples(name, labels, samples);
    }

    fn add_samples(&mut self, name: &str, labels: &[(&str, &str)], samples: Samples) {
        let pairs = labels.iter().copied().filter(|(_, value)| !value.is_empty()).chain([("__name__", name)]);
        let before = self.series.insert(Labels::from_pairs(pairs), samples);
        assert!(before.is_none(), "{name} {labels:?} is made twice");
    }

    fn times(&mut self, grid: Grid) -> Vec<Millis> {
        let mut times = Vec::new();
        for k in 0..=(END - START) / grid.step {
            let jitter = if grid.jitter == 0 { 0 } else { self.random.between(-grid.jitter, grid.jitter) };
            let time = grid.offset + k * grid.step + jitter;
            if (grid.from.max(0)..grid.until.min(END - START)).contains(&time) {
                times.push(time);
            }
        }
        times
    }

    /// A value at each time of a grid.
    fn fill(&mut self, grid: Grid, mut value: impl FnMut(&mut Random) -> f64) -> Points {
        self.times(grid).into_iter().map(|time| (time, value(&mut self.random))).collect()
    }

    /// A counter that is reset once in about `lifetime` samples, to zero or to a little above.
    fn counter(&mut self, grid: Grid, rate: f64, lifetime: usize) -> Points {
        let mut total = 0.0;
        self.fill(grid, |random| {
            if lifetime > 0 && random.one_in(lifetime) {
                total = if random.one_in(2) { 0.0 } else { random.below(6) as f64 };
            }
            total += random.fraction() * rate * 30.0;
            f64::floor(total)
        })
    }

    /// Ends the series once in about `lifetime` samples with a stale marker; it comes back after at most 15 samples.
    fn with_stale_markers(&mut self, points: Points, lifetime: usize) -> Points {
        let mut away = 0;
        let mut kept = Vec::new();
        for (time, value) in points {
            if away > 0 {
                away -= 1;
            } else if self.random.one_in(lifetime) {
                kept.push((time, STALE));
                away = self.random.below(16);
            } else {
                kept.push((time, value));
            }
        }
        kept
    }

    /// Leaves out everything within `minutes` of a random one.
    fn with_gap(&mut self, points: Points, minutes: Millis) -> Points {
        let from = self.random.between(0, (END - START) / MINUTE) * MINUTE;
        points.into_iter().filter(|(time, _)| !(from..from + minutes * MINUTE).contains(time)).collect()
    }
}

#[cfg(test)]
mod tests {
    use masthead_store::samples::STALE_BITS;

    use super::*;

    /// The same seed gives the same data, another one other data, and what the head of the file promises is there.
    #[test]
    fn data_is_of_its_seed_and_has_what_is_hard() {
        let data = generate(1, true);
        let print = |data: &Data| format!("{data:?}");
        assert_eq!(print(&data), print(&generate(1, true)));
        assert_ne!(print(&data), print(&generate(2, true)));
        assert!(data.len() > 150, "{}", data.len());
        let samples = || data.iter().map(|(_, samples)| samples);
        assert!(samples().all(|s| s.timestamps.is_sorted_by(|a, b| a < b)));
        assert!(samples().filter(|s| !s.histograms.is_empty()).count() >= 10);
        assert!(samples().any(|s| s.values.iter().any(|value| value.to_bits() == STALE_BITS)));
        assert!(samples().any(|s| s.values.windows(2).any(|pair| pair[1] < pair[0])));
        let infinite = samples().filter(|s| s.values.iter().any(|value| value.is_infinite())).count();
        assert!((1..10).contains(&infinite), "{infinite}");
        let odd_ms = samples().flat_map(|s| &s.timestamps).filter(|time| **time % 1_000 != 0).count();
        assert!(odd_ms * 2 > samples().map(Samples::len).sum());
    }

    /// What is written is what a block reader finds.
    #[test]
    fn blocks_hold_every_sample() {
        let data = generate(3, true);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &data).unwrap();
        let blocks: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(blocks.len(), 2);
        let written: u64 = blocks
            .iter()
            .map(|block| std::fs::read(block.join("meta.json")).unwrap())
            .map(|meta| serde_json::from_slice::<serde_json::Value>(&meta).unwrap())
            .map(|meta| meta["stats"]["numSamples"].as_u64().unwrap())
            .sum();
        assert_eq!(written as usize, data.iter().map(|(_, samples)| samples.len()).sum::<usize>());
    }
}
