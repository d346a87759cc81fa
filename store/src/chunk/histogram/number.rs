//! The numbers of a histogram chunk, of which each has a state of its own: counts as integers or as floats.

use super::super::bits::{Bits, WINDOW};
use super::super::xor::Value;

/// One count as it changes from sample to sample.
pub(super) trait Number: Copy {
    /// Fewest bits of a bucket in the first sample.
    const FIRST_BITS_MIN: usize;

    /// Count or zero count of the first sample, and the position behind it.
    fn read_first_total(bits: Bits<'_>, at: usize) -> (Self, usize);

    /// A bucket of the first sample, and the position behind it.
    fn read_first_bucket(bits: Bits<'_>, at: usize) -> (Self, usize);

    /// Reads how it changes; gives the position behind it. Impossible bytes are noted in `is_broken`.
    fn read_next(&mut self, bits: Bits<'_>, at: usize, is_broken: &mut bool) -> usize;

    /// [`read_next`](Self::read_next) of neighbours, many of which do not change.
    fn read_all(numbers: &mut [Self], bits: Bits<'_>, at: usize, is_broken: &mut bool) -> usize;

    /// A count or zero count.
    fn total(&self) -> f64;

    /// The absolute counts of the buckets of one side.
    fn counts(buckets: &[Self]) -> impl ExactSizeIterator<Item = f64>;
}

/// An integer by the change of its change. That of a bucket is the difference to the bucket before it.
#[derive(Clone, Copy)]
pub(super) struct Integer {
    value: i64,
    delta: i64,
}

impl Integer {
    fn change(&mut self, by: i64) {
        self.delta = self.delta.wrapping_add(by);
        self.value = self.value.wrapping_add(self.delta);
    }
}

impl Number for Integer {
    const FIRST_BITS_MIN: usize = 1;

    fn read_first_total(bits: Bits<'_>, at: usize) -> (Self, usize) {
        let (value, next) = bits.varbit_uint(at);
        (Self { value: value as i64, delta: 0 }, next)
    }

    fn read_first_bucket(bits: Bits<'_>, at: usize) -> (Self, usize) {
        let (value, next) = bits.varbit_int(at);
        (Self { value, delta: 0 }, next)
    }

    fn read_next(&mut self, bits: Bits<'_>, at: usize, _: &mut bool) -> usize {
        let (by, next) = bits.varbit_int(at);
        self.change(by);
        next
    }

    fn read_all(numbers: &mut [Self], bits: Bits<'_>, mut at: usize, is_broken: &mut bool) -> usize {
        let mut rest = numbers.iter_mut();
        while rest.len() > 0 {
            let zeros = (bits.window(at).leading_zeros().min(WINDOW) as usize).min(rest.len());
            rest.by_ref().take(zeros).for_each(|number| number.change(0));
            at += zeros;
            if let Some(next) = rest.next() {
                at = next.read_next(bits, at, is_broken);
            }
        }
        at
    }

    fn total(&self) -> f64 {
        self.value as u64 as f64
    }

    fn counts(buckets: &[Self]) -> impl ExactSizeIterator<Item = f64> {
        let mut count = 0_i64;
        buckets.iter().map(move |bucket| {
            count = count.wrapping_add(bucket.value);
            count as f64
        })
    }
}

/// A float by its difference to the one before.
#[derive(Clone, Copy)]
pub(super) struct Float(Value);

impl Number for Float {
    const FIRST_BITS_MIN: usize = 64;

    fn read_first_total(bits: Bits<'_>, at: usize) -> (Self, usize) {
        (Self(Value::new(bits.get(at, 64))), at + 64)
    }

    fn read_first_bucket(bits: Bits<'_>, at: usize) -> (Self, usize) {
        Self::read_first_total(bits, at)
    }

    fn read_next(&mut self, bits: Bits<'_>, at: usize, is_broken: &mut bool) -> usize {
        let next = self.0.read(bits, at, bits.window(at));
        *is_broken |= self.0.is_broken;
        next
    }

    fn read_all(numbers: &mut [Self], bits: Bits<'_>, mut at: usize, is_broken: &mut bool) -> usize {
        let mut next = 0;
        while next < numbers.len() {
            let zeros = (bits.window(at).leading_zeros().min(WINDOW) as usize).min(numbers.len() - next);
            at += zeros;
            next += zeros;
            if let Some(changed) = numbers.get_mut(next) {
                at = changed.read_next(bits, at, is_broken);
                next += 1;
            }
        }
        at
    }

    fn total(&self) -> f64 {
        f64::from_bits(self.0.bits)
    }

    fn counts(buckets: &[Self]) -> impl ExactSizeIterator<Item = f64> {
        buckets.iter().map(|bucket| f64::from_bits(bucket.0.bits))
    }
}
