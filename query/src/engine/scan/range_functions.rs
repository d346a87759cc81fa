//! Functions of a range, by name: what `rate(v[5m])` and its kin do with the samples of a window.
//!
//! Kernels follow upstream (promql/functions.go) operation by operation, so that results have the same bits.

mod combine;
pub(super) mod extended;
mod extended_histograms;
mod histogram_rate;
mod histogram_sums;
mod mixed;
mod neighbours;
mod over_time;
mod rate;
mod regression;
#[cfg(test)]
mod tests;

use super::lanes::Levels;
use super::marks::Marks;
use super::slide::{Kernels, slide};

/// A row of the table.
pub(super) struct RangeFunction {
    /// Name in PromQL.
    pub(super) name: &'static str,
    /// How it is computed.
    pub(super) kernels: Kernels,
    /// The same for `anchored` and `smoothed` selectors, where they are allowed.
    pub(super) extended: Option<Kernels>,
    /// What the kernel wants to know of neighbours.
    pub(super) marks: Marks,
    /// How neighbours compare where the lane changes.
    pub(super) levels: Levels,
    /// Whether start timestamps count, if they count in the query.
    pub(super) start_timestamps: StartTimestamps,
}

/// Whether start timestamps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartTimestamps {
    /// They do not.
    Ignored,
    /// They do, but for `anchored` and `smoothed` selectors.
    Counted,
    /// They always do.
    CountedAlways,
}

impl RangeFunction {
    /// A function that does not compare neighbours.
    const fn plain(name: &'static str, kernels: Kernels) -> Self {
        Self {
            name,
            kernels,
            extended: None,
            marks: Marks::None,
            levels: Levels::None,
            start_timestamps: StartTimestamps::Ignored,
        }
    }

    /// A function of a counter.
    const fn counter(name: &'static str, marks: Marks, kernels: Kernels) -> Self {
        let start_timestamps = StartTimestamps::Counted;
        Self { marks, levels: Levels::Counter, start_timestamps, ..Self::plain(name, kernels) }
    }

    /// A function of a gauge that compares neighbours.
    const fn gauge(name: &'static str, kernels: Kernels) -> Self {
        Self { levels: Levels::Gauge, ..Self::plain(name, kernels) }
    }

    const fn extended(self, kernels: Kernels) -> Self {
        Self { extended: Some(kernels), ..self }
    }
}

/// A row's kernels: that of floats is known where the loop is compiled.
macro_rules! kernels {
    ($floats:expr) => {
        Kernels { run: |column, notes, out| slide(column, notes, out, $floats), floats: $floats, mixed: None }
    };
    ($floats:expr, $mixed:expr) => {
        Kernels { mixed: Some($mixed), ..kernels!($floats) }
    };
}

/// An instant selector that is smoothed.
pub(super) static SMOOTHED: Kernels = kernels!(extended::smoothed_instant, extended_histograms::smoothed_instant);

/// All functions, by name.
pub(super) static RANGE_FUNCTIONS: &[RangeFunction] = &[
    RangeFunction::plain("avg_over_time", kernels!(over_time::avg, histogram_sums::avg)),
    RangeFunction {
        marks: Marks::Changes,
        ..RangeFunction::plain("changes", kernels!(neighbours::count_marks, mixed::count_marks))
    }
    .extended(kernels!(extended::count_marks, extended_histograms::count_marks)),
    RangeFunction::plain("count_over_time", kernels!(over_time::count, mixed::count)),
    RangeFunction::gauge("delta", kernels!(rate::delta, histogram_rate::delta))
        .extended(kernels!(extended::delta, extended_histograms::delta)),
    RangeFunction::gauge("deriv", kernels!(regression::deriv)),
    RangeFunction::plain(
        "double_exponential_smoothing",
        kernels!(regression::double_exponential_smoothing, regression::mixed_smoothing),
    ),
    RangeFunction::plain("first_over_time", kernels!(over_time::first, mixed::first)),
    RangeFunction::gauge("idelta", kernels!(neighbours::idelta, histogram_rate::idelta)),
    RangeFunction::counter("increase", Marks::Resets, kernels!(rate::increase, histogram_rate::increase))
        .extended(kernels!(extended::increase, extended_histograms::increase)),
    RangeFunction::counter("irate", Marks::Resets, kernels!(neighbours::irate, histogram_rate::irate)),
    RangeFunction::plain("last_over_time", kernels!(over_time::last, mixed::last)),
    RangeFunction::plain("mad_over_time", kernels!(over_time::mad)),
    RangeFunction::plain("max_over_time", kernels!(over_time::max)),
    RangeFunction::plain("min_over_time", kernels!(over_time::min)),
    RangeFunction::gauge("predict_linear", kernels!(regression::predict_linear)),
    RangeFunction::plain("present_over_time", kernels!(over_time::present, mixed::present)),
    RangeFunction::plain("quantile_over_time", kernels!(over_time::quantile)),
    RangeFunction::counter("rate", Marks::Resets, kernels!(rate::rate, histogram_rate::rate))
        .extended(kernels!(extended::rate, extended_histograms::rate)),
    RangeFunction {
        start_timestamps: StartTimestamps::CountedAlways,
        ..RangeFunction::counter("resets", Marks::CountedResets, kernels!(neighbours::count_marks, mixed::count_marks))
    }
    .extended(kernels!(extended::count_marks, extended_histograms::count_marks)),
    RangeFunction::plain("stddev_over_time", kernels!(over_time::stddev)),
    RangeFunction::plain("stdvar_over_time", kernels!(over_time::stdvar)),
    RangeFunction::plain("sum_over_time", kernels!(over_time::sum, histogram_sums::sum)),
    RangeFunction::plain("ts_of_first_over_time", kernels!(over_time::ts_of_first, mixed::ts_of_first)),
    RangeFunction::plain("ts_of_last_over_time", kernels!(over_time::ts_of_last, mixed::ts_of_last)),
    RangeFunction::plain("ts_of_max_over_time", kernels!(over_time::ts_of_max)),
    RangeFunction::plain("ts_of_min_over_time", kernels!(over_time::ts_of_min)),
];

/// The function of this name.
pub(super) fn find(name: &str) -> Option<&'static RangeFunction> {
    RANGE_FUNCTIONS.iter().find(|function| function.name == name)
}
