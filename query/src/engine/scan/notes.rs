//! What kernels have to tell about a series, until it becomes warnings and infos of the query.

use masthead_store::Labels;
use masthead_store::labels::quote;

use crate::annotations::{Details, Severity};
use crate::engine::{Context, texts};
use crate::error::QueryError;
use crate::plan::{ScanFunction, ScanSpec};

/// What is found in a window with histograms. The numbers are bits of [`Findings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Finding {
    /// Floats beside histograms, for a function that cannot add them up.
    MixedWithFloats = 1,
    /// A gauge where a counter is asked for.
    NotACounter = 1 << 1,
    /// A counter where a gauge is asked for.
    NotAGauge = 1 << 2,
    /// Exponential buckets beside custom ones.
    MixedBuckets = 1 << 3,
    /// Histograms that were left out, since the function is one of floats.
    HistogramsIgnored = 1 << 4,
    /// Hints that contradict each other in a sum.
    ResetCollision = 1 << 5,
    /// Custom bounds that had to be reconciled in an addition.
    BoundsInAddition = 1 << 6,
    /// The same in a subtraction.
    BoundsInSubtraction = 1 << 7,
    /// The same in a sum over time.
    BoundsInAggregation = 1 << 8,
    /// A start timestamp before the sample before. Counts once a window.
    StartsOverlap = 1 << 9,
}

/// A set of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Findings(u16);

impl Findings {
    /// One alone.
    pub(super) fn of(finding: Finding) -> Self {
        Self(finding as u16)
    }

    /// Adds one.
    pub(super) fn add(&mut self, finding: Finding) {
        self.0 |= finding as u16;
    }

    /// Adds one if `is_found`.
    pub(super) fn add_if(&mut self, is_found: bool, finding: Finding) {
        if is_found {
            self.add(finding);
        }
    }

    fn has(self, finding: Finding) -> bool {
        self.0 & finding as u16 != 0
    }
}

/// What a finding tells of the metric of this name.
type Text = fn(&str) -> String;

/// The findings with their texts (util/annotations/annotations.go).
const FINDINGS: &[(Finding, Severity, Text)] = &[
    (Finding::MixedWithFloats, Severity::Warning, |name| {
        format!("PromQL warning: encountered a mix of histograms and floats for metric name {}", quote(name))
    }),
    (Finding::NotACounter, Severity::Warning, |name| {
        format!("PromQL warning: this native histogram metric is not a counter: {}", quote(name))
    }),
    (Finding::NotAGauge, Severity::Warning, |name| {
        format!("PromQL warning: this native histogram metric is not a gauge: {}", quote(name))
    }),
    (Finding::MixedBuckets, Severity::Warning, texts::mixed_schemas),
    (Finding::HistogramsIgnored, Severity::Info, |name| {
        let text = "ignored histograms in a range containing both floats and histograms for metric name";
        format!("PromQL info: {text} {}", quote(name))
    }),
    (Finding::ResetCollision, Severity::Warning, |_| texts::resets_collide("aggregation")),
    (Finding::BoundsInAddition, Severity::Info, |_| texts::bounds_reconciled("addition")),
    (Finding::BoundsInSubtraction, Severity::Info, |_| texts::bounds_reconciled("subtraction")),
    (Finding::BoundsInAggregation, Severity::Info, |_| texts::bounds_reconciled("aggregation")),
];

/// Findings about one series. Kernels raise them, the scan prints them.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// What was found of its histograms.
    findings: Findings,
    /// Steps at which a start timestamp lay before the sample before.
    pub(super) overlaps: u64,
    /// Quantiles outside of `[0, 1]`, each once where it stays from step to step.
    bad_quantiles: Vec<f64>,
    /// Why the evaluation cannot go on; the first reason counts.
    pub(super) failure: Option<String>,
}

impl Notes {
    /// Notes a quantile that is NaN or outside of `[0, 1]`.
    pub(super) fn bad_quantile(&mut self, quantile: f64) {
        if self.bad_quantiles.last().is_none_or(|last| last.to_bits() != quantile.to_bits()) {
            self.bad_quantiles.push(quantile);
        }
    }

    /// Notes a finding.
    pub(super) fn find(&mut self, finding: Finding) {
        self.findings.add(finding);
    }

    /// Notes the findings of a window.
    pub(super) fn find_all(&mut self, findings: Findings) {
        self.overlaps += u64::from(findings.has(Finding::StartsOverlap));
        self.findings.0 |= findings.0;
    }

    /// Notes why there can be no answer.
    pub(super) fn fail(&mut self, reason: impl FnOnce() -> String) {
        self.failure.get_or_insert_with(reason);
    }

    /// Prints what was found about the series `labels`, whose names are still there. `has_floats`: it has at least one
    /// point that is a float.
    /// (util/annotations/annotations.go; promql/engine.go, eval of a Call.)
    pub(super) fn report(
        self,
        labels: &Labels,
        has_floats: bool,
        spec: &ScanSpec,
        cx: &Context<'_>,
    ) -> Result<(), QueryError> {
        if let Some(reason) = self.failure {
            return Err(QueryError::Execution(reason));
        }
        let add = |severity, text, details| cx.annotations.add_detailed(severity, text, spec.place, details);
        for quantile in self.bad_quantiles {
            add(Severity::Warning, texts::invalid_quantile(quantile), Details::None);
        }
        for (_, severity, text) in FINDINGS.iter().filter(|(finding, ..)| self.findings.has(*finding)) {
            add(*severity, text(labels.metric_name()), Details::None);
        }
        if self.overlaps > 0 {
            let text = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric";
            let text = format!("{text} {}", quote(labels.metric_name()));
            add(Severity::Warning, text, Details::Occurrences(self.overlaps));
        }
        if has_floats
            && matches!(spec.function, ScanFunction::Range("rate" | "increase"))
            && let Some(text) = not_a_counter(labels, spec)
        {
            add(Severity::Info, text, Details::None);
        }
        Ok(())
    }
}

/// What is to be said of a metric that does not look like a counter.
fn not_a_counter(labels: &Labels, spec: &ScanSpec) -> Option<String> {
    let name = labels.metric_name();
    if name.is_empty() {
        return None;
    }
    if spec.type_and_unit_labels {
        let kind = labels.value("__type__");
        let text =
            "PromQL info: metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"";
        return (!matches!(kind, "counter" | "histogram"))
            .then(|| format!("{text}, got {}: {}", quote(kind), quote(name)));
    }
    let suffixes = ["_total", "_sum", "_count", "_bucket"];
    let text = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket";
    (!suffixes.iter().any(|suffix| name.ends_with(suffix))).then(|| format!("{text}: {}", quote(name)))
}
