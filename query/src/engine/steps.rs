//! Sets of steps as bits.

use super::batch::{ABSENT, Batch, Row, is_absent};

/// Which of some steps are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepSet {
    words: Box<[u64]>,
}

impl StepSet {
    /// Bytes that a set over `steps` costs.
    pub(super) fn size_bytes(steps: usize) -> usize {
        steps.div_ceil(64) * 8 + 16
    }

    /// The empty set over `steps`.
    pub(super) fn new(steps: usize) -> Self {
        Self { words: vec![0; steps.div_ceil(64)].into_boxed_slice() }
    }

    /// The steps at which a row has a sample.
    pub(super) fn present(row: &Row) -> Self {
        let mut set = Self::new(row.values.len());
        set.add_floats(&row.values);
        row.histograms.iter().for_each(|(step, _)| _ = set.insert(*step as usize));
        set
    }

    /// Adds the steps at which row `i` of a batch has a sample.
    pub(super) fn add_present(&mut self, batch: &Batch, i: usize) {
        self.add_floats(batch.row(i));
        batch.histograms_of(i).iter().for_each(|(_, step, _)| _ = self.insert(*step as usize));
    }

    fn add_floats(&mut self, row: &[f64]) {
        for (step, value) in row.iter().enumerate() {
            if !is_absent(*value) {
                self.insert(step);
            }
        }
    }

    /// Adds a step; whether it was not in before.
    pub(super) fn insert(&mut self, step: usize) -> bool {
        let (word, bit) = (step / 64, 1 << (step % 64));
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Whether a step is in.
    pub(super) fn contains(&self, step: usize) -> bool {
        self.words[step / 64] & (1 << (step % 64)) != 0
    }

    /// Whether the sets share a step.
    pub(super) fn overlaps(&self, other: &StepSet) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Adds all steps of `other`.
    pub(super) fn add(&mut self, other: &StepSet) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    /// A row of `steps` with `value` at the steps that are not in.
    pub(super) fn filled(&self, steps: usize, value: f64) -> Vec<f64> {
        (0..steps).map(|step| if self.contains(step) { ABSENT } else { value }).collect()
    }

    /// Whether no step is in.
    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use masthead_store::Labels;

    use super::*;

    #[test]
    fn bits_follow_the_cells_that_are_there() {
        let mut values = vec![ABSENT; 130];
        values[0] = f64::NAN;
        values[64] = 0.0;
        values[129] = -1.0;
        let histograms = vec![(63, Arc::default())];
        let set = StepSet::present(&Row { labels: Labels::empty(), drop_name: false, values, histograms });
        let inside: Vec<_> = (0..130).filter(|step| set.contains(*step)).collect();
        assert_eq!(inside, [0, 63, 64, 129]);
        let mut other = StepSet::new(130);
        assert!(other.is_empty() && other.insert(1) && !other.insert(1));
        assert!(!set.overlaps(&other));
        other.add(&set);
        assert!(set.overlaps(&other) && other.contains(129));
    }
}
