//! Histograms as texts: String in model/histogram/float_histogram.go.

use std::fmt;

use super::{Bucket, Histogram};
use crate::go_float::shortest;

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        write!(f, "{open}{},{}{close}:{}", shortest(self.lower), shortest(self.upper), shortest(self.count))
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", shortest(self.count), shortest(self.sum))?;
        let zero = if self.has_custom_bounds() { None } else { Some(self.zero_bucket()) };
        for bucket in self.negative().rev().chain(zero).chain(self.positive()) {
            if bucket.count != 0.0 {
                write!(f, ", {bucket}")?;
            }
        }
        f.write_str("}")
    }
}
