//! Functions of a range, by name: what `rate(v[5m])` and its kin do with the samples of a window.
//!
//! Kernels follow upstream (promql/functions.go) operation by operation, so that results have the same bits.

mod neighbours;
mod over_time;
mod rate;
mod regression;
#[cfg(test)]
mod tests;

use super::column::{Column, Marks, slide};
use super::extended;
use super::lanes::Levels;
use super::notes::Notes;
pub(super) use rate::Memo;

/// Computes all steps of a column.
pub(super) type Run = fn(&mut Column<'_>, &mut Notes, &mut [f64]);

/// A row of the table.
pub(super) struct RangeFunction {
    /// Name in PromQL.
    pub(super) name: &'static str,
    /// Slides its kernel over a column.
    pub(super) run: Run,
    /// The same for `anchored` and `smoothed` selectors, where they are allowed.
    pub(super) run_extended: Option<Run>,
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
    const fn plain(name: &'static str, run: Run) -> Self {
        Self {
            name,
            run,
            run_extended: None,
            marks: Marks::None,
            levels: Levels::None,
            start_timestamps: StartTimestamps::Ignored,
        }
    }

    /// A function of a counter.
    const fn counter(name: &'static str, marks: Marks, run: Run) -> Self {
        let start_timestamps = StartTimestamps::Counted;
        Self { marks, levels: Levels::Counter, start_timestamps, ..Self::plain(name, run) }
    }

    /// A function of a gauge that compares neighbours.
    const fn gauge(name: &'static str, run: Run) -> Self {
        Self { levels: Levels::Gauge, ..Self::plain(name, run) }
    }

    const fn extended(self, run: Run) -> Self {
        Self { run_extended: Some(run), ..self }
    }
}

/// A row's `run`: the kernel is known where the loop is compiled.
macro_rules! sliding {
    ($kernel:expr) => {
        |column, notes, out| slide(column, notes, out, $kernel)
    };
}

/// All functions, by name.
pub(super) static RANGE_FUNCTIONS: &[RangeFunction] = &[
    RangeFunction::plain("avg_over_time", sliding!(over_time::avg)),
    RangeFunction { marks: Marks::Changes, ..RangeFunction::plain("changes", sliding!(neighbours::count_marks)) }
        .extended(sliding!(extended::count_marks)),
    RangeFunction::plain("count_over_time", sliding!(over_time::count)),
    RangeFunction::gauge("delta", sliding!(rate::delta)).extended(sliding!(extended::delta)),
    RangeFunction::gauge("deriv", sliding!(regression::deriv)),
    RangeFunction::plain("double_exponential_smoothing", sliding!(regression::double_exponential_smoothing)),
    RangeFunction::plain("first_over_time", sliding!(over_time::first)),
    RangeFunction::gauge("idelta", sliding!(neighbours::idelta)),
    RangeFunction::counter("increase", Marks::Resets, sliding!(rate::increase)).extended(sliding!(extended::increase)),
    RangeFunction::counter("irate", Marks::Resets, sliding!(neighbours::irate)),
    RangeFunction::plain("last_over_time", sliding!(over_time::last)),
    RangeFunction::plain("mad_over_time", sliding!(over_time::mad)),
    RangeFunction::plain("max_over_time", sliding!(over_time::max)),
    RangeFunction::plain("min_over_time", sliding!(over_time::min)),
    RangeFunction::gauge("predict_linear", sliding!(regression::predict_linear)),
    RangeFunction::plain("present_over_time", sliding!(over_time::present)),
    RangeFunction::plain("quantile_over_time", sliding!(over_time::quantile)),
    RangeFunction::counter("rate", Marks::Resets, sliding!(rate::rate)).extended(sliding!(extended::rate)),
    RangeFunction {
        start_timestamps: StartTimestamps::CountedAlways,
        ..RangeFunction::counter("resets", Marks::CountedResets, sliding!(neighbours::count_marks))
    }
    .extended(sliding!(extended::count_marks)),
    RangeFunction::plain("stddev_over_time", sliding!(over_time::stddev)),
    RangeFunction::plain("stdvar_over_time", sliding!(over_time::stdvar)),
    RangeFunction::plain("sum_over_time", sliding!(over_time::sum)),
    RangeFunction::plain("ts_of_first_over_time", sliding!(over_time::ts_of_first)),
    RangeFunction::plain("ts_of_last_over_time", sliding!(over_time::ts_of_last)),
    RangeFunction::plain("ts_of_max_over_time", sliding!(over_time::ts_of_max)),
    RangeFunction::plain("ts_of_min_over_time", sliding!(over_time::ts_of_min)),
];

/// The function of this name.
pub(super) fn find(name: &str) -> Option<&'static RangeFunction> {
    RANGE_FUNCTIONS.iter().find(|function| function.name == name)
}
