//! What is computed of each column: a function of a range, or a lookup.

use std::sync::atomic::AtomicBool;

use masthead_store::Samples;

use super::column::{Column, Prepared};
use super::lanes::Levels;
use super::lookup;
use super::marks::Marks;
use super::notes::Notes;
use super::range_functions::{self, RangeFunction, StartTimestamps};
use super::slide::{Kernels, slide_mixed};
use super::times::WindowTimes;
use super::window::HistogramCells;
use crate::engine::arguments::Arguments;
use crate::engine::batch::ABSENT;
use crate::error::QueryError;
use crate::go_math;
use crate::plan::{ScanFunction, ScanSpec};
use crate::promql::ast::RangeExtension;

/// What is computed of each column.
pub(super) struct Kernel {
    pub(super) times: WindowTimes,
    range_seconds: f64,
    pub(super) with_start_timestamps: bool,
    kind: Kind,
}

enum Kind {
    /// A function of a range.
    Range(&'static RangeFunction, &'static Kernels),
    /// The newest sample of the lookback.
    Latest,
    /// Something about the newest sample of the lookback.
    OfLatest(lookup::Pick),
    /// An instant selector that is smoothed.
    Smoothed,
    /// Nothing at all.
    Nothing,
}

impl Kernel {
    /// The kernel of `spec`. Fails for a function that no table has.
    pub(super) fn of(spec: &ScanSpec) -> Result<Self, QueryError> {
        let smoothed = spec.extension == Some(RangeExtension::Smoothed);
        let kind = match spec.function {
            ScanFunction::Range(name) => {
                let missing = || QueryError::Execution(format!("not supported yet: function {name}()"));
                let function = range_functions::find(name).ok_or_else(missing)?;
                let kernels = match spec.extension {
                    Some(_) => function.extended.as_ref().ok_or_else(missing)?,
                    None => &function.kernels,
                };
                Kind::Range(function, kernels)
            }
            ScanFunction::Latest if smoothed => Kind::Smoothed,
            ScanFunction::Latest => Kind::Latest,
            ScanFunction::Timestamp => Kind::OfLatest(lookup::TIMESTAMP),
            ScanFunction::SampleTime => Kind::OfLatest(lookup::SAMPLE_TIME),
            ScanFunction::StartTimestamp if !spec.use_start_timestamps => Kind::Nothing,
            ScanFunction::StartTimestamp => Kind::OfLatest(lookup::START_TIMESTAMP),
            ScanFunction::Raw => return Err(QueryError::Internal("raw samples are no rows".into())),
        };
        let (instant, wanted) = match &kind {
            Kind::Range(function, _) => (
                false,
                match function.start_timestamps {
                    StartTimestamps::Ignored => false,
                    StartTimestamps::Counted => spec.extension.is_none(),
                    StartTimestamps::CountedAlways => true,
                },
            ),
            _ => (true, true),
        };
        // The window of a lookup is its lookback; one that is smoothed reaches as far to the other side.
        let times = if instant {
            let times = WindowTimes::of(spec, spec.lookback);
            if smoothed { times.reaching(0, spec.lookback) } else { times.reaching(0, 0) }
        } else {
            WindowTimes::of(spec, spec.range)
        };
        let range_seconds = go_math::seconds(spec.range);
        Ok(Self { times, range_seconds, with_start_timestamps: wanted && spec.use_start_timestamps, kind })
    }

    /// How lanes are levelled. None: stale markers must stay, since they end a series.
    pub(super) fn levels(&self) -> Option<Levels> {
        match &self.kind {
            Kind::Range(function, _) => Some(function.levels),
            Kind::Smoothed => Some(Levels::None),
            Kind::Latest | Kind::OfLatest(_) | Kind::Nothing => None,
        }
    }

    /// Computes all steps of the column, which is settled. Once `cancelled`, it may stop anywhere.
    pub(super) fn compute(
        &self,
        (samples, prepared): (&Samples, &mut Prepared),
        args: &Arguments,
        cancelled: &AtomicBool,
        out: &mut [f64],
        beside: &mut Beside,
    ) {
        let Beside { notes, histograms: cells } = beside;
        let marks = if let Kind::Range(function, _) = &self.kind { function.marks } else { Marks::None };
        prepared.mark(marks, samples, self.with_start_timestamps);
        let mut column = Column {
            times: self.times,
            samples,
            with_start_timestamps: self.with_start_timestamps,
            prepared,
            args,
            range_seconds: self.range_seconds,
            cancelled,
        };
        let floats_alone = samples.histograms.is_empty();
        match self.kind {
            Kind::Range(_, kernels) if floats_alone => (kernels.run)(&mut column, notes, out),
            Kind::Range(_, kernels) => slide_mixed(&mut column, kernels, notes, out, cells),
            Kind::Latest if floats_alone => lookup::latest(samples, &self.times, out, |samples, i| samples.values[i]),
            Kind::Latest => lookup::latest_of_both(samples, &self.times, out, cells, lookup::VALUE),
            Kind::OfLatest(pick) if floats_alone => lookup::latest(samples, &self.times, out, pick.float),
            Kind::OfLatest(pick) => lookup::latest_of_both(samples, &self.times, out, cells, pick),
            Kind::Smoothed if floats_alone => (range_functions::SMOOTHED.run)(&mut column, notes, out),
            Kind::Smoothed => slide_mixed(&mut column, &range_functions::SMOOTHED, notes, out, cells),
            Kind::Nothing => out.fill(ABSENT),
        }
    }
}

/// What comes out of a row besides its floats.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) notes: Notes,
    pub(super) histograms: HistogramCells,
}
