//! The scalar arguments of a function, as kernels want them: those of a step side by side.

use masthead_store::Reservation;

use super::{Context, Source, scalar_values};
use crate::error::QueryError;

/// Values of all scalar arguments at all steps.
#[derive(Default)]
pub(super) struct Arguments {
    values: Vec<f64>,
    arity: usize,
    _held: Option<Reservation>,
}

impl Arguments {
    /// Reads `sources`, scalars of `steps` steps, memory taken. Without sources nothing is held.
    pub(super) fn read(sources: &mut [Source], steps: usize, cx: &Context<'_>) -> Result<Self, QueryError> {
        if let [source] = sources {
            let (values, held) = scalar_values(&mut **source, cx)?;
            return Ok(Self { values, arity: 1, _held: Some(held) });
        }
        let arity = sources.len();
        let held = cx.budget.reserve("scalar arguments", arity.saturating_mul(steps).saturating_mul(8))?;
        let mut values = vec![0.0; arity * steps];
        for (i, source) in sources.iter_mut().enumerate() {
            let (column, _held) = scalar_values(&mut **source, cx)?;
            values.iter_mut().skip(i).step_by(arity).zip(column).for_each(|(to, from)| *to = from);
        }
        Ok(Self { values, arity, _held: Some(held) })
    }

    /// The arguments at one step.
    #[inline]
    pub(super) fn at(&self, step: usize) -> &[f64] {
        &self.values[step * self.arity..][..self.arity]
    }
}

#[cfg(test)]
impl Arguments {
    /// Arguments that are the same at all steps.
    pub(super) fn constant(args: &[f64], steps: usize) -> Self {
        Self { values: args.repeat(steps), arity: args.len(), _held: None }
    }
}
