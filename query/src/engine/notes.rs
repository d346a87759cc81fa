//! What kernels have to tell about a series, until it becomes warnings and infos of the query.

use masthead_store::Labels;
use masthead_store::labels::quote;

use super::Context;
use super::quantile::invalid_quantile;
use crate::annotations::{Details, Severity};
use crate::error::QueryError;
use crate::plan::{ScanFunction, ScanSpec};

/// Findings about one series. Kernels raise them, the scan prints them.
#[derive(Debug, Default)]
pub(super) struct Notes {
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

    /// Notes why there can be no answer.
    pub(super) fn fail(&mut self, reason: impl FnOnce() -> String) {
        self.failure.get_or_insert_with(reason);
    }

    /// Prints what was found about the series `labels`, whose names are still there. `has_cells`: it has at least one point.
    /// (util/annotations/annotations.go; promql/engine.go, eval of a Call.)
    pub(super) fn report(
        self,
        labels: &Labels,
        has_cells: bool,
        spec: &ScanSpec,
        cx: &Context<'_>,
    ) -> Result<(), QueryError> {
        if let Some(reason) = self.failure {
            return Err(QueryError::Execution(reason));
        }
        let add = |severity, text, details| cx.annotations.add_detailed(severity, text, spec.place, details);
        for quantile in self.bad_quantiles {
            add(Severity::Warning, invalid_quantile(quantile), Details::None);
        }
        if self.overlaps > 0 {
            let text = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric";
            let text = format!("{text} {}", quote(labels.metric_name()));
            add(Severity::Warning, text, Details::Occurrences(self.overlaps));
        }
        if has_cells
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
