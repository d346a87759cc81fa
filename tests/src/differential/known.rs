//! Differences that have a reason: what changed after the oldest Prometheus that is compared with, 3.5, up to the one that
//! Masthead answers like, 3.14; and the few faults of Prometheus that Masthead does not have.
//!
//! Each row has its source: the version's entry in Prometheus' CHANGELOG.md with the number of the pull request; for a fault
//! its place. A row of the first kind is looked at only if the reference is older. Beside these rows error texts of an older
//! reference are not compared at all.

use super::client::Reply;
use super::compare::{Difference, Kind, SUMS};
use super::grammar;
use super::question::Question;
use crate::answers::mentions;

mod annotations;
mod faults;

pub use annotations::same_annotations;
pub use faults::{FAULTS, Fault};

/// Minor version of the Prometheus 3 that Masthead answers like.
pub const OURS: u32 = 14;

/// Functions and the minor version that brought them; all others are older.
const SINCE: &[(&str, u32)] = &[
    // 3.12: "Add `start()`, `end()`, `range()`, and `step()` experimental functions" #17877
    ("end", 12),
    // 3.7: "Add `first_over_time(...)` and `ts_of_first_over_time(...)`" #16963 #17021
    ("first_over_time", 7),
    // 3.11: "Add experimental `histogram_quantiles` variadic function" #17285
    ("histogram_quantiles", 11),
    // 3.13: "Add `min_of(a, b)` and `max_of(a, b)` scalar experimental functions" #18687
    ("max_of", 13),
    ("min_of", 13),
    ("range", 12),
    ("start", 12),
    // 3.14: "Add experimental `start_timestamp(instant-vector)`" #19089
    ("start_timestamp", 14),
    ("step", 12),
    ("ts_of_first_over_time", 7),
];

/// The minor version that brought a function.
pub fn since(function: &str) -> u32 {
    SINCE.iter().find(|(name, _)| *name == function).map_or(0, |(_, minor)| *minor)
}

/// A question whose answers differ.
pub struct Seen<'a> {
    question: &'a Question,
    difference: &'a Difference,
    reference: &'a Reply,
    ours: &'a Reply,
}

impl Seen<'_> {
    fn mentions(&self, names: &[&str]) -> bool {
        mentions(&self.question.query, names)
    }

    /// The reference answers and Masthead refuses with this text.
    fn refused_with(&self, text: &str) -> bool {
        self.reference.status == 200 && self.ours.status != 200 && contains(self.ours, text)
    }

    /// The reference's answer holds this text.
    fn reference_says(&self, text: &str) -> bool {
        contains(self.reference, text)
    }

    /// Either answer holds this text.
    fn either_says(&self, text: &str) -> bool {
        self.reference_says(text) || contains(self.ours, text)
    }

    /// Native histograms are asked for, by a function that is named.
    fn of_histograms(&self, functions: &[&str]) -> bool {
        grammar::asks_for_histograms(&self.question.query) && self.mentions(functions)
    }

    fn is_value(&self) -> bool {
        matches!(self.difference.kind, Kind::Value | Kind::Series | Kind::Times | Kind::Order)
    }
}

fn contains(reply: &Reply, text: &str) -> bool {
    String::from_utf8_lossy(&reply.body).contains(text)
}

/// A difference that a later version made.
pub struct Known {
    /// What.
    pub name: &'static str,
    /// First minor version that does as Masthead.
    pub since: u32,
    /// Where that is said.
    pub source: &'static str,
    holds: fn(&Seen<'_>) -> bool,
}

/// Differences of answers.
pub const KNOWN: &[Known] = &[
    Known {
        name: "NaN as a parameter of topk and its kin",
        since: 6,
        source: "3.6.0: Fail when `NaN` is passed as parameter to `topk()`, `bottomk()`, `limitk()` and `limit_ratio()`. #16725",
        holds: |seen| seen.refused_with("Parameter value is NaN") || seen.refused_with("Ratio value is NaN"),
    },
    Known {
        name: "a parameter of topk and its kin that is no int64",
        since: 6,
        source: "3.6.0: the parameter is checked before the elements are looked at. #16725",
        holds: |seen| seen.refused_with("overflows int64"),
    },
    Known {
        name: "matching of filters",
        since: 9,
        source: "3.9.0: Check more consistently for many-to-one matching in filter binary operators. #17668",
        holds: |seen| seen.refused_with("multiple matches for labels: "),
    },
    Known {
        name: "histogram_fraction of classic histograms",
        since: 8,
        source: "3.8.0: Fix `histogram_fraction` for classic histograms and NHCB if lower bound is in the first bucket. #17424",
        holds: |seen| seen.mentions(&["histogram_fraction"]) && seen.is_value(),
    },
    Known {
        name: "info()",
        since: 12,
        source: "3.7.0 #17135, 3.8.0 #17199, 3.10.0 #17817 and #17898, 3.12.0 #17932: corrections of info()",
        holds: |seen| {
            let churning = seen.reference_says("found duplicate series for info metric");
            let kinds = seen.is_value() || seen.difference.kind == Kind::Annotations;
            seen.mentions(&["info"]) && (kinds || churning)
        },
    },
    Known {
        name: "mad_over_time of NaN",
        since: 14,
        source: "3.14.0: Fix `mad_over_time` returning 0 instead of `NaN` when the range contains a `NaN` sample. #19040",
        holds: |seen| seen.mentions(&["mad_over_time"]) && seen.is_value(),
    },
    Known {
        name: "case-insensitive matchers",
        since: 14,
        source: "3.14.0: Fix case-insensitive regex label matchers silently dropping matching values. #19167",
        holds: |seen| seen.question.query.contains("(?i") && seen.is_value(),
    },
    Known {
        name: "equal labels at different times",
        since: 9,
        source: "3.9.0: Fix collision in unary negation #17708 and in label_join and label_replace with non-overlapping series. #17703",
        holds: |seen| seen.ours.status == 200 && seen.reference_says("same labelset"),
    },
    Known {
        name: "start(), end(), range() and step() where a name was expected",
        since: 12,
        source: "3.12.0: Add `start()`, `end()`, `range()`, and `step()` experimental functions. #17877",
        holds: |seen| {
            seen.difference.kind == Kind::Refusal
                && seen.reference.status == 400
                && seen.mentions(&["start", "end", "range", "step"])
        },
    },
    Known {
        name: "names after last_over_time of a subquery",
        since: 12,
        source: "3.12.0: Fix metric name not being dropped when last_over_time or first_over_time is applied to subqueries. #18409",
        holds: |seen| seen.mentions(&["last_over_time"]) && seen.is_value(),
    },
    Known {
        name: "durations that are no number",
        since: 12,
        source: "3.12.0: Reject NaN, infinite, and out-of-range duration expressions. #18639",
        holds: |seen| seen.refused_with("duration out of range"),
    },
    Known {
        name: "line breaks in brackets",
        since: 6,
        source: "3.6.0: Add `step()`, and `min()` and `max()` on durations. #16777",
        holds: |seen| seen.refused_with("unexpected character") && seen.question.query.contains('\n'),
    },
    Known {
        name: "mismatched custom buckets",
        since: 8,
        source: "3.8.0: Reconcile mismatched NHCB bounds in `Add` and `Sub`. #17278",
        holds: |seen| {
            contains(seen.ours, "mismatched custom buckets were reconciled")
                && (seen.reference_says("histograms with incompatible custom buckets")
                    || seen.reference_says("incompatible bucket layout encountered for binary operator"))
        },
    },
    Known {
        name: "extrapolation of histograms",
        since: 6,
        source: "3.6.0: Fix extrapolation for native counter histograms. #16828",
        holds: |seen| seen.of_histograms(&["rate", "increase"]) && seen.is_value(),
    },
    Known {
        name: "last digits of sums of histograms, as text",
        since: 10,
        source: "3.10.0: use Kahan summation for Native Histograms #15687",
        holds: |seen| {
            seen.of_histograms(&["count_values"]) && seen.difference.kind == Kind::Series && seen.mentions(SUMS)
        },
    },
    Known {
        name: "a negated histogram is a gauge",
        since: 7,
        source: "3.7.0: Set native histogram to gauge type when subtracting or multiplying/dividing with negative factors. #17004",
        holds: |seen| seen.difference.kind == Kind::Annotations && contains(seen.ours, "is not a counter: \\\"\\\""),
    },
];

/// Why an answer may differ from that of a reference of version 3.`minor`: the name of a row.
pub fn reason(
    minor: u32,
    question: &Question,
    difference: &Difference,
    reference: &Reply,
    ours: &Reply,
) -> Option<&'static str> {
    let seen = Seen { question, difference, reference, ours };
    if let Some(known) = KNOWN.iter().find(|known| minor < known.since && (known.holds)(&seen)) {
        return Some(known.name);
    }
    faults::fault(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differential::question::Times;

    /// Rows are for older references only, and each says where its change is written down.
    #[test]
    fn rows_have_sources_and_an_end() {
        for known in KNOWN {
            assert!(known.source.contains('#') && known.source.starts_with("3."), "{}", known.name);
            assert!((6..=OURS).contains(&known.since), "{}", known.name);
        }
        let question = Question { query: "mad_over_time(x[5m])".to_owned(), times: Times::Instant(0) };
        let difference = Difference { kind: Kind::Value, text: String::new() };
        let reply = Reply { status: 200, body: "{}".into() };
        let known = |minor| reason(minor, &question, &difference, &reply, &reply).is_some();
        assert_eq!((known(5), known(13), known(14)), (true, true, false));
    }
}
