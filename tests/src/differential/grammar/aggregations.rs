//! Aggregations.

use super::{Grammar, parenthesised};
use crate::differential::chance::Chance as _;

/// Aggregations by weight, with the numbers that they take; those of strings are in [`NAMES`].
const AGGREGATIONS: &[(usize, (&str, &[&str]))] = &[
    (4, ("sum", &[])),
    (2, ("avg", &[])),
    (2, ("min", &[])),
    (2, ("max", &[])),
    (2, ("count", &[])),
    (1, ("group", &[])),
    (1, ("stddev", &[])),
    (1, ("stdvar", &[])),
    (2, ("topk", &["1", "2", "3", "5", "100", "0", "-1"])),
    (2, ("bottomk", &["1", "2", "3", "5", "100", "0", "-1"])),
    (2, ("quantile", &["0.5", "0.9", "0", "1", "0.25", "NaN", "-1", "2"])),
    (2, ("count_values", &[])),
    (1, ("limitk", &["1", "2", "3", "5", "100", "0", "-1"])),
    (1, ("limit_ratio", &["0.5", "-0.5", "0.1", "1", "-1", "0", "0.9"])),
];

/// Names of the label that `count_values` makes.
const NAMES: &[&str] = &["v", "job", "x", "ä b", "le"];

const LABELS: &[&str] = &[
    "job", "instance", "code", "grp", "par", "i", "le", "k", "zone", "ver", "__name__", "A", "nope", "id", "v", "extra",
];

impl Grammar {
    /// Names of labels, with commas.
    pub(super) fn labels(&mut self) -> String {
        let count = self.random.one_of(&[0, 1, 1, 1, 2, 2, 3]);
        let mut names: Vec<&str> = (0..count).map(|_| self.random.one_of(LABELS)).collect();
        names.dedup();
        names.join(",")
    }

    /// An aggregation, with its grouping on either side.
    pub(super) fn aggregation(&mut self, depth: usize) -> String {
        let (name, numbers) = self.random.weighted(AGGREGATIONS);
        let parameter = match numbers {
            [] if name == "count_values" => format!("\"{}\", ", self.random.one_of(NAMES)),
            [] => String::new(),
            _ if self.random.percent(85) => format!("{}, ", self.random.one_of(numbers)),
            _ => format!("{}, ", self.scalar(depth)),
        };
        let grouping = match self.random.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        };
        let arguments = parenthesised(&(parameter + &self.vector(depth)));
        if self.random.percent(60) {
            format!("{name}{grouping} {arguments}")
        } else {
            name.to_owned() + &arguments + &grouping
        }
    }
}
