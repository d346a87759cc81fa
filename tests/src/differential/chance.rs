//! What the generators draw from a [`Random`].

use masthead_store::testing::Random;

/// Draws beside those of [`Random`] itself.
pub(super) trait Chance {
    /// A number within `[0, 1)`.
    fn fraction(&mut self) -> f64;

    /// A whole number within `[low, high]`.
    fn between(&mut self, low: i64, high: i64) -> i64;

    /// One of a list that is not empty.
    fn one_of<T: Copy>(&mut self, list: &[T]) -> T;

    /// True so many times in a hundred.
    fn percent(&mut self, percent: usize) -> bool;

    /// One of a list that is not empty, by weight.
    fn weighted<T: Copy>(&mut self, list: &[(usize, T)]) -> T;
}

impl Chance for Random {
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn weighted<T: Copy>(&mut self, list: &[(usize, T)]) -> T {
        let mut left = self.below(list.iter().map(|(weight, _)| weight).sum());
        for (weight, item) in list {
            if left < *weight {
                return *item;
            }
            left -= weight;
        }
        list[0].1
    }
}
