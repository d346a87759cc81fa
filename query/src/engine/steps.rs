//! Sets of steps as bits.

/// Which of some steps are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSet {
    words: Box<[u64]>,
}

impl StepSet {
    /// Bytes that a set over `steps` costs.
    pub fn size_bytes(steps: usize) -> usize {
        steps.div_ceil(64) * 8 + 16
    }

    /// Bytes that this set costs.
    pub fn size_in_bytes(&self) -> usize {
        self.words.len() * 8 + 16
    }

    /// The empty set over `steps`.
    pub fn new(steps: usize) -> Self {
        Self { words: vec![0; steps.div_ceil(64)].into_boxed_slice() }
    }

    /// The steps at which a row has a float.
    pub fn present(row: &[f64]) -> Self {
        let mut set = Self::new(row.len());
        set.add_present(row);
        set
    }

    /// Adds the steps at which a row has a float.
    pub fn add_present(&mut self, row: &[f64]) {
        for (step, value) in row.iter().enumerate() {
            if !super::batch::is_absent(*value) {
                self.insert(step);
            }
        }
    }

    /// Adds a step; whether it was not in before.
    pub fn insert(&mut self, step: usize) -> bool {
        let (word, bit) = (step / 64, 1 << (step % 64));
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Whether a step is in.
    pub fn contains(&self, step: usize) -> bool {
        self.words[step / 64] & (1 << (step % 64)) != 0
    }

    /// Whether the sets share a step.
    pub fn overlaps(&self, other: &StepSet) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Adds all steps of `other`.
    pub fn add(&mut self, other: &StepSet) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    /// Whether no step is in.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::ABSENT;

    #[test]
    fn bits_follow_the_cells_that_are_there() {
        let mut row = vec![ABSENT; 130];
        row[0] = f64::NAN;
        row[64] = 0.0;
        row[129] = -1.0;
        let set = StepSet::present(&row);
        let inside: Vec<_> = (0..130).filter(|step| set.contains(*step)).collect();
        assert_eq!(inside, [0, 64, 129]);
        let mut other = StepSet::new(130);
        assert!(other.is_empty() && other.insert(1) && !other.insert(1));
        assert!(!set.overlaps(&other));
        other.add(&set);
        assert!(set.overlaps(&other) && other.contains(129));
    }
}
