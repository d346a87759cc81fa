//! Functions of neighbouring samples: `irate`, `idelta`, `changes`, `resets`.

use crate::engine::batch::ABSENT;
use crate::engine::scan::window::{Step, Window};

/// How many marks there are: changes or resets.
#[inline]
pub(super) fn count_marks(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.marks.len() as f64
}

/// Per-second rise of a counter between its last two samples; after a reset, since zero.
#[inline]
pub(super) fn irate(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    let newest = window.base + window.values.len() - 1;
    let reset = window.marks.last() == Some(&newest);
    last_two(window, |before, last, seconds| if reset { last / seconds } else { (last - before) / seconds })
}

/// Change of a gauge between its last two samples.
#[inline]
pub(super) fn idelta(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    last_two(window, |before, last, _| last - before)
}

#[inline]
fn last_two(window: &Window<'_>, compute: impl Fn(f64, f64, f64) -> f64) -> f64 {
    let ([.., earlier, later], [.., before, last]) = (window.timestamps, window.values) else { return ABSENT };
    compute(*before, *last, later.wrapping_sub(*earlier) as f64 / 1000.0)
}
