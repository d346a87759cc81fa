//! Warnings and infos beside an answer, as a set with positions.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::promql::ast::Span;

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The result may be wrong or incomplete.
    Warning,
    /// The query may not do what was meant.
    Info,
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
    /// The earliest position in the query, if any.
    position: Option<Span>,
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
    /// Adds a text at a position of the query.
    pub fn add(&self, severity: Severity, text: impl Into<String>, position: Option<Span>) {
        self.add_detailed(severity, text.into(), position, Details::None);
    }

    /// Adds a text whose details merge with those of the same text.
    pub fn add_detailed(&self, severity: Severity, text: String, position: Option<Span>, details: Details) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes
            .entry((severity, text))
            .and_modify(|note| note.merge(position, details))
            .or_insert(Note { position, details });
    }

    /// The texts of one severity as the HTTP API prints them, each with ` (line:col)` where it has a position in `query`,
    /// sorted.
    pub fn render(&self, severity: Severity, query: &str) -> Vec<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes
            .iter()
            .filter(|((have, _), _)| *have == severity)
            .map(|((_, text), note)| {
                let mut out = format!("{text}{}", note.details.render());
                if let Some(position) = note.position {
                    let (line, column) = crate::promql::line_column(query, position.start as usize);
                    out.push_str(&format!(" ({line}:{column})"));
                }
                out
            })
            .collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Note {
    fn merge(&mut self, position: Option<Span>, details: Details) {
        self.position = match (self.position, position) {
            (Some(a), Some(b)) => Some(if (b.start, b.end) < (a.start, a.end) { b } else { a }),
            (a, b) => a.or(b),
        };
        if let (
            Details::ForcedMonotonicity { times, buckets, max_difference, count },
            Details::ForcedMonotonicity { times: t, buckets: b, max_difference: d, count: n },
        ) = (&mut self.details, details)
        {
            *times = (times.0.min(t.0), times.1.max(t.1));
            *buckets = (buckets.0.min(b.0), buckets.1.max(b.1));
            *max_difference = max_difference.max(d);
            *count = count.wrapping_add(n);
        }
    }
}

impl Details {
    fn render(self) -> String {
        match self {
            Details::None | Details::Occurrences(0 | 1) => String::new(),
            Details::Occurrences(count) => format!(" ({count} occurrences)"),
            // The engine's classic histogram code owns this text's form.
            Details::ForcedMonotonicity { .. } => crate::engine::render_forced_monotonicity(self),
        }
    }
}
