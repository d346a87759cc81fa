//! Summation by Kahan in Neumaier's form, as util/kahansum/kahansum.go does it: bit for bit, so no fused operations
//! here.

/// Adds `value` to the sum `sum` whose lost low bits are `compensation`. The sum proper is `sum + compensation`.
#[inline]
pub fn add(value: f64, sum: &mut f64, compensation: &mut f64) {
    let total = *sum + value;
    if total.is_infinite() {
        *compensation = 0.0;
    } else if sum.abs() >= value.abs() {
        *compensation += (*sum - total) + value;
    } else {
        *compensation += (value - total) + *sum;
    }
    *sum = total;
}

#[cfg(test)]
mod tests {
    use super::add;

    /// Each row: terms and the sum that plain addition would miss.
    #[test]
    fn lost_bits_come_back() {
        let rows: &[(&[f64], f64)] = &[
            (&[1.0, 1e100, 1.0, -1e100], 2.0),
            (&[1e16, 1.0, 1.0, 1.0, 1.0, -1e16], 4.0),
            (&[f64::MAX, f64::MAX, -1.0], f64::INFINITY),
            (&[f64::INFINITY, 1.0], f64::INFINITY),
        ];
        for (terms, expected) in rows {
            let (mut sum, mut compensation) = (0.0, 0.0);
            for term in *terms {
                add(*term, &mut sum, &mut compensation);
            }
            assert_eq!(sum + compensation, *expected, "{terms:?}");
        }
        let (mut sum, mut compensation) = (f64::INFINITY, 0.0);
        add(f64::NEG_INFINITY, &mut sum, &mut compensation);
        assert!((sum + compensation).is_nan());
    }
}
