//! Warnings and infos beside an answer, as a set with positions.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::promql::ast::Span;
use crate::{calendar, go_float};

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The result may be wrong or incomplete.
    Warning,
    /// The query may not do what was meant.
    Info,
}

/// Where an annotation points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The part of the query.
    pub span: Span,
    /// Its place in the order in which Prometheus merges the annotations of a query: operands from left to right, then
    /// what is made of them.
    pub turn: u32,
}

/// The annotations of one query: one entry a text, whatever its position (util/annotations/annotations.go). Shared by
/// reference among the threads of a query; the result does not depend on who came first.
#[derive(Debug, Default)]
pub struct Annotations {
    notes: Mutex<BTreeMap<(Severity, String), Note>>,
}

/// What else is known of one text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Note {
    /// The place that is told. Of several, that of the last turn; where details merge, of the first one.
    place: Place,
    details: Details,
}

/// What merges when the same text comes again.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Details {
    /// Nothing: the text says all.
    #[default]
    None,
    /// Buckets of a classic histogram had to be made monotonic (`MaybeMonotonicity` in util/annotations/annotations.go).
    ForcedMonotonicity {
        /// First and last time it happened, ms.
        times: (i64, i64),
        /// Lowest and highest bucket bound concerned.
        buckets: (f64, f64),
        /// The greatest fall.
        max_difference: f64,
        /// How many samples.
        count: u64,
    },
    /// It happened this often; more than once is told.
    Occurrences(u64),
}

impl Annotations {
    /// Adds a text about a place in the query.
    pub fn add(&self, severity: Severity, text: impl Into<String>, place: Place) {
        self.add_detailed(severity, text.into(), place, Details::None);
    }

    /// Adds a text whose details merge with those of the same text.
    pub fn add_detailed(&self, severity: Severity, text: String, place: Place, details: Details) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.entry((severity, text)).and_modify(|note| note.merge(place, details)).or_insert(Note { place, details });
    }

    /// The texts of one severity as the HTTP API prints them, each with its ` (line:col)` in `query`, sorted.
    pub fn render(&self, severity: Severity, query: &str) -> Vec<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes
            .iter()
            .filter(|((have, _), _)| *have == severity)
            .map(|((_, text), note)| {
                let (line, column) = crate::promql::line_column(query, note.place.span.start as usize);
                format!("{text}{} ({line}:{column})", note.details.render())
            })
            .collect()
    }
}

impl Note {
    fn merge(&mut self, place: Place, details: Details) {
        let is_told = match details {
            Details::None => place.turn > self.place.turn,
            _ => place.turn < self.place.turn,
        };
        if is_told {
            self.place = place;
        }
        match (&mut self.details, details) {
            (
                Details::ForcedMonotonicity { times, buckets, max_difference, count },
                Details::ForcedMonotonicity { times: t, buckets: b, max_difference: d, count: n },
            ) => {
                *times = (times.0.min(t.0), times.1.max(t.1));
                *buckets = (buckets.0.min(b.0), buckets.1.max(b.1));
                *max_difference = max_difference.max(d);
                *count = count.wrapping_add(n);
            }
            (Details::Occurrences(count), Details::Occurrences(more)) => *count += more,
            _ => {}
        }
    }
}

impl Details {
    fn render(self) -> String {
        match self {
            Details::None | Details::Occurrences(0 | 1) => String::new(),
            Details::Occurrences(count) => format!(" ({count} occurrences)"),
            // histogramQuantileForcedMonotonicityErr; times are cut to seconds as Go divides.
            Details::ForcedMonotonicity { times, buckets, max_difference, count } => format!(
                ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                go_float::shortest(buckets.0),
                go_float::shortest(buckets.1),
                go_float::two_significant(max_difference),
                count as i64,
                calendar::rfc3339(times.0 / 1000, ""),
                calendar::rfc3339(times.1 / 1000, "")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(start: u32, turn: u32) -> Place {
        Place { span: Span { start, end: start + 1 }, turn }
    }

    /// Whoever comes first: plain texts keep the place of the last turn, those that count the first.
    #[test]
    fn places_merge_by_turn() {
        for turns in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let annotations = Annotations::default();
            for turn in turns {
                annotations.add(Severity::Info, "plain", place(10 * turn, turn));
                let (text, details) = ("counted".to_owned(), Details::Occurrences(1 + u64::from(turn)));
                annotations.add_detailed(Severity::Info, text, place(10 * turn, turn), details);
            }
            assert_eq!(
                annotations.render(Severity::Info, &"x".repeat(30)),
                ["counted (6 occurrences) (1:1)", "plain (1:21)"]
            );
        }
    }
}
